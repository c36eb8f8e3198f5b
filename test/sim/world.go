// Package sim runs the real planner, the real control loops, the real service
// and a real database on virtual time against the simulated cloud, one thing
// after the other, so that a seed always gives the same history. People,
// agents, crashes and faults of the cloud are drawn from the seed; after each
// step the promises of the system are checked.
package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/control"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// Begin is when every history begins: a Monday morning.
var Begin = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant in all but name

// errCrash is what a write meets when the controller is to die there.
var errCrash = errors.New("simulated crash of the controller")

// Options shape a world.
type Options struct {
	Seed      uint64
	Manifest  string        // what is applied at the begin
	Behaviour sim.Behaviour // of each provider of kind sim
	CrashRate float64       // chance that the controller dies at a write
	Grace     time.Duration // of the kind; 0: 2 minutes
}

// World is a history in the making.
type World struct {
	t       testing.TB
	rnd     *rand.Rand
	opt     Options
	clock   *clocktesting.FakeClock
	store   *store.Store
	cloud   *sim.Cloud
	service *service.Service
	control *control.Controller
	kind    provider.Kind
	deriver *secret.Deriver

	due     map[task]time.Time
	ids     int
	crashes int
	armed   bool // a crash may happen now
	trace   []string
	killed  map[string]bool // machines that were deleted by the driver, by server id
	checks  *checks

	touched   bool      // a call that changes machines has reached the cloud
	beatAt    time.Time // next round of signs of life
	chaos     Chaos
	crashRate float64
}

// task is a piece of work that is due at some moment.
type task struct{ what, key string }

// The kinds of tasks.
const (
	taskPool     = "pool"
	taskServer   = "server"
	taskProvider = "provider"
	taskRemnants = "remnants"
	taskSessions = "sessions"
	taskAgents   = "agents"
	taskReset    = "reset"
)

// New makes a world in which the manifest has been applied.
func New(t testing.TB, o Options) *World {
	t.Helper()
	w := &World{
		t: t, opt: o, rnd: rand.New(rand.NewPCG(o.Seed, 1)), //nolint:gosec // a history must be repeatable
		clock: clocktesting.NewFakeClock(Begin), due: map[task]time.Time{}, killed: map[string]bool{},
	}
	w.cloud = sim.NewCloud(sim.Options{Clock: w.clock, Seed: o.Seed})
	w.kind = sim.Kind(func(string) *sim.Cloud { return w.cloud })
	w.kind.Defaults.Grace = fleet.Or(o.Grace, 2*time.Minute)
	w.kind.Defaults.BusyInterval, w.kind.Defaults.RestInterval = 5*time.Second, time.Minute // as of a real cloud
	var err error
	w.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://:memory:", Clock: w.clock, NewID: w.newID, Log: quiet()})
	w.must(err, "opening the database")
	t.Cleanup(func() { w.must(w.store.Close(), "closing the database") })
	keeper, err := secret.OpenKeeper(t.Context(), "file://"+filepath.Join(t.TempDir(), "key"))
	w.must(err, "opening the key")
	w.deriver, err = service.OpenDeriver(t.Context(), w.store, keeper)
	w.must(err, "deriving tokens")
	w.service, err = service.New(service.Deps{
		Store: w.store, Clock: w.clock, Kinds: []provider.Kind{w.kind}, Keeper: keeper, Deriver: w.deriver, Log: quiet(),
		Shape: w.shape,
	})
	w.must(err, "making the service")
	t.Cleanup(w.service.Close)
	w.checks = newChecks(w)
	w.store.OnCommit(w.committed)
	w.start()
	if o.Manifest != "" {
		w.Apply(o.Manifest)
	}
	w.cloud.Script(w.script)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (w *World) newID() string {
	w.ids++
	return fmt.Sprintf("id%010d", w.ids)
}

func (w *World) must(err error, doing string) {
	w.t.Helper()
	if err != nil {
		w.Fail("%s: %v", doing, err)
	}
}

// Fail ends the test with the last part of the history. All of it that is
// remembered goes to the file that SIM_TRACE names.
func (w *World) Fail(format string, args ...any) {
	w.t.Helper()
	last := w.trace[max(0, len(w.trace)-60):]
	if path := os.Getenv("SIM_TRACE"); path != "" {
		if err := os.WriteFile(path, []byte(strings.Join(w.trace, "\n")+"\n"), 0o600); err != nil {
			w.t.Errorf("writing the trace: %v", err)
		}
	}
	w.t.Fatalf("seed %d, %s after %d crashes: %s\nThe last steps:\n  %s", w.opt.Seed, w.clock.Since(Begin), w.crashes,
		fmt.Sprintf(format, args...), strings.Join(last, "\n  "))
}

func (w *World) note(format string, args ...any) {
	w.trace = append(w.trace, w.clock.Since(Begin).Round(time.Millisecond).String()+" "+fmt.Sprintf(format, args...))
	if len(w.trace) > 100000 {
		w.trace = slices.Clone(w.trace[50000:])
	}
}

// Admin is who acts in the tests.
func Admin() auth.Principal {
	return auth.Principal{TokenID: "admin", Name: "admin", Role: fleet.RoleAdmin}
}

// Apply applies a manifest.
func (w *World) Apply(manifest string) {
	w.t.Helper()
	_, err := w.service.Apply(w.t.Context(), Admin(), service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "test.yaml", Text: manifest}}})
	w.must(err, "applying")
}

