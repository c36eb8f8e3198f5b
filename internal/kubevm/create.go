package kubevm

import (
	"context"
	"encoding/json"
	"fmt"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// fieldManager is under whose name the API server records our writes.
const fieldManager = "headroom"

// Create makes the Secrets, the VirtualMachine, and the ownerReferences, in this
// order; see the package comment.
func (d *Driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	vm, err := d.wish(ctx, req)
	if err != nil {
		return provider.Instance{}, err
	}
	var fresh []types.UID // Secrets that this call has made
	wanted := d.secrets(req)
	for _, s := range wanted {
		uid, err := d.makeSecret(ctx, s)
		if isClass(err, provider.Conflict) { // an earlier call has been here
			there, err := d.existing(ctx, req)
			if err == nil {
				return d.adopt(ctx, there, wanted)
			}
			if !isClass(err, provider.NotFound) {
				return provider.Instance{}, err
			}
			err = d.takeSecret(ctx, s, req)
			if err != nil {
				return provider.Instance{}, err
			}
			continue
		}
		if err != nil {
			return provider.Instance{}, d.refused(ctx, req, fresh, wanted, err)
		}
		fresh = append(fresh, uid)
	}
	u, err := d.in(machines).Create(ctx, vm, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, FieldManager: fieldManager})
	if err != nil {
		err = failure("creating machine "+req.Name, err)
		if isClass(err, provider.Conflict) || provider.ClassOf(err).MadeNothing() {
			if there, lookErr := d.existing(ctx, req); lookErr == nil {
				return d.adopt(ctx, there, wanted)
			}
		}
		return provider.Instance{}, d.refused(ctx, req, fresh, wanted, err)
	}
	return d.adopt(ctx, u, wanted)
}

// wish is the manifest of a request that can be fulfilled.
func (d *Driver) wish(ctx context.Context, req provider.Request) (*unstructured.Unstructured, error) {
	if fault := labelFault(req.Name); fault != "" {
		return nil, provider.Errorf(provider.Invalid, "%q cannot be the name of a machine in Kubernetes: %s", req.Name, fault)
	}
	if err := checkTags(req.Tags); err != nil {
		return nil, err
	}
	if n := len(req.Bootstrap.UserData); n > maxUserData {
		return nil, provider.Errorf(provider.Invalid, "the startup script takes %d bytes, a Secret holds %d at most", n, maxUserData)
	}
	var root Root
	if d.Machine.ConfigOverride == nil {
		var err error
		if root, err = d.Root(ctx, d, req.Name); err != nil {
			return nil, err
		}
	}
	return d.manifest(req, root)
}

// makeSecret answers Conflict when there is one of the name.
func (d *Driver) makeSecret(ctx context.Context, s *core.Secret) (types.UID, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
	if err != nil {
		return "", provider.Errorf(provider.Unknown, "building secret %s: %w", s.Name, err)
	}
	u, err := d.in(secrets).Create(ctx, &unstructured.Unstructured{Object: fields}, metav1.CreateOptions{FieldManager: fieldManager})
	if err = failure("creating secret "+s.Name, err); err != nil {
		if isClass(err, provider.NotFound) {
			return "", provider.Errorf(provider.Invalid, "namespace %s does not exist: create it (kubectl create namespace %s), or set another", d.Access.Namespace, d.Access.Namespace)
		}
		return "", err
	}
	return u.GetUID(), nil
}

// takeSecret uses a Secret that an interrupted call has left, with the content
// of this one.
func (d *Driver) takeSecret(ctx context.Context, s *core.Secret, req provider.Request) error {
	left, err := d.parts(ctx, ofMachine(req.Name), secrets)
	if err != nil {
		return err
	}
	ours := false
	for _, p := range left {
		ours = ours || p.Name == s.Name && p.Tags == req.Tags
	}
	if !ours {
		return provider.Errorf(provider.Conflict, "secret %s exists in namespace %s and is not that of server %s: remove it if nobody needs it", s.Name, d.Access.Namespace, req.Tags.Server)
	}
	return d.patchSecret(ctx, s.Name, map[string]any{"data": s.Data})
}

