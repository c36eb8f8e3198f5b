package vsphere

import (
	"context"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Choices lists the objects of vCenter that a setting can name.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	var out []provider.Choice
	err := d.link.with(ctx, func(s *session) (err error) {
		out, err = d.choices(ctx, s, setting)
		return err
	})
	return out, failure("listing choices for "+setting, err)
}

func (d *driver) choices(ctx context.Context, s *session, setting string) ([]provider.Choice, error) {
	root, below := s.client.ServiceContent.RootFolder, ""
	if setting != "datacenter" {
		dc, err := s.lookUp(ctx, d.settings.references()[0])
		if err != nil {
			return nil, err
		}
		root = dc
	}
	var kinds []string
	keep := func(mo.VirtualMachine) bool { return true }
	switch setting {
	case "datacenter":
		kinds = []string{"Datacenter"}
	case "cluster":
		kinds, below = []string{"ClusterComputeResource", "ComputeResource"}, "host/"
	case "resource_pool":
		kinds, below = []string{"ResourcePool"}, "host/"+inventory(d.settings.Cluster)+"/Resources/"
	case "datastore":
		kinds, below = []string{"Datastore"}, "datastore/"
		if d.settings.DatastoreCluster {
			kinds = []string{"StoragePod"}
		}
	case "folder":
		kinds, below = []string{"Folder"}, "vm/"
	case "template":
		kinds, below = []string{"VirtualMachine"}, "vm/"
		keep = func(vm mo.VirtualMachine) bool { return vm.Summary.Config.Template }
	case "source_vm":
		kinds, below = []string{"VirtualMachine"}, "vm/"
		keep = func(vm mo.VirtualMachine) bool { return !vm.Summary.Config.Template }
	case "network":
		kinds, below = []string{"Network", "DistributedVirtualPortgroup", "OpaqueNetwork"}, "network/"
	default:
		return nil, provider.Errorf(provider.Unsupported, "there is no list of values for the setting %q", setting)
	}
	return s.paths(ctx, root, below, kinds, keep)
}

// parents are the kinds of objects on the way from the datacenter to a choice.
var parents = []string{"Folder", "ComputeResource", "ResourcePool"}

// paths lists the objects of some kinds with their paths below the root. Those
// whose path does not begin with below are left out.
func (s *session) paths(ctx context.Context, root types.ManagedObjectReference, below string, kinds []string, keep func(mo.VirtualMachine) bool) ([]provider.Choice, error) {
	view, err := s.viewOf(ctx, root, append(slices.Clone(kinds), parents...)...)
	if err != nil {
		return nil, err
	}
	type entry struct {
		name   string
		parent *types.ManagedObjectReference
		choice bool
	}
	entries := map[types.ManagedObjectReference]entry{}
	err = s.retrieve(ctx, inView(view,
		types.PropertySpec{Type: "ManagedEntity", PathSet: []string{"name", "parent"}},
		types.PropertySpec{Type: "VirtualMachine", PathSet: []string{"summary.config.template"}},
	), page, func(o types.ObjectContent) (bool, error) {
		var e mo.ManagedEntity
		wanted := slices.Contains(kinds, o.Obj.Type)
		if o.Obj.Type == "VirtualMachine" {
			var vm mo.VirtualMachine
			if err := load(o, &vm); err != nil {
				return false, err
			}
			e, wanted = vm.ManagedEntity, wanted && keep(vm)
		} else {
			for _, p := range o.PropSet {
				switch v := p.Val.(type) {
				case string:
					e.Name = v
				case types.ManagedObjectReference:
					e.Parent = &v
				}
			}
		}
		entries[o.Obj] = entry{e.Name, e.Parent, wanted}
		return true, readable(o, map[string]bool{})
	})
	_, _ = methods.DestroyView(ctx, s.client, &types.DestroyView{This: view}) // it ends with the session otherwise
	if err != nil {
		return nil, err
	}
	var out []provider.Choice
	for ref, e := range entries {
		if !e.choice {
			continue
		}
		path, at := e.name, e.parent
		for at != nil && *at != root {
			up, ok := entries[*at]
			if !ok {
				break
			}
			path, at = up.name+"/"+path, up.parent
		}
		path, ok := strings.CutPrefix(path, below)
		if ok && path != "" {
			out = append(out, provider.Choice{Value: path, Description: ref.Type + " " + ref.Value})
		}
	}
	slices.SortFunc(out, func(a, b provider.Choice) int { return strings.Compare(a.Value, b.Value) })
	return out, nil
}
