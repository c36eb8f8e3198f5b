package kuberig

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/headroom-dev/headroom/internal/provider"
)

// account is the name of the ServiceAccount in each tenant's namespace.
const account = "headroom"

// Tenant is a namespace of its own with a ServiceAccount that has the rights
// that the documentation tells administrators to give.
type Tenant struct {
	*Rig
	Namespace string
	Token     string
	rules     []any
	baseline  map[string]bool
}

// Tenant makes one and removes it at the end of the test. page is the file below
// docs whose Role it gets; Role and RoleBinding there are applied as they stand.
func (r *Rig) Tenant(t testing.TB, page string) *Tenant {
	t.Helper()
	tenant := &Tenant{Rig: r, Namespace: "t-" + strings.ToLower(rand.Text()[:10])}
	r.make(t, "", namespaces, object("v1", "Namespace", tenant.Namespace, nil))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := r.Admin.Resource(namespaces).Delete(ctx, tenant.Namespace, metav1.DeleteOptions{}); err != nil {
			t.Errorf("removing namespace %s: %v", tenant.Namespace, err)
		}
	})
	for _, doc := range Manifests(t, page) {
		switch doc.GetKind() {
		case "ServiceAccount":
			r.make(t, tenant.Namespace, accounts, moved(doc, tenant.Namespace))
		case "Role":
			tenant.rules, _, _ = unstructured.NestedSlice(doc.Object, "rules")
			r.make(t, tenant.Namespace, roles, moved(doc, tenant.Namespace))
		case "RoleBinding":
			r.make(t, tenant.Namespace, bindings, moved(doc, tenant.Namespace))
		}
	}
	if len(tenant.rules) == 0 {
		t.Fatalf("docs/%s has no Role", page)
	}
	tenant.Token = tenant.NewToken(t, account)
	tenant.waitForRights(t, tenant.Token, "delete", Machines)
	return tenant
}

// moved is a document of the documentation in another namespace.
func moved(doc *unstructured.Unstructured, namespace string) *unstructured.Unstructured {
	doc = doc.DeepCopy()
	doc.SetNamespace(namespace)
	subjects, found, _ := unstructured.NestedSlice(doc.Object, "subjects")
	for _, s := range subjects {
		if m, ok := s.(map[string]any); ok {
			m["namespace"] = namespace
		}
	}
	if found {
		_ = unstructured.SetNestedSlice(doc.Object, subjects, "subjects")
	}
	return doc
}

var yamlBlocks = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// Manifests are the Kubernetes objects in the YAML blocks of a file below docs.
func Manifests(t testing.TB, page string) []*unstructured.Unstructured {
	t.Helper()
	root, err := Root()
	must(t, "finding the documentation", err)
	text, err := os.ReadFile(filepath.Join(root, "docs", filepath.FromSlash(page)))
	must(t, "reading the documentation", err)
	var out []*unstructured.Unstructured
	for _, block := range yamlBlocks.FindAllSubmatch(text, -1) {
		for _, doc := range regexp.MustCompile(`(?m)^---\s*$`).Split(string(block[1]), -1) {
			fields := map[string]any{}
			must(t, "reading YAML of docs/"+page, yaml.Unmarshal([]byte(doc), &fields))
			if fields["apiVersion"] != nil && fields["kind"] != nil {
				out = append(out, &unstructured.Unstructured{Object: fields})
			}
		}
	}
	return out
}

// NewToken is a token of a ServiceAccount, as kubectl create token makes it.
func (r *Tenant) NewToken(t testing.TB, account string) string {
	t.Helper()
	ask := object("authentication.k8s.io/v1", "TokenRequest", account, map[string]any{"expirationSeconds": int64(3600)})
	answer, err := r.Admin.Resource(accounts).Namespace(r.Namespace).Create(t.Context(), ask, metav1.CreateOptions{}, "token")
	must(t, "making a token", err)
	token, _, _ := unstructured.NestedString(answer.Object, "status", "token")
	return token
}

// Without makes another ServiceAccount whose role lacks one verb on one kind of
// object, and returns its token.
func (r *Tenant) Without(t testing.TB, verb, resource string) string {
	t.Helper()
	name := "without-" + strings.ToLower(rand.Text()[:8])
	var rules []any
	lacking := false
	for _, item := range r.rules {
		rule, _ := item.(map[string]any)
		groups, _, _ := unstructured.NestedStringSlice(rule, "apiGroups")
		resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
		verbs, _, _ := unstructured.NestedStringSlice(rule, "verbs")
		for _, res := range resources {
			left := slices.Clone(verbs)
			if res == resource {
				left = slices.DeleteFunc(left, func(v string) bool { return v == verb })
				lacking = lacking || len(left) < len(verbs)
			}
			if len(left) > 0 {
				rules = append(rules, map[string]any{"apiGroups": anys(groups), "resources": []any{res}, "verbs": anys(left)})
			}
		}
	}
	if !lacking {
		t.Fatalf("the role has no right to %s %s that it could lack", verb, resource)
	}
	return r.account(t, name, rules)
}

