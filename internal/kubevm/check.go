package kubevm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Checkup collects the findings of a check.
type Checkup struct {
	Driver     *Driver
	Kubernetes string // version of the API server
	NoManifest bool   // the manifest cannot be tried, for a reason that has been named
	report     provider.Report
	lacks      map[string]bool
}

// Check looks at the API server, what is installed, each right, what the
// settings refer to, and lets the API server try the manifest without keeping
// it.
func (d *Driver) Check(ctx context.Context) (provider.Report, error) {
	c := &Checkup{Driver: d, lacks: map[string]bool{}}
	if !c.reachable(ctx) {
		return c.report, ctxFailure(ctx)
	}
	if !c.Installed(ctx, "KubeVirt", "/apis/kubevirt.io/v1", "virtualmachines", "install KubeVirt: https://kubevirt.io/user-guide/cluster_admin/installation/") {
		return c.report, ctxFailure(ctx)
	}
	c.kubeVirtVersion(ctx)
	if err := c.checkRights(ctx); err != nil {
		c.Failed("rights", Text(err), "let the credentials make SelfSubjectAccessReviews, as the ClusterRole system:basic-user does for everybody")
		return c.report, ctxFailure(ctx)
	}
	if d.Options.Check != nil {
		d.Options.Check(ctx, c)
	}
	c.tryManifest(ctx)
	return c.report, ctxFailure(ctx)
}

func ctxFailure(ctx context.Context) error { return failure("checking the cluster", ctx.Err()) }

