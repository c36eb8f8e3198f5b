package aws

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/startup"
)

// PriceItems implements provider.Priced. Instance types are sold whole, at prices
// of their own on each market, and with Windows for what its licence costs besides;
// volumes by GiB, and public IPv4 addresses by the hour.
// https://aws.amazon.com/ec2/pricing/on-demand/
func (s *Settings) PriceItems(text string) []price.Item {
	o, err := s.offerOf(text)
	if err != nil && typeRule.MatchString(text) {
		o, err = offer{instanceType: text, spot: s.Spot}, nil // the catalog asks for types without a place
	}
	if err != nil {
		return nil
	}
	machine := price.Item{Part: price.Machine, Name: o.instanceType, Region: s.Region, OS: string(startup.Linux), Market: price.OnDemand}
	if s.windows() {
		machine = price.WithWindows(machine)
	}
	if o.spot {
		machine.Market, machine.Of = price.Spot, nil
	}
	disk := price.Item{Part: price.Disk, Name: fleet.Or(s.RootVolumeType, "gp3"), Region: s.Region, Quantity: float64(s.RootVolumeSize)}
	if s.RootVolumeSize == 0 {
		disk.Quantity = price.Unsaid // that of the image
	}
	items := []price.Item{machine, disk}
	switch {
	case s.PublicIP == nil:
		items = append(items, price.Item{Part: price.Address, Region: s.Region, Quantity: price.Unsaid}) // as the subnet says
	case *s.PublicIP:
		items = append(items, price.Item{Part: price.Address, Region: s.Region})
	}
	return items
}
