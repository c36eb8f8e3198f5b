package kuberig

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// Kind is what the conformance test of a kind of provider on the rig says of
// it.
type Kind struct {
	Kind provider.Kind
	Page string // of the documentation, below docs, with its Role
	// Prepare makes what disks come from.
	Prepare func(t *testing.T, tenant *Tenant)
	// Settings are complete settings with the access and the machine given.
	Settings func(access kubevm.Access, machine kubevm.Machine) any
	// LifeCalls is for providertest.Account.
	LifeCalls int64
}

// Machine is the shape of machines in the tests.
func Machine() kubevm.Machine {
	return kubevm.Machine{Cores: 2, Memory: 2 * fleet.GiB, DiskSize: 5}
}

// Access is how a tenant's account reaches the API server through a proxy.
func (r *Tenant) Access(p *Proxy) kubevm.Access {
	return kubevm.Access{KubeHost: p.URL, CACert: p.CA, APIToken: r.Token, Namespace: r.Namespace}
}

// Account is an account for the conformance suite: a namespace of its own behind
// a proxy of its own.
func (r *Rig) Account(t *testing.T, k Kind) providertest.Account {
	t.Helper()
	tenant := r.Tenant(t, k.Page)
	k.Prepare(t, tenant)
	tenant.Begin(t)
	p := r.Proxy(t)
	access := tenant.Access(p)
	settings := k.Settings(access, Machine())

	wrong := access
	wrong.CACert = string(r.CA) // another authority than the proxy's
	foreign := 0
	remnants := 0
	return providertest.Account{
		Kind: k.Kind, Settings: settings,
		Secrets:   []string{tenant.Token},
		Patience:  2 * time.Minute,
		Pages:     2*Page + 1,
		LifeCalls: k.LifeCalls,
		Calls:     p.Calls,
		CatalogSettings: func(t *testing.T) any {
			t.Helper()
			tenant.LookAround(t, k.Page)
			return settings
		},
		Foreign: func(t *testing.T) string {
			t.Helper()
			foreign++
			name := "foreign-" + string(rune('a'+foreign))
			tenant.Make(t, Machines, object("kubevirt.io/v1", "VirtualMachine", name, foreignSpec()))
			return name
		},
		Exists: func(t *testing.T, id string) bool {
			t.Helper()
			u := tenant.Get(t, Machines, id)
			return u != nil && u.GetDeletionTimestamp() == nil
		},
		Leftovers:  func(t *testing.T) []string { t.Helper(); return tenant.Leftovers(t) },
		LoseCreate: func(*testing.T) { p.Lose(To(http.MethodPost, "virtualmachines")) },
		LoseDelete: func(*testing.T) { p.Lose(To(http.MethodDelete, "virtualmachines")) },
		BreakList: func(*testing.T) {
			p.Answer(1, func(r *http.Request) bool {
				return To(http.MethodGet, "virtualmachines")(r) && r.URL.Query().Get("continue") != ""
			}, http.StatusInternalServerError, nil, "the store is gone")
		},
		LeaveRemnant: func(t *testing.T, tags provider.Tags) {
			t.Helper()
			for range 3 { // one of each kind
				remnants++
				tenant.remnant(t, remnants, tags)
			}
		},
		UserData: func(t *testing.T, id string) []byte { t.Helper(); return tenant.UserData(t, id) },
		Tagged: func(t *testing.T) map[string]provider.Tags {
			t.Helper()
			out := map[string]provider.Tags{}
			for name, u := range tenant.Parts(t) {
				out[name] = Tags(u)
			}
			return out
		},
		WrongCA: k.Settings(wrong, Machine()),
		Expire:  func(*testing.T) func() { return p.Expire() },
		Hang:    func(*testing.T) { p.Hang(Any) },
		Override: &providertest.Override{
			With: func(doc map[string]any) any {
				m := Machine()
				m.ConfigOverride = doc
				return k.Settings(access, m)
			},
			Good: override(tenant.Namespace), Bad: badOverride(tenant.Namespace),
			BadPath: "config_override.spec.template.spec.domain.cpu.coers",
			Shown:   func(t *testing.T, id string) string { t.Helper(); return tenant.shown(t, id) },
		},
		Provoke: tenant.provoke(k, p, access),
	}
}

// foreignSpec is a machine of somebody else.
func foreignSpec() map[string]any {
	return map[string]any{"runStrategy": "Always", "template": map[string]any{"spec": map[string]any{
		"domain": map[string]any{"memory": map[string]any{"guest": "64Mi"}, "devices": map[string]any{
			"disks": []any{map[string]any{"name": "root", "disk": map[string]any{"bus": "virtio"}}},
		}},
		"volumes": []any{map[string]any{"name": "root", "containerDisk": map[string]any{"image": "example.org/disk:1"}}},
	}}}
}

