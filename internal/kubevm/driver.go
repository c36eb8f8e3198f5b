package kubevm

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// gvr names a kind of object as paths of the API do.
type gvr = schema.GroupVersionResource

// The kinds of objects that this package reads and writes.
var (
	machines    = gvr{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachines"}
	instances   = gvr{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"}
	secrets     = gvr{Version: "v1", Resource: "secrets"}
	claims      = gvr{Version: "v1", Resource: "persistentvolumeclaims"}
	dataVolumes = gvr{Group: "cdi.kubevirt.io", Version: "v1beta1", Resource: "datavolumes"}
	networks    = gvr{Group: "k8s.cni.cncf.io", Version: "v1", Resource: "network-attachment-definitions"}
	namespaces  = gvr{Version: "v1", Resource: "namespaces"}
	classes     = gvr{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}
	reviews     = gvr{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}
)

// page is how many objects one request of a listing asks for.
const page = 500

// Options are what a kind of provider adds to what all share.
type Options struct {
	Access  Access
	Machine Machine
	Now     func() time.Time

	// Root says where the root disk of a machine comes from. It is not called
	// for settings with an override.
	Root func(ctx context.Context, d *Driver, machine string) (Root, error)
	// Rights are needed besides those of all kinds.
	Rights []Right
	// Check adds the findings of the kind; it may be nil.
	Check func(ctx context.Context, c *Checkup)
	// Choices list values for the kind's own settings, by name.
	Choices map[string]func(ctx context.Context, d *Driver) ([]provider.Choice, error)
}

// Driver makes machines on one cluster. It implements [provider.Driver] and,
// of the optional interfaces, Remnants, Renderer and Catalog.
type Driver struct {
	Options
	Objects  dynamic.Interface
	metadata metadata.Interface
	http     *http.Client
	host     string
}

// New makes a driver from settings that have been validated. It calls no
// network.
func New(o Options) (*Driver, error) {
	config, err := o.Access.config(o.Now)
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to the cluster: %w", err)
	}
	d := &Driver{Options: o, http: client, host: config.Host}
	if d.Objects, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("preparing the connection to the cluster: %w", err)
	}
	if d.metadata, err = metadata.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("preparing the connection to the cluster: %w", err)
	}
	return d, nil
}

// in is a kind of object in the namespace of the machines.
func (d *Driver) in(kind schema.GroupVersionResource) dynamic.ResourceInterface {
	return d.Objects.Resource(kind).Namespace(d.Access.Namespace)
}

// List reads the guests first and then the machines, page by page: what it
// costs does not depend on the number of machines below the size of a page.
func (d *Driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		guests, err := d.guests(ctx, ownedBy(owner))
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		var faults map[string]string // of disks; nil: not asked yet
		for u, err := range pages(ctx, d.in(machines), ownedBy(owner), "listing machines") {
			if err != nil {
				yield(provider.Instance{}, err)
				return
			}
			vm, err := decode(u, &virt.VirtualMachine{})
			if err != nil {
				yield(provider.Instance{}, err)
				return
			}
			v := view{vm: vm, vmi: guests[vm.Name]}
			if waitsForDisk(vm) {
				if faults == nil {
					if faults, err = d.diskFaults(ctx, ownedBy(owner)); err != nil {
						yield(provider.Instance{}, err)
						return
					}
				}
				v.volumeFault = faults[vm.Name]
			}
			if !yield(v.instance(d.Now(), d.patience()), nil) {
				return
			}
		}
	}
}

func (d *Driver) patience() time.Duration {
	if p := d.Machine.UnschedulableAfter.D(); p > 0 {
		return p
	}
	return defaultUnschedulable
}

// pages yields every object that a selector matches, or an error at the end.
func pages(ctx context.Context, from dynamic.ResourceInterface, selector, doing string) iter.Seq2[*unstructured.Unstructured, error] {
	return func(yield func(*unstructured.Unstructured, error) bool) {
		for next := ""; ; {
			list, err := from.List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: page, Continue: next})
			if err != nil {
				yield(nil, failure(doing, err))
				return
			}
			for i := range list.Items {
				if !yield(&list.Items[i], nil) {
					return
				}
			}
			if next = list.GetContinue(); next == "" {
				return
			}
		}
	}
}

func (d *Driver) guests(ctx context.Context, selector string) (map[string]*virt.VirtualMachineInstance, error) {
	out := map[string]*virt.VirtualMachineInstance{}
	for u, err := range pages(ctx, d.in(instances), selector, "listing guests") {
		if err != nil {
			return nil, err
		}
		vmi, err := decode(u, &virt.VirtualMachineInstance{})
		if err != nil {
			return nil, err
		}
		out[vmi.Name] = vmi
	}
	return out, nil
}

