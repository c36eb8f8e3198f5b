package pools_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/test/kuberig"
	"github.com/headroom-dev/headroom/test/pools"
)

// settings of a machine on the rig, as an operator writes them.
func onKube(a kubevm.Access, more map[string]any) map[string]any {
	s := map[string]any{
		"kube_host": a.KubeHost, "ca_cert": a.CACert, "api_token": a.APIToken, "namespace": a.Namespace,
		"cores": 2, "memory": "2Gi", "disk_size": 5,
	}
	for key, value := range more {
		s[key] = value
	}
	return s
}

func runOnKube(t *testing.T, kind, page string, prepare func(*kuberig.Tenant), more map[string]any) {
	t.Helper()
	tenant := kuberig.Open(t).Tenant(t, page)
	prepare(tenant)
	tenant.Begin(t)
	pools.Run(t, pools.Pool{
		Kind: kind, Settings: onKube(tenant.Access(tenant.Proxy(t)), more),
		Script: "#!/bin/sh\necho ready\n",
		Machines: func(t *testing.T) int {
			t.Helper()
			return tenant.Machines(t)
		},
		Leftovers: func(t *testing.T) []string {
			t.Helper()
			return tenant.Leftovers(t)
		},
	})
}

func TestKubeVirt(t *testing.T) {
	t.Parallel()
	runOnKube(t, "kubevirt", "providers/kubevirt.md", func(tenant *kuberig.Tenant) {
		tenant.Claim(t, "ubuntu-noble", "2Gi", nil)
	}, map[string]any{"disk_source": "ubuntu-noble", "storage_class": kuberig.ClassImmediate})
}

func TestHarvester(t *testing.T) {
	t.Parallel()
	runOnKube(t, "harvester", "providers/harvester.md", func(tenant *kuberig.Tenant) {
		tenant.Image(t, "image-noble")
	}, map[string]any{"image": "image-noble"})
}

// TestKubeVirtInAnotherNamespace changes the namespace of the settings by apply.
func TestKubeVirtInAnotherNamespace(t *testing.T) {
	t.Parallel()
	rig := kuberig.Open(t)
	place := func() pools.Place {
		tenant := rig.Tenant(t, "providers/kubevirt.md")
		tenant.Claim(t, "ubuntu-noble", "2Gi", nil)
		tenant.Begin(t)
		return pools.Place{
			Settings: onKube(tenant.Access(tenant.Proxy(t)), map[string]any{"disk_source": "ubuntu-noble", "storage_class": kuberig.ClassImmediate}),
			Machines: func(t *testing.T) int { t.Helper(); return tenant.Machines(t) },
			Leftovers: func(t *testing.T) []string {
				t.Helper()
				return tenant.Leftovers(t)
			},
		}
	}
	pools.Move(t, "kubevirt", place(), place())
}
