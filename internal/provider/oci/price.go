package oci

import (
	"strings"

	"github.com/headroom-dev/headroom/internal/price"
)

// Names by which price tables have what machines are billed for besides their
// shape.
const (
	volumePrice      = "block_volume"     // a GiB of a boot volume
	performancePrice = "block_volume_vpu" // one performance unit of a GiB
	defaultVPUs      = 10
)

// PriceItems implements provider.Priced. Flexible shapes are sold by OCPU and GiB
// of memory, at prices of their family, which is the shape without .Flex; of
// burstable machines only the baseline of the OCPUs is paid. Public addresses are
// free.
// https://www.oracle.com/cloud/compute/pricing/
func (s *Settings) PriceItems(text string) []price.Item {
	o, err := s.offerOf(text)
	if err != nil && shapeRule.MatchString(text) {
		o, err = offer{shape: text}, nil // the catalog asks for shapes without a place
	}
	if err != nil {
		return nil
	}
	market := price.OnDemand
	if s.Preemptible {
		market = price.Spot
	}
	known := func(n float64) float64 {
		if n == 0 {
			return price.Unsaid
		}
		return n
	}
	machine := price.Item{Part: price.Machine, Name: o.shape, Region: s.Region, Market: market}
	ocpus := 0.0
	if isFlexible(o.shape) {
		family := strings.TrimSuffix(strings.TrimSuffix(o.shape, ".Flex"), ".Generic")
		ocpus = s.FlexOCPUs
		machine.Of = []price.Item{
			{Part: price.Core, Name: family, Region: s.Region, Market: market, Quantity: known(ocpus * s.baseline())},
			{Part: price.Memory, Name: family, Region: s.Region, Market: market, Quantity: known(s.FlexMemory)},
		}
	}
	size, vpus := float64(s.BootVolumeSize), float64(max(s.BootVolumeVPUsPerGB, defaultVPUs))
	items := []price.Item{
		machine,
		{Part: price.Disk, Name: volumePrice, Region: s.Region, Quantity: known(size)},
		{Part: price.Disk, Name: performancePrice, Region: s.Region, Quantity: known(size * vpus)},
	}
	if s.OSType == "windows" {
		items = append(items, price.Item{Part: price.License, Name: "windows", Region: s.Region, Quantity: known(ocpus)})
	}
	return items
}

// baseline is the share of the OCPUs that a burstable machine has all the time.
func (s *Settings) baseline() float64 {
	switch s.BaselineOCPUUtilization {
	case "BASELINE_1_8":
		return 1.0 / 8
	case "BASELINE_1_2":
		return 1.0 / 2
	}
	return 1
}
