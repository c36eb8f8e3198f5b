package kuberig_test

import (
	"os"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/kubevirt"
	"github.com/headroom-dev/headroom/test/kuberig"
)

// A restart of the API server in the middle of machines' lives costs nothing but
// time: every call until it is back is Unavailable, and what was begun is
// finished by repetition. It disturbs all that use the rig at the same time, so
// that it has a target of its own.
func TestRestartOfTheAPIServer(t *testing.T) { //nolint:paralleltest // it restarts what other tests use
	if os.Getenv("HEADROOM_RIG_KUBE_RESTART") == "" {
		t.Skip("it restarts the API server of the rig: `make rig-kube-restart` runs it")
	}
	rig := kuberig.Open(t)
	tenant := rig.Tenant(t, "providers/kubevirt.md")
	tenant.Claim(t, "noble", "1Gi", nil)
	tenant.Begin(t)
	p := rig.Proxy(t)
	d, err := kubevirt.Kind().Open(t.Context(), &kubevirt.Settings{
		Access: tenant.Access(p), Machine: kuberig.Machine(), DiskSource: "noble",
	}, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	req := provider.Request{
		Token: "t", Name: "hr-restart", Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
		Tags: provider.Tags{Installation: "01jrestart", Server: "01jserver", AutoscaleConfig: "desktops", Provider: "cluster"},
	}
	restarted := make(chan struct{})
	p.Before(kuberig.To("POST", "virtualmachines"), func() { // the secret is made, the machine is not
		go func() {
			defer close(restarted)
			rig.Restart(t, "kube-apiserver")
		}()
		<-restarted
	})
	owner := req.Tags.Owner()
	step := func(what string, do func() error) {
		t.Helper()
		kuberig.Eventually(t, 3*time.Minute, func() string {
			err := do()
			switch provider.ClassOf(err) {
			case provider.Unavailable, provider.RateLimited, provider.Conflict, provider.Unknown:
				if err != nil {
					return what + ": " + err.Error()
				}
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			return ""
		})
	}
	step("create", func() error { _, err := d.Create(t.Context(), req); return err })
	step("list", func() error {
		n := 0
		for _, err := range d.List(t.Context(), owner) {
			if err != nil {
				return err
			}
			n++
		}
		if n != 1 {
			t.Errorf("the listing shows %d machines", n)
		}
		return nil
	})
	kuberig.Eventually(t, 3*time.Minute, func() string {
		i, err := d.Get(t.Context(), req.Name)
		if err != nil {
			return err.Error()
		}
		if i.State != provider.StateRunning {
			return "the machine is " + string(i.State) + " " + i.Fault
		}
		return ""
	})
	rig.Restart(t, "kube-apiserver")
	kuberig.Eventually(t, 3*time.Minute, func() string {
		if err := d.Delete(t.Context(), req.Name); provider.ClassOf(err) != provider.NotFound {
			return "the machine is not gone"
		}
		return ""
	})
	if left := tenant.Leftovers(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
