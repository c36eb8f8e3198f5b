package harvester

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/test/kuberig"
)

type bench struct {
	*kuberig.Tenant
	proxy  *kuberig.Proxy
	driver *kubevm.Driver
}

func newBench(t *testing.T, change func(*Settings)) *bench {
	t.Helper()
	tenant := kuberig.Open(t).Tenant(t, page)
	kind().Prepare(t, tenant)
	tenant.Begin(t)
	b := &bench{Tenant: tenant, proxy: tenant.Proxy(t)}
	b.driver = b.open(t, change)
	return b
}

func (b *bench) open(t *testing.T, change func(*Settings)) *kubevm.Driver {
	t.Helper()
	s := Settings{Access: b.Access(b.proxy), Machine: kuberig.Machine(), Image: noble}
	if change != nil {
		change(&s)
	}
	d, err := open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func request() provider.Request {
	return provider.Request{
		Token: "t", Name: "hr-1", Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
		Tags: provider.Tags{Installation: "01jinstallation", Server: "01jserver", AutoscaleConfig: "desktops", Provider: "harvester"},
	}
}

func (b *bench) running(t *testing.T) {
	t.Helper()
	kuberig.Eventually(t, 2*time.Minute, func() string {
		i, err := b.driver.Get(t.Context(), "hr-1")
		if err != nil {
			return err.Error()
		}
		if i.State != provider.StateRunning {
			return "the machine is " + string(i.State) + " " + i.Fault
		}
		return ""
	})
}

// disk is the volume that Harvester made for a machine.
func (b *bench) disk(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	claim := b.Get(t, kuberig.Claims, name)
	if claim == nil {
		t.Fatalf("there is no volume %s", name)
	}
	if got := kuberig.Tags(claim); got != request().Tags {
		t.Errorf("the volume bears %+v", got)
	}
	return claim
}

// The disk is described as Harvester's own interface does it.
func TestDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if _, err := b.driver.Create(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	b.running(t)
	vm := b.Get(t, kuberig.Machines, "hr-1")
	var claims []core.PersistentVolumeClaim
	if err := json.Unmarshal([]byte(vm.GetAnnotations()["harvesterhci.io/volumeClaimTemplates"]), &claims); err != nil || len(claims) != 1 {
		t.Fatalf("the annotation holds %d volumes, %v", len(claims), err)
	}
	c := claims[0]
	if c.Name != "hr-1-disk-0" || c.Annotations["harvesterhci.io/imageId"] != b.Namespace+"/"+noble ||
		*c.Spec.StorageClassName != kuberig.ClassImage || *c.Spec.VolumeMode != core.PersistentVolumeBlock ||
		c.Spec.AccessModes[0] != core.ReadWriteMany || c.Spec.Resources.Requests.Storage().String() != "5Gi" {
		t.Errorf("the volume is described as %+v", c)
	}
	if got := vm.GetAnnotations()["harvesterhci.io/removedPersistentVolumeClaims"]; got != "hr-1-disk-0" {
		t.Errorf("the volumes that go with the machine are %q", got)
	}
	b.disk(t, "hr-1-disk-0")
	// By hand, as an administrator would in Harvester.
	if err := b.Admin.Resource(kuberig.Machines).Namespace(b.Namespace).Delete(t.Context(), "hr-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	kuberig.Eventually(t, 2*time.Minute, func() string { return strings.Join(b.Leftovers(t), ", ") })
}

// The volumes of an override are marked as well, and go with the machine though
// the override does not tell Harvester to remove them.
func TestOverriddenDisk(t *testing.T) {
	t.Parallel()
	claims := `[{"metadata": {"name": "$HEADROOM_NAME-root", "labels": {"kept": "yes"}},
	  "spec": {"accessModes": ["ReadWriteMany"], "volumeMode": "Block", "storageClassName": "longhorn-rig-image", "resources": {"requests": {"storage": "7Gi"}}}}]`
	b := newBench(t, func(s *Settings) {
		s.ConfigOverride = map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{kubevm.ClaimTemplates: claims}},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"domain": map[string]any{
					"memory":  map[string]any{"guest": "64Mi"},
					"devices": map[string]any{"disks": []any{map[string]any{"name": "root", "disk": map[string]any{"bus": "virtio"}}}},
				},
				"volumes": []any{map[string]any{"name": "root", "persistentVolumeClaim": map[string]any{"claimName": "$HEADROOM_NAME-root"}}},
			}}},
		}
	})
	if _, err := b.driver.Create(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	b.running(t)
	if claim := b.disk(t, "hr-1-root"); claim.GetLabels()["kept"] != "yes" {
		t.Error("a label of the volume was not kept")
	}
	kuberig.Eventually(t, 2*time.Minute, func() string {
		if err := b.driver.Delete(t.Context(), "hr-1"); provider.ClassOf(err) != provider.NotFound {
			return "the machine is not gone"
		}
		return ""
	})
	if left := b.Leftovers(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// condition lets an image be as Harvester would describe it.
func (b *bench) condition(t *testing.T, status, message string) {
	t.Helper()
	u := b.Get(t, kuberig.Images, noble)
	if err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{"type": "Imported", "status": status, "message": message}}, "status", "conditions"); err != nil {
		t.Fatal(err)
	}
	api := b.Admin.Resource(kuberig.Images).Namespace(b.Namespace)
	if _, err := api.UpdateStatus(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		if _, err = api.Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*Settings)
		status  string // of the image; empty: imported
		class   provider.Class
		verdict provider.Verdict
		words   string
	}{
		"missing":        {func(s *Settings) { s.Image = "nobodys" }, "", provider.Invalid, provider.VerdictFailed, "does not exist"},
		"being imported": {nil, "Unknown", provider.Unavailable, provider.VerdictWarning, "still being imported"},
		"failed":         {nil, "False", provider.Invalid, provider.VerdictFailed, "could not be imported: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			if c.status != "" {
				b.condition(t, c.status, "no such file")
			}
			_, err := b.driver.Create(t.Context(), request())
			if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.words) {
				t.Errorf("create: %v, expected %s with %q", err, c.class, c.words)
			}
			if left := b.Leftovers(t); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			report, err := b.driver.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var found []provider.Finding
			for _, f := range report.Findings {
				if f.Verdict != provider.VerdictOK {
					found = append(found, f)
				}
			}
			if len(found) != 1 || found[0].Subject != "image" || found[0].Verdict != c.verdict || !strings.Contains(found[0].Message, c.words) || found[0].Remedy == "" {
				t.Errorf("the check says %+v, expected one finding with %q", found, c.words)
			}
		})
	}
}

// With each right of the documented role missing in turn, the check names that
// right and no other.
func TestOneRightMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	failed := func(t *testing.T, d *kubevm.Driver) (out []string) {
		t.Helper()
		report, err := d.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Findings {
			if f.Verdict != provider.VerdictOK {
				out = append(out, f.Subject)
			}
		}
		return out
	}
	if found := failed(t, b.driver); len(found) > 0 {
		t.Fatalf("with the documented rights: %v", found)
	}
	for _, r := range b.driver.Rights() {
		t.Run(r.Verb+" "+r.Resource.Resource, func(t *testing.T) {
			t.Parallel()
			d := b.open(t, func(s *Settings) { s.APIToken = b.Without(t, r.Verb, r.Resource.Resource) })
			want := []string{"right to " + r.Verb + " " + r.Resource.GroupResource().String() + " in namespace " + b.Namespace}
			if diff := cmp.Diff(want, failed(t, d)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChoices(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	got, err := b.driver.Choices(t.Context(), "image")
	want := []provider.Choice{{Value: b.Namespace + "/" + noble, Label: noble + ".qcow2"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}
