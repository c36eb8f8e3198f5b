package kubevirt

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/test/kuberig"
)

// A controller that dies at any request of a create leaves nothing that is not
// found, and a create that is repeated makes one whole machine.
func TestCrashInCreate(t *testing.T) {
	t.Parallel()
	key := func(s *Settings) { s.SSHPublicKey = "ssh-ed25519 AAAA ann" }
	nth := func(n int, method, resource string) func() kuberig.Match {
		return func() kuberig.Match {
			match, seen := kuberig.To(method, resource), 0
			return func(r *http.Request) bool {
				if !match(r) {
					return false
				}
				seen++
				return seen == n
			}
		}
	}
	for name, at := range map[string]func() kuberig.Match{
		"the secret": nth(1, http.MethodPost, "secrets"), "the secret of the key": nth(2, http.MethodPost, "secrets"),
		"the machine":             nth(1, http.MethodPost, "virtualmachines"),
		"the owner of the secret": nth(1, http.MethodPatch, "secrets"), "the owner of the key": nth(2, http.MethodPatch, "secrets"),
	} {
		for when, strike := range map[string]func(*kuberig.Proxy, kuberig.Match){
			"before": (*kuberig.Proxy).Drop, "after": (*kuberig.Proxy).Lose,
		} {
			t.Run(when+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, key)
				req := b.request()
				strike(b.proxy, at())
				if i, err := b.driver.Create(t.Context(), req); err == nil || provider.ClassOf(err).MadeNothing() {
					t.Fatalf("create answered %+v, %v", i, err)
				}
				machines, remnants := b.found(t)
				switch made := b.Get(t, kuberig.Machines, req.Name) != nil; {
				case made && (len(machines) != 1 || len(remnants) != 0):
					t.Errorf("the machine exists, found were %v and %v", machines, remnants)
				case !made:
					for part := range b.Parts(t) {
						_, name, _ := strings.Cut(part, "/")
						known := false
						for _, r := range remnants {
							known = known || r.Name == name && r.Tags == req.Tags
						}
						if !known {
							t.Errorf("%s is not found: %+v", part, remnants)
						}
					}
				}
				// As a controller would that does not know what came of it.
				again := b.open(t, b.settings(key))
				i, err := again.Create(t.Context(), req)
				if err != nil {
					t.Fatalf("create again: %v", err)
				}
				b.until(t, i.ID, provider.StateRunning)
				for _, name := range []string{req.Name + "-secret", req.Name + "-ssh"} {
					if s := b.Get(t, kuberig.Secrets, name); s == nil || len(s.GetOwnerReferences()) != 1 || s.GetOwnerReferences()[0].UID != b.Get(t, kuberig.Machines, req.Name).GetUID() {
						t.Errorf("secret %s is not owned by the machine", name)
					}
				}
				if diff := cmp.Diff(string(req.Bootstrap.UserData), string(b.UserData(t, i.ID))); diff != "" {
					t.Errorf("user data:\n%s", diff)
				}
				b.clear(t)
			})
			// Given up instead of repeated: the sweep has to find everything.
			t.Run(when+" "+name+", given up", func(t *testing.T) {
				t.Parallel()
				b := newBench(t, key)
				strike(b.proxy, at())
				if _, err := b.driver.Create(t.Context(), b.request()); err == nil {
					t.Fatal("the answer was to be lost, but create succeeded")
				}
				b.clear(t)
			})
		}
	}
}

// A repeated create delivers the script of the repetition, and never takes over
// what is not of the same server.
func TestSecretOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	req := b.request()
	b.proxy.Drop(kuberig.To(http.MethodPost, "virtualmachines"))
	if _, err := b.driver.Create(t.Context(), req); err == nil {
		t.Fatal("create succeeded")
	}
	thief := req
	thief.Tags.Server = "01janother"
	if _, err := b.driver.Create(t.Context(), thief); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), req.Name+"-secret") {
		t.Errorf("create for another server with the same name: %v, expected conflict", err)
	}
	req.Bootstrap.UserData = []byte("#!/bin/sh\necho second")
	if _, err := b.driver.Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := string(b.UserData(t, req.Name)); got != "#!/bin/sh\necho second" {
		t.Errorf("the machine got %q", got)
	}
	if _, err := b.driver.Create(t.Context(), thief); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("create for another server with the name of a machine: %v, expected conflict", err)
	}
	b.clear(t)
}
