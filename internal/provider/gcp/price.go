package gcp

import (
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/startup"
)

// PriceItems implements provider.Priced. Most machine types are sold by core and
// GiB of memory, at prices of their family; custom ones have prices of their own.
// https://cloud.google.com/compute/all-pricing
func (s *Settings) PriceItems(offer string) []price.Item {
	machineType, zone, _ := strings.Cut(offer, "@")
	if first, err := s.offerOf(""); offer == "" && err == nil {
		machineType, zone = first.machineType, first.zone
	}
	if machineType == "" {
		return nil
	}
	region := fleet.Or(regionOf(zone), s.region())
	market := price.OnDemand
	if s.ProvisioningModel == "spot" {
		market = price.Spot
	}
	machine := price.Item{Part: price.Machine, Name: machineType, Region: region, Market: market}
	shape := capacity(machineType, nil)
	cores := float64(shape.Cores) / float64(fleet.Core)
	if shape.MemoryMiB > 0 {
		family, _, _ := strings.Cut(machineType, "-")
		if customRule.MatchString(machineType) {
			family = strings.TrimPrefix(family+"-custom", "custom-")
		}
		machine.Of = []price.Item{
			{Part: price.Core, Name: family, Region: region, Market: market, Quantity: cores},
			{Part: price.Memory, Name: family, Region: region, Market: market, Quantity: float64(shape.MemoryMiB) / 1024},
		}
	}
	items := []price.Item{machine}
	for _, a := range s.GuestAccelerators {
		items = append(items, price.Item{Part: price.GPU, Name: a.Type, Region: region, Market: market, Quantity: float64(max(a.Count, 1))})
	}
	disk := price.Item{Part: price.Disk, Name: fleet.Or(s.DiskType, "pd-balanced"), Region: region, Quantity: float64(s.BootDiskSize)}
	if s.BootDiskSize == 0 {
		disk.Quantity = price.Unsaid // that of the image
	}
	items = append(items, disk)
	if s.PublicIP {
		items = append(items, price.Item{Part: price.Address, Region: region, Market: market})
	}
	if s.system() == startup.Windows {
		license := price.Item{Part: price.License, Name: "windows", Region: region, Quantity: cores}
		if cores == 0 {
			license.Quantity = price.Unsaid
		}
		items = append(items, license)
	}
	return items
}
