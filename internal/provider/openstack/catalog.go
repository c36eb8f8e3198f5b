package openstack

import (
	"context"
	"fmt"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Choices implements provider.Catalog. What the access rules do not allow is
// answered with the rule that is missing.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	switch setting {
	case "flavor":
		return d.choices(ctx, flavorsOf(setting), func(n named) (provider.Choice, bool) {
			return provider.Choice{Value: n.Name, Description: describeFlavor(n)}, true
		})
	case "image":
		return d.choices(ctx, imagesOf(setting), func(n named) (provider.Choice, bool) {
			return provider.Choice{Value: n.ID, Label: n.Name, Description: fmt.Sprintf("needs %d GiB of disk", n.MinDisk)}, n.Status == "active"
		})
	case "network":
		return d.choices(ctx, networksOf(setting), func(n named) (provider.Choice, bool) {
			return provider.Choice{Value: n.ID, Label: n.Name}, !n.External
		})
	case "floating_ip_pool":
		return d.choices(ctx, networksOf(setting), func(n named) (provider.Choice, bool) {
			return provider.Choice{Value: n.Name, Label: n.Name, Description: n.ID}, n.External
		})
	case "security_groups":
		return d.choices(ctx, groupsOf(setting), byName)
	case "volume_type":
		return d.choices(ctx, collection{service: cinder, path: "types", key: "volume_types"}, byName)
	case "key_name":
		return d.keyPairs(ctx)
	case "availability_zone":
		return d.zones(ctx)
	}
	return nil, provider.Errorf(provider.Unsupported, "OpenStack has no choices for %q", setting)
}

func byName(n named) (provider.Choice, bool) { return provider.Choice{Value: n.Name}, true }

func (d *driver) choices(ctx context.Context, c collection, show func(named) (provider.Choice, bool)) ([]provider.Choice, error) {
	sc, err := d.session.service(ctx, c.service)
	if err != nil {
		return nil, err
	}
	var out []provider.Choice
	for n, err := range pages(ctx, sc, c.service, c.path, c.key, nil, namedID) {
		if err != nil {
			return nil, err
		}
		if choice, ok := show(n); ok {
			out = append(out, choice)
		}
	}
	return out, nil
}

type keyPair struct {
	KeyPair struct {
		Name        string `json:"name"`
		Fingerprint string `json:"fingerprint"`
	} `json:"keypair"`
}

func (d *driver) keyPairs(ctx context.Context) ([]provider.Choice, error) {
	sc, err := d.session.service(ctx, nova)
	if err != nil {
		return nil, err
	}
	var out []provider.Choice
	for k, err := range pages(ctx, sc, nova, "os-keypairs", "keypairs", nil, func(k keyPair) string { return k.KeyPair.Name }) {
		if err != nil {
			return nil, err
		}
		out = append(out, provider.Choice{Value: k.KeyPair.Name, Description: k.KeyPair.Fingerprint})
	}
	return out, nil
}

type zone struct {
	Name  string `json:"zoneName"`
	State struct {
		Available bool `json:"available"`
	} `json:"zoneState"`
}

func (d *driver) zones(ctx context.Context) ([]provider.Choice, error) {
	sc, err := d.session.service(ctx, nova)
	if err != nil {
		return nil, err
	}
	var out []provider.Choice
	for z, err := range pages(ctx, sc, nova, "os-availability-zone", "availabilityZoneInfo", nil, func(z zone) string { return z.Name }) {
		if err != nil {
			return nil, err
		}
		if z.State.Available {
			out = append(out, provider.Choice{Value: z.Name})
		}
	}
	return out, nil
}
