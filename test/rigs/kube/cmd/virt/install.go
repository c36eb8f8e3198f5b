package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	extensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	virt "kubevirt.io/api/core/v1"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/rbac"
)

const (
	namespace = "kubevirt" // of KubeVirt itself
	version   = "v1.8.0"   // of KubeVirt, as in go.mod

	architecture = "amd64" // of the guests that are not run
)

type installer struct {
	config     *rest.Config
	kube       kubernetes.Interface
	dynamic    dynamic.Interface
	extensions extensions.Interface
	aggregator aggregator.Interface
	mapper     meta.RESTMapper
}

func newInstaller(config *rest.Config) (*installer, error) {
	i := &installer{config: config}
	var errs [5]error
	i.kube, errs[0] = kubernetes.NewForConfig(config)
	i.dynamic, errs[1] = dynamic.NewForConfig(config)
	i.extensions, errs[2] = extensions.NewForConfig(config)
	i.aggregator, errs[3] = aggregator.NewForConfig(config)
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	i.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return i, nil
}

// apply lays an object over what is there, by server-side apply.
func (i *installer) apply(ctx context.Context, object runtime.Object) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err
	}
	delete(fields, "status")
	unstructured.RemoveNestedField(fields, "metadata", "creationTimestamp")
	u := &unstructured.Unstructured{Object: fields}
	kind := u.GroupVersionKind()
	mapping, err := i.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var target dynamic.ResourceInterface = i.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		target = i.dynamic.Resource(mapping.Resource).Namespace(u.GetNamespace())
	}
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	force := true
	if _, err := target.Patch(ctx, u.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "rig", Force: &force}); err != nil {
		return fmt.Errorf("%s %s: %w", kind.Kind, u.GetName(), err)
	}
	return nil
}

