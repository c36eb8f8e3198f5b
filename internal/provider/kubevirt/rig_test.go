package kubevirt

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/test/kuberig"
)

const patience = 2 * time.Minute

// bench is a tenant with a driver behind a proxy.
type bench struct {
	*kuberig.Tenant
	proxy  *kuberig.Proxy
	driver *kubevm.Driver
	serial int
}

func newBench(t *testing.T, change func(*Settings)) *bench {
	t.Helper()
	tenant := kuberig.Open(t).Tenant(t, page)
	kind().Prepare(t, tenant)
	tenant.Begin(t)
	b := &bench{Tenant: tenant, proxy: tenant.Proxy(t)}
	b.driver = b.open(t, b.settings(change))
	return b
}

func (b *bench) settings(change func(*Settings)) Settings {
	s := Settings{Access: b.Access(b.proxy), Machine: kuberig.Machine(), DiskSource: source, StorageClass: kuberig.ClassImmediate}
	if change != nil {
		change(&s)
	}
	return s
}

func (b *bench) open(t *testing.T, s Settings) *kubevm.Driver {
	t.Helper()
	d, err := open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var us = provider.Owner{Installation: "01jinstallation", Provider: "cluster-a"}

func (b *bench) request() provider.Request {
	b.serial++
	name := fmt.Sprintf("hr-%d", b.serial)
	return provider.Request{
		Token: "token-" + name, Name: name, Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\necho " + name)},
		Tags: provider.Tags{Installation: us.Installation, Provider: us.Provider, Server: "01jserver" + name, AutoscaleConfig: "desktops"},
	}
}

// found are the machines and the remnants that the driver finds.
func (b *bench) found(t *testing.T) (machines []string, remnants []provider.Remnant) {
	t.Helper()
	for i, err := range b.driver.List(t.Context(), us) {
		if err != nil {
			t.Fatal(err)
		}
		machines = append(machines, i.ID)
	}
	for r, err := range b.driver.ListRemnants(t.Context(), us) {
		if err != nil {
			t.Fatal(err)
		}
		remnants = append(remnants, r)
	}
	return machines, remnants
}

// clear removes everything that the driver finds, as the controller and its
// sweep would.
func (b *bench) clear(t *testing.T) {
	t.Helper()
	kuberig.Eventually(t, patience, func() string {
		machines, remnants := b.found(t)
		for _, id := range machines {
			if err := b.driver.Delete(t.Context(), id); err != nil && provider.ClassOf(err) != provider.NotFound {
				return err.Error()
			}
		}
		for _, r := range remnants {
			if err := b.driver.DeleteRemnant(t.Context(), r); err != nil && provider.ClassOf(err) != provider.NotFound {
				return err.Error()
			}
		}
		if left := b.Leftovers(t); len(left) > 0 {
			return "left: " + strings.Join(left, ", ")
		}
		return ""
	})
}

func (b *bench) until(t *testing.T, id string, want provider.State) provider.Instance {
	t.Helper()
	var got provider.Instance
	kuberig.Eventually(t, patience, func() string {
		var err error
		if got, err = b.driver.Get(t.Context(), id); err != nil {
			return err.Error()
		}
		if got.State != want {
			return fmt.Sprintf("the machine is %s (%s), expected %s", got.State, got.Fault, want)
		}
		return ""
	})
	return got
}

// A controller that dies at any request of a create leaves nothing that is not
// found, and a create that is repeated makes one whole machine.
func TestCrashInCreate(t *testing.T) {
	t.Parallel()
	key := func(s *Settings) { s.SSHPublicKey = "ssh-ed25519 AAAA ann" }
	nth := func(n int, method, resource string) func() kuberig.Match {
		return func() kuberig.Match {
			match, seen := kuberig.To(method, resource), 0
			return func(r *http.Request) bool {
				if !match(r) {
					return false
				}
				seen++
				return seen == n
			}
		}
	}
	for name, at := range map[string]func() kuberig.Match{
		"the secret": nth(1, http.MethodPost, "secrets"), "the secret of the key": nth(2, http.MethodPost, "secrets"),
		"the machine":             nth(1, http.MethodPost, "virtualmachines"),
		"the owner of the secret": nth(1, http.MethodPatch, "secrets"), "the owner of the key": nth(2, http.MethodPatch, "secrets"),
	} {
		for when, strike := range map[string]func(*kuberig.Proxy, kuberig.Match){
			"before": (*kuberig.Proxy).Drop, "after": (*kuberig.Proxy).Lose,
		} {
			t.Run(when+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, key)
				req := b.request()
				strike(b.proxy, at())
				if i, err := b.driver.Create(t.Context(), req); err == nil || provider.ClassOf(err).MadeNothing() {
					t.Fatalf("create answered %+v, %v", i, err)
				}
				machines, remnants := b.found(t)
				switch made := b.Get(t, kuberig.Machines, req.Name) != nil; {
				case made && (len(machines) != 1 || len(remnants) != 0):
					t.Errorf("the machine exists, found were %v and %v", machines, remnants)
				case !made:
					for part := range b.Parts(t) {
						_, name, _ := strings.Cut(part, "/")
						known := false
						for _, r := range remnants {
							known = known || r.Name == name && r.Tags == req.Tags
						}
						if !known {
							t.Errorf("%s is not found: %+v", part, remnants)
						}
					}
				}
				// As a controller would that does not know what came of it.
				again := b.open(t, b.settings(key))
				i, err := again.Create(t.Context(), req)
				if err != nil {
					t.Fatalf("create again: %v", err)
				}
				b.until(t, i.ID, provider.StateRunning)
				for _, name := range []string{req.Name + "-secret", req.Name + "-ssh"} {
					if s := b.Get(t, kuberig.Secrets, name); s == nil || len(s.GetOwnerReferences()) != 1 || s.GetOwnerReferences()[0].UID != b.Get(t, kuberig.Machines, req.Name).GetUID() {
						t.Errorf("secret %s is not owned by the machine", name)
					}
				}
				if diff := cmp.Diff(string(req.Bootstrap.UserData), string(b.UserData(t, i.ID))); diff != "" {
					t.Errorf("user data:\n%s", diff)
				}
				b.clear(t)
			})
			// Given up instead of repeated: the sweep has to find everything.
			t.Run(when+" "+name+", given up", func(t *testing.T) {
				t.Parallel()
				b := newBench(t, key)
				strike(b.proxy, at())
				if _, err := b.driver.Create(t.Context(), b.request()); err == nil {
					t.Fatal("the answer was to be lost, but create succeeded")
				}
				b.clear(t)
			})
		}
	}
}

