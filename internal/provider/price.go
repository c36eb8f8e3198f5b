package provider

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
)

// Priced are settings that tell what a machine made with them is billed for.
// Settings that are [Shaped] only are billed by core, GiB of memory and GPU,
// for which an operator's own price table may have prices.
type Priced interface {
	// PriceItems names it for an offer; an empty one stands for the offer that
	// is tried first. Nil when the offer means nothing to the kind.
	PriceItems(offer string) []price.Item
}

// AnyMachine is the key of VMProviderSpec.Prices that stands for every machine
// that no other key names.
const AnyMachine = "*"

// DefaultCurrency is that of VMProviderSpec.Prices when none is named.
const DefaultCurrency = "USD"

// Price is what a machine of a VM provider config costs: the price that the
// config sets for the offer or its size, else what the table says of everything
// that the machine is billed for.
func Price(t *price.Table, spec fleet.VMProviderSpec, settings any, offer string) price.Quote {
	items := priceItems(settings, offer)
	names := []string{offer}
	for _, i := range items {
		if i.Part == price.Machine {
			names = append(names, i.Name)
		}
	}
	for _, name := range append(names, AnyMachine) {
		if p, ok := spec.Prices[name]; ok && name != "" {
			return price.Fixed(name, p, fleet.Or(spec.Currency, DefaultCurrency), price.FromProvider)
		}
	}
	return t.Quote(spec.Provider, items)
}

// priceItems is what a machine is billed for; nil when the settings tell
// nothing.
func priceItems(settings any, offer string) []price.Item {
	if s, ok := settings.(Priced); ok {
		return s.PriceItems(offer)
	}
	s, ok := settings.(Shaped)
	if !ok {
		return nil
	}
	shape := s.Shape()
	if shape.IsZero() {
		return nil
	}
	items := []price.Item{
		{Part: price.Core, Region: price.Everywhere, Quantity: float64(shape.Cores) / float64(fleet.Core)},
		{Part: price.Memory, Region: price.Everywhere, Quantity: float64(shape.MemoryMiB) / 1024},
	}
	if shape.GPUs > 0 {
		items = append(items, price.Item{Part: price.GPU, Region: price.Everywhere, Quantity: float64(shape.GPUs)})
	}
	return items
}