// override is a manifest as an operator would write it.
func override(namespace string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"example.org/kept": "yes, of $KASM_NAME"}},
		"spec": map[string]any{
			"running": false,
			"dataVolumeTemplates": []any{map[string]any{
				"metadata": map[string]any{"name": "$HEADROOM_NAME-root", "labels": map[string]any{"example.org/kept": "yes"}},
				"spec": map[string]any{
					"source":  map[string]any{"blank": map[string]any{}},
					"storage": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": "7Gi"}}},
				},
			}},
			"template": map[string]any{
				"spec": map[string]any{
					"terminationGracePeriodSeconds": 7,
					"domain": map[string]any{
						"cpu": map[string]any{"cores": 1}, "memory": map[string]any{"guest": "512Mi"},
						"devices": map[string]any{
							"disks":      []any{map[string]any{"name": "root", "disk": map[string]any{"bus": "virtio"}}},
							"interfaces": []any{map[string]any{"name": "default", "masquerade": map[string]any{}}},
						},
					},
					"networks": []any{map[string]any{"name": "default", "pod": map[string]any{}}},
					"volumes":  []any{map[string]any{"name": "root", "persistentVolumeClaim": map[string]any{"claimName": "$KASM_NAME-root"}}},
				},
			},
		},
	}
}

func badOverride(namespace string) map[string]any {
	doc := override(namespace)
	_ = unstructured.SetNestedField(doc, map[string]any{"coers": int64(2)}, "spec", "template", "spec", "domain", "cpu")
	return doc
}

// shown compares a machine with override.
func (r *Tenant) shown(t *testing.T, id string) string {
	t.Helper()
	u := r.Get(t, Machines, id)
	if u == nil {
		return "there is no machine " + id
	}
	grace, _, _ := unstructured.NestedInt64(u.Object, "spec", "template", "spec", "terminationGracePeriodSeconds")
	_, running, _ := unstructured.NestedBool(u.Object, "spec", "running")
	strategy, _, _ := unstructured.NestedString(u.Object, "spec", "runStrategy")
	host, _, _ := unstructured.NestedString(u.Object, "spec", "template", "spec", "hostname")
	claim := r.Get(t, Claims, id+"-root")
	switch {
	case u.GetAnnotations()["example.org/kept"] != "yes, of "+id:
		return "an annotation was not kept, or $KASM_NAME not replaced: " + u.GetAnnotations()["example.org/kept"]
	case grace != 7:
		return "terminationGracePeriodSeconds was not kept"
	case running || strategy != "Always" || host != id:
		return "runStrategy is " + strategy + " and hostname " + host
	case claim == nil:
		return "there is no volume " + id + "-root"
	case claim.GetLabels()["example.org/kept"] != "yes":
		return "a label of the volume was not kept"
	}
	return ""
}

// UserData is what the config drive of a machine holds: the Secret that its
// VirtualMachine names.
func (r *Tenant) UserData(t *testing.T, id string) []byte {
	t.Helper()
	vm := r.Get(t, Machines, id)
	if vm == nil {
		t.Fatalf("there is no machine %s", id)
	}
	volumes, _, _ := unstructured.NestedSlice(vm.Object, "spec", "template", "spec", "volumes")
	for _, v := range volumes {
		m, _ := v.(map[string]any)
		name, ok, _ := unstructured.NestedString(m, "cloudInitConfigDrive", "secretRef", "name")
		if !ok {
			continue
		}
		if want := id + "-secret"; name != want || m["name"] != "config-drive-disk" {
			t.Errorf("volume %v takes the secret %s, expected %s", m["name"], name, want)
		}
		text, _, _ := unstructured.NestedString(r.Get(t, Secrets, name).Object, "data", "userdata")
		data, err := base64.StdEncoding.DecodeString(text)
		must(t, "reading user data", err)
		return data
	}
	t.Fatalf("machine %s has no config drive", id)
	return nil
}

// remnant leaves an object of one kind or another behind.
func (r *Tenant) remnant(t *testing.T, n int, tags provider.Tags) {
	t.Helper()
	name := "lost-" + string(rune('a'+n))
	labels := map[string]string{
		provider.TagInstallation: tags.Installation, provider.TagServer: tags.Server,
		provider.TagAutoscale: tags.AutoscaleConfig, provider.TagProvider: tags.Provider, kubevm.LabelMachine: name,
	}
	switch n % 3 {
	case 0:
		o := object("v1", "Secret", name+"-secret", nil)
		o.SetLabels(labels)
		r.Make(t, Secrets, o)
	case 1:
		o := object("cdi.kubevirt.io/v1beta1", "DataVolume", name+"-disk-0", map[string]any{
			"source":  map[string]any{"blank": map[string]any{}},
			"storage": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}},
		})
		o.SetLabels(labels)
		r.Make(t, Volumes, o)
	case 2:
		r.Claim(t, name+"-disk-0", "1Gi", labels)
	}
}

