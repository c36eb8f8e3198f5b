package azure

import (
	"context"
	"iter"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/provider"
)

// The kinds of objects that can be left.
const (
	kindInterface = "interface"
	kindAddress   = "address"
	kindDisk      = "disk"
)

// ListRemnants implements provider.Remnants: interfaces and disks that no machine
// has, and public addresses that no interface has. It costs one call for each page
// of each. Azure does not tell how old interfaces and addresses are.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		for _, list := range []func(context.Context, func(provider.Remnant) bool) (bool, error){d.leftInterfaces, d.leftAddresses, d.leftDisks} {
			ended, err := list(ctx, func(r provider.Remnant) bool { return r.Tags.Owner() != owner || yield(r, nil) })
			if err != nil {
				yield(provider.Remnant{}, d.inGroup(err))
				return
			}
			if ended {
				return
			}
		}
	}
}

func (d *driver) leftInterfaces(ctx context.Context, show func(provider.Remnant) bool) (ended bool, err error) {
	pages := d.interfaces.NewListPager(d.settings.ResourceGroup, nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		for _, n := range page.Value {
			p := n.Properties
			if p == nil || p.VirtualMachine != nil || p.PrivateEndpoint != nil || string(val(p.ProvisioningState)) == "Deleting" {
				continue
			}
			if !show(provider.Remnant{Kind: kindInterface, ID: val(n.Name), Name: val(n.Name), Tags: tagsOf(n.Tags)}) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (d *driver) leftAddresses(ctx context.Context, show func(provider.Remnant) bool) (ended bool, err error) {
	pages := d.addresses.NewListPager(d.settings.ResourceGroup, nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		for _, a := range page.Value {
			p := a.Properties
			if p == nil || p.IPConfiguration != nil || p.NatGateway != nil || string(val(p.ProvisioningState)) == "Deleting" {
				continue
			}
			if !show(provider.Remnant{Kind: kindAddress, ID: val(a.Name), Name: val(a.Name), Tags: tagsOf(a.Tags)}) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (d *driver) leftDisks(ctx context.Context, show func(provider.Remnant) bool) (ended bool, err error) {
	pages := d.disks.NewListByResourceGroupPager(d.settings.ResourceGroup, nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		for _, k := range page.Value {
			p := k.Properties
			if p == nil || val(k.ManagedBy) != "" || len(k.ManagedByExtended) > 0 || val(p.DiskState) != armcompute.DiskStateUnattached || val(p.ProvisioningState) == "Deleting" {
				continue
			}
			if !show(provider.Remnant{Kind: kindDisk, ID: val(k.Name), Name: val(k.Name), Tags: tagsOf(k.Tags), CreatedAt: val(p.TimeCreated)}) {
				return true, nil
			}
		}
	}
	return false, nil
}

// DeleteRemnant implements provider.Remnants. It costs one call.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	if !nameRule.MatchString(r.ID) {
		return provider.Errorf(provider.Invalid, "%q is no name of a %s", r.ID, r.Kind)
	}
	var resp *http.Response
	ctx = policy.WithCaptureResponse(ctx, &resp)
	var err error
	switch group := d.settings.ResourceGroup; r.Kind {
	case kindInterface:
		_, err = d.interfaces.BeginDelete(ctx, group, r.ID, nil)
	case kindAddress:
		_, err = d.addresses.BeginDelete(ctx, group, r.ID, nil)
	case kindDisk:
		_, err = d.disks.BeginDelete(ctx, group, r.ID, nil)
	default:
		return provider.Errorf(provider.Invalid, "%s %q is nothing that is left here", r.Kind, r.ID)
	}
	switch {
	case resp != nil && resp.StatusCode == http.StatusNoContent:
		return provider.Errorf(provider.NotFound, "there is no %s %s", r.Kind, r.ID)
	case err == nil:
		return nil
	}
	return onMachine(err, d.now())
}