// A repeated create delivers the script of the repetition, and never takes over
// what is not of the same server.
func TestSecretOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	req := b.request()
	b.proxy.Drop(kuberig.To(http.MethodPost, "virtualmachines"))
	if _, err := b.driver.Create(t.Context(), req); err == nil {
		t.Fatal("create succeeded")
	}
	thief := req
	thief.Tags.Server = "01janother"
	if _, err := b.driver.Create(t.Context(), thief); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), req.Name+"-secret") {
		t.Errorf("create for another server with the same name: %v, expected conflict", err)
	}
	req.Bootstrap.UserData = []byte("#!/bin/sh\necho second")
	if _, err := b.driver.Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := string(b.UserData(t, req.Name)); got != "#!/bin/sh\necho second" {
		t.Errorf("the machine got %q", got)
	}
	if _, err := b.driver.Create(t.Context(), thief); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("create for another server with the name of a machine: %v, expected conflict", err)
	}
	b.clear(t)
}

// Whoever deletes the VirtualMachine, everything goes with it.
func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(s *Settings) { s.SSHPublicKey = "ssh-ed25519 AAAA ann" })
	i, err := b.driver.Create(t.Context(), b.request())
	if err != nil {
		t.Fatal(err)
	}
	b.until(t, i.ID, provider.StateRunning)
	if err := b.Admin.Resource(kuberig.Machines).Namespace(b.Namespace).Delete(t.Context(), i.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	kuberig.Eventually(t, patience, func() string {
		if left := b.Leftovers(t); len(left) > 0 {
			return "left: " + strings.Join(left, ", ")
		}
		return ""
	})
	if _, err := b.driver.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("get: %v", err)
	}
}

