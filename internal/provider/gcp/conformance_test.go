package gcp_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// cloud is the fake behind TLS, held against Google's discovery documents.
type cloud struct {
	fake    *fakegcp.Server
	url, ca string
}

var (
	theModel = sync.OnceValues(loadModel)
	theCloud = sync.OnceValues(func() (*cloud, error) {
		model, err := theModel()
		if err != nil {
			return nil, err
		}
		c, _, err := startCloud(model)
		return c, err
	})
)

// loadModel reads the documents out of the SDK's module.
func loadModel() (*fakegcp.Model, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("the folder of google.golang.org/api is not known: %w", err)
	}
	return fakegcp.LoadModel(strings.TrimSpace(string(dir)))
}

func startCloud(model *fakegcp.Model) (*cloud, *httptest.Server, error) {
	fake, err := fakegcp.New(model)
	if err != nil {
		return nil, nil, err
	}
	front := httptest.NewUnstartedServer(fake)
	front.EnableHTTP2 = false                                                       // connections are taken over to break them
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are what some tests want
	front.StartTLS()
	return &cloud{fake: fake, url: front.URL, ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))}, front, nil
}

// TestMain fails the run when a request or an answer broke the model: not every
// test would notice.
func TestMain(m *testing.M) {
	code := m.Run()
	if c, err := theCloud(); err == nil {
		for _, v := range c.fake.Violations() {
			fmt.Fprintln(os.Stderr, "against Google's discovery documents:", v)
			code = 1
		}
	}
	os.Exit(code)
}

func open(t *testing.T) *cloud {
	t.Helper()
	c, err := theCloud()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// project makes a project and settings that work in it.
func project(t *testing.T) (*gcp.Settings, *fakegcp.Project) {
	t.Helper()
	c := open(t)
	credentials, p := c.fake.NewProject(c.url)
	s := &gcp.Settings{
		Zones: []string{"europe-west3-a", "europe-west3-b"}, MachineType: []string{"e2-standard-2", "n1-standard-4"},
		Image: "debian-cloud/debian-12", DiskType: "pd-balanced", Subnetwork: "desktops", OSType: "linux",
	}
	s.Project, s.Credentials, s.Endpoint, s.CABundle = p.ID, credentials, c.url, c.ca
	return s, p
}

func opened(t *testing.T, s *gcp.Settings) provider.Driver {
	t.Helper()
	d, err := gcp.Kind().Open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func request(server string) provider.Request {
	return provider.Request{
		Token: "t-" + server, Name: "hr-" + server,
		Tags:      provider.Tags{Installation: "01ji", Provider: "p", AutoscaleConfig: "c", Server: server},
		Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
	}
}

// placeOf takes the id of a machine apart.
func placeOf(id string) (zone, name string) {
	place, _, _ := strings.Cut(id, "@")
	zone, name, _ = strings.Cut(place, "/")
	return zone, name
}

func labels(t provider.Tags) map[string]any {
	return map[string]any{"headroom-installation": t.Installation, "headroom-provider": t.Provider, "headroom-autoscale": t.AutoscaleConfig, "headroom-server": t.Server}
}

// metadata gives the metadata that an instance was asked for with.
func metadata(p *fakegcp.Project, id string) map[string]string {
	text, _ := json.Marshal(p.Asked(placeOf(id))["metadata"])
	var in struct{ Items []struct{ Key, Value string } }
	_ = json.Unmarshal(text, &in)
	out := map[string]string{}
	for _, i := range in.Items {
		out[i.Key] = i.Value
	}
	return out
}

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: account})
}

