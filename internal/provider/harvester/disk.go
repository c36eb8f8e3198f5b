package harvester

import (
	"context"
	"encoding/json"
	"fmt"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
)

// gvr names a kind of object as paths of the API do.
type gvr = schema.GroupVersionResource

var images = gvr{Group: "harvesterhci.io", Version: "v1beta1", Resource: "virtualmachineimages"}

// Annotations and labels that Harvester reads.
const (
	removedClaims = "harvesterhci.io/removedPersistentVolumeClaims"
	imageID       = "harvesterhci.io/imageId"
	labelVMName   = "harvesterhci.io/vmName"
)

// image is what the driver needs to know of a VirtualMachineImage.
type image struct {
	space, name string
	display     string
	class       string // its storage class
	imported    bool
	fault       string // why it is not imported
}

func readImage(u *unstructured.Unstructured) image {
	i := image{space: u.GetNamespace(), name: u.GetName()}
	i.display, _, _ = unstructured.NestedString(u.Object, "spec", "displayName")
	i.class, _, _ = unstructured.NestedString(u.Object, "status", "storageClassName")
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		c, _ := item.(map[string]any)
		if c["type"] == "Imported" {
			i.imported = c["status"] == "True"
			if c["status"] == "False" {
				i.fault, _ = c["message"].(string)
			}
		}
	}
	return i
}

func (s Settings) image(ctx context.Context, d *kubevm.Driver) (image, error) {
	space, name := kubevm.Reference(s.Image, s.Namespace)
	u, err := d.Objects.Resource(images).Namespace(space).Get(ctx, name, metav1.GetOptions{})
	switch err = kubevm.Failure(fmt.Sprintf("reading image %s/%s", space, name), err); {
	case provider.ClassOf(err) == provider.NotFound && err != nil:
		return image{}, provider.Errorf(provider.Invalid, "image %s/%s does not exist: kubectl get virtualmachineimages -A lists what is there", space, name)
	case err != nil:
		return image{}, err
	}
	return readImage(u), nil
}

// root is a claim of the image's storage class, which Harvester makes.
func (s Settings) root(ctx context.Context, d *kubevm.Driver, machine string) (kubevm.Root, error) {
	i, err := s.image(ctx, d)
	switch {
	case err != nil:
		return kubevm.Root{}, err
	case i.fault != "":
		return kubevm.Root{}, provider.Errorf(provider.Invalid, "image %s/%s could not be imported: %s", i.space, i.name, i.fault)
	case !i.imported || i.class == "":
		return kubevm.Root{}, provider.Errorf(provider.Unavailable, "image %s/%s is still being imported", i.space, i.name)
	}
	name := kubevm.DiskName(machine)
	block := core.PersistentVolumeBlock
	claim := core.PersistentVolumeClaim{Spec: core.PersistentVolumeClaimSpec{
		AccessModes:      []core.PersistentVolumeAccessMode{core.ReadWriteMany},
		VolumeMode:       &block,
		StorageClassName: &i.class,
		Resources: core.VolumeResourceRequirements{Requests: core.ResourceList{
			core.ResourceStorage: *resource.NewQuantity(s.DiskSize<<30, resource.BinarySI),
		}},
	}}
	claim.Name, claim.Annotations = name, map[string]string{imageID: i.space + "/" + i.name}
	text, err := json.Marshal([]core.PersistentVolumeClaim{claim})
	if err != nil {
		return kubevm.Root{}, provider.Errorf(provider.Unknown, "describing the disk: %w", err)
	}
	return kubevm.Root{
		Source:      virt.VolumeSource{PersistentVolumeClaim: &virt.PersistentVolumeClaimVolumeSource{PersistentVolumeClaimVolumeSource: core.PersistentVolumeClaimVolumeSource{ClaimName: name}}},
		Labels:      map[string]string{labelVMName: machine},
		Annotations: map[string]string{removedClaims: name, kubevm.ClaimTemplates: string(text)},
	}, nil
}

func (s Settings) rights() []kubevm.Right {
	if s.ConfigOverride != nil {
		return nil
	}
	space, _ := kubevm.Reference(s.Image, s.Namespace)
	return []kubevm.Right{{Verb: "get", Resource: images, Namespace: space, For: "finding the storage class of the image"}}
}

func (s Settings) check(ctx context.Context, c *kubevm.Checkup) {
	if !c.Installed(ctx, "Harvester", "/apis/harvesterhci.io/v1beta1", "virtualmachineimages",
		"this cluster is no Harvester: use the provider for plain KubeVirt, or set the address of Harvester's API server") {
		return
	}
	if s.ConfigOverride != nil {
		return // the manifest says itself where its disks come from
	}
	space, _ := kubevm.Reference(s.Image, s.Namespace)
	c.NoManifest = true // it needs the image
	if c.Lacks("get", images, space) {
		return // named already
	}
	const subject = "image"
	i, err := s.image(ctx, c.Driver)
	switch {
	case err != nil:
		c.Failed(subject, kubevm.Text(err), "set image to one that headroom provider catalog lists")
	case i.fault != "":
		c.Failed(subject, i.space+"/"+i.name+" could not be imported: "+i.fault, "import it again in Harvester")
	case !i.imported || i.class == "":
		c.Warn(subject, i.space+"/"+i.name+" is still being imported", "wait until Harvester shows it as active")
	default:
		c.NoManifest = false
		c.OK(subject, fmt.Sprintf("%s/%s (%s), storage class %s", i.space, i.name, i.display, i.class))
	}
}

// images are those of all namespaces, or of that of the machines where
// the credentials see no other.
func (s Settings) images(ctx context.Context, d *kubevm.Driver) ([]provider.Choice, error) {
	choose := func(u *unstructured.Unstructured) (provider.Choice, bool) {
		i := readImage(u)
		return provider.Choice{Value: i.space + "/" + i.name, Label: i.display}, true
	}
	all, err := d.Choose(ctx, images, "", choose)
	if provider.ClassOf(err) == provider.Forbidden && err != nil {
		return d.Choose(ctx, images, s.Namespace, choose)
	}
	return all, err
}