// Powerless makes a ServiceAccount without any right and returns its token.
func (r *Tenant) Powerless(t testing.TB) string {
	t.Helper()
	return r.account(t, "powerless-"+strings.ToLower(rand.Text()[:8]), nil)
}

func (r *Tenant) account(t testing.TB, name string, rules []any) string {
	t.Helper()
	r.make(t, r.Namespace, accounts, object("v1", "ServiceAccount", name, nil))
	if len(rules) > 0 {
		role := object("rbac.authorization.k8s.io/v1", "Role", name, nil)
		role.Object["rules"] = rules
		r.make(t, r.Namespace, roles, role)
		binding := object("rbac.authorization.k8s.io/v1", "RoleBinding", name, nil)
		binding.Object["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
		binding.Object["subjects"] = []any{map[string]any{"kind": "ServiceAccount", "name": name, "namespace": r.Namespace}}
		r.make(t, r.Namespace, bindings, binding)
	}
	token := r.NewToken(t, name)
	if len(rules) > 0 {
		r.waitForAny(t, token)
	}
	return token
}

// LookAround lets the tenant's account read what belongs to no namespace, as the
// optional ClusterRole of the documentation does.
func (r *Tenant) LookAround(t testing.TB, page string) {
	t.Helper()
	var shown []schema.GroupVersionResource
	for _, doc := range Manifests(t, page) {
		doc := moved(doc, r.Namespace)
		kind := clusterRoles
		switch doc.GetKind() {
		case "ClusterRole":
			rules, _, _ := unstructured.NestedSlice(doc.Object, "rules")
			for _, item := range rules {
				rule, _ := item.(map[string]any)
				groups, _, _ := unstructured.NestedStringSlice(rule, "apiGroups")
				resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
				for _, resource := range resources {
					shown = append(shown, schema.GroupVersionResource{Group: groups[0], Version: "v1", Resource: resource})
				}
			}
		case "ClusterRoleBinding":
			kind = clusterBinds
			must(t, "naming the role", unstructured.SetNestedField(doc.Object, r.Namespace, "roleRef", "name"))
		default:
			continue
		}
		doc.SetNamespace("")
		doc.SetName(r.Namespace)
		r.make(t, "", kind, doc)
		t.Cleanup(func() {
			_ = r.Admin.Resource(kind).Delete(context.WithoutCancel(t.Context()), r.Namespace, metav1.DeleteOptions{})
		})
	}
	for _, kind := range shown {
		r.waitForRights(t, r.Token, "list", kind)
	}
}

// waitForRights waits until the API server knows of a right that was given.
func (r *Tenant) waitForRights(t testing.TB, token, verb string, kind schema.GroupVersionResource) {
	t.Helper()
	Eventually(t, 30*time.Second, func() string {
		if yes, err := r.may(t, token, verb, kind); err != nil || !yes {
			return fmt.Sprintf("the account may not yet %s %s (%v)", verb, kind.Resource, err)
		}
		return ""
	})
}

// waitForAny waits until the account may do one of the things that every role of
// the tests allows.
func (r *Tenant) waitForAny(t testing.TB, token string) {
	t.Helper()
	Eventually(t, 30*time.Second, func() string {
		for _, kind := range []schema.GroupVersionResource{Machines, Secrets} {
			for _, verb := range []string{"list", "create"} {
				if yes, err := r.may(t, token, verb, kind); err == nil && yes {
					return ""
				}
			}
		}
		return "the account has no rights yet"
	})
}

func (r *Tenant) may(t testing.TB, token, verb string, kind schema.GroupVersionResource) (bool, error) {
	t.Helper()
	as, err := r.As(token)
	if err != nil {
		return false, err
	}
	space := r.Namespace
	if kind.Group == "storage.k8s.io" {
		space = ""
	}
	ask := object("authorization.k8s.io/v1", "SelfSubjectAccessReview", "", map[string]any{"resourceAttributes": map[string]any{
		"verb": verb, "group": kind.Group, "resource": kind.Resource, "namespace": space,
	}})
	answer, err := as.Resource(schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}).Create(t.Context(), ask, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	yes, _, _ := unstructured.NestedBool(answer.Object, "status", "allowed")
	return yes, nil
}

// As is a client with the rights of a token.
func (r *Rig) As(token string) (dynamic.Interface, error) {
	config := *r.config
	config.BearerToken = token
	return dynamic.NewForConfig(&config)
}

// Make makes an object in the tenant's namespace as the administrator.
func (r *Tenant) Make(t testing.TB, kind schema.GroupVersionResource, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	return r.make(t, r.Namespace, kind, o)
}

func (r *Rig) make(t testing.TB, namespace string, kind schema.GroupVersionResource, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	var api dynamic.ResourceInterface = r.Admin.Resource(kind)
	if namespace != "" {
		api = r.Admin.Resource(kind).Namespace(namespace)
		o.SetNamespace(namespace)
	}
	made, err := api.Create(t.Context(), o, metav1.CreateOptions{})
	must(t, "making "+o.GetKind()+" "+o.GetName(), err)
	return made
}

// object is a bare object; spec may be nil.
func object(version, kind, name string, spec map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{}}
	if name != "" {
		o["metadata"] = map[string]any{"name": name}
	}
	if spec != nil {
		o["spec"] = spec
	}
	return &unstructured.Unstructured{Object: o}
}

