package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// controller plays the controller's part over real HTTP.
type controller struct {
	*httptest.Server

	mu         sync.Mutex
	token      string // good for one registration
	credential string
	previous   string // good until the credential is used
	orders     fleet.AgentOrders
	calls      []string
	registered []fleet.AgentRegistration
	reports    []fleet.AgentReport
	lines      []client.AgentLogLine
	// before, if set, may answer a call itself and then says true; after may
	// spoil an answer.
	before func(w http.ResponseWriter, r *http.Request, call string) bool
	after  func(w http.ResponseWriter, call string) bool
}

func newController(t *testing.T) *controller {
	t.Helper()
	c := &controller{token: "one-use-token", orders: fleet.AgentOrders{Phase: fleet.PhaseReady, Heartbeat: fleet.Duration(10 * time.Second)}}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	c.Start()
	t.Cleanup(c.Close)
	return c
}

func problem(w http.ResponseWriter, status int, code fleet.Code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":%q}`, status, code, detail)
}

// lose breaks the connection instead of answering.
func lose(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := strings.TrimPrefix(r.URL.Path, "/api/v1/agent/")
	c.calls = append(c.calls, call)
	body, _ := io.ReadAll(r.Body)
	if c.before != nil && c.before(w, r, call) {
		return
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if call != "register" {
		switch bearer {
		case c.credential:
			c.previous = ""
		case c.previous:
		default:
			bearer = ""
		}
		if bearer == "" {
			problem(w, http.StatusUnauthorized, fleet.CodeUnauthenticated, "this credential is not known")
			return
		}
	}
	var answer any
	switch call {
	case "register":
		var a fleet.AgentRegistration
		_ = json.Unmarshal(body, &a)
		c.registered = append(c.registered, a)
		if a.Token != c.token || c.credential != "" && c.credential != a.Credential {
			problem(w, http.StatusUnauthorized, fleet.CodeUnauthenticated, "this token is used up")
			return
		}
		c.credential = a.Credential
		answer = fleet.AgentIdentity{ServerID: "01jserver", Server: "hr-one", Pool: "desktops", Heartbeat: c.orders.Heartbeat}
	case "report":
		var a fleet.AgentReport
		_ = json.Unmarshal(body, &a)
		c.reports = append(c.reports, a)
		answer = c.orders
	case "rotate":
		var a struct{ Credential string }
		_ = json.Unmarshal(body, &a)
		c.credential, c.previous = a.Credential, bearer
		c.orders.RotateCredential = false
	case "logs":
		var a struct{ Lines []client.AgentLogLine }
		_ = json.Unmarshal(body, &a)
		c.lines = append(c.lines, a.Lines...)
	}
	if c.after != nil && c.after(w, call) {
		return
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *controller) with(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *controller) count(call string) (n int) {
	c.with(func() {
		for _, x := range c.calls {
			if x == call {
				n++
			}
		}
	})
	return n
}

// running is an agent at work; its clock goes on whenever it waits.
type running struct {
	t     *testing.T
	cfg   Config
	clock *clocktesting.FakeClock
	log   *lockedBuffer
	stop  context.CancelFunc
	done  chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// configFor is the configuration of a machine with a token.
func configFor(t *testing.T, url string) Config {
	t.Helper()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("one-use-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gpus := int64(1)
	return Config{URL: url, TokenFile: token, StateDir: filepath.Join(dir, "state"), Cores: 2000, Memory: 2048, GPUs: &gpus, Version: "test"}
}

func start(t *testing.T, cfg Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, cfg: cfg, clock: clocktesting.NewFakeClock(time.Now()), log: &lockedBuffer{}, stop: cancel, done: make(chan error, 1)}
	r.cfg.Clock = r.clock
	r.cfg.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	var wg sync.WaitGroup
	wg.Go(func() { r.done <- Run(ctx, r.cfg) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// until lets time pass until look says nothing.
func (r *running) until(look func() (wrong string)) {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(20 * time.Second)
	defer over.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
			if r.clock.HasWaiters() {
				r.clock.Step(time.Second)
			}
		case <-over.C:
			r.t.Fatalf("still: %s; log:\n%s", wrong, r.log)
		}
	}
}

func (r *running) untilCalls(c *controller, call string, n int) {
	r.t.Helper()
	r.until(func() string {
		if got := c.count(call); got < n {
			return fmt.Sprintf("%d calls of %s, waiting for %d", got, call, n)
		}
		return ""
	})
}

// result lets time pass until the agent ends by itself.
func (r *running) result() (err error) {
	r.t.Helper()
	r.until(func() string {
		select {
		case err = <-r.done:
			return ""
		default:
			return "the agent has not ended"
		}
	})
	return err
}

// end stops the agent and waits for it.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("the agent was told to end and said: %v", err)
		}
	case <-time.After(10 * time.Second):
		r.t.Error("the agent does not end")
	}
}

func stored(t *testing.T, cfg Config) state {
	t.Helper()
	s, err := loadState(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func store(t *testing.T, cfg Config, s state) {
	t.Helper()
	if err := s.save(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
}

func logged(lines []client.AgentLogLine, text string) bool {
	return slices.ContainsFunc(lines, func(l client.AgentLogLine) bool { return strings.Contains(l.Text, text) })
}
