// Package cost says what the machines cost that exist now: it counts them in the
// database and prices each with the settings that it was made with.
package cost

import (
	"cmp"
	"errors"
	"slices"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/store"
)

// QuoteFunc prices a machine that is made with a provider config; an empty offer
// stands for the one that is tried first.
type QuoteFunc func(spec fleet.VMProviderSpec, offer string) price.Quote

// Machines are those of one autoscale config that cost the same.
type Machines struct {
	Pool            string      `json:"pool"`
	AutoscaleConfig string      `json:"autoscale_config"`
	VMProvider      string      `json:"vm_provider"`
	Offer           string      `json:"offer,omitempty" doc:"Size and place in which the cloud made them."`
	Price           price.Quote `json:"price" doc:"Of one of them."`
	Cost            price.Bill  `json:"cost" doc:"Of all that may exist in the cloud now, from the create call until the cloud no longer has them."`
	Staying         int64       `json:"staying" doc:"Those that are there, or will be, when all that is under way is done."`
}

// Read lists the machines of one pool or, with an empty name, of all.
func Read(tx *store.Tx, pool string, quote QuoteFunc) ([]Machines, error) {
	tallies, err := tx.TallyMachines(pool)
	if err != nil {
		return nil, err
	}
	p := Pricing(tx, quote)
	type like struct{ pool, config, provider, offer, price string }
	rows := map[like]*Machines{}
	for _, t := range tallies {
		q, err := p.Of(t.VMProvider, t.Revision, t.Offer)
		if err != nil {
			return nil, err
		}
		k := like{t.Pool, t.AutoscaleConfig, t.VMProvider, t.Offer, q.String()}
		m := rows[k]
		if m == nil {
			m = &Machines{Pool: t.Pool, AutoscaleConfig: t.AutoscaleConfig, VMProvider: t.VMProvider, Offer: t.Offer, Price: q, Cost: price.Bill{}.Clone()}
			rows[k] = m
		}
		if Exists(t.Phase) {
			m.Cost.Add(q, t.Count)
		}
		if Stays(t.Phase) {
			m.Staying += t.Count
		}
	}
	list := make([]Machines, 0, len(rows))
	for _, m := range rows {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Machines) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.AutoscaleConfig, b.AutoscaleConfig), cmp.Compare(a.VMProvider, b.VMProvider),
			cmp.Compare(a.Offer, b.Offer), cmp.Compare(a.Price.String(), b.Price.String()))
	})
	return list, nil
}

// Exists says that a machine of this phase may exist in the cloud, which then
// wants money for it.
func Exists(p fleet.Phase) bool { return p != fleet.PhasePlanned && p != fleet.PhaseGone }

// Stays says that a machine of this phase is there, or will be, when all that is
// under way is done.
func Stays(p fleet.Phase) bool { return p == fleet.PhaseReady || p.ComingUp() }

// Prices prices machines of stored provider configs within one transaction.
type Prices struct {
	tx    *store.Tx
	quote QuoteFunc
	specs map[made]*fleet.VMProviderSpec // nil: unknown
	known map[made]map[string]price.Quote
}

// made is a provider config as it was when a machine was made.
type made struct {
	provider string
	revision int64
}

// Pricing prices machines in tx. A nil quote knows no price.
func Pricing(tx *store.Tx, quote QuoteFunc) *Prices {
	if quote == nil {
		quote = func(spec fleet.VMProviderSpec, _ string) price.Quote {
			return (*price.Table)(nil).Quote(spec.Provider, nil)
		}
	}
	return &Prices{tx: tx, quote: quote, specs: map[made]*fleet.VMProviderSpec{}, known: map[made]map[string]price.Quote{}}
}

// Of prices a machine that was made with a revision of a provider config; 0 is
// the config as it is now. Prices that the config sets are always those of now.
func (p *Prices) Of(provider string, revision int64, offer string) (price.Quote, error) {
	k := made{provider, revision}
	if q, ok := p.known[k][offer]; ok {
		return q, nil
	}
	spec, err := p.spec(k)
	if err != nil {
		return price.Quote{}, err
	}
	var q price.Quote
	if spec == nil {
		q = (*price.Table)(nil).Quote("", nil)
	} else {
		q = p.quote(*spec, offer)
	}
	if p.known[k] == nil {
		p.known[k] = map[string]price.Quote{}
	}
	p.known[k][offer] = q
	return q, nil
}

func (p *Prices) spec(k made) (*fleet.VMProviderSpec, error) {
	if spec, ok := p.specs[k]; ok {
		return spec, nil
	}
	now, err := p.read(p.tx.Object(fleet.KindVMProvider, k.provider))
	if err != nil {
		return nil, err
	}
	then := now
	if k.revision > 0 {
		if then, err = p.read(p.tx.ProviderRevision(k.provider, k.revision)); err != nil {
			return nil, err
		}
		if then != nil && now != nil {
			then.Prices, then.Currency = now.Prices, now.Currency
		}
	}
	p.specs[k] = then
	return then, nil
}

// read is nil for what does not exist.
func (p *Prices) read(o *store.Object, err error) (*fleet.VMProviderSpec, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return nil, err
	}
	return &spec, nil
}