// waitsForDisk says that the reason for the machine's state is to be found with
// its disks.
func waitsForDisk(vm *virt.VirtualMachine) bool {
	status := vm.Status.PrintableStatus
	return vm.DeletionTimestamp == nil && (status == virt.VirtualMachineStatusDataVolumeError ||
		status == virt.VirtualMachineStatusProvisioning || status == virt.VirtualMachineStatusWaitingForVolumeBinding)
}

// diskFaults tells for each machine what hinders its disks.
func (d *Driver) diskFaults(ctx context.Context, selector string) (map[string]string, error) {
	out := map[string]string{}
	for u, err := range pages(ctx, d.in(dataVolumes), selector, "listing disks") {
		if isClass(err, provider.Unsupported) {
			return out, nil // no CDI, so no such disks
		}
		if err != nil {
			return nil, err
		}
		if fault := diskFault(u); fault != "" {
			name := u.GetLabels()[LabelMachine]
			out[name] = join(u.GetName(), fault)
		}
	}
	return out, nil
}

// diskFault is what a DataVolume says about why it does not get on.
func diskFault(u *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		c, _ := item.(map[string]any)
		if c["type"] == "Running" && c["status"] != "True" {
			if text, _ := c["message"].(string); text != "" {
				return text
			}
		}
	}
	if phase == "Failed" {
		return "it has failed, and CDI gives no reason"
	}
	return ""
}

// Get looks at one machine, and, when its VirtualMachine is gone, for what else
// is left of it.
func (d *Driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	if labelFault(id) != "" {
		return provider.Instance{}, provider.Errorf(provider.NotFound, "there is no machine %q", id)
	}
	u, err := d.in(machines).Get(ctx, id, metav1.GetOptions{})
	if err = failure("reading machine "+id, err); isClass(err, provider.NotFound) {
		return d.remains(ctx, id)
	}
	if err != nil {
		return provider.Instance{}, err
	}
	vm, err := decode(u, &virt.VirtualMachine{})
	if err != nil {
		return provider.Instance{}, err
	}
	v := view{vm: vm}
	if vm.DeletionTimestamp == nil {
		if err := d.complete(ctx, &v); err != nil {
			return provider.Instance{}, err
		}
	}
	return v.instance(d.Now(), d.patience()), nil
}

// complete reads what belongs to a machine.
func (d *Driver) complete(ctx context.Context, v *view) error {
	u, err := d.in(instances).Get(ctx, v.vm.Name, metav1.GetOptions{})
	switch err = failure("reading the guest of machine "+v.vm.Name, err); {
	case isClass(err, provider.NotFound):
	case err != nil:
		return err
	default:
		if v.vmi, err = decode(u, &virt.VirtualMachineInstance{}); err != nil {
			return err
		}
	}
	if waitsForDisk(v.vm) {
		faults, err := d.diskFaults(ctx, ofMachine(v.vm.Name))
		if err != nil {
			return err
		}
		v.volumeFault = faults[v.vm.Name]
	}
	return nil
}

// remains shows a machine whose VirtualMachine is gone as being deleted while
// anything else of it is left.
func (d *Driver) remains(ctx context.Context, id string) (provider.Instance, error) {
	left, err := d.parts(ctx, ofMachine(id))
	if err != nil {
		return provider.Instance{}, err
	}
	if len(left) == 0 {
		return provider.Instance{}, provider.Errorf(provider.NotFound, "there is no machine %q", id)
	}
	p := left[0]
	return provider.Instance{
		ID: id, Name: id, Tags: p.Tags, State: provider.StateDeleting, CreatedAt: p.CreatedAt,
		Fault: fmt.Sprintf("%s %s is left of it", p.Kind, p.Name),
	}, nil
}

// Delete begins with the VirtualMachine, whose disks and Secrets go with it.
// When it is gone, what is left is deleted by itself.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if labelFault(id) != "" {
		return provider.Errorf(provider.NotFound, "there is no machine %q", id)
	}
	foreground := metav1.DeletePropagationForeground
	err := failure("deleting machine "+id, d.in(machines).Delete(ctx, id, metav1.DeleteOptions{PropagationPolicy: &foreground}))
	if !isClass(err, provider.NotFound) {
		return err
	}
	left, err := d.parts(ctx, ofMachine(id))
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return provider.Errorf(provider.NotFound, "there is no machine %q", id)
	}
	for _, p := range left {
		if err := d.DeleteRemnant(ctx, p); err != nil && !isClass(err, provider.NotFound) {
			return err
		}
	}
	return nil
}
