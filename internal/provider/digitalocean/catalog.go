package digitalocean

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Choices implements provider.Catalog.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	var out []provider.Choice
	var err error
	switch setting {
	case "region":
		for r, e := range all(ctx, d.api.Regions.List) {
			if err = e; e == nil && r.Available {
				out = append(out, provider.Choice{Value: r.Slug, Label: r.Name})
			}
		}
	case "size":
		for s, e := range all(ctx, d.api.Sizes.List) {
			if err = e; e == nil && s.Available && slices.Contains(s.Regions, d.settings.Region) {
				now := price.Fixed(s.Slug, s.PriceHourly, "USD", price.FromCloud)
				out = append(out, provider.Choice{
					Value: s.Slug, Label: fmt.Sprintf("%d cores, %d MiB, %d GiB disk", s.Vcpus, s.Memory, s.Disk), Price: &now,
				})
			}
		}
	case "image":
		for i, e := range all(ctx, d.api.Images.List) {
			if err = e; e != nil || !slices.Contains(i.Regions, d.settings.Region) {
				continue
			}
			value := i.Slug
			if value == "" {
				value = strconv.Itoa(i.ID)
			}
			out = append(out, provider.Choice{Value: value, Label: i.Distribution + " " + i.Name})
		}
	case "ssh_key_names":
		for k, e := range all(ctx, d.api.Keys.List) {
			if err = e; e == nil {
				out = append(out, provider.Choice{Value: k.Name, Label: k.Fingerprint})
			}
		}
	case "firewall_name":
		for f, e := range all(ctx, d.api.Firewalls.List) {
			if err = e; e == nil {
				out = append(out, provider.Choice{Value: f.Name, Label: f.ID})
			}
		}
	case "vpc_uuid":
		for v, e := range all(ctx, d.api.VPCs.List) {
			if err = e; e == nil && v.RegionSlug == d.settings.Region {
				out = append(out, provider.Choice{Value: v.ID, Label: v.Name, Description: v.IPRange})
			}
		}
	default:
		return nil, provider.Errorf(provider.Unsupported, "DigitalOcean has no choices for %q", setting)
	}
	if err != nil {
		return nil, classify(err, d.now())
	}
	return out, nil
}
