package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// guest runs scripts in machines of the simulated cloud: one step each, ending
// after three.
type guest struct {
	port int64 // connection_port
	dial func(ctx context.Context, address string) error
	provider.Driver
	exit int64
	wrap func(provider.Driver) provider.Driver // nil: as it is

	mu    sync.Mutex
	steps map[string]int
	fail  func(step int) error
}

func (g *guest) RunScript(_ context.Context, id string, script []byte, progress string) (provider.ScriptRun, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steps[id]++
	if g.fail != nil {
		if err := g.fail(g.steps[id]); err != nil {
			return provider.ScriptRun{}, err
		}
	}
	if len(progress) == 3 {
		return provider.ScriptRun{Progress: progress, Done: true, ExitCode: g.exit, Output: []byte("said: " + string(script) + "\nwith s3cret\n")}, nil
	}
	return provider.ScriptRun{Progress: progress + "x", Note: fmt.Sprintf("step %d", len(progress)+1)}, nil
}

// scriptedWorld is a running controller whose machines run a script through the
// guest.
type scriptedWorld struct {
	t  *testing.T
	st *store.Store
	c  *Controller
}

func startScripted(t *testing.T, g *guest) *scriptedWorld {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	no := false
	err = st.Write(t.Context(), func(tx *store.Tx) error {
		for _, o := range []struct {
			kind fleet.Kind
			spec any
		}{
			{fleet.KindZone, fleet.ZoneSpec{}},
			{fleet.KindPool, fleet.PoolSpec{Type: fleet.PoolServer}},
			{fleet.KindVMProvider, fleet.VMProviderSpec{Provider: sim.KindName, MaxInstances: 1}},
			{fleet.KindAutoscaleConfig, fleet.AutoscaleConfigSpec{Pool: "x", Zone: "x", VMProviders: []string{"x"}, MinAvailableSessions: 1, RequireCheckin: &no, ConnectionPort: g.port}},
		} {
			b, err := json.Marshal(o.spec)
			if err != nil {
				return err
			}
			if _, _, err := tx.PutObject(&store.Object{Kind: o.kind, Name: "x", Spec: b}, time.Now()); err != nil {
				return err
			}
			tx.Emit(fleet.Event{Type: fleet.EventObjectCreated, Kind: string(o.kind), Name: "x"})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cloud := sim.NewCloud(sim.Options{Clock: clock.RealClock{}})
	kind := sim.Kind(func(string) *sim.Cloud { return cloud })
	kind.Defaults.BusyInterval, kind.Defaults.RestInterval = 20*time.Millisecond, 50*time.Millisecond
	g.Driver, g.steps = cloud.Driver(sim.Behaviour{Boot: sim.Always(time.Millisecond)}), map[string]int{}
	if g.wrap != nil {
		g.Driver = g.wrap(g.Driver)
	}
	c := New(Deps{
		Store: st, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
		Shape: func(fleet.VMProviderSpec) fleet.Resources { return fleet.Resources{} },
		Open: func(_ context.Context, o *store.Object) (*provider.Client, error) {
			return provider.NewClient(provider.ClientOptions{Kind: kind, Clock: clock.RealClock{}, Owner: provider.Owner{Installation: st.Installation(), Provider: o.Name}, Driver: g}), nil
		},
		Dial:      g.dial,
		Bootstrap: func(context.Context, *fleet.Server) (provider.Bootstrap, error) { return provider.Bootstrap{}, nil },
		Script: func(_ context.Context, s *fleet.Server) ([]byte, []string, error) {
			return []byte("script of " + s.Name), []string{"s3cret"}, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return &scriptedWorld{t, st, c}
}

func (w *scriptedWorld) list() (all []*fleet.Server) {
	w.t.Helper()
	if err := w.st.Read(w.t.Context(), func(tx *store.Tx) (err error) { all, err = tx.Servers(store.ServerFilter{}); return err }); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *scriptedWorld) servers() int { return len(w.list()) }

func (w *scriptedWorld) ready() (n int) {
	for _, s := range w.list() {
		if s.Phase == fleet.PhaseReady {
			n++
		}
	}
	return n
}

// wake lets the pool be looked at again, as an edit does.
func (w *scriptedWorld) wake() {
	w.t.Helper()
	err := w.st.Write(w.t.Context(), func(tx *store.Tx) error {
		tx.Emit(fleet.Event{Type: fleet.EventObjectUpdated, Kind: string(fleet.KindVMProvider), Name: "x"})
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *scriptedWorld) until(what string, ok func(*store.ProviderState) bool) *store.ProviderState {
	w.t.Helper()
	tick, over := time.NewTicker(20*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer over.Stop()
	for {
		var state store.ProviderState
		if err := w.st.Read(w.t.Context(), func(tx *store.Tx) (err error) { state, err = tx.ProviderState("x"); return err }); err != nil {
			w.t.Fatal(err)
		}
		if ok(&state) {
			return &state
		}
		select {
		case <-tick.C:
		case <-over.C:
			w.t.Fatalf("still after a minute: %s; state %+v", what, state)
		}
	}
}

// scripted waits until a machine is as it should be.
func scripted(t *testing.T, g *guest, until func(*fleet.Server) bool) (*fleet.Server, *store.ServerScript, []store.LogLine) {
	t.Helper()
	st := startScripted(t, g).st
	tick, over := time.NewTicker(10*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer over.Stop()
	var last string
	for {
		var found *fleet.Server
		var run *store.ServerScript
		var lines []store.LogLine
		err := st.Read(t.Context(), func(tx *store.Tx) error {
			list, err := tx.Servers(store.ServerFilter{IncludeGone: true})
			if err != nil {
				return err
			}
			for _, s := range list {
				last = fmt.Sprintf("%s %s: %s", s.Name, s.Phase, s.Reason)
				if found == nil && until(s) {
					found = s
				}
			}
			if found == nil {
				return nil
			}
			if lines, err = tx.ServerLog(found.ID); err != nil {
				return err
			}
			run, err = tx.ServerScript(found.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if found != nil {
			return found, run, lines
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("still after a minute: %s", last)
		}
	}
}

func TestScriptMakesReady(t *testing.T) {
	t.Parallel()
	g := &guest{fail: func(step int) error {
		if step == 2 {
			return provider.Errorf(provider.Unavailable, "the guest agent is not there yet")
		}
		return nil
	}}
	s, run, lines := scripted(t, g, func(s *fleet.Server) bool { return s.Phase == fleet.PhaseReady })
	if run.ExitCode == nil || *run.ExitCode != 0 || run.EndedAt == nil || run.Progress != "xxx" {
		t.Errorf("script %+v", run)
	}
	if n := g.steps[s.ProviderID]; n != 5 {
		t.Errorf("%d steps, expected 5: three, one that failed, and the end", n)
	}
	var text strings.Builder
	for _, l := range lines {
		text.WriteString(l.Stream + " " + l.Text + "\n")
	}
	want := "script said: script of " + s.Name + "\nscript with [redacted]\nscript startup script exited 0\n"
	if text.String() != want {
		t.Errorf("log:\n%s\nexpected:\n%s", text.String(), want)
	}
}

// TestScriptFails: a script that fails has failed its machine at once, and not
// after the provision timeout.
func TestScriptFails(t *testing.T) {
	t.Parallel()
	s, run, _ := scripted(t, &guest{exit: 7}, func(s *fleet.Server) bool {
		return s.Phase == fleet.PhaseFailed || s.Phase == fleet.PhaseDeleting || s.Phase == fleet.PhaseGone
	})
	if run.ExitCode == nil || *run.ExitCode != 7 || !strings.Contains(s.Reason, "startup script exited 7") {
		t.Errorf("reason %q, script %+v", s.Reason, run)
	}
}

// TestStillborn: machines whose script always fails are not made and deleted
// for ever: after five in a row the provider rests, one machine at a time is
// tried after that, and the first that becomes ready ends it.
func TestStillborn(t *testing.T) {
	t.Parallel()
	g := &guest{exit: 1}
	made := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.steps)
	}
	w := startScripted(t, g)
	w.until("the circuit opens", func(st *store.ProviderState) bool { return st.Circuit == "open" })
	st := w.until("no machine is left", func(st *store.ProviderState) bool { return st.Circuit == "open" && w.servers() == 0 })
	if st.Stillborn != stillbornAfter || made() != stillbornAfter || !strings.Contains(st.Error, "startup script exited 1") {
		t.Errorf("%d machines were made, state %+v", made(), st)
	}
	g.mu.Lock()
	g.exit = 0
	g.mu.Unlock()
	if err := w.c.ProviderChanged(t.Context(), "x"); err != nil { // somebody mends the script
		t.Fatal(err)
	}
	w.wake()
	w.until("a machine is ready and all is forgotten", func(st *store.ProviderState) bool {
		return st.Circuit != "open" && st.Stillborn == 0 && w.ready() == 1
	})
}
