package digitalocean_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean/fakedigitalocean"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// cloud is the fake, with the vendor's description in front of it where that
// can be had, and TLS in front of both.
type cloud struct {
	fake      *fakedigitalocean.Server
	url, ca   string
	validated bool // every request and answer is held against the description
	close     func()
}

var theCloud = sync.OnceValues(startCloud)

func TestMain(m *testing.M) {
	code := m.Run()
	if c, err := theCloud(); err == nil {
		c.close()
	}
	os.Exit(code)
}

func startCloud() (*cloud, error) {
	c := &cloud{fake: fakedigitalocean.New()}
	upstream := httptest.NewServer(c.fake)
	target := upstream.URL
	stop := func() {}
	if prism, spec := "../../../test/contracts/digitalocean/node_modules/.bin/prism", contract(); exists(prism) && exists(spec) {
		var err error
		if target, stop, err = startPrism(prism, spec, upstream.URL); err != nil {
			return nil, err
		}
		c.validated = true
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		if h, ok := w.(http.Hijacker); ok { // an answer that got lost stays lost
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
				return
			}
		}
		w.WriteHeader(http.StatusBadGateway)
	}
	front := httptest.NewUnstartedServer(proxy)
	front.EnableHTTP2 = false // connections are taken over to break them
	front.Config.ErrorLog = nil
	front.StartTLS()
	c.url = front.URL
	c.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	c.close = func() {
		front.CloseClientConnections()
		front.Close()
		stop()
		upstream.CloseClientConnections()
		upstream.Close()
	}
	return c, nil
}

func contract() string {
	dir := os.Getenv("HEADROOM_CONTRACTS")
	if dir == "" {
		dir = "../../../../shared/contracts"
	}
	return filepath.Join(dir, "digitalocean.json")
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// startPrism runs the validating proxy. A request or an answer that breaks the
// description comes back as an error of its own, which no test expects.
func startPrism(prism, spec, upstream string) (at string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	path, err := filepath.Abs(prism)
	if err != nil {
		return "", nil, err
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "proxy", spec, upstream, "--host", "127.0.0.1", "--port", port, "--errors", "--multiprocess=false")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	stop = func() { _ = cmd.Process.Kill(); <-done }
	tick, over := time.NewTicker(100*time.Millisecond), time.NewTimer(2*time.Minute)
	defer tick.Stop()
	defer over.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return "http://" + address, stop, nil
		}
		select {
		case <-tick.C:
		case <-done:
			return "", nil, fmt.Errorf("the validating proxy ended:\n%s", log.String())
		case <-over.C:
			stop()
			return "", nil, fmt.Errorf("the validating proxy does not listen:\n%s", log.String())
		}
	}
}

func open(t *testing.T) *cloud {
	t.Helper()
	c, err := theCloud()
	if err != nil {
		t.Fatal(err)
	}
	if !c.validated {
		t.Log("SKIPPED IN PART: no validating proxy (npm ci in test/contracts/digitalocean) or no description in $HEADROOM_CONTRACTS: requests are not held against the vendor's API description")
	}
	return c
}

func settingsOf(c *cloud, token string) *digitalocean.Settings {
	s := &digitalocean.Settings{Region: "fra1", Image: "ubuntu-24-04-x64", Size: []string{"s-1vcpu-1gb", "s-2vcpu-4gb"}}
	s.Token, s.Endpoint, s.CABundle = token, c.url, c.ca
	return s
}

func dropletOf(id string) int {
	number, _, _ := strings.Cut(id, "@")
	n, _ := strconv.Atoi(number)
	return n
}

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: account})
}

