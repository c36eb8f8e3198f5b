package service

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/cost"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// CostReport is what machines cost that exist now.
type CostReport struct {
	At       time.Time       `json:"at"`
	Machines []cost.Machines `json:"machines"`
	Total    price.Bill      `json:"total"`
}

// Costs says what the machines of a pool or, with an empty name, of every pool
// cost. Machines that were registered by hand are not counted: nobody here pays
// for them.
func (s *Service) Costs(ctx context.Context, p auth.Principal, pool string) (CostReport, error) {
	if err := p.Need(auth.Read); err != nil {
		return CostReport{}, err
	}
	r := CostReport{At: s.now()}
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		r.Total = price.Bill{}.Clone()
		if pool != "" {
			if _, err := tx.Object(fleet.KindPool, pool); err != nil {
				return notFound(err, "pool", pool)
			}
		}
		var err error
		if r.Machines, err = cost.Read(tx, pool, s.Price); err != nil {
			return fmt.Errorf("pricing machines: %w", err)
		}
		for _, m := range r.Machines {
			r.Total.AddBill(m.Cost)
		}
		return nil
	})
	return r, err
}

// PricedPlan is what would be done with a pool now, and what that costs.
type PricedPlan struct {
	plan.Decision
	Cost PlanCost `json:"cost"`
}

// PlanCost is what a pool costs now, and when the plan has been carried out.
type PlanCost struct {
	Now       price.Bill      `json:"now" doc:"Of the machines that may exist."`
	After     price.Bill      `json:"after" doc:"When what is under way and what would be done now is done."`
	Providers []ProviderPrice `json:"providers" doc:"What a machine costs at each provider on which some would be made."`
}

// ProviderPrice is what a machine costs that is made with a provider config.
type ProviderPrice struct {
	Provider string      `json:"provider"`
	Price    price.Quote `json:"price" doc:"Of the offer that is tried first."`
}

// PricePlans adds to decisions what they cost.
func (s *Service) PricePlans(ctx context.Context, p auth.Principal, decisions []plan.Decision) ([]PricedPlan, error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, err
	}
	out := make([]PricedPlan, len(decisions))
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		prices := cost.Pricing(tx, s.Price)
		for i, d := range decisions {
			c, err := priceDecision(tx, prices, d)
			if err != nil {
				return fmt.Errorf("pricing the plan of pool %s: %w", d.Pool, err)
			}
			out[i] = PricedPlan{Decision: d, Cost: c}
		}
		return nil
	})
	return out, err
}

func priceDecision(tx *store.Tx, prices *cost.Prices, d plan.Decision) (PlanCost, error) {
	c := PlanCost{Now: price.Bill{}.Clone(), After: price.Bill{}.Clone(), Providers: []ProviderPrice{}}
	retired, shown := map[string]bool{}, map[string]bool{}
	for _, config := range d.Configs {
		for _, r := range config.Retires {
			retired[r.Server] = true
		}
		for _, one := range config.Creates {
			q, err := prices.Of(one.Provider, 0, "")
			if err != nil {
				return c, err
			}
			c.After.Add(q, 1)
			if !shown[one.Provider] {
				shown[one.Provider] = true
				c.Providers = append(c.Providers, ProviderPrice{Provider: one.Provider, Price: q})
			}
		}
	}
	servers, err := tx.Servers(store.ServerFilter{Pool: d.Pool})
	if err != nil {
		return c, err
	}
	for _, server := range servers {
		if server.VMProvider == "" {
			continue
		}
		q, err := prices.Of(server.VMProvider, server.ProviderRevision, server.Offer)
		if err != nil {
			return c, err
		}
		if cost.Exists(server.Phase) {
			c.Now.Add(q, 1)
		}
		if cost.Stays(server.Phase) && !retired[server.ID] {
			c.After.Add(q, 1)
		}
	}
	return c, nil
}

// addCost says what a pool costs, where it has machines.
func (s *Service) addCost(ctx context.Context, e *Explanation, pool string) error {
	return s.Store.Read(ctx, func(tx *store.Tx) error {
		rows, err := cost.Read(tx, pool, s.Price)
		if err != nil {
			return fmt.Errorf("pricing machines of pool %s: %w", pool, err)
		}
		var total price.Bill
		for _, m := range rows {
			total.AddBill(m.Cost)
		}
		if len(total.Amounts) > 0 {
			e.add(LevelInfo, time.Time{}, "its machines cost %s; headroom cost --pool %s shows them", total, pool)
		}
		return nil
	})
}

// OfferPrice is what a machine costs in one of a provider's sizes and places.
type OfferPrice struct {
	Offer string      `json:"offer,omitempty" doc:"Empty where the provider makes machines of one kind only."`
	Price price.Quote `json:"price"`
}

// PriceProvider says what a machine of a VM provider config costs, for each
// offer in the order in which they are tried. It makes nothing.
func (s *Service) PriceProvider(ctx context.Context, p auth.Principal, d Draft) ([]OfferPrice, error) {
	client, o, err := s.openDraft(ctx, p, d)
	if err != nil {
		return nil, err
	}
	defer s.leave(ctx, client)
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return nil, err
	}
	offers := client.Offers()
	if len(offers) == 0 {
		offers = []string{""} // a price needs no cloud that answers
	}
	out := make([]OfferPrice, len(offers))
	for i, offer := range offers {
		out[i] = OfferPrice{Offer: offer, Price: s.quote(spec, offer)}
	}
	return out, nil
}

func (s *Service) quote(spec fleet.VMProviderSpec, offer string) price.Quote {
	if s.Price == nil {
		return (*price.Table)(nil).Quote(spec.Provider, nil)
	}
	return s.Price(spec, offer)
}

// priceAge is the age of a price from which on it should be looked at.
const priceAge = 365 * 24 * time.Hour

// checkPrice warns where a machine of a kind that has price lists is in none of
// them, or where its price is old.
func (s *Service) checkPrice(spec fleet.VMProviderSpec) []provider.Finding {
	if s.Listed == nil || !s.Listed(spec.Provider) || !s.priced(spec.Provider) {
		return nil
	}
	const remedy = "set prices in the VM provider, or give a table to serve --price-table"
	f := provider.Finding{Subject: "price", Verdict: provider.VerdictWarning, Remedy: remedy}
	q := s.quote(spec, "")
	oldest, err := time.Parse(time.DateOnly, q.Oldest())
	switch {
	case !q.Known():
		f.Message = q.String()
	case err == nil && s.now().Sub(oldest) > priceAge:
		f.Message = fmt.Sprintf("%s, a figure of %s: it may have changed since", q, q.Oldest())
	default:
		return nil
	}
	return []provider.Finding{f}
}

// priced says that the settings of a kind tell what its machines are billed for.
func (s *Service) priced(kind string) bool {
	k, ok := s.kind(kind)
	if !ok {
		return false
	}
	_, ok = k.NewSettings().(provider.Priced)
	return ok
}

// priceChoices puts prices beside the choices of a setting that are sizes.
func (s *Service) priceChoices(spec fleet.VMProviderSpec, choices []provider.Choice) {
	if !s.priced(spec.Provider) {
		return
	}
	own := spec.Prices
	spec.Prices = map[string]float64{}
	for name, p := range own {
		if name != provider.AnyMachine { // it would be the price of regions and images, too
			spec.Prices[name] = p
		}
	}
	for i, c := range choices {
		q := s.quote(spec, c.Value)
		if q.PerHour != nil && (c.Price == nil || q.Overridden()) {
			choices[i].Price = &q
		}
	}
}
