package service_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// cloudSettings are the settings of the kind of cloud that the tests know.
type cloudSettings struct {
	Region string `json:"region" doc:"Where." immutable:"true" lookup:"region"`
	Size   string `json:"size,omitempty" doc:"What." lookup:"size"`
	Token  string `json:"token" secret:"true" doc:"Credential."`
}

// world is a service over a real database, with a clock that stands still.
type world struct {
	t     *testing.T
	ctx   context.Context
	clock *clocktesting.FakeClock
	st    *store.Store
	d     *secret.Deriver
	*service.Service

	meanwhile func() // called once, before the next write
}

var (
	admin    = auth.Principal{TokenID: "t-admin", Name: "root", Role: fleet.RoleAdmin}
	operator = auth.Principal{TokenID: "t-op", Name: "op", Role: fleet.RoleOperator}
	viewer   = auth.Principal{TokenID: "t-view", Name: "view", Role: fleet.RoleViewer}
	ann      = auth.Principal{TokenID: "t-ann", Name: "ann", Role: fleet.RoleSession}
	bob      = auth.Principal{TokenID: "t-bob", Name: "bob", Role: fleet.RoleSession}
)

func newWorld(t *testing.T) *world { return newWorldOn(t, "sqlite://:memory:", t.TempDir()) }

const sumOfAgent = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// newWorldOn is one node on the database with the key in the directory.
func newWorldOn(t *testing.T, url, dir string) *world {
	t.Helper()
	c := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	w := &world{t: t, ctx: context.Background(), clock: c}
	st, err := store.Open(t.Context(), store.Options{URL: url, Clock: c, Faults: w.beforeWrite})
	if err != nil {
		t.Fatal(err)
	}
	k, err := secret.OpenKeeper(t.Context(), "file://"+filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := service.OpenDeriver(t.Context(), st, k)
	if err != nil {
		t.Fatal(err)
	}
	w.st, w.d = st, d
	w.Service, err = service.New(service.Deps{
		Store: st, Clock: c, Keeper: k, Deriver: d, Log: slog.New(slog.DiscardHandler),
		Kinds:    []provider.Kind{{Name: "cloud", NewSettings: func() any { return &cloudSettings{} }, Channel: channelOf}},
		URL:      "https://c.example.com",
		AgentSum: func(system, arch string) (string, bool) { return sumOfAgent, system == "linux" && arch == "amd64" },
		Plan:     w.plan,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// beforeWrite lets somebody be faster than a write.
func (w *world) beforeWrite(stage store.Stage) error {
	if f := w.meanwhile; f != nil && stage == store.BeforeWrite {
		w.meanwhile = nil
		f()
	}
	return nil
}

func (w *world) plan(ctx context.Context, pool string) (out []plan.Decision, err error) {
	err = w.st.Read(ctx, func(tx *store.Tx) error {
		in, err := snapshot.Load(tx, pool, w.clock.Now(), func(fleet.VMProviderSpec) fleet.Resources { return fleet.Resources{} }, nil)
		if err != nil {
			return err
		}
		out = []plan.Decision{plan.For(in)}
		return nil
	})
	return out, err
}

// manifests of most tests.
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
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: win}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: cloud1}
spec:
  provider: cloud
  max_instances: 10
  settings: {region: here, token: s3cret}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: desk-here}
spec: {pool: desk, zone: default, vm_providers: [cloud1], standby: {cores: 2, memory: 2Gi}}
`

func (w *world) apply(text string) service.ApplyResult {
	w.t.Helper()
	r, err := w.Apply(w.ctx, admin, service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "a.yaml", Text: text}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func doc(kind, name, spec string) string {
	return "---\napiVersion: headroom.dev/v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.st.Write(w.ctx, fn); err != nil {
		w.t.Fatal(err)
	}
}

// server puts a server into the database as the control loops would.
func (w *world) server(id string, change ...func(*fleet.Server)) {
	w.t.Helper()
	now := w.clock.Now()
	s := &fleet.Server{
		ID: id, Name: "hr-" + id, Origin: fleet.OriginAutoscaled, Pool: "desk", Zone: "default", AutoscaleConfig: "desk-here", VMProvider: "cloud1",
		Phase: fleet.PhaseReady, PhaseSince: now, CreatedAt: now, CallAt: &now, Addresses: []string{"10.0.0.1"},
		Capacity: fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048}, CapacitySource: fleet.CapacityReported,
	}
	for _, c := range change {
		c(s)
	}
	w.write(func(tx *store.Tx) error { return tx.InsertServer(s) })
}

func inPhase(p fleet.Phase) func(*fleet.Server) { return func(s *fleet.Server) { s.Phase = p } }

func (w *world) get(id string) fleet.Server {
	w.t.Helper()
	s, err := w.Server(w.ctx, admin, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// take acquires one core and one GiB.
func (w *world) take(p auth.Principal, change ...func(*service.AcquireRequest)) service.SessionView {
	w.t.Helper()
	s, err := w.Acquire(w.ctx, p, one(change...))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func one(change ...func(*service.AcquireRequest)) service.AcquireRequest {
	r := service.AcquireRequest{Pool: "desk", Cores: fleet.Core, Memory: fleet.GiB}
	for _, c := range change {
		c(&r)
	}
	return r
}

func (w *world) session(id string) service.SessionView {
	w.t.Helper()
	s, err := w.Session(w.ctx, admin, id, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// wantCode checks the code of an error and that its text has the words.
func wantCode(t *testing.T, err error, code fleet.Code, words ...string) {
	t.Helper()
	if err == nil || fleet.CodeOf(err) != code {
		t.Errorf("error %v has code %q, want %q", err, fleet.CodeOf(err), code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// lastEvent is the newest event of an object.
func (w *world) lastEvent(kind, name string) fleet.Event {
	w.t.Helper()
	events, _, err := w.Events(w.ctx, admin, store.EventFilter{Kind: kind, Name: name, Newest: true, Limit: 1})
	if err != nil || len(events) != 1 {
		w.t.Fatalf("events of %s %s: %v, %v", kind, name, events, err)
	}
	return events[0]
}

func raw(v string) json.RawMessage { return json.RawMessage(v) }
