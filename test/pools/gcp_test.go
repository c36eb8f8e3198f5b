package pools_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
	"github.com/headroom-dev/headroom/test/pools"
)

func TestGCP(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	model, err := fakegcp.LoadModel(strings.TrimSpace(string(dir)))
	if err != nil {
		t.Fatal(err)
	}
	fake, err := fakegcp.New(model)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(fake)
	t.Cleanup(srv.Close)
	credentials, project := fake.NewProject(srv.URL)
	// The first zone takes every create and then has no room: the pool must come
	// to life in the second.
	project.SellOut("e2-standard-2@europe-west3-a", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")
	pools.Run(t, pools.Pool{
		Kind:   gcp.KindName,
		Script: "#!/bin/sh\necho {server_hostname}\n",
		Settings: map[string]any{
			"project": project.ID, "credentials": credentials, "endpoint": srv.URL, "zones": []string{"europe-west3-a", "europe-west3-b"}, "machine_type": []string{"e2-standard-2"},
			"image": "debian-cloud/debian-12", "subnetwork": "desktops", "os_type": "linux", "public_ip": true, "labels": map[string]string{"team": "desk"},
			"ca_bundle": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		},
		Machines:  func(*testing.T) int { return project.Instances() },
		Leftovers: func(*testing.T) []string { return project.Objects() },
	})
	for _, v := range fake.Violations() {
		t.Error("against Google's discovery documents:", v)
	}
}
