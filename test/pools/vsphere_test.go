package pools_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/vsphere/fakevsphere"
	"github.com/headroom-dev/headroom/test/pools"
)

// TestVSphere takes a pool of full clones through VMware's simulator. Each runs
// its startup script through guest operations.
func TestVSphere(t *testing.T) {
	t.Parallel()
	s := fakevsphere.New(t)
	names := func(*testing.T) []string {
		var all []string
		for _, vm := range s.Machines() {
			all = append(all, vm.Name)
		}
		return all
	}
	pools.Run(t, pools.Pool{
		Kind: "vsphere", Settings: s.Settings(), Script: "#!/bin/sh\necho hello from {server_hostname}\n",
		Machines:  func(t *testing.T) int { return len(names(t)) },
		Leftovers: names,
	})
}