// Text is the safe text of an error.
func Text(err error) string {
	var e *provider.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// read fetches a path that is none of an object.
func (d *Driver) read(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(d.host, "/")+path, http.NoBody)
	if err != nil {
		return provider.Errorf(provider.Invalid, "the address of the cluster cannot be used: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return failure("reading "+path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return failure("reading "+path, err)
	}
	if resp.StatusCode != http.StatusOK {
		s := metav1.Status{Code: int32(resp.StatusCode), Message: resp.Status}
		_ = json.Unmarshal(body, &s) // proxies in between answer otherwise
		return failure("reading "+path, &apierrors.StatusError{ErrStatus: s})
	}
	if err := json.Unmarshal(body, into); err != nil {
		return provider.Errorf(provider.Unknown, "reading %s: the answer is not that of a Kubernetes API server", path)
	}
	return nil
}

func (c *Checkup) reachable(ctx context.Context) bool {
	const subject = "API server"
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	err := c.Driver.read(ctx, "/version", &v)
	switch {
	case err == nil && v.GitVersion != "":
		c.Kubernetes = v.GitVersion
		c.OK(subject, fmt.Sprintf("%s answers, Kubernetes %s", c.Driver.host, v.GitVersion))
		return true
	case err == nil:
		c.Failed(subject, c.Driver.host+" answers, but not as a Kubernetes API server", "check host and port: kubectl cluster-info names them")
	case isClass(err, provider.Unauthenticated):
		c.Failed(subject, c.Driver.host+": "+Text(err), "check certificate and token: for a ServiceAccount, kubectl create token NAME makes a new one")
	default:
		c.Failed(subject, c.Driver.host+": "+Text(err), "check the address, and that the controller may reach it through firewalls and authorized networks")
	}
	return false
}

// Installed looks for a kind of object among those that the API server knows.
func (c *Checkup) Installed(ctx context.Context, what, path, resource, remedy string) bool {
	var list metav1.APIResourceList
	err := c.Driver.read(ctx, path, &list)
	if err == nil {
		for i := range list.APIResources {
			if list.APIResources[i].Name == resource {
				c.OK(what, "the cluster knows "+resource+" of "+list.GroupVersion)
				return true
			}
		}
	}
	if err == nil || isClass(err, provider.Unsupported) || isClass(err, provider.NotFound) {
		c.Failed(what, "the cluster does not know "+resource+" ("+strings.TrimPrefix(path, "/apis/")+")", remedy)
	} else {
		c.Failed(what, Text(err), "try again; if it stays, look at the API server's log")
	}
	return false
}

var brokenOnGKE = regexp.MustCompile(`^v?1\.3\.`)

func (c *Checkup) kubeVirtVersion(ctx context.Context) {
	const subject = "KubeVirt version"
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := c.Driver.read(ctx, "/apis/subresources.kubevirt.io/v1/version", &v); err != nil || v.GitVersion == "" {
		c.Warn(subject, "KubeVirt does not tell its version", "look whether virt-api runs: kubectl -n kubevirt get pods")
		return
	}
	gke := strings.Contains(c.Kubernetes, "-gke.")
	switch {
	case brokenOnGKE.MatchString(v.GitVersion) && gke:
		c.Failed(subject, "KubeVirt "+v.GitVersion+" on GKE ("+c.Kubernetes+"): releases 1.3 have a defect that keeps machines from running there", "install v1.2.2, or a release after 1.3")
	case brokenOnGKE.MatchString(v.GitVersion):
		c.Warn(subject, "KubeVirt "+v.GitVersion+": releases 1.3 have a defect that keeps machines from running on GKE", "on GKE install v1.2.2, or a release after 1.3; elsewhere it does not matter")
	default:
		c.OK(subject, v.GitVersion)
	}
}

// tryManifest lets the API server, with KubeVirt's webhooks, try the very
// manifest of the settings without keeping it.
func (c *Checkup) tryManifest(ctx context.Context) {
	const subject = "manifest"
	d := c.Driver
	if c.NoManifest || c.Lacks("create", machines, d.Access.Namespace) {
		return // named already
	}
	vm, err := d.wish(ctx, provider.Request{
		Name: "headroom-check",
		Tags: provider.Tags{Installation: "check", Server: "check", AutoscaleConfig: "check", Provider: "check"},
	})
	if err == nil {
		_, err = d.in(machines).Create(ctx, vm, metav1.CreateOptions{
			FieldValidation: metav1.FieldValidationStrict, FieldManager: fieldManager, DryRun: []string{metav1.DryRunAll},
		})
		err = failure("trying the manifest", err)
	}
	switch {
	case err == nil:
		c.OK(subject, "the cluster would take it")
	case isClass(err, provider.Quota):
		c.Warn(subject, Text(err), "raise the quota of the namespace, or lower max_instances")
	case isClass(err, provider.NotFound):
		c.Failed(subject, Text(err), "create namespace "+d.Access.Namespace+", or set another")
	default:
		c.Failed(subject, Text(err), "change the settings that the message names; headroom provider render shows the manifest")
	}
}

// cannotClone are provisioners whose volumes cannot be cloned.
var cannotClone = map[string]string{
	"rancher.io/local-path":        "local-path, which KIND and k3s use",
	"k8s.io/minikube-hostpath":     "minikube's host paths",
	"kubernetes.io/no-provisioner": "volumes that are made by hand",
}

const (
	defaultClass   = "storageclass.kubernetes.io/is-default-class"
	classBindMode  = "volumeBindingMode"
	waitsForGuests = "WaitForFirstConsumer"
)

// StorageClass checks that volumes of a class, empty for the cluster's default,
// can be cloned at once.
func (c *Checkup) StorageClass(ctx context.Context, name string) {
	subject := "storage class " + name
	if name == "" {
		subject = "default storage class"
	}
	class, err := c.class(ctx, name)
	switch {
	case isClass(err, provider.Forbidden):
		c.Warn(subject, "the credentials may not look at storage classes, so that it could not be checked",
			"allow get and list on storageclasses of storage.k8s.io by a ClusterRole, or check by hand that its volumes can be cloned and that it binds Immediate")
		return
	case isClass(err, provider.NotFound):
		c.Failed(subject, "there is none of that name", "set storage_class to one that kubectl get storageclass lists")
		return
	case err != nil:
		c.Failed(subject, Text(err), "try again")
		return
	case class == nil:
		c.Failed(subject, "the cluster has none", "set storage_class, or mark a class with the annotation "+defaultClass+": \"true\"")
		return
	}
	provisioner, _, _ := unstructured.NestedString(class.Object, "provisioner")
	binding, _, _ := unstructured.NestedString(class.Object, classBindMode)
	if why, bad := cannotClone[provisioner]; bad {
		c.Failed(subject, fmt.Sprintf("%s is served by %s (%s): its volumes cannot be cloned", class.GetName(), provisioner, why),
			"use a class of a CSI driver that clones, for example that of the cloud, Longhorn or Ceph")
		return
	}
	if binding == waitsForGuests {
		c.Warn(subject, class.GetName()+" binds volumes only when a pod uses them ("+waitsForGuests+"): disks are cloned late, in some set-ups never",
			"use a class with volumeBindingMode Immediate")
		return
	}
	c.OK(subject, fmt.Sprintf("%s, served by %s, binds %s", class.GetName(), provisioner, binding))
}

// class is a storage class; nil when the default is asked for and there is
// none.
func (c *Checkup) class(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	api := c.Driver.Objects.Resource(classes)
	if name != "" {
		u, err := api.Get(ctx, name, metav1.GetOptions{})
		return u, failure("reading storage class "+name, err)
	}
	list, err := api.List(ctx, metav1.ListOptions{Limit: page})
	if err != nil {
		return nil, failure("listing storage classes", err)
	}
	for i := range list.Items {
		if list.Items[i].GetAnnotations()[defaultClass] == "true" {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}
