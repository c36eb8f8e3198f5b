package sim

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
)

// PriceItems implements provider.Priced: nobody sells such machines, but an
// operator may pretend, by offer or by core and GiB.
func (s *Settings) PriceItems(offer string) []price.Item {
	if offer == "" && len(s.Offers) > 0 {
		offer = s.Offers[0]
	}
	shape := s.Shape()
	parts := []price.Item{
		{Part: price.Core, Quantity: float64(shape.Cores) / float64(fleet.Core)},
		{Part: price.Memory, Quantity: float64(shape.MemoryMiB) / 1024},
	}
	if shape.GPUs > 0 {
		parts = append(parts, price.Item{Part: price.GPU, Quantity: float64(shape.GPUs)})
	}
	if offer == "" {
		return parts
	}
	return []price.Item{{Part: price.Machine, Name: offer, Of: parts}}
}
