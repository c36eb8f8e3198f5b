package openstack_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/openstack"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
	"github.com/headroom-dev/headroom/test/rigs/openstack/faultproxy"
)

var update = flag.Bool("update", false, "record the answers of the rig in testdata")

// TestRecord writes the answers that the tests of conversion read, with -update.
func TestRecord(t *testing.T) {
	t.Parallel()
	if !*update {
		t.Skip("nothing is recorded without -update")
	}
	p := newPlace(t, nil)
	keep := func(name, service, method string, status int) {
		t.Helper()
		calls := p.proxy.Calls()
		for i := len(calls) - 1; i >= 0; i-- {
			c := calls[i]
			if c.Service == service && c.Method == method && c.Status == status {
				save(t, name, c)
				return
			}
		}
		t.Fatalf("no %s of %s was answered with %d", method, service, status)
	}
	d := p.driver(t, nil)
	req := p.request("01JRECORDED")
	id := create(t, d, req).ID
	becomes(t, d, id, provider.StateRunning)
	keep("server-active", "compute", http.MethodGet, http.StatusOK)
	lock := func(what string) {
		if err := p.Do(t.Context(), http.MethodPost, "compute", "/servers/"+id+"/action", map[string]any{what: nil}, nil); err != nil {
			t.Fatal(err)
		}
	}
	lock("lock")
	_ = d.Delete(t.Context(), id)
	keep("error-locked", "compute", http.MethodDelete, http.StatusConflict)
	lock("unlock")
	remove(t, d, id)
	slow := p.driver(t, func(s *openstack.Settings) { s.Metadata = map[string]string{"rig-build": "hang"} })
	id = create(t, slow, req).ID
	becomes(t, slow, id, provider.StatePending)
	_ = d.Delete(t.Context(), id)
	becomes(t, d, id, provider.StateDeleting)
	keep("server-deleting", "compute", http.MethodGet, http.StatusOK)
	_, _ = d.Get(t.Context(), nothing)
	keep("error-not-found", "compute", http.MethodGet, http.StatusNotFound)

	huge := p.driver(t, func(s *openstack.Settings) { s.Flavor = rig.FlavorHuge })
	remove(t, d, id)
	id = create(t, huge, req).ID
	becomes(t, huge, id, provider.StateFailed)
	keep("server-no-valid-host", "compute", http.MethodGet, http.StatusOK)
	remove(t, d, id)

	fail := func(name, service, method string, status int, change func(*openstack.Settings)) {
		t.Helper()
		if _, err := p.driver(t, change).Create(t.Context(), req); err == nil {
			t.Fatalf("%s: the create succeeded", name)
		}
		keep(name, service, method, status)
	}
	fail("error-image", "compute", http.MethodPost, http.StatusBadRequest, func(s *openstack.Settings) { s.Image = nothing })
	fail("error-key", "compute", http.MethodPost, http.StatusBadRequest, func(s *openstack.Settings) { s.KeyName = "nobody" })
	fail("error-microversion", "compute", http.MethodGet, http.StatusNotAcceptable, func(s *openstack.Settings) { s.NovaMicroversion = "2.999" })
	fail("error-refused", "identity", http.MethodPost, http.StatusUnauthorized, func(s *openstack.Settings) {
		s.ApplicationCredentialSecret = "x" + s.ApplicationCredentialSecret
	})
	p.quota(t, "compute", map[string]int{"instances": 0})
	fail("error-quota", "compute", http.MethodPost, http.StatusForbidden, nil)
	p.quota(t, "volume", map[string]int{"volumes": 0})
	fail("error-volume-quota", "volume", http.MethodPost, http.StatusRequestEntityTooLarge, func(s *openstack.Settings) { s.BootFromVolume, s.VolumeSize = true, 1 })
	p.quota(t, "network", map[string]int{"floatingip": 0})
	fail("error-address-quota", "network", http.MethodPost, http.StatusConflict, func(s *openstack.Settings) {
		s.Network, s.FloatingIPPool = rig.NetworkName, rig.OutsideName
	})

	narrow, secret, err := p.Credential(t.Context(), "narrow", published)
	if err != nil {
		t.Fatal(err)
	}
	use := func(s *openstack.Settings) { s.ApplicationCredentialID, s.ApplicationCredentialSecret = narrow, secret }
	_, _ = p.driver(t, use).(provider.Catalog).Choices(t.Context(), "key_name")
	keep("error-outside-rules", "compute", http.MethodGet, http.StatusUnauthorized)
	if err := p.Revoke(t.Context(), narrow); err != nil {
		t.Fatal(err)
	}
	_, _ = p.driver(t, use).Get(t.Context(), nothing)
	keep("error-revoked", "identity", http.MethodPost, http.StatusNotFound)
}

func save(t *testing.T, name string, c faultproxy.Call) {
	t.Helper()
	body := json.RawMessage(c.Answer)
	if !json.Valid(body) {
		text, err := json.Marshal(string(c.Answer))
		if err != nil {
			t.Fatal(err)
		}
		body = text
	}
	b, err := json.MarshalIndent(map[string]any{
		"service": c.Service, "method": c.Method, "path": c.Path, "status": c.Status, "body": body,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".json"), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