// Object is object for other packages.
func Object(version, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return object(version, kind, name, spec)
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// Claim makes a claim of the given size and waits until it is bound.
func (r *Tenant) Claim(t testing.TB, name, size string, labels map[string]string) {
	t.Helper()
	o := object("v1", "PersistentVolumeClaim", name, map[string]any{
		"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": size}},
	})
	o.SetLabels(labels)
	r.Make(t, Claims, o)
	Eventually(t, 30*time.Second, func() string {
		u, err := r.Admin.Resource(Claims).Namespace(r.Namespace).Get(t.Context(), name, metav1.GetOptions{})
		must(t, "reading the claim", err)
		if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase != "Bound" {
			return "the claim is " + phase
		}
		return ""
	})
}

// Image makes an image of Harvester that has been imported.
func (r *Tenant) Image(t testing.TB, name string) {
	t.Helper()
	o := object("harvesterhci.io/v1beta1", "VirtualMachineImage", name, map[string]any{
		"displayName": name + ".qcow2", "sourceType": "download", "url": "https://example.org/" + name, "backend": "backingimage",
	})
	u := r.Make(t, Images, o)
	u.Object["status"] = map[string]any{
		"storageClassName": ClassImage, "progress": int64(100), "failed": int64(0),
		"conditions": []any{map[string]any{"type": "Imported", "status": "True"}},
	}
	api := r.Admin.Resource(Images).Namespace(r.Namespace)
	_, err := api.UpdateStatus(t.Context(), u, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Update(t.Context(), u, metav1.UpdateOptions{})
	}
	must(t, "importing image "+name, err)
}

// Get reads an object of the tenant; nil when it is not there.
func (r *Tenant) Get(t testing.TB, kind schema.GroupVersionResource, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := r.Admin.Resource(kind).Namespace(r.Namespace).Get(context.WithoutCancel(t.Context()), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(t, "reading "+kind.Resource+" "+name, err)
	return u
}

// partKinds are the kinds of objects that machines are made of.
var partKinds = []schema.GroupVersionResource{Machines, Guests, Secrets, Volumes, Claims, Pods}

// Begin remembers what is in the namespace, so that Parts does not show it.
func (r *Tenant) Begin(t testing.TB) {
	t.Helper()
	r.baseline = map[string]bool{}
	for name := range r.Parts(t) {
		r.baseline[name] = true
	}
}

// Parts are all objects in the namespace that machines are made of, by kind and
// name.
func (r *Tenant) Parts(t testing.TB) map[string]*unstructured.Unstructured {
	t.Helper()
	out := map[string]*unstructured.Unstructured{}
	for _, kind := range partKinds {
		list, err := r.Admin.Resource(kind).Namespace(r.Namespace).List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
		must(t, "listing "+kind.Resource, err)
		for i := range list.Items {
			if name := kind.Resource + "/" + list.Items[i].GetName(); !r.baseline[name] {
				out[name] = &list.Items[i]
			}
		}
	}
	return out
}

// Leftovers are the names of Parts.
func (r *Tenant) Leftovers(t testing.TB) []string {
	t.Helper()
	var out []string
	for name := range r.Parts(t) {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Tags reads the marks of an object.
func Tags(u *unstructured.Unstructured) provider.Tags {
	l := u.GetLabels()
	return provider.Tags{
		Installation: l[provider.TagInstallation], Server: l[provider.TagServer],
		AutoscaleConfig: l[provider.TagAutoscale], Provider: l[provider.TagProvider],
	}
}

// Data is a value of a Secret of the tenant; empty when it is not there.
func (r *Tenant) Data(t testing.TB, kind schema.GroupVersionResource, name, key string) string {
	t.Helper()
	u := r.Get(t, kind, name)
	if u == nil {
		return ""
	}
	text, _, _ := unstructured.NestedString(u.Object, "data", key)
	data, err := base64.StdEncoding.DecodeString(text)
	must(t, "reading "+name, err)
	return string(data)
}

// StorageClass makes a storage class and removes it at the end of the test.
func (r *Rig) StorageClass(t testing.TB, o *unstructured.Unstructured) {
	t.Helper()
	kind := schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}
	_ = r.Admin.Resource(kind).Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}) // of a test that was cut off
	r.make(t, "", kind, o)
	t.Cleanup(func() {
		_ = r.Admin.Resource(kind).Delete(context.WithoutCancel(t.Context()), o.GetName(), metav1.DeleteOptions{})
	})
}

// Machines counts the machines in the namespace that are not being deleted.
func (r *Tenant) Machines(t testing.TB) int {
	t.Helper()
	list, err := r.Admin.Resource(Machines).Namespace(r.Namespace).List(t.Context(), metav1.ListOptions{})
	must(t, "counting machines", err)
	n := 0
	for i := range list.Items {
		if list.Items[i].GetDeletionTimestamp() == nil {
			n++
		}
	}
	return n
}
