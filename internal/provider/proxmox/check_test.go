package proxmox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

// least are the grants of the guide, and nothing else.
func least(release int) []fakeproxmox.Grant {
	machine := []string{
		"VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Options", "VM.Config.Network", "VM.Config.Cloudinit",
	}
	if release >= 9 {
		machine = append(machine, "VM.GuestAgent.Unrestricted")
	} else {
		machine = append(machine, "VM.Monitor")
	}
	return []fakeproxmox.Grant{
		{Path: "/vms", Privileges: []string{"VM.Audit"}},
		{Path: "/vms/9000", Privileges: []string{"VM.Audit", "VM.Clone"}},
		{Path: "/pool/headroom", Privileges: machine},
		{Path: "/storage/local-lvm", Privileges: []string{"Datastore.AllocateSpace", "Datastore.Audit"}},
		{Path: "/sdn/zones/localnetwork/vmbr0", Privileges: []string{"SDN.Use"}},
		{Path: "/nodes", Privileges: []string{"Sys.Audit"}},
	}
}

func leastSettings(s *Settings) {
	s.Pool, s.NetworkBridge, s.NetworkVLAN, s.Storage = "headroom", "vmbr0", 7, "local-lvm"
}

// weak are privileges without which machines are made all the same.
var weak = []string{"Sys.Audit", "Datastore.Audit"}

// TestLeastPermissions runs a machine's whole life with the permissions of the
// guide, and once more without each of them: the check names exactly that one,
// and so does the create, before anything is made.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	for _, release := range []int{8, 9} {
		t.Run(fmt.Sprintf("version %d", release), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(o *fakeproxmox.Options) { o.Release, o.Grants = release, least(release) })
			s.AddPool("headroom")
			d := s.driver(t, leastSettings)
			if r, err := d.Check(t.Context()); err != nil || !r.OK() {
				t.Errorf("check: %+v, %v", r, err)
			}
			i := running(t, d, "01jleast")
			if run := finish(t, d, i.ID, []byte("#!/bin/sh\nexit 0\n")); run.ExitCode != 0 {
				t.Errorf("script: %+v", run)
			}
			until(t, func() string {
				if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
					return fmt.Sprint(err)
				}
				return ""
			})
			for n, g := range least(release) {
				for _, privilege := range g.Privileges {
					if n > 0 && privilege == "VM.Audit" {
						continue // that on /vms counts
					}
					t.Run(privilege+" on "+g.Path, func(t *testing.T) {
						grants := least(release)
						grants[n].Privileges = slices.DeleteFunc(slices.Clone(grants[n].Privileges), func(p string) bool { return p == privilege })
						s.SetGrants(grants)
						defer s.SetGrants(least(release))
						missingOne(t, s, d, privilege)
					})
				}
			}
		})
	}
}

