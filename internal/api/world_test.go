package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/api"
	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

type cloudSettings struct {
	Region string `json:"region" doc:"Where."`
	Token  string `json:"token,omitempty" secret:"true" doc:"Credential."`
}

// world is the API over a real database and a real HTTP server.
type world struct {
	t     *testing.T
	st    *store.Store
	d     *secret.Deriver
	svc   *service.Service
	url   string
	admin string
	log   *logBuffer
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := secret.OpenKeeper(t.Context(), "file://"+filepath.Join(t.TempDir(), "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := service.OpenDeriver(t.Context(), st, k)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, st: st, d: d, log: &logBuffer{}}
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.svc, err = service.New(service.Deps{
		Store: st, Clock: clock.RealClock{}, Keeper: k, Deriver: d, Log: log, Plan: w.plan,
		Kinds: []provider.Kind{{Name: "cloud", Title: "Cloud", NewSettings: func() any { return &cloudSettings{} }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.admin, _ = auth.NewToken()
	if ok, err := w.svc.EnsureAdmin(t.Context(), w.admin); err != nil || !ok {
		t.Fatal(ok, err)
	}
	server := httptest.NewServer(api.New(api.Deps{
		Service: w.svc, Log: log, Version: api.Version{Version: "1.2.3"}, Metrics: prometheus.NewRegistry(), BodyTimeout: 300 * time.Millisecond,
	}))
	w.url = server.URL
	t.Cleanup(func() {
		w.svc.Close()
		server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) plan(ctx context.Context, pool string) (out []plan.Decision, err error) {
	err = w.st.Read(ctx, func(tx *store.Tx) error {
		out = []plan.Decision{}
		in, err := snapshot.Load(tx, pool, time.Now(), func(fleet.VMProviderSpec) fleet.Resources { return fleet.Resources{} }, nil)
		if err == nil {
			out = append(out, plan.For(in))
		}
		return err
	})
	return out, err
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes a request; headers are key, value, key, value. The admin token is
// sent unless Authorization is among them.
func (w *world) call(method, path, body string, headers ...string) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.admin)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

// want checks the status and gives the answer back.
func (w *world) want(status int, a answer) answer {
	w.t.Helper()
	if a.status != status {
		w.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func parse[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

// wantProblem checks that an answer is a problem with the code and the words.
func (w *world) wantProblem(a answer, status int, code fleet.Code, words ...string) {
	w.t.Helper()
	p := parse[api.Problem](w.t, a)
	if a.status != status || p.Status != status || p.Code != code || p.Detail == "" || a.header.Get("Content-Type") != "application/problem+json" {
		w.t.Errorf("status %d, %s: %s; want %d %s", a.status, a.header.Get("Content-Type"), a.body, status, code)
	}
	for _, word := range words {
		if !strings.Contains(a.body, word) {
			w.t.Errorf("%s does not say %q", a.body, word)
		}
	}
}

func (w *world) apply(text string) {
	w.t.Helper()
	body, err := json.Marshal(service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "a.yaml", Text: text}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.want(http.StatusOK, w.call("POST", "/api/v1/apply", string(body)))
}

const basic = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: desk}
spec: {type: docker_agent}
`

// server puts a booting server of two cores into the database.
func (w *world) server(id string) {
	w.t.Helper()
	now := time.Now()
	s := &fleet.Server{
		ID: id, Name: "hr-" + id, Origin: fleet.OriginAutoscaled, Pool: "desk", Zone: "default", Phase: fleet.PhaseBooting,
		PhaseSince: now, CreatedAt: now, CallAt: &now, Capacity: fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048},
	}
	if err := w.st.Write(context.Background(), func(tx *store.Tx) error { return tx.InsertServer(s) }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) token(role fleet.Role, pool string) string {
	w.t.Helper()
	body, _ := json.Marshal(service.TokenRequest{Name: "t-" + string(role), Role: role, Pool: pool})
	return parse[service.NewToken](w.t, w.want(http.StatusCreated, w.call("POST", "/api/v1/tokens", string(body)))).Token
}
