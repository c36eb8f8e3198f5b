package gcp_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
)

// TestPrices adds up what Google bills.
func TestPrices(t *testing.T) {
	t.Parallel()
	list, err := price.List()
	if err != nil {
		t.Fatal(err)
	}
	base := gcp.Settings{Zones: []string{"us-central1-a"}, MachineType: []string{"n2-standard-4"}, DiskType: "pd-balanced", BootDiskSize: 73}
	for name, c := range map[string]struct {
		change func(*gcp.Settings)
		offer  string
		want   string
	}{
		// 4 × 0.031611 + 16 × 0.004237 + 73 × 0.1 / 730
		"core, memory and disk": {func(*gcp.Settings) {}, "", "0.2042 USD/h"},
		"an offer elsewhere":    {func(*gcp.Settings) {}, "e2-medium@us-central1-b", "0.04351 USD/h"},
		"a GPU":                 {func(s *gcp.Settings) { s.GuestAccelerators = []gcp.Accelerator{{Type: "nvidia-tesla-t4", Count: 2}} }, "", "0.9042 USD/h"},
		"the image's disk":      {func(s *gcp.Settings) { s.BootDiskSize = 0 }, "", "at least 0.1942 USD/h (no price for disk pd-balanced in us-central1 (how much is not known))"},
		"custom":                {func(*gcp.Settings) {}, "n2-custom-4-8192@us-central1-a", "unknown (no price for machine n2-custom-4-8192 in us-central1)"},
		"spot":                  {func(s *gcp.Settings) { s.ProvisioningModel = "spot" }, "", "unknown (no price for machine n2-standard-4 (spot) in us-central1)"},
		"address and Windows": {
			func(s *gcp.Settings) { s.PublicIP, s.OSType = true, "windows" }, "",
			"at least 0.2042 USD/h (no price for address in us-central1, license windows in us-central1)",
		},
		"a region without a list": {func(*gcp.Settings) {}, "n2-standard-4@mars-north1-a", "unknown (no price for machine n2-standard-4 in mars-north1, disk pd-balanced in mars-north1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := base
			c.change(&s)
			if got := list.Quote(gcp.KindName, s.PriceItems(c.offer)).String(); got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}
