package provider_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
)

type sized struct{}

func (sized) PriceItems(offer string) []price.Item {
	return []price.Item{{Part: price.Machine, Name: fleet.Or(offer, "small")}}
}

type shaped struct{}

func (shaped) Shape() fleet.Resources {
	return fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 4096, GPUs: 1}
}

// TestPrice shows which price wins: that of the offer, that of its size, that of
// any machine, the operator's table.
func TestPrice(t *testing.T) {
	t.Parallel()
	rows, err := price.Read("own.csv", strings.NewReader(`kind,region,part,name,price,currency
cloud,*,machine,small,0.4,USD
cloud,*,core,,0.01,EUR
cloud,*,memory,,0.002,EUR
cloud,*,gpu,,1,EUR
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	table := (&price.Table{}).With(rows)
	for name, c := range map[string]struct {
		prices   map[string]float64
		currency string
		settings any
		offer    string
		want     string
	}{
		"the table":                {nil, "", sized{}, "", "0.4 USD/h"},
		"its size in the config":   {map[string]float64{"small": 0.3, "*": 1}, "", sized{}, "", "0.3 USD/h"},
		"its offer":                {map[string]float64{"big": 0.6, "*": 1}, "EUR", sized{}, "big", "0.6 EUR/h"},
		"any machine":              {map[string]float64{"*": 1.5}, "CHF", sized{}, "big", "1.5 CHF/h"},
		"nothing is a price, too":  {map[string]float64{"*": 0}, "", sized{}, "", "0 USD/h"},
		"another size":             {map[string]float64{"huge": 1}, "", sized{}, "big", "unknown (no price for machine big)"},
		"by what it holds":         {nil, "", shaped{}, "", "1.028 EUR/h"}, // 2 × 0.01 + 4 × 0.002 + 1
		"any machine of such":      {map[string]float64{"*": 0.2}, "", shaped{}, "", "0.2 USD/h"},
		"settings that tell none":  {nil, "", struct{}{}, "", "unknown (no price for machine)"},
		"any machine of the third": {map[string]float64{"*": 0.2}, "", struct{}{}, "", "0.2 USD/h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := provider.Price(table, fleet.VMProviderSpec{Provider: "cloud", Prices: c.prices, Currency: c.currency}, c.settings, c.offer)
			if q.String() != c.want {
				t.Errorf("the price is %q, want %q", q, c.want)
			}
			if q.PerHour != nil && !q.Overridden() {
				t.Error("it does not show that the operator has set it")
			}
		})
	}
}
