// Package sim runs the real planner, the real control loops, the real service
// and a real database on virtual time against the simulated cloud, one thing
// after the other, so that a seed always gives the same history. People,
// agents, crashes and faults of the cloud are drawn from the seed; after each
// step the promises of the system are checked.
package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/simulate"
	"github.com/headroom-dev/headroom/internal/store"
)

// Begin is when every history begins: a Monday morning.
var Begin = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant in all but name

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
	engine  *simulate.Engine
	clock   *clocktesting.FakeClock
	store   *store.Store
	cloud   *sim.Cloud
	service *service.Service
	kind    provider.Kind

	crashes int
	trace   []string
	killed  map[string]bool // machines that were deleted by the driver, by server id
	checks  *checks

	chaos     Chaos
	crashRate float64
}

// New makes a world in which the manifest has been applied.
func New(t testing.TB, o Options) *World {
	t.Helper()
	w := &World{t: t, opt: o, killed: map[string]bool{}, clock: clocktesting.NewFakeClock(Begin)}
	w.kind = sim.Kind(func(string) *sim.Cloud { return w.cloud })
	w.kind.Defaults.Grace = fleet.Or(o.Grace, 2*time.Minute)
	w.kind.Defaults.BusyInterval, w.kind.Defaults.RestInterval = 5*time.Second, time.Minute // as of a real cloud
	w.checks = newChecks(w)
	var err error
	w.engine, err = simulate.New(t.Context(), simulate.Options{
		Seed: o.Seed, Begin: Begin, Kinds: []provider.Kind{w.kind}, KeyFile: filepath.Join(t.TempDir(), "key"),
		Cloud: func(*store.Object, fleet.VMProviderSpec) (provider.Kind, sim.Behaviour, error) {
			return w.kind, w.opt.Behaviour, nil
		},
		Shape: func(fleet.VMProviderSpec) fleet.Resources { return w.opt.Behaviour.Shape },
		Pace:  simulate.Pace{Resync: 5 * time.Minute, Remnants: 10 * time.Minute, Beat: 30 * time.Second},
		Fence: w.fence, Script: w.script, Committed: w.committed, Stepped: w.stepped, Note: w.note,
		Crashed: func(what, key string) {
			w.crashes++
			w.note("CRASH in %s %s", what, key)
		},
	})
	w.must(err, "making the installation")
	t.Cleanup(func() { w.must(w.engine.Close(), "closing the installation") })
	w.rnd, w.clock, w.store, w.cloud, w.service = w.engine.Rand, w.engine.Clock, w.engine.Store, w.engine.Cloud, w.engine.Service
	if o.Manifest != "" {
		w.Apply(o.Manifest)
	}
	return w
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
func Admin() auth.Principal { return simulate.Admin() }

// Apply applies a manifest.
func (w *World) Apply(manifest string) {
	w.t.Helper()
	_, err := w.service.Apply(w.t.Context(), Admin(), service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "test.yaml", Text: manifest}}})
	w.must(err, "applying")
}

// fence stands at the begin of every write of the controller: a crash there
// loses the write and all that the process knew.
func (w *World) fence() error {
	if w.crashRate > 0 && w.rnd.Float64() < w.crashRate {
		return simulate.ErrCrash
	}
	return nil
}

// committed tells the events to the checks.
func (w *World) committed(events []fleet.Event) {
	for _, e := range events {
		w.note("event %d %s %s %s: %s", e.Seq, e.Type, e.Kind, e.Name, e.Message)
		w.checks.event(e)
	}
}

// stepped checks the promises of the system after a step.
func (w *World) stepped(string, string) error {
	if w.checks.due() {
		w.checks.run()
	}
	return nil
}

// Run lets time pass until the given length of history is over.
func (w *World) Run(d time.Duration) {
	w.t.Helper()
	w.must(w.engine.Run(w.t.Context(), w.clock.Now().Add(d)), "running")
}
