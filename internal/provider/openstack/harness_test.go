package openstack_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/openstack"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
	"github.com/headroom-dev/headroom/test/rigs/openstack/faultproxy"
)

// published is the smallest set of access rules that the provider promises to
// do with; docs/providers/openstack.md shows it.
var published = []rig.Rule{
	{Service: "volumev3", Method: http.MethodPost, Path: "/v3/*/volumes"},
	{Service: "volumev3", Method: http.MethodDelete, Path: "/v3/*/volumes/*"},
	{Service: "volumev3", Method: http.MethodGet, Path: "/v3/*/volumes"},
	{Service: "volumev3", Method: http.MethodGet, Path: "/v3/*/volumes/*"},
	{Service: "volumev3", Method: http.MethodGet, Path: "/v3/*/volumes/detail"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/servers/detail"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/servers"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/flavors"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/flavors/*"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/servers/*/os-volume_attachments"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/servers/*"},
	{Service: "compute", Method: http.MethodGet, Path: "/v2.1/servers/*/os-interface"},
	{Service: "compute", Method: http.MethodPost, Path: "/v2.1/servers"},
	{Service: "compute", Method: http.MethodDelete, Path: "/v2.1/servers/*"},
	{Service: "image", Method: http.MethodGet, Path: "/v2/images/*"},
	{Service: "image", Method: http.MethodGet, Path: "/v2/schemas/image"},
}

// allows says whether one of the rules allows the call.
func allows(rules []rig.Rule, c faultproxy.Call) bool {
	services := map[string]string{"volume": "volumev3"}
	for _, r := range rules {
		name := c.Service
		if other, ok := services[name]; ok {
			name = other
		}
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(r.Path), `\*`, "[^/]+") + "$"
		if r.Service == name && r.Method == c.Method && regexp.MustCompile(pattern).MatchString(c.Path) {
			return true
		}
	}
	return false
}

// signIn is the one call that no rule is needed for.
func signIn(c faultproxy.Call) bool {
	return c.Service == "identity" && c.Method == http.MethodPost && c.Path == "/v3/auth/tokens"
}

// place is a project of its own on the rig, behind a proxy of its own.
type place struct {
	*rig.Tenant
	rig      *rig.Rig
	proxy    *faultproxy.Proxy
	settings *openstack.Settings
	id       string // of the application credential
}

// serial keeps the names of projects apart, run keeps those of this process.
var (
	serial atomic.Int64
	run    = fmt.Sprintf("%x", time.Now().UnixNano())
)

// newPlace makes a project with an application credential that has the rules.
// What is left in it at the end of the test is removed, and so is the project.
func newPlace(t *testing.T, rules []rig.Rule) *place {
	t.Helper()
	r := rig.Open(t)
	r.Share(t)
	return placeOn(t, r, rules)
}

func placeOn(t *testing.T, r *rig.Rig, rules []rig.Rule) *place {
	t.Helper()
	tenant, err := r.Tenant(t.Context(), fmt.Sprintf("test-%s-%d", run, serial.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	p := &place{Tenant: tenant, rig: r, proxy: faultproxy.New(t, r.ServiceURLs())}
	t.Cleanup(func() { p.clean(t) })
	id, secret, err := tenant.Credential(t.Context(), "headroom", rules)
	if err != nil {
		t.Fatal(err)
	}
	p.id = id
	p.settings = &openstack.Settings{
		AuthMethod: "application_credential", AuthURL: p.proxy.URL("identity") + "/v3",
		ApplicationCredentialID: id, ApplicationCredentialSecret: secret,
		Region: rig.RegionName, NovaMicroversion: "2.69", OSType: "linux",
		Flavor: rig.FlavorSmall, Image: r.Things.Image, Network: "none",
		Connection: provider.Connection{CABundle: p.proxy.CA()},
	}
	return p
}

// clean removes what a test left, whoever made it.
func (p *place) clean(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	if err := p.Clear(ctx); err != nil {
		t.Errorf("the project of the test could not be removed: %v", err)
	}
}

// until repeats f until it answers nil or the context ends.
func until(ctx context.Context, f func() error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w, still: %w", ctx.Err(), err)
		}
	}
}

func eventually(t *testing.T, patience time.Duration, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// driver opens a driver with the place's settings, changed by change.
func (p *place) driver(t *testing.T, change func(*openstack.Settings)) provider.Driver {
	t.Helper()
	s := *p.settings
	if change != nil {
		change(&s)
	}
	if wrong := s.Validate(); len(wrong) > 0 {
		t.Fatalf("the settings are not valid: %v", wrong)
	}
	d, err := openstack.Kind().Open(t.Context(), &s, provider.Host{Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// request is a wish for a machine of the place.
func (p *place) request(server string) provider.Request {
	return provider.Request{
		Token: "token-" + server, Name: "hr-" + strings.ToLower(server),
		Tags:      provider.Tags{Installation: "01jinstallation", Provider: "cloud-a", Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\necho " + server + "\n")},
	}
}

// create repeats a create as a controller does: while it asks to wait, and when
// its outcome is not known.
func create(t *testing.T, d provider.Driver, req provider.Request) provider.Instance {
	t.Helper()
	var i provider.Instance
	eventually(t, 2*time.Minute, func() error {
		var err error
		i, err = d.Create(t.Context(), req)
		if err != nil && provider.ClassOf(err).MadeNothing() {
			t.Fatalf("create: %v", err)
		}
		return err
	})
	return i
}

// becomes waits until the machine has the state.
func becomes(t *testing.T, d provider.Driver, id string, state provider.State) provider.Instance {
	t.Helper()
	var i provider.Instance
	eventually(t, 2*time.Minute, func() error {
		var err error
		if i, err = d.Get(t.Context(), id); err != nil {
			return err
		}
		if i.State != state {
			return fmt.Errorf("machine is %s (%s), expected %s", i.State, i.Fault, state)
		}
		return nil
	})
	return i
}

// remove deletes the machine until it is gone.
func remove(t *testing.T, d provider.Driver, id string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		if err := d.Delete(t.Context(), id); err != nil && provider.ClassOf(err) != provider.NotFound && provider.ClassOf(err) != provider.Conflict {
			t.Fatalf("delete: %v", err)
		}
		if _, err := d.Get(t.Context(), id); provider.ClassOf(err) != provider.NotFound || err == nil {
			return fmt.Errorf("get after delete: %w", errors.Join(err, errors.New("it is still there")))
		}
		return nil
	})
}

func (p *place) left(t *testing.T) []string {
	t.Helper()
	left, err := p.Everything(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// foreign makes a machine without marks.
func (p *place) foreign(t *testing.T) string {
	t.Helper()
	var made struct{ Server struct{ ID string } }
	err := p.Do(t.Context(), http.MethodPost, "compute", "/servers", map[string]any{"server": map[string]any{
		"name": "somebody-elses", "flavorRef": p.rig.Things.Flavors[rig.FlavorSmall], "imageRef": p.rig.Things.Image, "networks": "none",
	}}, &made)
	if err != nil {
		t.Fatal(err)
	}
	return made.Server.ID
}

func metadataTags(t *testing.T, o map[string]any) provider.Tags {
	t.Helper()
	m, ok := o["metadata"].(map[string]any)
	if !ok {
		t.Fatalf("%v has no metadata", o["id"])
	}
	text := func(key string) string { s, _ := m[key].(string); return s }
	return provider.Tags{
		Installation: text(provider.TagInstallation), Server: text(provider.TagServer),
		AutoscaleConfig: text(provider.TagAutoscale), Provider: text(provider.TagProvider),
	}
}
