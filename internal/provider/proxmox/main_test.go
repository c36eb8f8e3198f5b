package proxmox

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	testSecret = "5f1c9e1e-3b2a-4d0c-9c11-secret-of-token"
	cloneCall  = "POST /nodes/{node}/qemu/{vmid}/clone"
	configCall = "PUT /nodes/{node}/qemu/{vmid}/config"
	listCall   = "GET /cluster/resources"
)

// schema is the API schema of Proxmox VE, which is not part of this
// repository. All tests share one.
func schema(t *testing.T) *fakeproxmox.Schema {
	t.Helper()
	once.Do(func() { theSchema, errSchema = fakeproxmox.FindSchema() })
	if errors.Is(errSchema, fakeproxmox.ErrNoSchema) {
		t.Skipf("SKIPPED: %v", errSchema)
	}
	if errSchema != nil {
		t.Fatal(errSchema)
	}
	return theSchema
}

var (
	once      sync.Once
	theSchema *fakeproxmox.Schema
	errSchema error
)

// site is a cluster behind TLS, and settings that fit it.
type site struct {
	*fakeproxmox.Cloud
	server   *httptest.Server
	settings Settings
	release  int
}

func newSite(t *testing.T, change func(*fakeproxmox.Options)) *site {
	t.Helper()
	o := fakeproxmox.Options{Schema: schema(t), Dir: t.TempDir(), Fail: t.Errorf, Now: time.Now, Secret: testSecret}
	if change != nil {
		change(&o)
	}
	cloud := fakeproxmox.New(o)
	server := httptest.NewUnstartedServer(cloud)
	server.EnableHTTP2 = false
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // refused certificates are expected
	server.StartTLS()
	t.Cleanup(func() {
		cloud.Close()
		server.Close()
	})
	return &site{Cloud: cloud, server: server, release: fleet.Or(o.Release, 9), settings: Settings{
		Host: server.URL, TokenID: "headroom@pve!test", TokenSecret: testSecret, Connection: provider.Connection{CABundle: pemOf(server)},
		Template: "base", Cores: 2, Memory: 4 * fleet.GiB, VMIDRange: "1000-1999",
	}}
}

func (s *site) driver(t *testing.T, change func(*Settings)) provider.Driver {
	t.Helper()
	with := s.settings
	if change != nil {
		change(&with)
	}
	d, err := Kind().Open(t.Context(), &with, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { idle(d) })
	return d
}

// idle closes the connections that a driver keeps.
func idle(d provider.Driver) {
	var inner *driver
	switch d := d.(type) {
	case *driver:
		inner = d
	case placed:
		inner = d.driver
	}
	inner.idle()
}

func request(server string) provider.Request {
	return provider.Request{
		Token: "token-" + server, Name: fleet.ServerName(server),
		Tags: provider.Tags{Installation: "01jinstall", Server: server, AutoscaleConfig: "desktops", Provider: "pve"},
	}
}

var testOwner = provider.Owner{Installation: "01jinstall", Provider: "pve"}

// until repeats look until it says nothing.
func until(t *testing.T, look func() string) {
	t.Helper()
	providertest.Eventually(t, 20*time.Second, look)
}

func list(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	out := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), testOwner) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		out[i.ID] = i
	}
	return out
}

// running creates a machine and follows it by listings until it runs and its
// address is known.
func running(t *testing.T, d provider.Driver, server string) provider.Instance {
	t.Helper()
	made, err := d.Create(t.Context(), request(server))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	var i provider.Instance
	until(t, func() string {
		if i = list(t, d)[made.ID]; i.State != provider.StateRunning || len(i.Addresses) == 0 {
			return "machine is " + string(i.State) + ": " + i.Fault
		}
		return ""
	})
	return i
}
