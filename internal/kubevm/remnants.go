package kubevm

import (
	"context"
	"iter"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// kinds of parts, by the names that people read.
var kinds = map[string]schema.GroupVersionResource{
	"guest": instances, "secret": secrets, "data volume": dataVolumes, "volume claim": claims,
}

// order in which parts are looked for and removed: a guest holds its claims, and
// a claim goes with its data volume.
var order = []schema.GroupVersionResource{instances, secrets, dataVolumes, claims}

func kindName(of schema.GroupVersionResource) string {
	for name, kind := range kinds {
		if kind == of {
			return name
		}
	}
	return of.Resource
}

// parts finds the objects besides the VirtualMachine that a selector matches,
// of the kinds given or of all. Only their metadata are read, so that no secret
// travels.
func (d *Driver) parts(ctx context.Context, selector string, of ...schema.GroupVersionResource) ([]provider.Remnant, error) {
	if len(of) == 0 {
		of = order
	}
	var out []provider.Remnant
	for _, kind := range of {
		found, err := d.metas(ctx, kind, selector)
		if isClass(err, provider.Unsupported) {
			continue // a cluster without CDI
		}
		if err != nil {
			return nil, err
		}
		for i := range found {
			m := &found[i]
			out = append(out, provider.Remnant{
				Kind: kindName(kind), ID: m.Name + "/" + string(m.UID), Name: m.Name,
				Tags: tagsOf(m.Labels), CreatedAt: m.CreationTimestamp.Time,
			})
		}
	}
	return out, nil
}

func (d *Driver) metas(ctx context.Context, kind schema.GroupVersionResource, selector string) ([]metav1.PartialObjectMetadata, error) {
	var out []metav1.PartialObjectMetadata
	for next := ""; ; {
		list, err := d.metadata.Resource(kind).Namespace(d.Access.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: page, Continue: next})
		if err != nil {
			return nil, failure("listing "+kind.Resource, err)
		}
		out = append(out, list.Items...)
		if next = list.Continue; next == "" {
			return out, nil
		}
	}
}

// ListRemnants yields the parts of machines whose VirtualMachine is not there.
// The machines are read last: a part is made before its machine, never after it
// is gone.
func (d *Driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		type part struct {
			provider.Remnant
			machine string
		}
		var found []part
		for _, kind := range order {
			metas, err := d.metas(ctx, kind, ownedBy(owner))
			if isClass(err, provider.Unsupported) {
				continue
			}
			if err != nil {
				yield(provider.Remnant{}, err)
				return
			}
			for i := range metas {
				m := &metas[i]
				found = append(found, part{provider.Remnant{
					Kind: kindName(kind), ID: m.Name + "/" + string(m.UID), Name: m.Name,
					Tags: tagsOf(m.Labels), CreatedAt: m.CreationTimestamp.Time,
				}, m.Labels[LabelMachine]})
			}
		}
		if len(found) == 0 {
			return
		}
		vms, err := d.metas(ctx, machines, ownedBy(owner))
		if err != nil {
			yield(provider.Remnant{}, err)
			return
		}
		there := make(map[string]bool, len(vms))
		for i := range vms {
			there[vms[i].Name] = true
		}
		for _, p := range found {
			if !there[p.machine] && !yield(p.Remnant, nil) {
				return
			}
		}
	}
}

// DeleteRemnant removes the very object that was listed: one that has been made
// anew under its name is left alone.
func (d *Driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	kind, known := kinds[r.Kind]
	name, uid, ok := strings.Cut(r.ID, "/")
	if !known || !ok || nameFault(name) != "" {
		return provider.Errorf(provider.NotFound, "there is no %s %q", r.Kind, r.ID)
	}
	background, id := metav1.DeletePropagationBackground, types.UID(uid)
	err := failure("deleting "+r.Kind+" "+name, d.in(kind).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &id},
	}))
	if isClass(err, provider.Conflict) { // another object bears the name now
		return provider.Errorf(provider.NotFound, "%s %s is gone", r.Kind, name)
	}
	return err
}
