package kubevirt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/test/kuberig"
)

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
