package proxmox

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

func pemOf(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func (d *driver) idle() { d.api.http.CloseIdleConnections() }

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options  func(*fakeproxmox.Options)
		settings func(*Settings)
	}{
		"prompt": {},
		"slow cluster of version 8": {
			options: func(o *fakeproxmox.Options) {
				o.Release = 8
				o.CloneTime, o.StartTime, o.StopTime = 150*time.Millisecond, 60*time.Millisecond, 60*time.Millisecond
				o.StatsEvery = 250 * time.Millisecond
			},
			settings: func(s *Settings) { s.TargetNodes = []string{"pve1"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
				s := newSite(t, c.options)
				if c.settings != nil {
					c.settings(&s.settings)
				}
				return account(t, s)
			}})
		})
	}
}

func account(t *testing.T, s *site) providertest.Account {
	kind := Kind()
	open := kind.Open
	kind.Open = func(ctx context.Context, settings any, host provider.Host) (provider.Driver, error) {
		d, err := open(ctx, settings, host)
		if err == nil {
			t.Cleanup(func() { idle(d) })
		}
		return d, err
	}
	wrongCA := s.settings
	wrongCA.CABundle = providertest.OtherAuthority(t)
	inject := func(call string, f fakeproxmox.Fault) func(*testing.T) {
		return func(*testing.T) { s.Inject(call, f) }
	}
	refused := func(status int, text string) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			s.Inject(listCall, fakeproxmox.Fault{Status: status, Text: text, Header: http.Header{"Retry-After": {"7"}}})
			_, err := d.Get(t.Context(), "1000-0123456789abcdef")
			return err
		}
	}
	create := func(change func(*Settings)) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, _ provider.Driver) error {
			_, err := s.driver(t, change).Create(t.Context(), request("01jprovoked"))
			return err
		}
	}
	return providertest.Account{
		Kind: kind, Settings: &s.settings, Secrets: []string{testSecret}, Patience: 20 * time.Second,
		Foreign: func(*testing.T) string {
			s.AddVM(500, "hr-foreign", "pve1", map[string]string{"tags": "headroom;headroom-machine.501-0123456789abcdef", "cores": "1", "memory": "512"})
			return "500-0123456789abcdef"
		},
		Exists: func(_ *testing.T, id string) bool {
			want, _ := parseID(id)
			_, there := s.VMs()[want.vmid]
			return there
		},
		Leftovers: func(*testing.T) []string {
			var all []string
			for id, v := range s.VMs() {
				if !v.Template {
					all = append(all, fmt.Sprintf("VM %d", id))
				}
			}
			return append(all, s.Volumes()...)
		},
		LoseCreate: inject(cloneCall, fakeproxmox.Fault{Lost: true}),
		LoseDelete: inject("POST /nodes/{node}/qemu/{vmid}/status/stop", fakeproxmox.Fault{Lost: true}),
		BreakList:  inject(listCall, fakeproxmox.Fault{Body: `{"data":[{"type":"qemu","vmid":1000,"tags":`}),
		Tagged: func(t *testing.T) map[string]provider.Tags {
			out := map[string]provider.Tags{}
			for id, v := range s.VMs() {
				if v.Template {
					continue
				}
				tags, _, _ := decodeTags(v.Config["tags"], id)
				out[fmt.Sprintf("tags of VM %d", id)] = tags.tags
				n, _ := parseNotes(v.Config["description"], id)
				out[fmt.Sprintf("notes of VM %d", id)] = n.owned()
			}
			return out
		},
		WrongCA: &wrongCA,
		Expire: func(*testing.T) func() {
			s.SetExpired(true)
			return func() { s.SetExpired(false) }
		},
		Hang:  inject("", fakeproxmox.Fault{Hang: true}),
		Calls: s.Requests,
		// Create: what is there, permissions, clone. Delete of a machine that runs:
		// where it is, its notes, its state, stop. Get: not there, and surely so.
		LifeCalls: 4 + 4 + 2,
		Override: &providertest.Override{
			With: func(doc map[string]any) any {
				with := s.settings
				with.ConfigOverride = doc
				return &with
			},
			Good: map[string]any{"cpu": "host", "numa": true},
			Shown: func(_ *testing.T, id string) string {
				want, _ := parseID(id)
				if c := s.VMs()[want.vmid].Config; c["cpu"] != "host" || c["numa"] != "1" {
					return fmt.Sprintf("options are %v", c)
				}
				return ""
			},
			Bad: map[string]any{"cpuu": "host"}, BadPath: "config_override.cpuu",
			Hostile: []map[string]any{
				{"name": "stolen"}, {"name": nil}, {"description": nil}, {"description": "stolen"}, {"tags": nil}, {"tags": "stolen"},
			},
		},
		ScriptRuns: func(t *testing.T, id string) int {
			want, _ := parseID(id)
			out, err := os.ReadFile(filepath.Join(s.GuestFiles(want.vmid), "headroom-"+want.mark+".out"))
			if err != nil {
				t.Errorf("the script left no output: %v", err)
			}
			return strings.Count(string(out), "words of the script")
		},
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error {
				return d.Delete(t.Context(), "1000-0123456789abcdef")
			},
			provider.Invalid:         create(func(s *Settings) { s.Template = "no such template" }),
			provider.Unauthenticated: create(func(s *Settings) { s.TokenSecret = "wrong" }),
			provider.Forbidden: func(t *testing.T, d provider.Driver) error {
				s.SetGrants(without(s.release, "VM.Clone"))
				defer s.SetGrants(fakeproxmox.Administrator(s.release))
				_, err := d.Create(t.Context(), request("01jprovoked"))
				return err
			},
			provider.Quota:      create(func(s *Settings) { s.VMIDRange = "9000-9000" }),
			provider.NoCapacity: create(func(s *Settings) { s.Memory = 1 << 20 }),
			provider.Conflict: func(t *testing.T, d provider.Driver) error {
				i := running(t, s.driver(t, nil), "01jprovoked")
				want, _ := parseID(i.ID)
				s.SetConfig(want.vmid, map[string]string{"lock": "backup"})
				defer s.SetConfig(want.vmid, map[string]string{"lock": ""})
				return d.Delete(t.Context(), i.ID)
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				err := refused(http.StatusTooManyRequests, "Too Many Requests")(t, d)
				if after := provider.RetryAfter(err); after != 7*time.Second {
					return fmt.Errorf("the time to wait is %v, expected 7s: %w", after, err)
				}
				return err
			},
			provider.Unavailable: refused(596, "Broken pipe"),
			provider.Unsupported: refused(http.StatusNotImplemented, "Method 'GET /cluster/resources' not implemented"),
		},
	}
}

func without(release int, privilege string) []fakeproxmox.Grant {
	g := fakeproxmox.Administrator(release)
	g[0].Privileges = slices.DeleteFunc(slices.Clone(g[0].Privileges), func(p string) bool { return p == privilege })
	return g
}