// A VirtualMachine that was deleted without its parts (kubectl delete
// --cascade=orphan) counts as being deleted until they are gone as well.
func TestOrphaned(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	req := b.request()
	i, err := b.driver.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	b.until(t, i.ID, provider.StateRunning)
	orphan := metav1.DeletePropagationOrphan
	if err := b.Admin.Resource(kuberig.Machines).Namespace(b.Namespace).Delete(t.Context(), i.ID, metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	kuberig.Eventually(t, patience, func() string {
		if b.Get(t, kuberig.Machines, i.ID) != nil {
			return "the machine is still there"
		}
		return ""
	})
	got, err := b.driver.Get(t.Context(), i.ID)
	if err != nil || got.State != provider.StateDeleting || got.Tags != req.Tags {
		t.Fatalf("%+v, %v", got, err)
	}
	kuberig.Eventually(t, patience, func() string {
		if err := b.driver.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			return fmt.Sprintf("delete: %v", err)
		}
		return ""
	})
	if left := b.Leftovers(t); len(left) > 0 {
		t.Errorf("left: %s", strings.Join(left, ", "))
	}
}

// A machine stays in the namespace that it was made in, and is deleted there,
// whatever namespace the settings have by then.
func TestNamespaceChange(t *testing.T) {
	t.Parallel()
	before, after := newBench(t, nil), newBench(t, nil)
	req := before.request()
	i, err := before.driver.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	before.until(t, i.ID, provider.StateRunning)
	other := after.request()
	other.Name, other.Tags.Server = "hr-new", "01jservernew"
	j, err := after.driver.Create(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	after.until(t, j.ID, provider.StateRunning)
	if machines, _ := before.found(t); !cmp.Equal(machines, []string{i.ID}) {
		t.Errorf("the old revision shows %v", machines)
	}
	if machines, _ := after.found(t); !cmp.Equal(machines, []string{j.ID}) {
		t.Errorf("the new revision shows %v", machines)
	}
	if err := after.driver.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("the new revision deletes what is not in its namespace: %v", err)
	}
	before.clear(t)
	if got, err := after.driver.Get(t.Context(), j.ID); err != nil || got.State != provider.StateRunning {
		t.Errorf("the machine of the new namespace: %+v, %v", got, err)
	}
	after.clear(t)
}

// steered is a manifest whose guest or disk behaves as the annotation says.
func steered(guest, disk map[string]any) func(*Settings) {
	return func(s *Settings) {
		s.UnschedulableAfter = 1 // so that patience is over at once
		s.ConfigOverride = map[string]any{"spec": map[string]any{
			"dataVolumeTemplates": []any{map[string]any{
				"metadata": map[string]any{"name": "$HEADROOM_NAME-root", "annotations": disk},
				"spec": map[string]any{
					"source":  map[string]any{"pvc": map[string]any{"name": source}},
					"storage": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": "3Gi"}}},
				},
			}},
			"template": map[string]any{
				"metadata": map[string]any{"annotations": guest},
				"spec": map[string]any{
					"domain": map[string]any{
						"memory":  map[string]any{"guest": "64Mi"},
						"devices": map[string]any{"disks": []any{map[string]any{"name": "root", "disk": map[string]any{"bus": "virtio"}}}},
					},
					"volumes": []any{map[string]any{"name": "root", "dataVolume": map[string]any{"name": "$HEADROOM_NAME-root"}}},
				},
			},
		}}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Settings)
		state  provider.State
		words  string
	}{
		"no node has room": {steered(map[string]any{"rig.headroom.dev/schedule": "never"}, nil), provider.StateFailed, "no node has room for it: 0/1 nodes are available: 1 Insufficient memory."},
		"no node has room yet": {func(s *Settings) {
			steered(map[string]any{"rig.headroom.dev/schedule": "never"}, nil)(s)
			s.UnschedulableAfter = 0 // five minutes
		}, provider.StatePending, "no node has room for it: 0/1 nodes are available"},
		"the guest does not start": {steered(map[string]any{"rig.headroom.dev/run": "fail"}, nil), provider.StateFailed, "its guest cannot be started"},
		"the disk cannot be made":  {steered(nil, map[string]any{"rig.headroom.dev/volume": "fail"}), provider.StateFailed, "No space left on device"},
		"the device is not permitted": {func(s *Settings) {
			s.GPUs, s.UnschedulableAfter = []kubevm.Device{{DeviceName: "example.org/none"}}, 1
		}, provider.StateFailed, "KubeVirt cannot start it"},
		"the source is not there": {func(s *Settings) { s.DiskSource = "nobodys" }, provider.StatePending, "Source pvc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			req := b.request()
			if _, err := b.driver.Create(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			kuberig.Eventually(t, patience, func() string {
				var shown []provider.Instance
				got, err := b.driver.Get(t.Context(), req.Name)
				if err != nil {
					return err.Error()
				}
				for i, err := range b.driver.List(t.Context(), us) {
					if err != nil {
						return err.Error()
					}
					shown = append(shown, i)
				}
				if len(shown) != 1 {
					return fmt.Sprintf("the listing shows %d machines", len(shown))
				}
				for how, i := range map[string]provider.Instance{"get": got, "list": shown[0]} {
					if i.State != c.state || !strings.Contains(i.Fault, c.words) {
						return fmt.Sprintf("%s shows the machine as %s (%s), expected %s with %q", how, i.State, i.Fault, c.state, c.words)
					}
				}
				return ""
			})
			b.clear(t)
		})
	}
}