func account(t *testing.T) providertest.Account {
	c := open(t)
	token, a := c.fake.NewAccount()
	s := settingsOf(c, token)
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	spoil := func(f fakedigitalocean.Fault) func(*testing.T) {
		return func(*testing.T) { a.Spoil(f) }
	}
	refused := func(status int, message string, header map[string]string) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			a.Spoil(fakedigitalocean.Fault{Method: http.MethodGet, Path: "/v2/droplets", Status: status, Message: message, Header: header})
			_, err := d.Get(t.Context(), "17@a:b:c:d")
			return err
		}
	}
	create := func(t *testing.T, d provider.Driver) error {
		_, err := d.Create(t.Context(), request("x"))
		return err
	}
	return providertest.Account{
		Kind: digitalocean.Kind(), Settings: s, WrongCA: &wrong, Secrets: []string{token}, Pages: 201,
		Foreign:   func(*testing.T) string { return fmt.Sprintf("%d@a:b:c:d", a.Plant("somebody-elses", "web")) },
		Exists:    func(_ *testing.T, id string) bool { _, _, _, ok := a.Droplet(dropletOf(id)); return ok },
		Leftovers: func(*testing.T) []string { return costly(a) },
		HideNew:   func(*testing.T) func() { return a.HideNew() }, FindsByList: true,
		LoseCreate: spoil(fakedigitalocean.Fault{Method: http.MethodPost, Path: "/v2/droplets", Lose: true}),
		LoseDelete: spoil(fakedigitalocean.Fault{Method: http.MethodDelete, Path: "/v2/droplets", Lose: true}),
		BreakList:  spoil(fakedigitalocean.Fault{Method: http.MethodGet, Path: "/v2/droplets", Status: http.StatusInternalServerError, Message: "Server Error", After: 1}),
		LeaveRemnant: func(_ *testing.T, tags provider.Tags) {
			a.PlantTag(fmt.Sprintf("headroom-server:%s:%s:%s:%s", tags.Installation, tags.Provider, tags.AutoscaleConfig, tags.Server))
		},
		UserData: func(t *testing.T, id string) []byte {
			_, data, _, ok := a.Droplet(dropletOf(id))
			if !ok {
				t.Errorf("there is no Droplet %s", id)
			}
			return []byte(data)
		},
		Expire: func(*testing.T) func() { a.Expire(true); return func() { a.Expire(false) } },
		Hang: func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			a.Spoil(fakedigitalocean.Fault{Hang: ctx.Done()})
		},
		Calls: a.Calls, LifeCalls: 5, // look for it, make it; delete it; find the Droplet gone and its tag gone
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error { return d.Delete(t.Context(), "999999999@a:b:c:d") },
			provider.Invalid: func(t *testing.T, _ provider.Driver) error {
				bad := *s
				bad.Image = "no-such-image"
				return create(t, opened(t, &bad))
			},
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				a.Expire(true)
				defer a.Expire(false)
				return create(t, d)
			},
			provider.Forbidden: func(t *testing.T, d provider.Driver) error {
				a.Lack("droplet:create")
				defer a.Lack("")
				return create(t, d)
			},
			provider.Quota: func(t *testing.T, d provider.Driver) error {
				a.Limit(0)
				defer a.Limit(1000)
				return create(t, d)
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				a.SellOut("s-1vcpu-1gb")
				return create(t, d)
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				err := refused(http.StatusTooManyRequests, "Too many requests", map[string]string{"Retry-After": "7"})(t, d)
				if after := provider.RetryAfter(err); after != 7*time.Second {
					return fmt.Errorf("the time to wait is %v, expected 7s: %w", after, err)
				}
				return err
			},
			provider.Unavailable: refused(http.StatusServiceUnavailable, "Service Unavailable", nil),
		},
	}
}

func request(server string) provider.Request {
	return provider.Request{
		Token: "t-" + server, Name: "hr-" + server,
		Tags: provider.Tags{Installation: "01ji", Provider: "p", AutoscaleConfig: "c", Server: server},
	}
}

func opened(t *testing.T, s *digitalocean.Settings) provider.Driver {
	t.Helper()
	d, err := digitalocean.Kind().Open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// costly are the objects of an account but the tag that all of a provider config's
// Droplets share, which is part of the configuration.
func costly(a *fakedigitalocean.Account) []string {
	return slices.DeleteFunc(a.Objects(), func(o string) bool { return strings.HasPrefix(o, "tag headroom-provider:") })
}
