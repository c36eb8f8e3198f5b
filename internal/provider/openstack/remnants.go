package openstack

import (
	"context"
	"iter"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/headroom-dev/headroom/internal/provider"
)

// The kinds of remnants.
const (
	remnantDisk    = "disk"
	remnantAddress = "address"
	remnantPort    = "port"
)

// ListRemnants implements provider.Remnants. What bears our mark is listed
// first and the machines after it: an object is made before its machine, so that
// each object of the first listing has its machine in the second, if there is
// one.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		all, err := d.marked(ctx, owner)
		if err != nil {
			yield(provider.Remnant{}, err)
			return
		}
		if len(all) == 0 {
			return
		}
		alive := map[string]bool{}
		for i, err := range d.List(ctx, owner) {
			if err != nil {
				yield(provider.Remnant{}, err)
				return
			}
			alive[i.Tags.Server] = true
		}
		for _, r := range all {
			if !alive[r.Tags.Server] && !yield(r, nil) {
				return
			}
		}
	}
}

func (d *driver) marked(ctx context.Context, owner provider.Owner) ([]provider.Remnant, error) {
	all, err := d.markedVolumes(ctx, owner)
	if err != nil || d.settings.FloatingIPPool == "" {
		return all, err
	}
	sc, err := d.session.service(ctx, neutron)
	if err != nil {
		return nil, err
	}
	addresses, err := collect(ctx, sc, neutron, "floatingips", "floatingips", nil, floatingID)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if t := tagsOfMark(a.Description); t.Owner() == owner {
			all = append(all, provider.Remnant{Kind: remnantAddress, ID: a.ID, Name: a.Address, Tags: t, CreatedAt: timeOf(a.Created)})
		}
	}
	found, err := collect(ctx, sc, neutron, "ports", "ports", nil, portID)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if t := tagsOfMark(p.Description); t.Owner() == owner {
			all = append(all, provider.Remnant{Kind: remnantPort, ID: p.ID, Name: p.Name, Tags: t, CreatedAt: timeOf(p.Created)})
		}
	}
	return all, nil
}

// markedVolumes looks for volumes also where machines boot from disks of the
// host: an earlier revision of the settings may have made some.
func (d *driver) markedVolumes(ctx context.Context, owner provider.Owner) ([]provider.Remnant, error) {
	if d.noVolumes.Load() {
		return nil, nil
	}
	sc, err := d.session.service(ctx, cinder)
	var list []volume
	if err == nil {
		list, err = collect(ctx, sc, cinder, "volumes/detail", "volumes", nil, volumeID)
	}
	if class := provider.ClassOf(err); err != nil && !d.settings.BootFromVolume && (class == provider.Forbidden || class == provider.Invalid) {
		d.noVolumes.Store(true) // no right to see volumes, or no such service: none can be made either
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []provider.Remnant
	for _, v := range list {
		if t := tagsOf(v.Metadata); t.Owner() == owner && v.Status != "deleting" {
			all = append(all, provider.Remnant{Kind: remnantDisk, ID: v.ID, Name: v.Name, Tags: t, CreatedAt: v.createdAt()})
		}
	}
	return all, nil
}

func timeOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// DeleteRemnant implements provider.Remnants.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	if err := idFault(r.ID); err != nil {
		return err
	}
	kinds := map[string]struct {
		service service
		remove  func(*gophercloud.ServiceClient) error
	}{
		remnantDisk:    {cinder, func(c *gophercloud.ServiceClient) error { return volumes.Delete(ctx, c, r.ID, nil).ExtractErr() }},
		remnantAddress: {neutron, func(c *gophercloud.ServiceClient) error { return floatingips.Delete(ctx, c, r.ID).ExtractErr() }},
		remnantPort:    {neutron, func(c *gophercloud.ServiceClient) error { return ports.Delete(ctx, c, r.ID).ExtractErr() }},
	}
	k, ok := kinds[r.Kind]
	if !ok {
		return provider.Errorf(provider.Unsupported, "machines of OpenStack leave no %s behind", r.Kind)
	}
	sc, err := d.session.service(ctx, k.service)
	if err != nil {
		return err
	}
	refused := classify(k.remove(sc), k.service)
	if refused != nil && r.Kind == remnantDisk && provider.ClassOf(refused) != provider.NotFound {
		// Cinder refuses to delete a volume that it is deleting, and may be done
		// with it a moment later.
		v, err := volumes.Get(ctx, sc, r.ID).Extract()
		if now := classify(err, cinder); provider.ClassOf(now) == provider.NotFound {
			return now
		}
		if err == nil && v.Status == "deleting" {
			return nil
		}
	}
	return refused
}