func account(t *testing.T) providertest.Account {
	s, p := project(t)
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	spoil := func(f fakegcp.Fault) func(*testing.T) {
		return func(*testing.T) { p.Spoil(f) }
	}
	create := func(t *testing.T, d provider.Driver) error {
		_, err := d.Create(t.Context(), request("x"))
		return err
	}
	refused := func(f fakegcp.Fault) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			p.Spoil(f)
			return create(t, d)
		}
	}
	return providertest.Account{
		Kind: gcp.Kind(), Settings: s, WrongCA: &wrong, Secrets: []string{keyOf(t, s.Credentials), "ya29."}, Pages: 51,
		Foreign: func(*testing.T) string {
			p.Plant("europe-west3-a", "somebody-elses", nil)
			return "europe-west3-a/somebody-elses@a:b:c:d"
		},
		Exists:     func(_ *testing.T, id string) bool { return p.Asked(placeOf(id)) != nil },
		Leftovers:  func(*testing.T) []string { return p.Objects() },
		HideNew:    func(*testing.T) func() { return p.HideNew() },
		LoseCreate: spoil(fakegcp.Fault{Method: http.MethodPost, Path: "/instances", Lose: true}),
		LoseDelete: spoil(fakegcp.Fault{Method: http.MethodDelete, Path: "/instances", Lose: true}),
		BreakList:  spoil(fakegcp.Fault{Path: "/aggregated/instances", Status: http.StatusServiceUnavailable, Reason: "backendError", Message: "Backend Error", After: 1}),
		LeaveRemnant: func(_ *testing.T, tags provider.Tags) {
			p.PlantDisk("europe-west3-b", "left-"+tags.Server+"-"+tags.Provider, labels(tags))
		},
		UserData: func(t *testing.T, id string) []byte {
			script, ok := metadata(p, id)["startup-script"]
			if !ok {
				t.Errorf("instance %s has no startup script", id)
			}
			return []byte(script)
		},
		Tagged: func(*testing.T) map[string]provider.Tags {
			out := map[string]provider.Tags{}
			for name, l := range p.Labels() {
				out[name] = provider.Tags{Installation: l["headroom-installation"], Provider: l["headroom-provider"], AutoscaleConfig: l["headroom-autoscale"], Server: l["headroom-server"]}
			}
			return out
		},
		Expire: func(*testing.T) func() { p.Expire(true); return func() { p.Expire(false) } },
		Hang: func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			p.Spoil(fakegcp.Fault{Hang: ctx.Done()})
		},
		Override: &providertest.Override{
			With: func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
			Good: map[string]any{
				"shieldedInstanceConfig": map[string]any{"enableSecureBoot": true, "enableIntegrityMonitoring": false},
				"labels":                 map[string]any{"team": "desk"}, "minCpuPlatform": "Intel Cascade Lake", "canIpForward": false,
			},
			Shown: func(_ *testing.T, id string) string {
				asked := p.Asked(placeOf(id))
				shielded, _ := asked["shieldedInstanceConfig"].(map[string]any)
				all, _ := asked["labels"].(map[string]any)
				if shielded["enableSecureBoot"] != true || shielded["enableIntegrityMonitoring"] != false || all["team"] != "desk" || asked["minCpuPlatform"] != "Intel Cascade Lake" || asked["canIpForward"] != false {
					return fmt.Sprint(asked)
				}
				return ""
			},
			Bad: map[string]any{"scheduling": map[string]any{"onHostMaintainance": "TERMINATE"}},
			Hostile: []map[string]any{
				{"name": "stolen"},
				{"labels": nil},
				{"labels": map[string]any{"headroom-server": "stolen"}},
				{"metadata": nil},
				{"metadata": map[string]any{"items": []any{map[string]any{"key": "startup-script", "value": "#!/bin/sh"}}}},
				{"disks": nil},
				{"disks": []any{map[string]any{"boot": true, "initializeParams": map[string]any{"labels": nil}}}},
			},
			BadPath: "scheduling.onHostMaintainance",
		},
		Calls: p.Calls, LifeCalls: 5, // make it and wait; delete it; find it gone, and no creation under way
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error {
				return d.Delete(t.Context(), "europe-west3-a/nothing@a:b:c:d")
			},
			provider.Invalid: func(t *testing.T, _ provider.Driver) error {
				bad := *s
				bad.Image = "debian-cloud/no-such-family"
				return create(t, opened(t, &bad))
			},
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				p.Expire(true)
				defer p.Expire(false)
				return create(t, d)
			},
			provider.Forbidden: func(t *testing.T, d provider.Driver) error {
				p.Lack("compute.instances.create")
				defer p.Lack()
				return create(t, d)
			},
			provider.Quota: func(t *testing.T, d provider.Driver) error {
				p.Limit(0)
				defer p.Limit(1000)
				return create(t, d)
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				p.SellOut("e2-standard-2@europe-west3-a", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")
				defer p.SellOut("e2-standard-2@europe-west3-a", "")
				return create(t, d)
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				err := refused(fakegcp.Fault{
					Path: "/instances", Status: http.StatusForbidden, Reason: "rateLimitExceeded", Header: map[string]string{"Retry-After": "7"},
					Message: "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'",
				})(t, d)
				if after := provider.RetryAfter(err); after != 7*time.Second {
					return fmt.Errorf("the time to wait is %v, expected 7s: %w", after, err)
				}
				return err
			},
			provider.Conflict: func(t *testing.T, d provider.Driver) error {
				p.Plant("europe-west3-a", "hr-taken", nil)
				_, err := d.Create(t.Context(), request("taken"))
				return err
			},
			provider.Unavailable: refused(fakegcp.Fault{Path: "/instances", Status: http.StatusServiceUnavailable, Reason: "backendError", Message: "Backend Error"}),
			// Unsupported cannot occur: what the API does not have is refused as invalid.
		},
	}
}

// keyOf is the secret part of a service account's key file.
func keyOf(t *testing.T, credentials string) string {
	t.Helper()
	var file struct {
		Key string `json:"private_key"`
	}
	if err := json.Unmarshal([]byte(credentials), &file); err != nil {
		t.Fatal(err)
	}
	return file.Key
}
