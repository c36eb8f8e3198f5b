package kubevirt

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

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
