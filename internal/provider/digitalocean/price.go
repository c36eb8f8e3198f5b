package digitalocean

import "github.com/headroom-dev/headroom/internal/price"

// PriceItems implements provider.Priced: a Droplet's price includes its disk and
// its address.
// https://docs.digitalocean.com/products/droplets/details/pricing/
func (s *Settings) PriceItems(offer string) []price.Item {
	if offer == "" && len(s.Size) > 0 {
		offer = s.Size[0]
	}
	if offer == "" {
		return nil
	}
	items := []price.Item{{Part: price.Machine, Name: offer, Region: s.Region}}
	if s.Backups {
		items = append(items, price.Item{Part: price.Disk, Name: "backups", Region: s.Region, Quantity: price.Unsaid})
	}
	return items
}
