package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the present moment of every test that shows times.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) string { return noon.Add(-d).Format(time.RFC3339Nano) }

type object = map[string]any

// api is a controller that answers what a test tells it, by method and path.
type api struct {
	t      *testing.T
	url    string
	mu     sync.Mutex
	routes map[string]http.HandlerFunc
	calls  []string // method, path and query, in order
	bodies []string
}

func newAPI(t *testing.T) *api {
	a := &api{t: t, routes: map[string]http.HandlerFunc{}}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.url = srv.URL
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	call := r.Method + " " + r.URL.Path
	h, ok := a.routes[call]
	if r.URL.RawQuery != "" {
		call += "?" + r.URL.RawQuery
	}
	a.calls = append(a.calls, call)
	a.bodies = append(a.bodies, string(body))
	a.mu.Unlock()
	if !ok {
		problem(w, 404, fmt.Sprintf(`{"code":"not_found","detail":"%s does not exist"}`, strings.TrimPrefix(r.URL.Path, "/api/v1/")))
		return
	}
	h(w, r)
}

func (a *api) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string{}, a.calls...)
}

// on answers a route with JSON.
func (a *api) on(route string, status int, v any) {
	a.handle(route, func(w http.ResponseWriter, _ *http.Request) { answer(w, status, v) })
}

func (a *api) handle(route string, h http.HandlerFunc) {
	method, path, _ := strings.Cut(route, " ")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.routes[method+" /api/v1/"+path] = h
}

func (a *api) list(route string, items ...object) {
	if items == nil {
		items = []object{}
	}
	a.on(route, 200, object{"items": items})
}

func (a *api) refuse(route string, status int, text string) {
	a.handle(route, func(w http.ResponseWriter, _ *http.Request) { problem(w, status, text) })
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status != http.StatusNoContent {
		_ = json.NewEncoder(w).Encode(v)
	}
}

func problem(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// caller runs command lines.
type caller struct {
	ctx     context.Context
	env     map[string]string
	in      string
	streams cli.Streams
	clock   clock.WithTickerAndDelayedExecution
	out     io.Writer // instead of a buffer
}

func (a *api) caller() caller {
	return caller{
		ctx: a.t.Context(), env: map[string]string{"HEADROOM_URL": a.url, "HEADROOM_TOKEN": "secret"},
		clock: clocktesting.NewFakeClock(noon),
	}
}

func (a *api) run(args ...string) result { return a.caller().run(args...) }

func (c caller) run(args ...string) result {
	var out, errs bytes.Buffer
	s := c.streams
	s.In, s.Out, s.Err = strings.NewReader(c.in), &out, &errs
	if c.out != nil {
		s.Out = c.out
	}
	code := cli.Main(c.ctx, args, s, func(k string) string { return c.env[k] }, cli.Commands{Version: "1.2.3", Clock: c.clock})
	return result{code, out.String(), errs.String()}
}

// golden compares what a command line did with testdata/name.txt.
func golden(t *testing.T, name string, r result) {
	t.Helper()
	text := fmt.Sprintf("exit %d\n-- out --\n%s-- err --\n%s", r.code, r.out, r.err)
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run the tests with -update and look at the result", err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func server(name, phase string, more object) object {
	o := object{
		"id": "01k-" + name, "name": name, "origin": "autoscaled", "pool": "desktops", "zone": "default",
		"autoscale_config": "desktops-local", "vm_provider": "local", "provider_revision": 3,
		"phase": phase, "phase_since": ago(3 * time.Minute), "reason": "its agent has checked in",
		"provider_id": "machine-" + name, "addresses": []string{"10.0.0.7"},
		"capacity": object{"cores": 2, "memory_mib": 2048, "gpus": 0}, "capacity_source": "reported",
		"claimed": object{"cores": 0.5, "memory_mib": 512, "gpus": 0}, "sessions": 1, "users": 1, "used": true,
		"created_at": ago(5 * time.Minute), "ready_at": ago(3 * time.Minute), "last_seen_at": ago(4 * time.Second), "version": 7,
	}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func session(id, state string, more object) object {
	o := object{
		"id": id, "pool": "desktops", "user": "ann", "state": state, "reason": "there was room", "owner": "01k-token",
		"need": object{"cores": 1, "memory_mib": 512, "gpus": 0}, "created_at": ago(90 * time.Minute), "version": 1,
	}
	if state == "active" {
		o["server"], o["server_id"], o["addresses"] = "hr-aaaaaaaaaaaa", "01k-hr-aaaaaaaaaaaa", []string{"10.0.0.7"}
		o["expires_at"] = noon.Add(30 * time.Minute)
	}
	if state == "queued" {
		o["queue_position"], o["explanation"] = 2, "pool desktops is at max_instances 6"
		o["wait_until"] = noon.Add(125 * time.Minute)
	}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func event(seq int, kind, name, message string) object {
	return object{
		"seq": seq, "at": ago(time.Duration(100-seq) * time.Minute), "type": strings.ToLower(kind) + ".phase", "kind": kind,
		"name": name, "pool": "desktops", "actor": "controller", "message": message,
	}
}

func pool(name string, more object) object {
	o := object{
		"apiVersion": "headroom.dev/v1", "kind": "Pool", "metadata": object{"name": name, "labels": object{"team": "blue"}},
		"spec":    object{"type": "docker_agent", "description": "Desktops of the blue team, with everything that they need"},
		"version": 4, "created_at": ago(50 * time.Hour), "updated_at": ago(2 * time.Hour),
	}
	for k, v := range more {
		o[k] = v
	}
	return o
}
