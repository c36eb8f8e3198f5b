package azure_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/azure"
)

// TestPrices prices machines by an operator's own table.
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

// TestListPrices adds up what Azure bills, by the lists that are part of the
// program: of each type of disk, and with each way to have Windows.
func TestListPrices(t *testing.T) {
	t.Parallel()
	list, err := price.List()
	if err != nil {
		t.Fatal(err)
	}
	override := func(license string) map[string]any {
		return map[string]any{"properties": map[string]any{"licenseType": license}}
	}
	base := azure.Settings{Region: "westeurope", VMSize: []string{"Standard_D4s_v5", "Standard_D4as_v5"}, OSDiskSize: 128}
	for name, c := range map[string]struct {
		change func(*azure.Settings)
		offer  string
		want   string
	}{
		"premium, which is the default": {func(*azure.Settings) {}, "", "0.2597 USD/h"},
		"premium in zones":              {func(s *azure.Settings) { s.OSDiskType = "Premium_ZRS" }, "", "0.2745 USD/h"},
		"standard SSD":                  {func(s *azure.Settings) { s.OSDiskType = "StandardSSD_LRS" }, "", "0.2432 USD/h"},
		"standard SSD in zones":         {func(s *azure.Settings) { s.OSDiskType = "StandardSSD_ZRS" }, "", "0.2497 USD/h"},
		"a hard disk":                   {func(s *azure.Settings) { s.OSDiskType = "Standard_LRS" }, "", "0.2381 USD/h"},
		"the largest disk":              {func(s *azure.Settings) { s.OSDiskSize = 4095 }, "", "0.9767 USD/h"},
		"an offer":                      {func(*azure.Settings) {}, "Standard_D4as_v5@2", "0.2377 USD/h"},
		"an address":                    {func(s *azure.Settings) { s.PublicIP = true }, "", "0.2647 USD/h"},
		"Windows":                       {func(s *azure.Settings) { s.Windows = true }, "", "0.4437 USD/h"},
		"a licence of one's own":        {func(s *azure.Settings) { s.Windows, s.ConfigOverride = true, override("Windows_Server") }, "", "0.2597 USD/h"},
		"one for desktops":              {func(s *azure.Settings) { s.Windows, s.ConfigOverride = true, override("Windows_Client") }, "", "0.2597 USD/h"},
		"no licence":                    {func(s *azure.Settings) { s.Windows, s.ConfigOverride = true, override("None") }, "", "0.4437 USD/h"},
		"spot":                          {func(s *azure.Settings) { s.Spot = true }, "", "unknown (no price for machine Standard_D4s_v5 (spot) in westeurope)"},
		"Windows on spot":               {func(s *azure.Settings) { s.Spot, s.Windows = true, true }, "", "unknown (no price for machine Standard_D4s_v5 with Windows (spot) in westeurope)"},
		"zones where there are none":    {func(s *azure.Settings) { s.Region, s.OSDiskType = "westus", "Premium_ZRS" }, "", "at least 0.224 USD/h (no price for disk P10 ZRS in westus)"},
		"an unknown region":             {func(s *azure.Settings) { s.Region = "chinaeast2" }, "", "unknown (no price for machine Standard_D4s_v5 in chinaeast2, disk P10 LRS in chinaeast2)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := base
			c.change(&s)
			if got := list.Quote(azure.KindName, s.PriceItems(c.offer)).String(); got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}
