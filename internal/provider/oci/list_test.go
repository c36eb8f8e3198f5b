package oci_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/oci"
)

// TestListPrices adds up what Oracle bills, by the list that is part of the program.
func TestListPrices(t *testing.T) {
	t.Parallel()
	list, err := price.List()
	if err != nil {
		t.Fatal(err)
	}
	base := oci.Settings{
		Account: oci.Account{Region: "eu-frankfurt-1"}, Shapes: []string{"VM.Standard.E5.Flex", "VM.Standard.E4.Flex", "VM.GPU9.1"}, AvailabilityDomains: []string{"Uocm:EU-FRANKFURT-1-AD-1"},
		FlexOCPUs: 2, FlexMemory: 16, BootVolumeSize: 100,
	}
	for name, c := range map[string]struct {
		change func(*oci.Settings)
		offer  string
		want   string
	}{
		// 2 × 0.03 + 16 × 0.002 + 100 × (0.0255 + 10 × 0.0017) / 730
		"a flexible shape":        {func(*oci.Settings) {}, "", "0.09782 USD/h"},
		"an offer":                {func(*oci.Settings) {}, "VM.Standard.E4.Flex@Uocm:EU-FRANKFURT-1-AD-1", "0.07982 USD/h"},
		"a choice of the catalog": {func(*oci.Settings) {}, "VM.Standard.E6.Flex", "0.09782 USD/h"},
		"burstable":               {func(s *oci.Settings) { s.BaselineOCPUUtilization = "BASELINE_1_2" }, "", "0.06782 USD/h"},
		"a faster volume":         {func(s *oci.Settings) { s.BootVolumeVPUsPerGB = 20 }, "", "0.1002 USD/h"},
		"the image's size":        {func(s *oci.Settings) { s.BootVolumeSize = 0 }, "", "at least 0.092 USD/h (no price for disk block_volume in eu-frankfurt-1 (how much is not known), disk block_volume_vpu in eu-frankfurt-1 (how much is not known))"},
		"a shape without a price": {
			func(*oci.Settings) {}, "VM.GPU9.1@Uocm:EU-FRANKFURT-1-AD-1",
			"unknown (no price for machine VM.GPU9.1 in eu-frankfurt-1)",
		},
		"preemptible": {func(s *oci.Settings) { s.Preemptible = true }, "", "unknown (no price for machine VM.Standard.E5.Flex (spot) in eu-frankfurt-1)"},
		"Windows":     {func(s *oci.Settings) { s.OSType = "windows" }, "", "at least 0.09782 USD/h (no price for license windows in eu-frankfurt-1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := base
			c.change(&s)
			if got := list.Quote(oci.KindName, s.PriceItems(c.offer)).String(); got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}