func (r *Tenant) provoke(k Kind, p *Proxy, access kubevm.Access) map[provider.Class]func(*testing.T, provider.Driver) error {
	request := func() provider.Request {
		return provider.Request{
			Token: "t", Name: "provoked", Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
			Tags: provider.Tags{Installation: "01jconformance1", Server: "01jprovoked", AutoscaleConfig: "desktops", Provider: "cloud-a"},
		}
	}
	create := func(t *testing.T, d provider.Driver) error {
		t.Helper()
		_, err := d.Create(t.Context(), request())
		return err
	}
	other := func(t *testing.T, a kubevm.Access, m kubevm.Machine) provider.Driver {
		t.Helper()
		d, err := k.Kind.Open(t.Context(), k.Settings(a, m), provider.Host{Now: time.Now})
		must(t, "opening a driver", err)
		return d
	}
	status := func(code int, header http.Header) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			t.Helper()
			p.Answer(1, Any, code, header, "trouble on the way")
			_, err := d.Get(t.Context(), "some")
			return err
		}
	}
	return map[provider.Class]func(*testing.T, provider.Driver) error{
		provider.NotFound: func(t *testing.T, d provider.Driver) error {
			t.Helper()
			_, err := d.Get(t.Context(), "nobody")
			return err
		},
		provider.Invalid: func(t *testing.T, _ provider.Driver) error { // refused by KubeVirt's webhook
			t.Helper()
			m := Machine()
			m.NetworkType, m.NetworkName = kubevm.NetworkMultus, "lan"
			err := create(t, other(t, access, m))
			if left := r.Leftovers(t); len(left) > 0 {
				t.Errorf("a create that was refused left %v", left)
			}
			return err
		},
		provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
			t.Helper()
			defer p.Expire()()
			return create(t, d)
		},
		provider.Forbidden: func(t *testing.T, _ provider.Driver) error {
			t.Helper()
			a := access
			a.APIToken = r.Powerless(t)
			return create(t, other(t, a, Machine()))
		},
		provider.Quota: func(t *testing.T, d provider.Driver) error {
			t.Helper()
			r.Quota(t, "0")
			defer r.NoQuota(t)
			err := create(t, d)
			if left := r.Leftovers(t); len(left) > 0 {
				t.Errorf("a create that was refused left %v", left)
			}
			return err
		},
		// NoCapacity is none of a create here: a machine is accepted, and then no node
		// has room for it. It is told by the instance; see the tests of package kubevm.
		provider.RateLimited: func(t *testing.T, d provider.Driver) error {
			t.Helper()
			err := status(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}})(t, d)
			if after := provider.RetryAfter(err); after != 7*time.Second {
				t.Errorf("the wait is %v, the API server said 7 s", after)
			}
			return err
		},
		provider.Conflict: func(t *testing.T, d provider.Driver) error {
			t.Helper()
			r.Make(t, Machines, object("kubevirt.io/v1", "VirtualMachine", "provoked", foreignSpec()))
			defer func() {
				_ = r.Admin.Resource(Machines).Namespace(r.Namespace).Delete(context.WithoutCancel(t.Context()), "provoked", metav1.DeleteOptions{})
			}()
			return create(t, d)
		},
		provider.Unavailable: status(http.StatusServiceUnavailable, http.Header{"Retry-After": {"1"}}),
		provider.Unsupported: func(t *testing.T, d provider.Driver) error { // a cluster without KubeVirt
			t.Helper()
			p.Instead(To(http.MethodGet, "virtualmachines"), "/apis/kubevirt.io/v99/namespaces/"+r.Namespace+"/virtualmachines/some")
			_, err := d.Get(t.Context(), "some")
			return err
		},
	}
}

// Quota allows n machines in the namespace and waits until it is in force.
func (r *Tenant) Quota(t *testing.T, n string) {
	t.Helper()
	r.Make(t, Quotas, object("v1", "ResourceQuota", "machines", map[string]any{"hard": map[string]any{"count/virtualmachines.kubevirt.io": n}}))
	Eventually(t, time.Minute, func() string {
		hard, _, _ := unstructured.NestedStringMap(r.Get(t, Quotas, "machines").Object, "status", "hard")
		if len(hard) == 0 {
			return "the quota is not in force"
		}
		return ""
	})
}

// NoQuota takes it away again.
func (r *Tenant) NoQuota(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	must(t, "removing the quota", r.Admin.Resource(Quotas).Namespace(r.Namespace).Delete(ctx, "machines", metav1.DeleteOptions{}))
}

// Requests are the requests of a proxy's log that have not been made before.
func Requests(p *Proxy, do func()) []string {
	before := len(p.Log())
	do()
	return slices.Clone(p.Log()[before:])
}
