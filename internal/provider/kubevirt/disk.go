package kubevirt

import (
	"context"
	"fmt"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	virt "kubevirt.io/api/core/v1"
	cdi "kubevirt.io/containerized-data-importer-api/pkg/apis/core/v1beta1"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
)

// gvr names a kind of object as paths of the API do.
type gvr = schema.GroupVersionResource

// What disks can be cloned from.
var (
	claims      = gvr{Version: "v1", Resource: "persistentvolumeclaims"}
	dataVolumes = gvr{Group: "cdi.kubevirt.io", Version: "v1beta1", Resource: "datavolumes"}
	dataSources = gvr{Group: "cdi.kubevirt.io", Version: "v1beta1", Resource: "datasources"}
)

// root is a clone of the source.
func (s Settings) root(_ context.Context, _ *kubevm.Driver, machine string) (kubevm.Root, error) {
	name := kubevm.DiskName(machine)
	size := resource.NewQuantity(s.DiskSize<<30, resource.BinarySI)
	volume := cdi.DataVolumeSpec{Storage: &cdi.StorageSpec{
		Resources: core.VolumeResourceRequirements{Requests: core.ResourceList{core.ResourceStorage: *size}},
	}}
	if s.StorageClass != "" {
		volume.Storage.StorageClassName = &s.StorageClass
	}
	space, source := kubevm.Reference(s.DiskSource, s.Namespace)
	if s.DiskSourceType == SourceDataSource {
		volume.SourceRef = &cdi.DataVolumeSourceRef{Kind: "DataSource", Namespace: &space, Name: source}
	} else {
		volume.Source = &cdi.DataVolumeSource{PVC: &cdi.DataVolumeSourcePVC{Namespace: space, Name: source}}
	}
	template := virt.DataVolumeTemplateSpec{Spec: volume}
	template.Name = name
	return kubevm.Root{
		Source:    virt.VolumeSource{DataVolume: &virt.DataVolumeSource{Name: name}},
		Templates: []virt.DataVolumeTemplateSpec{template},
	}, nil
}

// kind is the kind of object that the source is.
func (s Settings) kind() (gvr, string) {
	switch s.DiskSourceType {
	case SourceDataVolume:
		return dataVolumes, "DataVolume"
	case SourceDataSource:
		return dataSources, "DataSource"
	case SourcePVC:
	}
	return claims, "PersistentVolumeClaim"
}

func (s Settings) rights() []kubevm.Right {
	need := kubevm.DiskRights()
	if s.ConfigOverride == nil {
		kind, _ := s.kind()
		space, _ := kubevm.Reference(s.DiskSource, s.Namespace)
		need = append(need, kubevm.Right{Verb: "get", Resource: kind, Namespace: space, For: "looking whether the disk source is there"})
	}
	return need
}

func (s Settings) check(ctx context.Context, c *kubevm.Checkup) {
	if !c.Installed(ctx, "CDI", "/apis/cdi.kubevirt.io/v1beta1", "datavolumes",
		"install the Containerized Data Importer: https://github.com/kubevirt/containerized-data-importer") {
		return
	}
	if s.ConfigOverride != nil {
		return // the manifest says itself where its disks come from
	}
	s.checkSource(ctx, c)
	c.StorageClass(ctx, s.StorageClass)
}

func (s Settings) checkSource(ctx context.Context, c *kubevm.Checkup) {
	kind, noun := s.kind()
	space, name := kubevm.Reference(s.DiskSource, s.Namespace)
	if c.Lacks("get", kind, space) {
		return // named already
	}
	subject := "disk source"
	u, err := c.Driver.Objects.Resource(kind).Namespace(space).Get(ctx, name, metav1.GetOptions{})
	if err = kubevm.Failure(fmt.Sprintf("reading %s %s/%s", noun, space, name), err); err != nil {
		c.Failed(subject, kubevm.Text(err), "set disk_source and disk_source_type to what is there: headroom provider catalog lists it")
		return
	}
	message := fmt.Sprintf("%s %s/%s", noun, space, name)
	switch s.DiskSourceType {
	case SourceDataVolume:
		if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase != string(cdi.Succeeded) {
			c.Warn(subject, message+" is "+strings.ToLower(phase)+", not yet complete", "wait until kubectl get datavolume shows Succeeded")
			return
		}
	case SourceDataSource:
	case SourcePVC, "":
		if have, ok := capacity(u); ok && have.Value() > s.DiskSize<<30 {
			c.Failed(subject, fmt.Sprintf("%s has %s, more than disk_size %d GiB", message, have.String(), s.DiskSize), "raise disk_size")
			return
		}
	}
	c.OK(subject, message)
}

func capacity(u *unstructured.Unstructured) (resource.Quantity, bool) {
	text, _, _ := unstructured.NestedString(u.Object, "status", "capacity", "storage")
	q, err := resource.ParseQuantity(text)
	return q, err == nil
}

// sources are the choices of a disk source of the type that is set.
func (s Settings) sources(ctx context.Context, d *kubevm.Driver) ([]provider.Choice, error) {
	kind, _ := s.kind()
	return d.Choose(ctx, kind, s.Namespace, func(u *unstructured.Unstructured) (provider.Choice, bool) {
		if u.GetLabels()[kubevm.LabelMachine] != "" {
			return provider.Choice{}, false // the disk of a machine
		}
		choice := provider.Choice{Value: u.GetName()}
		if q, ok := capacity(u); ok {
			choice.Description = q.String()
		}
		return choice, true
	})
}