// One call of the driver is one request for each thing that it does, whatever
// the API server answers: client-go's own repetitions are off.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	wait := http.Header{"Retry-After": {"1"}}
	for name, c := range map[string]struct {
		trouble func()
		class   provider.Class
	}{
		"throttled":         {func() { b.proxy.Answer(1, kuberig.Any, http.StatusTooManyRequests, wait, "slow down") }, provider.RateLimited},
		"unavailable":       {func() { b.proxy.Answer(1, kuberig.Any, http.StatusServiceUnavailable, wait, "starting") }, provider.Unavailable},
		"internal error":    {func() { b.proxy.Answer(1, kuberig.Any, http.StatusInternalServerError, wait, "oops") }, provider.Unavailable},
		"broken connection": {func() { b.proxy.Drop(kuberig.Any) }, provider.Unavailable},
	} {
		for op, do := range map[string]func(context.Context) error{
			"get":    func(ctx context.Context) error { _, err := b.driver.Get(ctx, "some"); return err },
			"create": func(ctx context.Context) error { _, err := b.driver.Create(ctx, b.request()); return err },
			"delete": func(ctx context.Context) error { return b.driver.Delete(ctx, "some") },
			"list": func(ctx context.Context) error {
				for _, err := range b.driver.List(ctx, us) {
					if err != nil {
						return err
					}
				}
				return nil
			},
		} {
			c.trouble()
			before := b.proxy.Calls()
			err := do(t.Context())
			n := b.proxy.Calls() - before
			// The transport of Go itself repeats what is safe to repeat when a
			// connection breaks that it had kept: the call goes on as if nothing
			// had been.
			if op != "create" && name == "broken connection" && n > 1 {
				continue
			}
			if provider.ClassOf(err) != c.class {
				t.Errorf("%s, %s: %v, expected %s", op, name, err, c.class)
			}
			if n != 1 {
				t.Errorf("%s, %s: %d requests for one call", op, name, n)
			}
		}
	}
	b.clear(t)
}

