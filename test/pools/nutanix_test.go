package pools_test

import (
	"errors"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
	"github.com/headroom-dev/headroom/test/pools"
)

// TestNutanix works on a Prism Central in memory that is held against the
// vendor's own description of the API.
func TestNutanix(t *testing.T) {
	t.Parallel()
	prism, err := fakenutanix.New(fakenutanix.Options{PageLength: 3, CloneTime: 2 * time.Second, DeleteTime: time.Second})
	if errors.Is(err, fakenutanix.ErrNoContract) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		prism.Close()
		for _, wrong := range prism.Wrong() {
			t.Errorf("not as the API description says: %s", wrong)
		}
	})
	host, port := prism.Address()
	pools.Run(t, pools.Pool{
		Kind: "nutanix",
		Settings: map[string]any{
			"host": host, "port": port, "ca_bundle": prism.Authority(),
			"username": fakenutanix.Username, "password": fakenutanix.Password,
			"vm_candidate": "golden", "cluster": "cluster-a", "subnet": "vlan-120", "project": "desktops",
			"cores": 4, "memory": "8Gi", "categories": map[string]any{"Environment": "Production"},
		},
		Machines:  func(*testing.T) int { return prism.Machines() },
		Leftovers: func(*testing.T) []string { return prism.Leftovers() },
	})
}
