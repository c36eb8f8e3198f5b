package openstack_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/openstack"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
	"github.com/headroom-dev/headroom/test/rigs/openstack/faultproxy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Idle connections of the drivers of finished tests, which nobody closes.
		goleak.IgnoreAnyFunction("github.com/headroom-dev/headroom/test/rigs/openstack.(*Rig).start.func1"), // daemons live on
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// TestConformance runs the suite on a real OpenStack with an application
// credential that has the published access rules and no other, and looks at the
// end of each case that no other call was made.
func TestConformance(t *testing.T) {
	t.Parallel()
	rig.Open(t)
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
		p := newPlace(t, published)
		onlyPublished(t, p)
		return account(t, p)
	}})
}

// onlyPublished fails the test if a call was made that the published rules do
// not allow. exempt says which calls a case makes on purpose.
func onlyPublished(t *testing.T, p *place) {
	t.Helper()
	t.Cleanup(func() {
		for _, c := range p.proxy.Calls() {
			console := c.Method == http.MethodPost && c.Service == "compute" && len(c.Path) > 7 && c.Path[len(c.Path)-7:] == "/action"
			if !signIn(c) && !allows(published, c) && !console { // the error class forbidden is provoked with a console
				t.Errorf("a call outside of the published access rules: %s", c)
			}
		}
	})
}

func account(t *testing.T, p *place) providertest.Account {
	t.Helper()
	next := func(f faultproxy.Fault) func(*testing.T) { return func(*testing.T) { p.proxy.Inject(f) } }
	with := func(change func(*openstack.Settings)) any { s := *p.settings; change(&s); return &s }
	return providertest.Account{
		Kind: openstack.Kind(), Settings: p.settings,
		Secrets:  []string{p.settings.ApplicationCredentialSecret},
		Patience: 2 * time.Minute,
		Pages:    5, // the rig's nova shows 4 at once
		Foreign:  p.foreign,
		Exists: func(t *testing.T, id string) bool {
			err := p.Do(t.Context(), http.MethodGet, "compute", "/servers/"+id, nil, nil)
			var answer *rig.StatusError
			if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
				return false
			}
			if err != nil {
				t.Fatal(err)
			}
			return true
		},
		CatalogSettings: func(t *testing.T) any {
			t.Helper()
			return newPlace(t, nil).settings
		},
		Leftovers:  p.left,
		LoseCreate: next(faultproxy.Fault{Service: "compute", Method: http.MethodPost, Lose: true}),
		LoseDelete: next(faultproxy.Fault{Service: "compute", Method: http.MethodDelete, Lose: true}),
		BreakList:  next(faultproxy.Fault{Service: "compute", Path: ".*/servers/detail", Skip: 1, Cut: true}), // the second page
		LeaveRemnant: func(t *testing.T, tags provider.Tags) {
			p.leaveVolume(t, tags)
		},
		UserData: func(t *testing.T, id string) []byte {
			g, err := p.rig.Guest(id)
			if err != nil {
				t.Fatal(err)
			}
			if !g.ConfigDrive {
				t.Error("the machine has no config drive")
			}
			script, err := g.Script()
			if err != nil {
				t.Fatal(err)
			}
			return script
		},
		Tagged: func(t *testing.T) map[string]provider.Tags {
			out := map[string]provider.Tags{}
			machines, err := p.Machines(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			volumes, err := p.Volumes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range append(machines, volumes...) {
				out[fmt.Sprint(o["id"])] = metadataTags(t, o)
			}
			return out
		},
		WrongCA: with(func(s *openstack.Settings) { s.CABundle = providertest.OtherAuthority(t) }),
		Expire: func(*testing.T) (restore func()) {
			cures := []func(){
				p.proxy.Inject(faultproxy.Fault{BadToken: true, Times: -1}),
				p.proxy.Inject(faultproxy.Fault{Service: "identity", BadSecret: true, Times: -1}),
			}
			return func() {
				for _, cure := range cures {
					cure()
				}
			}
		},
		Hang: next(faultproxy.Fault{Service: "compute", Hang: true}),
		Override: &providertest.Override{
			With: func(doc map[string]any) any { return with(func(s *openstack.Settings) { s.ConfigOverride = doc }) },
			Good: map[string]any{"description": "made by a test", "metadata": map[string]any{"cost-centre": "42"}},
			Shown: func(t *testing.T, id string) string {
				var shown struct {
					Server struct {
						Description string
						Metadata    map[string]string
					}
				}
				if err := p.Do(t.Context(), http.MethodGet, "compute", "/servers/"+id, nil, &shown); err != nil {
					t.Fatal(err)
				}
				if shown.Server.Description != "made by a test" || shown.Server.Metadata["cost-centre"] != "42" {
					return fmt.Sprintf("%+v", shown.Server)
				}
				return ""
			},
			Bad:     map[string]any{"block_device_mapping_v2": []any{map[string]any{"volume_sise": 1}}},
			BadPath: "config_override.block_device_mapping_v2[0].volume_sise",
		},
		Calls: func() int64 { return int64(len(p.proxy.Calls())) },
		// The look whether it is there already, the create, the delete, and the look
		// that finds it gone.
		LifeCalls: 4,
		Provoke:   provoke(p),
	}
}

