package pools_test

import (
	"encoding/pem"
	"net/http/httptest"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/test/pools"
)

func TestAzure(t *testing.T) {
	t.Parallel()
	fake := fakeazure.New()
	srv := httptest.NewTLSServer(fake)
	t.Cleanup(srv.Close)
	p := fake.NewSubscription()
	// The first zone takes every create and then has no room: the pool must come to
	// life in the second.
	p.SellOut("Standard_D2s_v5@1", "ZonalAllocationFailed", true)
	pools.Run(t, pools.Pool{
		Kind:   azure.KindName,
		Script: "#!/bin/sh\necho {server_hostname}\n",
		Settings: map[string]any{
			"tenant_id": p.Tenant, "client_id": p.Client, "client_secret": p.Secret, "subscription_id": p.ID,
			"authority": "custom", "authority_host": srv.URL, "endpoint": srv.URL,
			"resource_group": p.Group, "region": p.Region, "vm_size": []string{"Standard_D2s_v5"}, "availability_zones": []string{"1", "2"},
			"image": "Canonical:ubuntu-24_04-lts:server:latest", "network_security_group": "desktops", "subnet": "office/desktops", "public_ip": true,
			"ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJt1h2Q3fHk1mQmE5B0f0m2D0yqk6kqkqkqkqkqkqkqk admin@example.com",
			"tags":           map[string]string{"team": "desk"},
			"ca_bundle":      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		},
		Machines:  func(*testing.T) int { return p.Machines() },
		Leftovers: func(*testing.T) []string { return p.Objects() },
	})
	for _, v := range fake.Violations() {
		t.Error("against Azure's API:", v)
	}
}
