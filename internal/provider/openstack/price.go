package openstack

import "github.com/headroom-dev/headroom/internal/price"

// PriceItems implements provider.Priced: what a flavor costs is for the operator
// of the cloud to say.
func (s *Settings) PriceItems(string) []price.Item {
	return []price.Item{{Part: price.Machine, Name: s.Flavor, Region: s.Region}}
}
