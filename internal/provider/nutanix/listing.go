package nutanix

import (
	"context"

	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/provider"
)

// pages asks for one page after the other until all that Prism counts have
// come, or, where it does not count, until a page is empty: Prism may give fewer
// objects than it is asked for. A listing that ends before is an error.
func (d *driver) pages(ctx context.Context, doing string, page func(offset, length int64) (got int, total *int64, err error)) error {
	for offset := int64(0); ; {
		got, total, err := page(offset, pageLength)
		if err != nil {
			return d.failure(ctx, doing, err)
		}
		offset += int64(got)
		switch {
		case total == nil && got == 0, total != nil && offset >= *total:
			return nil
		case got == 0:
			return provider.Errorf(provider.Unknown, "%s: Prism counts %d and shows %d: the listing is incomplete", doing, *total, offset)
		}
	}
}

func (d *driver) page(kind, filter string, offset, length int64) *v3.DSMetadata {
	q := &v3.DSMetadata{Kind: &kind, Offset: &offset, Length: &length}
	if filter != "" {
		q.Filter = &filter
	}
	return q
}

func total(m *v3.ListMetadataOutput) *int64 {
	if m == nil {
		return nil
	}
	return m.TotalMatches
}

// vms shows virtual machines until f has seen enough.
func (d *driver) vms(ctx context.Context, filter string, f func(*v3.VMIntentResource) bool) error {
	enough := false
	err := d.pages(ctx, "listing virtual machines", func(offset, length int64) (int, *int64, error) {
		resp, err := sdk.ListVM(ctx, d.page("vm", filter, offset, length))
		if err != nil {
			return 0, nil, err
		}
		for _, vm := range resp.Entities {
			if enough = !f(vm); enough {
				return 0, ptr(int64(0)), nil
			}
		}
		return len(resp.Entities), total(resp.Metadata), nil
	})
	if enough {
		return nil
	}
	return err
}

func (d *driver) clusters(ctx context.Context, f func(*v3.ClusterIntentResponse)) error {
	return d.pages(ctx, "listing clusters", func(offset, length int64) (int, *int64, error) {
		resp, err := sdk.ListCluster(ctx, d.page("cluster", "", offset, length))
		if err != nil {
			return 0, nil, err
		}
		for _, c := range resp.Entities {
			if c != nil && c.Metadata != nil {
				f(c)
			}
		}
		return len(resp.Entities), total(resp.Metadata), nil
	})
}

func (d *driver) subnets(ctx context.Context, filter string, f func(*v3.SubnetIntentResponse)) error {
	return d.pages(ctx, "listing subnets", func(offset, length int64) (int, *int64, error) {
		resp, err := sdk.ListSubnet(ctx, d.page("subnet", filter, offset, length))
		if err != nil {
			return 0, nil, err
		}
		for _, s := range resp.Entities {
			if s != nil && s.Metadata != nil {
				f(s)
			}
		}
		return len(resp.Entities), total(resp.Metadata), nil
	})
}

func (d *driver) projects(ctx context.Context, filter string, f func(*v3.Project)) error {
	return d.pages(ctx, "listing projects", func(offset, length int64) (int, *int64, error) {
		resp, err := sdk.ListProject(ctx, d.page("project", filter, offset, length))
		if err != nil {
			return 0, nil, err
		}
		for _, p := range resp.Entities {
			if p != nil && p.Metadata != nil {
				f(p)
			}
		}
		return len(resp.Entities), total(resp.Metadata), nil
	})
}

// Choices lists what a setting can name, by UUID, since names need not be
// unique.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	ctx = d.connection.connect(ctx)
	var all []provider.Choice
	add := func(id *string, name, about string) {
		all = append(all, provider.Choice{Value: deref(id), Label: name, Description: about})
	}
	var err error
	switch setting {
	case "vm_candidate":
		err = d.vms(ctx, "", func(vm *v3.VMIntentResource) bool {
			if vm.Metadata != nil && vm.Metadata.Categories[markKey] == "" && vm.Status != nil {
				power := ""
				if vm.Status.Resources != nil {
					power = "power " + deref(vm.Status.Resources.PowerState)
				}
				add(vm.Metadata.UUID, deref(vm.Status.Name), power)
			}
			return true
		})
	case "cluster":
		err = d.clusters(ctx, func(c *v3.ClusterIntentResponse) {
			if !c.IsPrismCentral() {
				add(c.Metadata.UUID, clusterName(c), "")
			}
		})
	case "subnet":
		err = d.subnets(ctx, "", func(s *v3.SubnetIntentResponse) { add(s.Metadata.UUID, subnetName(s), "cluster "+subnetCluster(s)) })
	case "project":
		err = d.projects(ctx, "", func(p *v3.Project) { add(p.Metadata.UUID, projectName(p), "") })
	default:
		return nil, provider.Errorf(provider.Unsupported, "there are no choices for setting %q", setting)
	}
	return all, err
}
