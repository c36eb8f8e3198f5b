package pools_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
	"github.com/headroom-dev/headroom/test/pools"
)

// TestProxmox works on a cluster in memory that is held against Proxmox VE's
// own description of the API. Its guests run the startup script.
func TestProxmox(t *testing.T) {
	t.Parallel()
	schema, err := fakeproxmox.FindSchema()
	if errors.Is(err, fakeproxmox.ErrNoSchema) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cluster := fakeproxmox.New(fakeproxmox.Options{
		Schema: schema, Dir: t.TempDir(), Fail: t.Errorf, Now: time.Now, Secret: "secret-of-the-token",
		CloneTime: time.Second, StartTime: 200 * time.Millisecond, StopTime: 200 * time.Millisecond, AgentTime: time.Second, StatsEvery: time.Second,
	})
	cluster.AddPool("headroom")
	server := httptest.NewTLSServer(cluster)
	t.Cleanup(func() {
		cluster.Close()
		server.Close()
	})
	machines := func() (all []string) {
		for id, v := range cluster.VMs() {
			if !v.Template {
				all = append(all, fmt.Sprintf("VM %d", id))
			}
		}
		return all
	}
	pools.Run(t, pools.Pool{
		Kind: "proxmox",
		Settings: map[string]any{
			"host": server.URL, "token_id": "headroom@pve!test", "token_secret": "secret-of-the-token",
			"ca_bundle": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
			"template":  "base", "cores": 2, "memory": "4Gi", "vmid_range": "20000-20999", "pool": "headroom", "network_bridge": "vmbr0",
		},
		Script:    "#!/bin/sh\necho this is {server_hostname}\n",
		Machines:  func(*testing.T) int { return len(machines()) },
		Leftovers: func(*testing.T) []string { return append(machines(), cluster.Volumes()...) },
	})
}
