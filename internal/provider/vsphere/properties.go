package vsphere

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// page is how many objects one answer of the property collector holds.
const page = 200

// retrieve reads properties with one call, and one more for each further page.
// yield is called with each object until it answers false.
func (s *session) retrieve(ctx context.Context, spec types.PropertyFilterSpec, size int32, yield func(types.ObjectContent) (bool, error)) error {
	pc := s.client.ServiceContent.PropertyCollector
	first, err := methods.RetrievePropertiesEx(ctx, s.client, &types.RetrievePropertiesEx{
		This: pc, SpecSet: []types.PropertyFilterSpec{spec}, Options: types.RetrieveOptions{MaxObjects: size},
	})
	if err != nil {
		return err
	}
	if first.Returnval == nil {
		return nil
	}
	objects, token := first.Returnval.Objects, first.Returnval.Token
	for {
		for i := range objects {
			more, err := yield(objects[i])
			if err == nil && more {
				continue
			}
			if token != "" {
				// The pages that are not wanted any more would be kept for the session.
				_, _ = methods.CancelRetrievePropertiesEx(ctx, s.client, &types.CancelRetrievePropertiesEx{This: pc, Token: token})
			}
			return err
		}
		if token == "" {
			return nil
		}
		next, err := methods.ContinueRetrievePropertiesEx(ctx, s.client, &types.ContinueRetrievePropertiesEx{This: pc, Token: token})
		if err != nil {
			return err
		}
		objects, token = next.Returnval.Objects, next.Returnval.Token
	}
}

// read collects all objects of a retrieval. A session that has ended is told by
// the properties that are missing.
func (s *session) read(ctx context.Context, spec types.PropertyFilterSpec) ([]types.ObjectContent, error) {
	var all []types.ObjectContent
	err := s.retrieve(ctx, spec, 0, func(o types.ObjectContent) (bool, error) {
		all = append(all, o)
		return true, readable(o, nil)
	})
	return all, err
}

// readable finds properties that were asked for and may not be read; only those
// of the list count when one is given.
func readable(o types.ObjectContent, only map[string]bool) error {
	for _, m := range o.MissingSet {
		switch f := m.Fault.Fault.(type) {
		case *types.NotAuthenticated:
			return vimFault{f}
		case *types.NoPermission:
			if only == nil || only[m.Path] {
				return fmt.Errorf("reading %s of %s: %w", m.Path, o.Obj.Value, vimFault{f})
			}
		}
	}
	return nil
}

// vimFault is a fault as an error.
type vimFault struct{ fault types.BaseMethodFault }

func (f vimFault) Error() string { return faultName(f.fault) }

// Fault is the fault itself.
func (f vimFault) Fault() types.BaseMethodFault { return f.fault }

// one reads properties of one object into dst.
func (s *session) one(ctx context.Context, ref types.ManagedObjectReference, dst any, paths ...string) error {
	all, err := s.read(ctx, types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: ref}},
		PropSet:   []types.PropertySpec{{Type: ref.Type, PathSet: paths}},
	})
	if err != nil {
		return err
	}
	if len(all) != 1 {
		return vimFault{&types.ManagedObjectNotFound{Obj: ref}}
	}
	return load(all[0], dst)
}

func load(o types.ObjectContent, dst any) error {
	o.MissingSet = nil // looked at by readable
	if err := mo.LoadObjectContent([]types.ObjectContent{o}, dst); err != nil {
		return provider.Errorf(provider.Unknown, "the answer of vCenter about %s cannot be read: %w", o.Obj.Value, err)
	}
	return nil
}

// viewOf makes a view of everything of the types below an object.
func (s *session) viewOf(ctx context.Context, root types.ManagedObjectReference, kinds ...string) (types.ManagedObjectReference, error) {
	resp, err := methods.CreateContainerView(ctx, s.client, &types.CreateContainerView{
		This: *s.client.ServiceContent.ViewManager, Container: root, Type: kinds, Recursive: true,
	})
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	return resp.Returnval, nil
}

// inView selects the objects of a view with properties for each kind.
func inView(view types.ManagedObjectReference, sets ...types.PropertySpec) types.PropertyFilterSpec {
	return types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{
			Obj: view, Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: view.Type, Path: "view"}},
		}},
		PropSet: sets,
	}
}
