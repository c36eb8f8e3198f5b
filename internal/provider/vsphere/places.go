package vsphere

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// places are the objects that the settings name.
type places struct {
	datacenter types.ManagedObjectReference
	folder     types.ManagedObjectReference
	source     types.ManagedObjectReference
	cluster    *types.ManagedObjectReference
	pool       *types.ManagedObjectReference
	datastore  *types.ManagedObjectReference // nil: the source's
	pod        *types.ManagedObjectReference // a datastore cluster
	network    *types.ManagedObjectReference
	backing    types.BaseVirtualDeviceBackingInfo // of network
	fields     map[string]int32                   // custom attributes that mark machines, by name
}

// reference is a setting that names an object: its path, and which types may be
// found there.
type reference struct {
	setting string
	path    string
	types   []string
	what    string
	put     func(*places, types.ManagedObjectReference)
}

// references are the settings that name objects, in the order in which they are
// looked up.
func (s Settings) references() []reference {
	dc := "/" + inventory(s.Datacenter)
	sourcePath, sourceSetting := s.source()
	refs := []reference{
		{"datacenter", dc, []string{"Datacenter"}, "datacenter", func(p *places, r types.ManagedObjectReference) { p.datacenter = r }},
		{"folder", join(dc, "vm", s.Folder), []string{"Folder"}, "folder of virtual machines", func(p *places, r types.ManagedObjectReference) { p.folder = r }},
		{sourceSetting, join(dc, "vm", sourcePath), []string{"VirtualMachine"}, "virtual machine or template", func(p *places, r types.ManagedObjectReference) { p.source = r }},
	}
	if s.Cluster != "" {
		refs = append(refs, reference{
			"cluster", join(dc, "host", s.Cluster),
			[]string{"ClusterComputeResource", "ComputeResource"},
			"cluster or host",
			func(p *places, r types.ManagedObjectReference) { p.cluster = &r },
		}, reference{
			"resource_pool", join(dc, "host", s.Cluster, "Resources", s.ResourcePool),
			[]string{"ResourcePool", "VirtualApp"},
			"resource pool",
			func(p *places, r types.ManagedObjectReference) { p.pool = &r },
		})
	}
	switch {
	case s.DatastoreCluster:
		refs = append(refs, reference{
			"datastore", join(dc, "datastore", s.Datastore),
			[]string{"StoragePod"},
			"datastore cluster",
			func(p *places, r types.ManagedObjectReference) { p.pod = &r },
		})
	case s.Datastore != "":
		refs = append(refs, reference{
			"datastore", join(dc, "datastore", s.Datastore),
			[]string{"Datastore"},
			"datastore",
			func(p *places, r types.ManagedObjectReference) { p.datastore = &r },
		})
	}
	if s.Network != "" {
		refs = append(refs, reference{
			"network", join(dc, "network", s.Network),
			[]string{"Network", "DistributedVirtualPortgroup", "OpaqueNetwork"},
			"network or port group",
			func(p *places, r types.ManagedObjectReference) { p.network = &r },
		})
	}
	return refs
}

// inventory makes a name of the settings a path: vCenter keeps slashes inside
// of names as %2f, and so do we.
func inventory(name string) string { return strings.Trim(name, "/") }

func join(parts ...string) string {
	out := parts[:1]
	for _, p := range parts[1:] {
		if p = inventory(p); p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "/")
}

// lookUp finds one of the objects that the settings name.
func (s *session) lookUp(ctx context.Context, r reference) (types.ManagedObjectReference, error) {
	ref, err := s.find(ctx, r.path)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	shown := r.path
	if plain, err := url.PathUnescape(shown); err == nil {
		shown = plain
	}
	if ref == nil {
		return types.ManagedObjectReference{}, provider.Errorf(provider.Invalid,
			"%s: there is no %s at %s that the account can see: check the spelling, the folders that it lies in, and the account's permissions", r.setting, r.what, shown)
	}
	for _, t := range r.types {
		if ref.Type == t {
			return *ref, nil
		}
	}
	hint := ""
	if r.setting == "datastore" && (ref.Type == "StoragePod" || ref.Type == "Datastore") {
		if ref.Type == "StoragePod" {
			hint = ": set datastore_cluster to true"
		} else {
			hint = ": set datastore_cluster to false"
		}
	}
	return types.ManagedObjectReference{}, provider.Errorf(provider.Invalid, "%s: %s is a %s, not a %s%s", r.setting, shown, ref.Type, r.what, hint)
}

// known answers the objects that the settings name, looked up at most once in
// placesFor.
func (d *driver) known(ctx context.Context, s *session) (*places, error) {
	s.mu.Lock()
	p, at := s.places, s.placesAt
	s.mu.Unlock()
	if p != nil && d.now().Sub(at) < placesFor {
		return p, nil
	}
	p = &places{}
	for _, r := range d.settings.references() {
		ref, err := s.lookUp(ctx, r)
		if err != nil {
			return nil, err
		}
		r.put(p, ref)
	}
	if p.network != nil {
		var err error
		if p.backing, err = s.networkBacking(ctx, *p.network); err != nil {
			return nil, fmt.Errorf("looking at network %s: %w", d.settings.Network, err)
		}
	}
	if err := s.customFields(ctx, p); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places, s.placesAt = p, d.now()
	return p, nil
}

// forget makes the next call look the names up again: one of the objects is
// gone.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places = nil
}

func (s *session) networkBacking(ctx context.Context, ref types.ManagedObjectReference) (types.BaseVirtualDeviceBackingInfo, error) {
	n, ok := object.NewReference(s.client, ref).(object.NetworkReference)
	if !ok {
		return nil, provider.Errorf(provider.Unsupported, "networks of type %s cannot be given to machines", ref.Type)
	}
	return n.EthernetCardBackingInfo(ctx)
}

// customFields finds the custom attributes that an administrator has defined
// for us.
func (s *session) customFields(ctx context.Context, p *places) error {
	manager := s.client.ServiceContent.CustomFieldsManager
	if manager == nil {
		return nil
	}
	var m mo.CustomFieldsManager
	if err := s.one(ctx, *manager, &m, "field"); err != nil {
		if isFault(err, "NoPermission") {
			return nil // without them it works as well
		}
		return fmt.Errorf("reading the definitions of custom attributes: %w", err)
	}
	p.fields = map[string]int32{}
	for _, f := range m.Field {
		switch f.Name {
		case provider.TagInstallation, provider.TagServer, provider.TagAutoscale, provider.TagProvider:
			if f.ManagedObjectType == "" || f.ManagedObjectType == "VirtualMachine" {
				p.fields[f.Name] = f.Key
			}
		}
	}
	return nil
}
