package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
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

// Begin is when histories begin unless they say otherwise: a Monday morning.
var Begin = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant in all but name

// Options shape a world.
type Options struct {
	Seed      uint64
	Begin     time.Time
	Manifest  string        // what is applied at the begin
	Behaviour sim.Behaviour // of each provider of kind sim
	// BehaviourOf takes the place of Behaviour for providers that it knows.
	BehaviourOf map[string]sim.Behaviour
	Settings    func() any    // of the kind; nil: its own
	Grace       time.Duration // of the kind; 0: 2 minutes
	Beat        time.Duration // from one sign of life of an agent to the next; 0: 30 s
	Fault       func(call sim.Call) sim.Fault
	Crash       func(point string) bool
	Database    func(stage store.Stage) error
	Between     func(w *World)
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
	sum     hash.Hash       // over the whole trace
	killed  map[string]bool // machines that were deleted by the driver, and servers whose machine was
	checks  *checks
	ledger  *ledger
	fail    func(Failure)

	steps   int // at one moment
	stepsAt time.Time

	demand  Demand
	persons int
	looking bool // the harness itself reads

	luck    *luck
	chaos   Chaos
	weather weather
}

// Failure is a broken promise.
type Failure struct {
	Promise string // which
	Text    string
	At      time.Duration // since the begin
	Crashes int
}

// New makes a world in which the manifest has been applied.
func New(t testing.TB, o Options) *World {
	t.Helper()
	w := newWorld(t, o, Spec{Seed: o.Seed})
	w.fail = func(f Failure) {
		t.Helper()
		t.Fatalf("%s after %d crashes: %s: %s\nThe last steps:\n  %s", f.At, f.Crashes, f.Promise, f.Text, w.Last(60))
	}
	w.start()
	t.Cleanup(func() {
		if err := w.engine.Close(); err != nil {
			t.Errorf("closing the installation: %v", err)
		}
	})
	return w
}

func newWorld(t testing.TB, o Options, s Spec) *World {
	if o.Begin.IsZero() {
		o.Begin = Begin
	}
	w := &World{t: t, opt: o, killed: map[string]bool{}, clock: clocktesting.NewFakeClock(o.Begin), sum: sha256.New(), luck: newLuck(s)}
	w.kind = sim.Kind(func(string) *sim.Cloud { return w.cloud })
	if o.Settings != nil {
		w.kind.NewSettings = o.Settings
	}
	w.kind.Defaults.Grace = fleet.Or(o.Grace, 2*time.Minute)
	w.kind.Defaults.BusyInterval, w.kind.Defaults.RestInterval = 5*time.Second, time.Minute // as of a real cloud
	w.checks, w.ledger = newChecks(w), newLedger(w)
	return w
}

func (w *World) start() {
	w.t.Helper()
	var err error
	w.engine, err = simulate.New(w.t.Context(), simulate.Options{
		Seed: w.opt.Seed, Begin: w.opt.Begin, Kinds: []provider.Kind{w.kind}, KeyFile: filepath.Join(w.t.TempDir(), "key"),
		Cloud: func(o *store.Object, _ fleet.VMProviderSpec) (provider.Kind, sim.Behaviour, error) {
			if b, ok := w.opt.BehaviourOf[o.Name]; ok {
				return w.kind, b, nil
			}
			return w.kind, w.opt.Behaviour, nil
		},
		Shape: func(fleet.VMProviderSpec) fleet.Resources { return w.opt.Behaviour.Shape },
		Pace:  simulate.Pace{Resync: 5 * time.Minute, Remnants: 10 * time.Minute, Beat: fleet.Or(w.opt.Beat, 30*time.Second), Retain: time.Hour},
		Crash: w.crash, Faults: w.failCommit, Between: w.between, Script: w.script, Deliver: w.deliver,
		Committed: w.committed, Stepped: w.stepped, Failed: w.failed, Note: w.note,
		Crashed: func(what, key string) {
			w.crashes++
			w.note("CRASH in %s %s", what, key)
		},
	})
	w.must(err, "making the installation")
	w.rnd, w.clock, w.store, w.cloud, w.service = w.engine.Rand, w.engine.Clock, w.engine.Store, w.engine.Cloud, w.engine.Service
	if w.opt.Manifest != "" {
		w.must(w.apply(w.opt.Manifest), "applying")
	}
}