// nothing is the ID of no object.
const nothing = "00000000-0000-4000-8000-000000000001"

func provoke(p *place) map[provider.Class]func(*testing.T, provider.Driver) error {
	makeOne := func(t *testing.T, d provider.Driver) error {
		_, err := d.Create(t.Context(), p.request("01JPROVOKED"))
		return err
	}
	return map[provider.Class]func(*testing.T, provider.Driver) error{
		provider.NotFound: func(t *testing.T, d provider.Driver) error {
			return d.Delete(t.Context(), nothing)
		},
		provider.Invalid: func(t *testing.T, _ provider.Driver) error {
			return makeOne(t, p.driver(t, func(s *openstack.Settings) { s.Image = nothing }))
		},
		provider.Unauthenticated: func(t *testing.T, _ provider.Driver) error {
			id, secret, err := p.Credential(t.Context(), "short-lived", published)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Revoke(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			_, err = p.driver(t, func(s *openstack.Settings) {
				s.ApplicationCredentialID, s.ApplicationCredentialSecret = id, secret
			}).Get(t.Context(), nothing)
			return err
		},
		provider.Forbidden: func(t *testing.T, _ provider.Driver) error {
			d := p.driver(t, func(s *openstack.Settings) { s.ReadConsole = true })
			_, err := d.(provider.ConsoleReader).Console(t.Context(), nothing, 100)
			return err
		},
		provider.Quota: func(t *testing.T, d provider.Driver) error {
			p.quota(t, "compute", map[string]int{"instances": 0})
			defer p.quota(t, "compute", map[string]int{"instances": -1})
			return makeOne(t, d)
		},
		provider.NoCapacity: func(t *testing.T, _ provider.Driver) error {
			d := p.driver(t, func(s *openstack.Settings) {
				s.BootFromVolume, s.VolumeSize, s.Metadata = true, 1, map[string]string{"rig-volume": "fail"}
			})
			var err error
			eventually(t, time.Minute, func() error {
				if err = makeOne(t, d); provider.RetryAfter(err) > 0 {
					return err
				}
				return nil
			})
			return err
		},
		provider.RateLimited: func(t *testing.T, d provider.Driver) error {
			p.proxy.Inject(faultproxy.Fault{Service: "compute", Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"7"}}})
			err := makeOne(t, d)
			if after := provider.RetryAfter(err); after != 7*time.Second {
				return fmt.Errorf("the time to wait is %v, expected 7s: %w", after, err)
			}
			return err
		},
		provider.Conflict: func(t *testing.T, d provider.Driver) error {
			id := create(t, d, p.request("01JLOCKED")).ID
			becomes(t, d, id, provider.StateRunning)
			act := func(what string) {
				if err := p.Do(t.Context(), http.MethodPost, "compute", "/servers/"+id+"/action", map[string]any{what: nil}, nil); err != nil {
					t.Fatal(err)
				}
			}
			act("lock")
			defer act("unlock")
			return d.Delete(t.Context(), id)
		},
		provider.Unavailable: func(t *testing.T, d provider.Driver) error {
			p.proxy.Inject(faultproxy.Fault{Service: "compute", Status: http.StatusServiceUnavailable, Body: "<html><body>down for maintenance</body></html>"})
			return makeOne(t, d)
		},
		provider.Unsupported: func(t *testing.T, _ provider.Driver) error {
			_, err := p.driver(t, nil).(provider.ConsoleReader).Console(t.Context(), nothing, 100)
			return err
		},
	}
}

func (p *place) quota(t *testing.T, service string, limits map[string]int) {
	t.Helper()
	if err := p.Quota(t.Context(), service, limits); err != nil {
		t.Fatal(err)
	}
}

// leaveVolume makes a volume with the marks of a machine that is not there.
func (p *place) leaveVolume(t *testing.T, tags provider.Tags) {
	t.Helper()
	err := p.Do(t.Context(), http.MethodPost, "volume", "/volumes", map[string]any{"volume": map[string]any{
		"size": 1, "name": "hr-lost", "metadata": map[string]string{
			provider.TagInstallation: tags.Installation, provider.TagServer: tags.Server,
			provider.TagAutoscale: tags.AutoscaleConfig, provider.TagProvider: tags.Provider,
		},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}