func (d *Driver) patchSecret(ctx context.Context, name string, patch map[string]any) error {
	text, err := json.Marshal(patch)
	if err != nil {
		return provider.Errorf(provider.Unknown, "building a change of secret %s: %w", name, err)
	}
	_, err = d.in(secrets).Patch(ctx, name, types.MergePatchType, text, metav1.PatchOptions{FieldManager: fieldManager})
	return failure("changing secret "+name, err)
}

// existing is the VirtualMachine that an earlier call of the same wish has
// made; NotFound when there is none.
func (d *Driver) existing(ctx context.Context, req provider.Request) (*unstructured.Unstructured, error) {
	u, err := d.in(machines).Get(ctx, req.Name, metav1.GetOptions{})
	if err = failure("looking for machine "+req.Name, err); err != nil {
		return nil, err
	}
	switch have := tagsOf(u.GetLabels()); {
	case have.Owner() != req.Tags.Owner() || have.Server != req.Tags.Server:
		return nil, provider.Errorf(provider.Conflict, "a machine named %s exists in namespace %s and is not that of server %s: remove it if nobody needs it", req.Name, d.Access.Namespace, req.Tags.Server)
	case u.GetDeletionTimestamp() != nil:
		return nil, provider.Errorf(provider.Conflict, "machine %s is still being deleted", req.Name)
	}
	return u, nil
}

// adopt makes a VirtualMachine the owner of its Secrets. An error here must not
// say that nothing was made.
func (d *Driver) adopt(ctx context.Context, u *unstructured.Unstructured, wanted []*core.Secret) (provider.Instance, error) {
	owner := []metav1.OwnerReference{{APIVersion: apiVersion, Kind: vmKind, Name: u.GetName(), UID: u.GetUID()}}
	for _, s := range wanted {
		if err := d.patchSecret(ctx, s.Name, map[string]any{"metadata": map[string]any{"ownerReferences": owner}}); err != nil {
			return provider.Instance{}, made(err)
		}
	}
	vm, err := decode(u, &virt.VirtualMachine{})
	if err != nil {
		return provider.Instance{}, err
	}
	return view{vm: vm}.instance(d.Now(), d.patience()), nil
}

// refused takes the Secrets of this call away again when the cluster has made
// it clear that there will be no machine. Whatever stays behind is a remnant.
func (d *Driver) refused(ctx context.Context, req provider.Request, fresh []types.UID, wanted []*core.Secret, cause error) error {
	if isClass(cause, provider.NotFound) {
		cause = &provider.Error{Class: provider.Invalid, Message: cause.Error(), Cause: cause}
	}
	if !provider.ClassOf(cause).MadeNothing() || len(fresh) == 0 {
		return cause
	}
	if _, err := d.existing(ctx, req); !isClass(err, provider.NotFound) {
		return cause
	}
	for i, uid := range fresh {
		// The outcome does not matter: the error of the machine is what counts.
		_ = d.in(secrets).Delete(ctx, wanted[i].Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	}
	return cause
}

// Render shows what Create would send.
func (d *Driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	vm, err := d.wish(ctx, req)
	if err != nil {
		return nil, err
	}
	base := "/api/v1/namespaces/" + d.Access.Namespace + "/secrets"
	var before, after []provider.RenderedCall
	for _, s := range d.secrets(req) {
		data := map[string]string{}
		for key, value := range s.Data {
			data[key] = fmt.Sprintf("(%d bytes)", len(value))
		}
		before = append(before, provider.RenderedCall{Call: "POST " + base, Body: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
			"metadata": map[string]any{"name": s.Name, "namespace": s.Namespace, "labels": s.Labels},
		}})
		after = append(after, provider.RenderedCall{Call: "PATCH " + base + "/" + s.Name, Body: map[string]any{
			"metadata": map[string]any{"ownerReferences": []any{map[string]any{
				"apiVersion": apiVersion, "kind": vmKind, "name": req.Name, "uid": "(of the VirtualMachine)",
			}}},
		}})
	}
	calls := append(before, provider.RenderedCall{
		Call: "POST /apis/kubevirt.io/v1/namespaces/" + d.Access.Namespace + "/virtualmachines?fieldValidation=Strict", Body: vm.Object,
	})
	return append(calls, after...), nil
}