// base installs what KubeVirt's operator makes before its servers start, and
// writes a kubeconfig for each of their ServiceAccounts into dir. The servers
// must work as these: virt-api undoes what others write into the status of a
// VirtualMachineInstance.
func (i *installer) base(ctx context.Context, authorityFile, crds, dir string) error {
	authority, err := os.ReadFile(authorityFile)
	if err != nil {
		return err
	}
	if err := i.define(ctx, crds); err != nil {
		return err
	}
	kind := func(version, kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: version, Kind: kind} }
	bundle := func(name string) *core.ConfigMap {
		return &core.ConfigMap{
			TypeMeta: kind("v1", "ConfigMap"), ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
			Data: map[string]string{"ca-bundle": string(authority)},
		}
	}
	kubevirt := &virt.KubeVirt{TypeMeta: kind("kubevirt.io/v1", "KubeVirt"), ObjectMeta: metav1.ObjectMeta{Name: "kubevirt", Namespace: namespace}}
	kubevirt.Spec.Configuration.DeveloperConfiguration = &virt.DeveloperConfiguration{UseEmulation: true, FeatureGates: []string{"GPU", "HostDevices"}}
	kubevirt.Spec.Configuration.PermittedHostDevices = &virt.PermittedHostDevices{PciHostDevices: []virt.PciHostDevice{
		{PCIVendorSelector: "10DE:1EB8", ResourceName: "nvidia.com/TU104GL_Tesla_T4"},
	}}
	objects := []runtime.Object{
		&core.Namespace{TypeMeta: kind("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		bundle("kubevirt-ca"), bundle("kubevirt-export-ca"), kubevirt, components.NewKubeVirtPriorityClassCR(),
		class("rig-immediate", "pd.csi.storage.gke.io", storage.VolumeBindingImmediate, true),
		class("rig-waits", "pd.csi.storage.gke.io", storage.VolumeBindingWaitForFirstConsumer, false),
		class("rig-local-path", "rancher.io/local-path", storage.VolumeBindingWaitForFirstConsumer, false),
		class("longhorn-rig-image", "driver.longhorn.io", storage.VolumeBindingImmediate, false),
	}
	for _, list := range [][]runtime.Object{
		rbac.GetAllApiServer(namespace), rbac.GetAllController(namespace, false), rbac.GetAllHandler(namespace), rbac.GetAllCluster(),
	} {
		objects = append(objects, list...)
	}
	for _, o := range objects {
		if err := i.apply(ctx, o); err != nil {
			return err
		}
	}
	status, err := json.Marshal(map[string]any{"status": map[string]any{"phase": "Deployed", "observedKubeVirtVersion": version, "targetKubeVirtVersion": version, "defaultArchitecture": architecture}})
	if err != nil {
		return err
	}
	kubevirts := virt.SchemeGroupVersion.WithResource("kubevirts")
	if _, err := i.dynamic.Resource(kubevirts).Namespace(namespace).Patch(ctx, "kubevirt", types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("status of KubeVirt: %w", err)
	}
	for _, account := range []string{"kubevirt-apiserver", "kubevirt-controller"} {
		if err := i.kubeconfig(ctx, account, authority, filepath.Join(dir, account+".kubeconfig")); err != nil {
			return err
		}
	}
	return nil
}

func class(name, provisioner string, binding storage.VolumeBindingMode, standard bool) *storage.StorageClass {
	c := &storage.StorageClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &binding,
	}
	if standard {
		c.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	return c
}

// kubeconfig writes a file with a lasting token of a ServiceAccount.
func (i *installer) kubeconfig(ctx context.Context, account string, authority []byte, path string) error {
	secrets := i.kube.CoreV1().Secrets(namespace)
	_, err := secrets.Create(ctx, &core.Secret{
		Type: core.SecretTypeServiceAccountToken,
		ObjectMeta: metav1.ObjectMeta{
			Name: account + "-token", Namespace: namespace,
			Annotations: map[string]string{core.ServiceAccountNameKey: account},
		},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	var token string
	err = every(ctx, 100*time.Millisecond, func() error {
		s, err := secrets.Get(ctx, account+"-token", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if token = string(s.Data[core.ServiceAccountTokenKey]); token == "" {
			return errors.New("no token yet")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("token of %s: %w", account, err)
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["rig"] = &clientcmdapi.Cluster{Server: i.config.Host, CertificateAuthorityData: authority}
	c.AuthInfos[account] = &clientcmdapi.AuthInfo{Token: token}
	c.Contexts["rig"] = &clientcmdapi.Context{Cluster: "rig", AuthInfo: account, Namespace: namespace}
	c.CurrentContext = "rig"
	return clientcmd.WriteToFile(*c, path)
}

// webhooks makes KubeVirt's admission webhooks and subresources known. A
// Service of type ExternalName leads them to virt-api on the loopback
// interface.
func (i *installer) webhooks(ctx context.Context, authorityFile string, port int32) error {
	authority, err := os.ReadFile(authorityFile)
	if err != nil {
		return err
	}
	err = i.apply(ctx, &core.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: components.VirtApiServiceName, Namespace: namespace},
		Spec:       core.ServiceSpec{Type: core.ServiceTypeExternalName, ExternalName: "localhost", Ports: []core.ServicePort{{Port: port}}},
	})
	if err != nil {
		return err
	}
	lead := func(c *admission.WebhookClientConfig) { c.CABundle, c.Service.Port = authority, &port }
	validating := components.NewVirtAPIValidatingWebhookConfiguration(namespace)
	for n := range validating.Webhooks {
		lead(&validating.Webhooks[n].ClientConfig)
	}
	mutating := components.NewVirtAPIMutatingWebhookConfiguration(namespace)
	for n := range mutating.Webhooks {
		lead(&mutating.Webhooks[n].ClientConfig)
	}
	services := i.aggregator.ApiregistrationV1().APIServices()
	for _, s := range components.NewVirtAPIAPIServices(namespace) {
		s.Spec.CABundle, s.Spec.Service.Port = authority, &port
		_, err := services.Create(ctx, s, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("API service %s: %w", s.Name, err)
		}
	}
	if err := i.apply(ctx, mutating); err != nil {
		return err
	}
	return i.apply(ctx, validating)
}

// wait returns when virt-controller leads and the node of the stand-in is
// ready.
func (i *installer) wait(ctx context.Context) error {
	return every(ctx, 200*time.Millisecond, func() error {
		lease, err := i.kube.CoordinationV1().Leases(namespace).Get(ctx, "virt-controller", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			return errors.New("virt-controller does not lead yet")
		}
		n, err := i.kube.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range n.Status.Conditions {
			if c.Type == core.NodeReady && c.Status == core.ConditionTrue {
				return nil
			}
		}
		return errors.New("the node is not ready")
	})
}