func (w *World) must(err error, doing string) {
	w.t.Helper()
	if err != nil {
		w.Fail("works", "%s: %v", doing, err)
	}
}

// Fail tells of a broken promise and ends the history.
func (w *World) Fail(promise, format string, args ...any) {
	w.t.Helper()
	w.fail(Failure{Promise: promise, Text: fmt.Sprintf(format, args...), At: w.clock.Since(w.opt.Begin), Crashes: w.crashes})
}

// Last is the end of what has happened.
func (w *World) Last(n int) string {
	out := ""
	for _, line := range w.trace[max(0, len(w.trace)-n):] {
		out += line + "\n  "
	}
	return out
}

// Digest is a fingerprint of all that has happened.
func (w *World) Digest() string { return hex.EncodeToString(w.sum.Sum(nil)) }

func (w *World) note(format string, args ...any) {
	line := w.clock.Since(w.opt.Begin).Round(time.Millisecond).String() + " " + fmt.Sprintf(format, args...)
	w.sum.Write([]byte(line + "\n")) //nolint:errcheck // it cannot fail
	w.trace = append(w.trace, line)
	if len(w.trace) > 200000 {
		w.trace = slices.Clone(w.trace[100000:])
	}
}

// Admin is who acts in the tests.
func Admin() auth.Principal { return simulate.Admin() }

// Apply applies a manifest.
func (w *World) Apply(manifest string) {
	w.t.Helper()
	w.must(w.apply(manifest), "applying")
}

// Preview is what applying the manifest would do.
func (w *World) Preview(manifest string) []service.Change {
	w.t.Helper()
	r, err := w.service.Apply(w.t.Context(), Admin(), service.ApplyRequest{DryRun: true, Documents: []service.ApplyDocument{{Source: "test.yaml", Text: manifest}}})
	w.must(err, "looking at what applying would do")
	return r.Changes
}

func (w *World) apply(manifest string) error {
	_, err := w.service.Apply(w.t.Context(), Admin(), service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "test.yaml", Text: manifest}}})
	return err
}

// committed tells the events to the checks.
func (w *World) committed(events []fleet.Event) {
	for _, e := range events {
		w.note("event %d %s %s %s: %s", e.Seq, e.Type, e.Kind, e.Name, e.Message)
		w.checks.event(e)
		w.ledger.event(e)
	}
}

// mostSteps is how many steps there may be without any time going by.
const mostSteps = 20000

// stepped checks the promises of the system after a step.
func (w *World) stepped(what, key string) error {
	if now := w.clock.Now(); now.After(w.stepsAt) {
		w.steps, w.stepsAt = 0, now
	}
	if w.steps++; w.steps > mostSteps {
		w.Fail("works", "%d steps and no time goes by: it goes round in circles, at last with %s %s", w.steps, what, key)
	}
	w.ledger.settle()
	if w.checks.due() {
		w.checks.run()
	}
	return nil
}

// failed looks at why a step of the controller has failed: nothing but the
// database can make one fail.
func (w *World) failed(what, key string, err error) {
	if !strings.Contains(err.Error(), simulatedFault) {
		w.Fail("works", "the work on %s %s fails: %v", what, key, err)
	}
}

// Run lets time pass until the given length of history is over.
func (w *World) Run(d time.Duration) {
	w.t.Helper()
	w.must(w.engine.Run(w.t.Context(), w.clock.Now().Add(d)), "running")
}

// read runs a transaction that must work.
func (w *World) read(f func(tx *store.Tx) error) {
	w.t.Helper()
	w.looking = true
	defer func() { w.looking = false }()
	w.must(w.store.Read(w.t.Context(), f), "reading")
}
