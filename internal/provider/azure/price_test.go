package azure_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/azure"
)

// TestPrices prices machines by an operator's own table, since no list is part of
// the program.
func TestPrices(t *testing.T) {
	t.Parallel()
	rows, err := price.Read("own.csv", strings.NewReader(`kind,region,part,name,price,currency,os,market,per
azure,westeurope,machine,Standard_D4s_v5,0.2,EUR,linux,,
azure,westeurope,machine,Standard_D4s_v5,0.4,EUR,windows,,
azure,westeurope,machine,Standard_D4s_v5,0.05,EUR,linux,spot,
azure,*,disk,P10 LRS,14.6,EUR,,,month
azure,*,disk,S4 LRS,1.46,EUR,,,month
azure,*,address,,0.005,EUR,,,
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	table := (&price.Table{}).With(rows)
	base := azure.Settings{Region: "westeurope", VMSize: []string{"Standard_D4s_v5"}, OSDiskType: "Premium_LRS", OSDiskSize: 100}
	for name, c := range map[string]struct {
		change func(*azure.Settings)
		offer  string
		want   string
	}{
		"size and disk":      {func(*azure.Settings) {}, "", "0.22 EUR/h"},
		"an offer":           {func(*azure.Settings) {}, "Standard_D4s_v5@2", "0.22 EUR/h"},
		"another size":       {func(*azure.Settings) {}, "Standard_D8s_v5@2", "unknown (no price for machine Standard_D8s_v5 in westeurope)"},
		"Windows, address":   {func(s *azure.Settings) { s.Windows, s.PublicIP = true, true }, "", "0.425 EUR/h"},
		"spot":               {func(s *azure.Settings) { s.Spot = true }, "", "0.07 EUR/h"},
		"a small hard disk":  {func(s *azure.Settings) { s.OSDiskType, s.OSDiskSize = "Standard_LRS", 10 }, "", "0.202 EUR/h"},
		"the image's disk":   {func(s *azure.Settings) { s.OSDiskSize = 0 }, "", "at least 0.2 EUR/h (no price for disk Premium LRS in westeurope (how much is not known))"},
		"a disk of 129 GiB":  {func(s *azure.Settings) { s.OSDiskSize = 129 }, "", "at least 0.2 EUR/h (no price for disk P15 LRS in westeurope)"},
		"the largest of all": {func(s *azure.Settings) { s.OSDiskSize = 4095 }, "", "at least 0.2 EUR/h (no price for disk P50 LRS in westeurope)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := base
			c.change(&s)
			if got := table.Quote(azure.KindName, s.PriceItems(c.offer)).String(); got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}