// What the settings can ask for is what KubeVirt's own webhooks accept, and what
// stands in the machine that was made.
func TestManifests(t *testing.T) {
	t.Parallel()
	const guest = "spec.template.spec."
	for name, c := range map[string]struct {
		change func(*Settings)
		want   map[string]any
	}{
		"plain": {nil, map[string]any{
			"spec.runStrategy": "Always", guest + "hostname": "hr-1", guest + "domain.cpu.cores": int64(2), guest + "domain.memory.guest": "2Gi",
			guest + "domain.devices.interfaces.0.masquerade": map[string]any{}, guest + "networks.0.pod": map[string]any{}, guest + "networks.0.name": "default",
			guest + "domain.devices.disks.1":                                     map[string]any{"name": "config-drive-disk", "cdrom": map[string]any{"bus": "sata", "readonly": true}},
			guest + "volumes.1":                                                  map[string]any{"name": "config-drive-disk", "cloudInitConfigDrive": map[string]any{"secretRef": map[string]any{"name": "hr-1-secret"}}},
			"spec.dataVolumeTemplates.0.metadata.name":                           "hr-1-disk-0",
			"spec.dataVolumeTemplates.0.spec.source.pvc":                         nil, // filled in below
			"spec.dataVolumeTemplates.0.spec.storage.storageClassName":           kuberig.ClassImmediate,
			"spec.dataVolumeTemplates.0.spec.storage.resources.requests.storage": "5Gi",
		}},
		"bridge": {func(s *Settings) { s.InterfaceType, s.NetworkName = kubevm.InterfaceBridge, "lan" }, map[string]any{
			guest + "domain.devices.interfaces.0": map[string]any{"name": "lan", "bridge": map[string]any{}}, guest + "networks.0": map[string]any{"name": "lan", "pod": map[string]any{}},
		}},
		"multus": {func(s *Settings) {
			s.NetworkType, s.NetworkName, s.InterfaceType = kubevm.NetworkMultus, "nets/vlan-20", kubevm.InterfaceBridge
		}, map[string]any{
			guest + "domain.devices.interfaces.0.bridge": map[string]any{}, guest + "networks.0.multus.networkName": "nets/vlan-20",
		}},
		"EFI": {func(s *Settings) { s.EFI = true }, map[string]any{guest + "domain.firmware.bootloader.efi.secureBoot": false}},
		"secure boot and TPM": {func(s *Settings) { s.EFI, s.SecureBoot, s.TPM = true, true, true }, map[string]any{
			guest + "domain.firmware.bootloader.efi.secureBoot": true, guest + "domain.features.smm.enabled": true, guest + "domain.devices.tpm": map[string]any{},
		}},
		"GPUs": {func(s *Settings) { s.GPUs = []kubevm.Device{{DeviceName: kuberig.GPU, Count: 2}} }, map[string]any{
			guest + "domain.devices.gpus": []any{map[string]any{"name": "gpu-0", "deviceName": kuberig.GPU}, map[string]any{"name": "gpu-1", "deviceName": kuberig.GPU}},
		}},
		"host devices": {func(s *Settings) { s.HostDevs = []kubevm.Device{{DeviceName: kuberig.GPU}} }, map[string]any{
			guest + "domain.devices.hostDevices": []any{map[string]any{"name": "device-0", "deviceName": kuberig.GPU}},
		}},
		"SSH key": {func(s *Settings) { s.SSHPublicKey = "ssh-ed25519 AAAA ann" }, map[string]any{
			guest + "accessCredentials.0.sshPublicKey.source.secret.secretName": "hr-1-ssh",
		}},
		"data source": {func(s *Settings) { s.DiskSource, s.DiskSourceType = "images/noble", SourceDataSource }, map[string]any{
			"spec.dataVolumeTemplates.0.spec.sourceRef": map[string]any{"kind": "DataSource", "namespace": "images", "name": "noble"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			if _, err := b.driver.Create(t.Context(), b.request()); err != nil {
				t.Fatal(err)
			}
			vm := b.Get(t, kuberig.Machines, "hr-1")
			for path, want := range c.want {
				if path == "spec.dataVolumeTemplates.0.spec.source.pvc" {
					want = map[string]any{"namespace": b.Namespace, "name": source}
				}
				if diff := cmp.Diff(want, at(vm, path)); diff != "" {
					t.Errorf("%s:\n%s", path, diff)
				}
			}
			b.clear(t)
		})
	}
}

// at is what stands at a path of names and numbers.
func at(u *unstructured.Unstructured, path string) any {
	var v any = u.Object
	for _, step := range strings.Split(path, ".") {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[step]
		case []any:
			n := int(step[0] - '0')
			if n >= len(inner) {
				return nil
			}
			v = inner[n]
		default:
			return nil
		}
	}
	return v
}

// kubeconfigOf is a kubeconfig that holds everything itself.
func kubeconfigOf(host, ca, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: %q, certificate-authority-data: %q}}]
users: [{name: u, user: {token: %q}}]
`, host, base64.StdEncoding.EncodeToString([]byte(ca)), token)
}
