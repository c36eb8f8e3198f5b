package kubevm

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Choices lists values for a setting.
func (d *Driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	switch setting {
	case "namespace":
		return d.Names(ctx, namespaces, "")
	case "network_name":
		return d.Names(ctx, networks, d.Access.Namespace)
	}
	if choose := d.Options.Choices[setting]; choose != nil {
		return choose(ctx, d)
	}
	return nil, provider.Errorf(provider.Unsupported, "there are no choices for %s", setting)
}

// StorageClasses are the choices of a storage class.
func StorageClasses(ctx context.Context, d *Driver) ([]provider.Choice, error) {
	return d.Choose(ctx, classes, "", func(u *unstructured.Unstructured) (provider.Choice, bool) {
		provisioner, _, _ := unstructured.NestedString(u.Object, "provisioner")
		binding, _, _ := unstructured.NestedString(u.Object, classBindMode)
		return provider.Choice{Value: u.GetName(), Description: fmt.Sprintf("%s, binds %s", provisioner, binding)}, true
	})
}

// Names are the names of the objects of a kind.
func (d *Driver) Names(ctx context.Context, kind schema.GroupVersionResource, namespace string) ([]provider.Choice, error) {
	return d.Choose(ctx, kind, namespace, func(u *unstructured.Unstructured) (provider.Choice, bool) {
		return provider.Choice{Value: u.GetName()}, true
	})
}

// Choose makes choices of the objects of a kind.
func (d *Driver) Choose(ctx context.Context, kind schema.GroupVersionResource, namespace string, choice func(*unstructured.Unstructured) (provider.Choice, bool)) ([]provider.Choice, error) {
	var from dynamic.ResourceInterface = d.Objects.Resource(kind)
	if namespace != "" {
		from = d.Objects.Resource(kind).Namespace(namespace)
	}
	var out []provider.Choice
	for u, err := range pages(ctx, from, "", "listing "+kind.Resource) {
		if err != nil {
			return nil, err
		}
		if c, ok := choice(u); ok {
			out = append(out, c)
		}
	}
	return out, nil
}

// Failure classifies an error of the API server for a kind of provider.
func Failure(doing string, err error) error { return failure(doing, err) }
