package service_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// PriceItems implements provider.Priced.
func (s *cloudSettings) PriceItems(offer string) []price.Item {
	return []price.Item{{Part: price.Machine, Name: fleet.Or(offer, s.Size), Region: s.Region}}
}

const prices = `kind,region,part,name,price,currency,date
cloud,here,machine,small,0.1,USD,2026-02-01
cloud,here,machine,large,0.4,USD,2026-02-01
cloud,here,machine,old,0.2,USD,2024-02-01
`

// priced is a world whose clouds have prices.
func priced(t *testing.T) *world {
	t.Helper()
	rows, err := price.Read("prices.csv", strings.NewReader(prices), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	list := (&price.Table{}).With(rows)
	w.Price = func(spec fleet.VMProviderSpec, offer string) price.Quote {
		region, _ := spec.Settings["region"].(string)
		size, _ := spec.Settings["size"].(string)
		return provider.Price(list, spec, &cloudSettings{Region: region, Size: size}, offer)
	}
	w.Listed = list.Has
	w.apply(basic)
	return w
}

func on(provider, offer string, revision int64) func(*fleet.Server) {
	return func(s *fleet.Server) { s.VMProvider, s.Offer, s.ProviderRevision = provider, offer, revision }
}

func cloudSpec(settings, more string) string {
	return "{provider: cloud, max_instances: 10, settings: {token: x, " + settings + "}" + more + "}"
}

// TestCosts counts what may exist, at the price of the settings that it was made
// with; prices that the config sets hold at once for all.
func TestCosts(t *testing.T) {
	t.Parallel()
	w := priced(t)
	w.apply(doc("VMProvider", "sizes", cloudSpec("region: here, size: small", "")))
	w.apply(doc("VMProvider", "sizes", cloudSpec("region: here, size: large", "")))
	w.server("a", on("sizes", "", 1))
	w.server("b", on("sizes", "", 2))
	w.server("c", on("sizes", "large", 2), inPhase(fleet.PhaseDeleting))
	w.server("d", on("sizes", "", 2), inPhase(fleet.PhasePlanned))
	w.server("e", on("sizes", "", 2), inPhase(fleet.PhaseGone))
	w.server("f", on("cloud1", "odd", 1))
	w.server("g", on("", "", 0)) // registered by hand
	type row struct {
		provider, offer, price, cost string
		staying                      int64
	}
	want := func(total string, rows ...row) {
		t.Helper()
		r, err := w.Costs(w.ctx, viewer, "desk")
		if err != nil {
			t.Fatal(err)
		}
		var got []row
		for _, m := range r.Machines {
			got = append(got, row{m.VMProvider, m.Offer, m.Price.String(), m.Cost.String(), m.Staying})
		}
		if diff := cmp.Diff(rows, got, cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("machines (-want +got):\n%s", diff)
		}
		if r.Total.String() != total {
			t.Errorf("the total is %q, want %q", r.Total, total)
		}
	}
	want("0.9 USD/h (1 machine has no full price)",
		row{"cloud1", "odd", "unknown (no price for machine odd in here)", "unknown", 1},
		row{"sizes", "", "0.1 USD/h", "0.1 USD/h", 1},
		row{"sizes", "", "0.4 USD/h", "0.4 USD/h", 2},
		row{"sizes", "large", "0.4 USD/h", "0.4 USD/h", 0})
	w.apply(doc("VMProvider", "sizes", cloudSpec("region: here, size: large", `, prices: {large: 0.3, "*": 0.2}, currency: EUR`)))
	want("0.8 EUR/h (1 machine has no full price)",
		row{"cloud1", "odd", "unknown (no price for machine odd in here)", "unknown", 1},
		row{"sizes", "", "0.2 EUR/h", "0.2 EUR/h", 1}, // of size small
		row{"sizes", "", "0.3 EUR/h", "0.3 EUR/h", 2},
		row{"sizes", "large", "0.3 EUR/h", "0.3 EUR/h", 0})

	e, err := w.ExplainPool(w.ctx, viewer, "desk")
	if err != nil {
		t.Fatal(err)
	}
	if last := e.Lines[len(e.Lines)-1].Text; !strings.Contains(last, "0.8 EUR/h") {
		t.Errorf("the explanation ends with %q", last)
	}
	_, err = w.Costs(w.ctx, viewer, "nowhere")
	wantCode(t, err, fleet.CodeNotFound, `"nowhere"`)
	_, err = w.Costs(w.ctx, ann, "")
	wantCode(t, err, fleet.CodeForbidden)
}

// TestPricePlans prices what a decision would change.
func TestPricePlans(t *testing.T) {
	t.Parallel()
	w := priced(t)
	w.apply(doc("VMProvider", "sizes", cloudSpec("region: here, size: small", "")))
	w.apply(doc("VMProvider", "own", cloudSpec("region: here, size: odd", `, prices: {"*": 1}, currency: EUR`)))
	w.server("stays", on("sizes", "large", 1))
	w.server("goes", on("sizes", "large", 1))
	w.server("leaves", on("sizes", "small", 1), inPhase(fleet.PhaseDraining))
	w.server("comes", on("sizes", "small", 1), inPhase(fleet.PhasePlanned))
	got, err := w.PricePlans(w.ctx, viewer, []plan.Decision{{Pool: "desk", Configs: []plan.ConfigDecision{{
		Config:  "desk-here",
		Creates: []plan.Create{{Provider: "sizes"}, {Provider: "sizes"}, {Provider: "own"}, {Provider: "cloud1"}, {Provider: "gone"}},
		Retires: []plan.Retire{{Server: "goes"}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	c := got[0].Cost
	if got, want := c.Now.String(), "0.9 USD/h"; got != want {
		t.Errorf("it costs %q now, want %q", got, want)
	}
	if got, want := c.After.String(), "1 EUR/h + 0.7 USD/h (2 machines have no full price)"; got != want { // stays, comes, 2 new small ones and one of its own
		t.Errorf("it will cost %q, want %q", got, want)
	}
	each := map[string]string{}
	for _, p := range c.Providers {
		each[p.Provider] = p.Price.String()
	}
	if diff := cmp.Diff(map[string]string{"sizes": "0.1 USD/h", "own": "1 EUR/h", "cloud1": "unknown (no price for machine in here)", "gone": "unknown (no price for machine)"}, each); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
}

// catalogue is a cloud with choices.
type catalogue struct{ provider.Driver }

func (catalogue) Check(context.Context) (provider.Report, error) { return provider.Report{}, nil }

func (catalogue) Offers() []string { return []string{"small", "odd"} }

func (catalogue) Choices(_ context.Context, setting string) ([]provider.Choice, error) {
	if setting == "region" {
		return []provider.Choice{{Value: "here"}}, nil
	}
	live := price.Fixed("told", 0.5, "USD", price.FromCloud) // the operator's own table wins
	return []provider.Choice{{Value: "small"}, {Value: "large", Price: &live}, {Value: "huge", Price: &live}, {Value: "odd"}}, nil
}

// TestProviderPrices looks at a config: what its offers cost, what the catalog
// shows beside sizes, and when the check warns.
func TestProviderPrices(t *testing.T) {
	t.Parallel()
	w := priced(t)
	w.Open = func(_ context.Context, o *store.Object) (*provider.Client, error) {
		kind := w.Kinds[0]
		return provider.NewClient(provider.ClientOptions{Kind: kind, Driver: catalogue{}, Clock: w.clock, Owner: provider.Owner{Installation: "i", Provider: o.Name}}), nil
	}
	for name, spec := range map[string]string{
		"listed": cloudSpec("region: here, size: small", ""),
		"own":    cloudSpec("region: here, size: odd", `, prices: {large: 0.7, "*": 1}, currency: EUR`),
		"old":    cloudSpec("region: here, size: old", ""),
		"none":   cloudSpec("region: here, size: odd", ""),
	} {
		w.apply(doc("VMProvider", name, spec))
	}
	for name, want := range map[string]struct{ offers, catalog, warning string }{
		"listed": {"small 0.1 USD/h; odd unknown (no price for machine odd in here)", "small 0.1 USD/h; large 0.4 USD/h; huge 0.5 USD/h", ""},
		"own":    {"small 1 EUR/h; odd 1 EUR/h", "small 0.1 USD/h; large 0.7 EUR/h; huge 0.5 USD/h", ""},
		"old":    {"small 0.1 USD/h; odd unknown (no price for machine odd in here)", "small 0.1 USD/h; large 0.4 USD/h; huge 0.5 USD/h", "a figure of 2024-02-01"},
		"none":   {"small 0.1 USD/h; odd unknown (no price for machine odd in here)", "small 0.1 USD/h; large 0.4 USD/h; huge 0.5 USD/h", "no price for machine odd in here"},
	} {
		d := service.Draft{Name: name}
		offers, err := w.PriceProvider(w.ctx, operator, d)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, o := range offers {
			texts = append(texts, o.Offer+" "+o.Price.String())
		}
		if got := strings.Join(texts, "; "); got != want.offers {
			t.Errorf("%s: offers cost %q, want %q", name, got, want.offers)
		}
		all, err := w.Catalog(w.ctx, operator, d, "")
		if err != nil {
			t.Fatal(err)
		}
		texts = nil
		for _, l := range all {
			for _, c := range l.Choices {
				if c.Price != nil {
					texts = append(texts, c.Value+" "+c.Price.String())
				}
			}
		}
		if got := strings.Join(texts, "; "); got != want.catalog {
			t.Errorf("%s: the catalog shows %q, want %q", name, got, want.catalog)
		}
		report, err := w.CheckProvider(w.ctx, operator, d)
		if err != nil {
			t.Fatal(err)
		}
		warning := ""
		for _, f := range report.Findings {
			warning += f.Message
		}
		if !report.OK() || (want.warning == "") != (warning == "") || !strings.Contains(warning, want.warning) {
			t.Errorf("%s: the check says %q, want %q, as a warning", name, warning, want.warning)
		}
	}
}