// start begins a life of the controller, as after a restart of its process.
func (w *World) start() {
	w.control = control.New(control.Deps{
		Store: w.store, Clock: w.clock, Log: quiet(), Shape: w.shape,
		Open: w.open, Fence: w.fence,
		Bootstrap: func(_ context.Context, s *fleet.Server) (provider.Bootstrap, error) {
			return provider.Bootstrap{ControllerURL: "http://controller", RegistrationToken: w.deriver.Registration(s.ID), Pool: s.Pool, RunAgent: true}, nil
		},
	})
	w.control.OnListSoon(func(name string) { w.schedule(task{taskProvider, name}, 50*time.Millisecond) })
	clear(w.due)
	w.schedule(task{taskSessions, ""}, 0)
	w.schedule(task{taskAgents, ""}, 0)
	w.wakeAll()
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		for _, s := range servers {
			w.schedule(task{taskServer, s.ID}, 0)
		}
		return err
	}), "reading servers")
}

func (w *World) wakeAll() {
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		for kind, what := range map[fleet.Kind]string{fleet.KindPool: taskPool, fleet.KindVMProvider: taskProvider} {
			objects, err := tx.Objects(kind)
			if err != nil {
				return err
			}
			for _, o := range objects {
				if _, ok := w.due[task{what, o.Name}]; !ok || what == taskPool {
					w.schedule(task{what, o.Name}, 0)
				}
				if what == taskProvider {
					if _, ok := w.due[task{taskRemnants, o.Name}]; !ok {
						w.schedule(task{taskRemnants, o.Name}, 10*time.Minute)
					}
				}
			}
		}
		return nil
	}), "reading objects")
}

func (w *World) open(_ context.Context, o *store.Object) (*provider.Client, error) {
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return nil, err
	}
	return provider.NewClient(provider.ClientOptions{
		Kind: w.kind, Driver: w.cloud.Driver(w.opt.Behaviour), Clock: w.clock,
		Owner: provider.Owner{Installation: w.store.Installation(), Provider: o.Name}, RateLimit: spec.RateLimit,
	}), nil
}

func (w *World) shape(fleet.VMProviderSpec) fleet.Resources { return w.opt.Behaviour.Shape }

// fence stands at the begin of every write of the controller: a crash there
// loses the write and all that the process knew.
func (w *World) fence(context.Context, *store.Tx) error {
	if w.armed && w.crashRate > 0 && w.rnd.Float64() < w.crashRate {
		return errCrash
	}
	return nil
}

// schedule makes a task due after a delay, unless it is due before.
func (w *World) schedule(t task, after time.Duration) {
	at := w.clock.Now().Add(max(after, 0))
	if old, ok := w.due[t]; !ok || at.Before(old) {
		w.due[t] = at
	}
}

// committed turns events into work by the rules of the running system.
func (w *World) committed(events []fleet.Event) {
	for _, e := range events {
		w.note("event %d %s %s %s: %s", e.Seq, e.Type, e.Kind, e.Name, e.Message)
		w.checks.event(e)
		k := control.WakeFor(e)
		if k.Pool != "" {
			w.schedule(task{taskPool, k.Pool}, 0)
		}
		if k.Server != "" {
			w.schedule(task{taskServer, k.Server}, 0)
		}
		if k.Sessions {
			w.schedule(task{taskSessions, ""}, 0)
		}
		if k.Settings {
			w.schedule(task{taskReset, k.Provider}, 0)
		}
		if k.Configured {
			w.schedule(task{taskReset, ""}, 0)
		}
	}
}

// Run lets time pass until the given length of history is over.
func (w *World) Run(d time.Duration) {
	w.t.Helper()
	end := w.clock.Now().Add(d)
	for w.step(end) {
	}
	w.setTime(end)
}

