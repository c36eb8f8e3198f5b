package pools_test

import (
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/digitalocean"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean/fakedigitalocean"
	"github.com/headroom-dev/headroom/test/pools"
)

func TestDigitalOcean(t *testing.T) {
	t.Parallel()
	fake := fakedigitalocean.New()
	srv := httptest.NewTLSServer(fake)
	t.Cleanup(srv.Close)
	token, account := fake.NewAccount()
	pools.Run(t, pools.Pool{
		Kind:   digitalocean.KindName,
		Script: "#!/bin/sh\necho {server_hostname}\n",
		Settings: map[string]any{
			"token": token, "endpoint": srv.URL, "region": "fra1", "image": "ubuntu-24-04-x64", "size": []string{"s-1vcpu-1gb"}, "firewall_name": "web",
			"ca_bundle": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		},
		Machines: func(*testing.T) int { return account.Droplets() },
		Leftovers: func(*testing.T) []string {
			var out []string
			for _, o := range account.Objects() {
				if !strings.HasPrefix(o, "tag headroom-provider:") { // part of the configuration
					out = append(out, o)
				}
			}
			return out
		},
	})
}
