package pools_test

import (
	"errors"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
	"github.com/headroom-dev/headroom/test/pools"
)

// TestNutanixV4 works on a Prism Central in memory that is held against the
// vendor's own SDK for the v4 API.
func TestNutanixV4(t *testing.T) {
	t.Parallel()
	prism, err := fakenutanixv4.New(fakenutanixv4.Options{CloneTime: 2 * time.Second, ChangeTime: 300 * time.Millisecond, DeleteTime: time.Second})
	if errors.Is(err, fakenutanixv4.ErrNoContract) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		prism.Close()
		for _, wrong := range prism.Wrong() {
			t.Errorf("not as the SDK says: %s", wrong)
		}
	})
	host, port := prism.Address()
	pools.Run(t, pools.Pool{
		Kind: "nutanix",
		Settings: map[string]any{
			"host": host, "port": port, "ca_bundle": prism.Authority(), "api_version": "v4",
			"username": fakenutanixv4.Username, "password": fakenutanixv4.Password,
			"vm_candidate": "golden", "cluster": "cluster-a", "subnet": "vlan-120",
			"cores": 4, "memory": "8Gi", "categories": map[string]any{"Environment": "Production"},
		},
		Machines:  func(*testing.T) int { return prism.Machines() },
		Leftovers: func(*testing.T) []string { return prism.Leftovers() },
	})
}