func (w *World) setTime(t time.Time) {
	if t.After(w.clock.Now()) {
		w.clock.SetTime(t)
	}
}

// step does the next piece of work that is due before end.
func (w *World) step(end time.Time) bool {
	w.t.Helper()
	next, ok := w.next()
	if !ok || w.due[next].After(end) {
		return false
	}
	w.setTime(w.due[next])
	delete(w.due, next)
	after, err := w.do(next)
	switch {
	case errors.Is(err, errCrash):
		w.crashes++
		w.note("CRASH in %s %s", next.what, next.key)
		w.start()
	case err != nil:
		w.note("%s %s failed: %v", next.what, next.key, err)
		w.schedule(next, time.Second)
	case after >= 0:
		w.schedule(next, after)
	}
	if w.touched { // the cloud was called: a machine may come up sooner than expected
		w.touched = false
		w.schedule(task{taskAgents, ""}, time.Millisecond)
	}
	if w.checks.due() {
		w.checks.run()
	}
	return true
}

// next draws one of the tasks that are due first.
func (w *World) next() (task, bool) {
	var first []task
	var at time.Time
	for t, due := range w.due {
		switch {
		case len(first) == 0 || due.Before(at):
			first, at = append(first[:0], t), due
		case due.Equal(at):
			first = append(first, t)
		}
	}
	if len(first) == 0 {
		return task{}, false
	}
	slices.SortFunc(first, func(a, b task) int { return strings.Compare(a.what+a.key, b.what+b.key) })
	return first[w.rnd.IntN(len(first))], true
}

const never = time.Duration(-1)

func (w *World) do(t task) (time.Duration, error) {
	ctx := w.t.Context()
	w.armed = true
	defer func() { w.armed = false }()
	switch t.what {
	case taskPool:
		next, err := w.control.ReconcilePool(ctx, t.key)
		return w.until(next, 5*time.Minute), err
	case taskServer:
		return w.control.StepServer(ctx, t.key)
	case taskProvider:
		out, err := w.control.RefreshProvider(ctx, t.key)
		for _, id := range out.Step {
			w.schedule(task{taskServer, id}, 0)
		}
		return max(out.Next, 10*time.Millisecond), err
	case taskRemnants:
		return 10 * time.Minute, w.control.SweepRemnants(ctx, t.key)
	case taskSessions:
		next, err := w.control.ExpireSessions(ctx)
		return w.until(next, time.Hour), err
	case taskReset:
		if t.key != "" {
			if err := w.control.ProviderChanged(ctx, t.key); err != nil {
				return 0, err
			}
		}
		w.wakeAll()
		return never, nil
	case taskAgents:
		w.armed = false
		return w.agents(ctx), nil
	}
	return never, fmt.Errorf("no such task %q", t.what)
}

// until turns a moment into a delay, at most the given one.
func (w *World) until(t time.Time, most time.Duration) time.Duration {
	if t.IsZero() {
		return most
	}
	return min(max(t.Sub(w.clock.Now()), time.Millisecond), most)
}

// beatEvery is how often agents report.
const beatEvery = 30 * time.Second

// agents lets machines that run check in and beat. It returns when a machine
// will have news.
func (w *World) agents(ctx context.Context) time.Duration {
	now := w.clock.Now()
	for _, c := range w.cloud.DueCheckins(now) {
		_, err := w.service.Register(ctx, fleet.AgentRegistration{
			Token: c.Bootstrap.RegistrationToken, Credential: credentialOf(c.Instance.ID),
			Addresses: []string{"10.0.0.1"}, Capacity: c.Instance.Capacity,
		})
		if err != nil {
			w.note("machine %s cannot register: %v", c.Instance.ID, err)
		}
		w.cloud.CheckedIn(c.Instance.ID)
	}
	if !now.Before(w.beatAt) {
		w.beatAt = now.Add(beatEvery)
		for _, c := range w.cloud.Beating(now) {
			if _, err := w.service.Report(ctx, credentialOf(c.Instance.ID), fleet.AgentReport{Capacity: c.Instance.Capacity}); err != nil {
				w.note("machine %s cannot report: %v", c.Instance.ID, err)
			}
		}
	}
	next := w.beatAt
	if at, ok := w.cloud.NextChange(now); ok && at.Before(next) {
		next = at
	}
	return max(next.Sub(now), time.Millisecond)
}

func credentialOf(machine string) string {
	return "credential-of-" + machine + strings.Repeat("x", 32)
}
