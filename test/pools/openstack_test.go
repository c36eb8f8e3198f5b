package pools_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/test/pools"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
	"github.com/headroom-dev/headroom/test/rigs/openstack/faultproxy"
)

// TestOpenStack takes a pool through its life on a real OpenStack in which
// things go wrong: one machine cannot be built, one is never finished, answers
// get lost, and nova-compute and keystone are killed while machines are on their
// way.
func TestOpenStack(t *testing.T) {
	t.Parallel()
	r := rig.Open(t)
	r.Alone(t)
	project, err := r.Tenant(t.Context(), fmt.Sprintf("pool-%d", time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
		defer cancel()
		for _, name := range []string{"nova-compute", "keystone"} {
			if err := r.Start(ctx, name); err != nil {
				t.Error(err)
			}
		}
		if err := project.Clear(ctx); err != nil {
			t.Error(err)
		}
	})
	id, secret, err := project.Credential(t.Context(), "headroom", nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy := faultproxy.New(t, r.ServiceURLs())
	create := faultproxy.Fault{Service: "compute", Method: http.MethodPost, Path: "/v2.1/servers"}
	for skip, change := range []func(*faultproxy.Fault){
		func(f *faultproxy.Fault) {
			f.Swap = [2]string{`"headroom-server"`, `"rig-build":"fail","headroom-server"`}
		},
		func(f *faultproxy.Fault) {
			f.Swap = [2]string{`"headroom-server"`, `"rig-build":"hang","headroom-server"`}
		},
		func(f *faultproxy.Fault) { f.Lose = true },
	} {
		f := create
		f.Skip = skip
		change(&f)
		proxy.Inject(f)
	}
	proxy.Inject(faultproxy.Fault{Service: "compute", Method: http.MethodDelete, Lose: true})
	proxy.Inject(faultproxy.Fault{Service: "network", Method: http.MethodPost, Path: "/v2.0/floatingips", Skip: 1, Lose: true})
	proxy.Inject(faultproxy.Fault{Service: "volume", Method: http.MethodPost, Skip: 1, Lose: true})
	proxy.Inject(faultproxy.Fault{Service: "compute", Method: http.MethodGet, Skip: 5, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}}})

	outages := []struct {
		after  int // creates
		daemon string
	}{{1, "nova-compute"}, {4, "keystone"}}
	creates := func() int {
		n := 0
		for _, c := range proxy.Calls() {
			if c.Service == "compute" && c.Method == http.MethodPost {
				n++
			}
		}
		return n
	}
	pools.Run(t, pools.Pool{
		Kind: "openstack",
		Settings: map[string]any{
			"auth_url": proxy.URL("identity") + "/v3", "application_credential_id": id, "application_credential_secret": secret,
			"ca_bundle": proxy.CA(), "flavor": rig.FlavorDiskless, "image": r.Things.Image, "network": rig.NetworkName,
			"boot_from_volume": true, "volume_size": 2, "floating_ip_pool": rig.OutsideName,
		},
		Script:   "#!/bin/sh\necho {server_hostname}\n",
		Policy:   map[string]any{"provision_timeout": "90s"},
		Patience: 10 * time.Minute, // real services, on a machine that may be busy
		Ready: func(t *testing.T, _ string) {
			if len(outages) == 0 || creates() < outages[0].after {
				return
			}
			daemon := outages[0].daemon
			outages = outages[1:]
			r.Kill(daemon)
			if err := r.Start(t.Context(), daemon); err != nil {
				t.Fatal(err)
			}
		},
		Machines: func(t *testing.T) int {
			found, err := project.Machines(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		},
		Leftovers: func(t *testing.T) []string {
			left, err := project.Everything(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return left
		},
	})
	if len(outages) > 0 {
		t.Errorf("these were not killed: %v", outages)
	}
}