func missingOne(t *testing.T, s *site, d provider.Driver, privilege string) {
	t.Helper()
	r, err := d.Check(t.Context())
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	var named []string
	for _, f := range r.Findings {
		if f.Verdict == provider.VerdictOK || strings.Contains(f.Subject, privPool) {
			continue
		}
		if f.Remedy == "" || f.Message == "" {
			t.Errorf("finding without words: %+v", f)
		}
		named = append(named, f.Subject+" "+f.Message)
	}
	if len(named) != 1 || !strings.Contains(named[0], privilege) {
		t.Errorf("the check names %q", named)
	}
	before := len(s.VMs())
	_, err = d.Create(t.Context(), request("01jwithout"))
	if slices.Contains(weak, privilege) {
		if err != nil {
			t.Errorf("create: %v", err)
		}
		for id, v := range s.VMs() {
			if !v.Template {
				s.RemoveVM(id)
			}
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), privilege) || provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("create: %v", err)
	}
	if n := len(s.VMs()); n != before {
		t.Errorf("the create without the right made a machine")
	}
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		arrange func(*site)
		change  func(*Settings)
		subject string
		says    string
		verdict provider.Verdict
	}{
		{name: "healthy", subject: "API of Proxmox VE", says: "9.1.2", verdict: provider.VerdictOK},
		{name: "template", change: func(s *Settings) { s.Template = "nothing" }, subject: "template nothing", says: "it sees base (9000)", verdict: provider.VerdictFailed},
		{name: "machine that is no template", arrange: func(s *site) { s.AddVM(700, "plain", "pve1", nil) }, change: func(s *Settings) { s.Template = "plain" }, subject: "template plain", says: "is no template", verdict: provider.VerdictFailed},
		{name: "node", change: func(s *Settings) { s.TargetNodes = []string{"pve1", "pve7"} }, subject: "node pve7", says: "it has pve1", verdict: provider.VerdictFailed},
		{name: "offline node", arrange: func(s *site) { s.AddNode("pve2", 8); s.SetOnline("pve2", false) }, subject: "nodes", says: "offline: pve2", verdict: provider.VerdictWarning},
		{name: "storage", change: func(s *Settings) { s.Storage = "nowhere" }, subject: "storage nowhere", says: "does not exist", verdict: provider.VerdictWarning},
		{name: "bridge", change: func(s *Settings) { s.NetworkBridge = "vmbr9" }, subject: "bridge vmbr9 on node pve1", says: "it sees vmbr0", verdict: provider.VerdictWarning},
		{name: "small range", change: func(s *Settings) { s.VMIDRange = "1000-1009" }, subject: "VMIDs 1000-1009", says: "10 are free", verdict: provider.VerdictWarning},
		{name: "full range", change: func(s *Settings) { s.VMIDRange = "9000-9000" }, subject: "VMIDs 9000-9000", says: "all are taken", verdict: provider.VerdictFailed},
		{name: "no cloud-init drive", arrange: func(s *site) { s.SetConfig(9000, map[string]string{"ide2": ""}) }, subject: "cloud-init drive of the template", says: "has none", verdict: provider.VerdictWarning},
		{name: "no agent", arrange: func(s *site) { s.SetConfig(9000, map[string]string{"agent": ""}) }, subject: "guest agent of the template", says: "not enabled", verdict: provider.VerdictWarning},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			if c.arrange != nil {
				c.arrange(s)
			}
			r, err := s.driver(t, c.change).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				if f.Subject == c.subject {
					if f.Verdict != c.verdict || !strings.Contains(f.Message, c.says) {
						t.Errorf("finding %+v", f)
					}
					return
				}
			}
			t.Errorf("no finding about %s: %+v", c.subject, r.Findings)
		})
	}
}

// TestCheckTellsOutageFromMistake: an API that cannot be used is an error of
// the check with its class.
func TestCheckTellsOutageFromMistake(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for name, c := range map[string]struct {
		change func(*Settings)
		class  provider.Class
		says   string
	}{
		"wrong secret":      {func(s *Settings) { s.TokenSecret = "wrong" }, provider.Unauthenticated, "token_secret"},
		"wrong certificate": {func(s *Settings) { s.CABundle = providertest.OtherAuthority(t) }, provider.Unauthenticated, "ca_bundle"},
		"nobody there":      {func(s *Settings) { s.Host = "https://127.0.0.1:1" }, provider.Unavailable, "nothing listens"},
		"unknown host":      {func(s *Settings) { s.Host = "pve.invalid" }, provider.Unavailable, "pve.invalid"},
		"another path":      {func(s *Settings) { s.Host += "/elsewhere" }, provider.Invalid, "check host and port"},
	} {
		_, err := s.driver(t, c.change).Check(t.Context())
		if provider.ClassOf(err) != c.class || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %s with %q", name, err, c.class, c.says)
		}
		if err != nil && strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
	s.Inject("GET /version", fakeproxmox.Fault{Status: http.StatusBadGateway, Text: "Bad Gateway"})
	if _, err := s.driver(t, nil).Check(t.Context()); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("outage: %v", err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.AddNode("pve2", 8)
	s.AddStorage("ceph", true, "pve1", "pve2")
	s.AddPool("headroom")
	d := s.driver(t, nil).(provider.Catalog)
	got := map[string][]string{}
	for _, setting := range []string{"template", "node", "target_nodes", "storage", "network_bridge", "pool"} {
		choices, err := d.Choices(t.Context(), setting)
		if err != nil {
			t.Errorf("choices of %s: %v", setting, err)
		}
		for _, c := range choices {
			got[setting] = append(got[setting], c.Value)
		}
	}
	want := map[string][]string{
		"template": {"9000"}, "node": {"pve1", "pve2"}, "target_nodes": {"pve1", "pve2"}, "storage": {"ceph", "local-lvm"}, "network_bridge": {"vmbr0"}, "pool": {"headroom"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := d.Choices(t.Context(), "cores"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("choices of cores: %v", err)
	}
}
