package kubevirt

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/test/kuberig"
)

const page = "providers/kubevirt.md"

// source is the claim that disks are cloned from in the tests.
const source = "ubuntu-noble"

// kind is the provider as the rig's tests see it.
func kind() kuberig.Kind {
	return kuberig.Kind{
		Kind: Kind(), Page: page,
		Prepare: func(t *testing.T, tenant *kuberig.Tenant) {
			t.Helper()
			tenant.Claim(t, source, "2Gi", nil)
		},
		Settings: func(access kubevm.Access, machine kubevm.Machine) any {
			return &Settings{Access: access, Machine: machine, DiskSource: source, StorageClass: kuberig.ClassImmediate}
		},
		LifeCalls: 3 + 1 + 5,
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	rig := kuberig.Open(t)
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
		t.Helper()
		return rig.Account(t, kind())
	}})
}
