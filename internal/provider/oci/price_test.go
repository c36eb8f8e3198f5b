package oci_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/oci"
)

func TestPriceItems(t *testing.T) {
	t.Parallel()
	s := &oci.Settings{
		AvailabilityDomains: []string{"Uocm:EU-FRANKFURT-1-AD-1"}, Shapes: []string{"VM.Standard.E4.Flex", "VM.Standard2.1"}, FlexOCPUs: 4, FlexMemory: 16,
		BaselineOCPUUtilization: "BASELINE_1_8", BootVolumeSize: 100, BootVolumeVPUsPerGB: 20, OSType: "windows",
	}
	s.Region = "eu-frankfurt-1"
	const region = "eu-frankfurt-1"
	want := []price.Item{
		{Part: price.Machine, Name: "VM.Standard.E4.Flex", Region: region, Market: price.OnDemand, Of: []price.Item{
			{Part: price.Core, Name: "VM.Standard.E4", Region: region, Market: price.OnDemand, Quantity: 0.5},
			{Part: price.Memory, Name: "VM.Standard.E4", Region: region, Market: price.OnDemand, Quantity: 16},
		}},
		{Part: price.Disk, Name: "block_volume", Region: region, Quantity: 100},
		{Part: price.Disk, Name: "block_volume_vpu", Region: region, Quantity: 2000},
		{Part: price.License, Name: "windows", Region: region, Quantity: 4},
	}
	if diff := cmp.Diff(want, s.PriceItems("")); diff != "" {
		t.Error(diff)
	}
	s.Preemptible, s.BootVolumeSize, s.OSType = true, 0, "linux"
	want = []price.Item{
		{Part: price.Machine, Name: "VM.Standard2.1", Region: region, Market: price.Spot},
		{Part: price.Disk, Name: "block_volume", Region: region, Quantity: price.Unsaid},
		{Part: price.Disk, Name: "block_volume_vpu", Region: region, Quantity: price.Unsaid},
	}
	if diff := cmp.Diff(want, s.PriceItems("VM.Standard2.1@Uocm:EU-FRANKFURT-1-AD-1")); diff != "" {
		t.Error(diff)
	}
	if got := s.PriceItems("something else"); got != nil {
		t.Errorf("%v", got)
	}
}
