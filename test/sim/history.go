package sim

import (
	"fmt"
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// Scenario is a kind of installation with what people and the world do to it.
type Scenario struct {
	Name     string
	Options  func(seed uint64) Options
	Manifest func(d *dice) string // as an operator might write it; the first one has no dice
	ShutDown string               // wants nothing any more
	Operator func(w *World, d dice)
	Demand   Demand
	Chaos    Chaos
	Rests    bool // nothing goes on by itself, such as rotation: it must come to rest
}

// History is what came of a spec.
type History struct {
	Spec    Spec // with the accidents that happened
	Failure *Failure
	Digest  string
	Summary string
	Last    string
	Trace   []string
}

// stop carries a failure out of a history.
type stop struct{ failure Failure }

// Play lives through a history, however it ends.
func Play(t testing.TB, scenarios []Scenario, s Spec) (h History) {
	t.Helper()
	var sc Scenario
	for _, one := range scenarios {
		if one.Name == s.Scenario {
			sc = one
		}
	}
	if sc.Name == "" {
		t.Fatalf("there is no scenario %q", s.Scenario)
	}
	o := sc.Options(s.Seed)
	o.Seed = s.Seed
	w := newWorld(t, o, s)
	w.fail = func(f Failure) { panic(stop{f}) }
	defer func() {
		switch p := recover().(type) {
		case nil:
		case stop:
			h.Failure = &p.failure
			w.note("%s: %s", p.failure.Promise, p.failure.Text)
		default:
			panic(p)
		}
		if w.engine != nil {
			w.luck.calm = true
			if err := w.engine.Close(); err != nil {
				t.Errorf("closing the installation: %v", err)
			}
		}
		h.Spec, h.Digest, h.Trace, h.Last = s, w.Digest(), w.trace, w.Last(60)
		h.Spec.Accidents = w.luck.happened
		if h.Spec.Accidents == nil {
			h.Spec.Accidents = []Accident{}
		}
	}()
	w.start()
	w.must(w.apply(sc.Manifest(nil)), "applying")
	w.live(sc, s.Length)
	if sc.Rests {
		w.WantRest(3*time.Hour, 3*time.Hour)
	}
	w.WantNothingLeft(sc.ShutDown, 14*time.Hour)
	h.Summary = w.Summary()
	return h
}

// live lets people, faults and crashes happen for a length of history.
func (w *World) live(sc Scenario, length time.Duration) {
	until := w.clock.Now().Add(length)
	w.chaos, w.demand = sc.Chaos, sc.Demand
	w.people(sc.Demand, until)
	w.weatherman(until)
	w.operators(until, func(d dice) {
		if d.n(2) == 0 {
			w.meddle(d)
			return
		}
		if sc.Operator != nil {
			sc.Operator(w, d)
		}
	})
	w.Run(length)
	w.luck.calm, w.weather = true, weather{}
	w.note("from here on everything works")
	w.must(w.engine.Jump(w.t.Context(), -w.engine.Wall.Off()), "setting the clock right")
	w.endAll()
}

// endAll ends every session that people hold.
func (w *World) endAll() {
	var ids []string
	w.read(func(tx *store.Tx) error {
		list, err := tx.Sessions(store.SessionFilter{States: []fleet.SessionState{fleet.SessionActive, fleet.SessionQueued}})
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		return err
	})
	for _, id := range ids {
		w.End(id)
	}
}

// WantRest fails if the system still acts when nothing changes any more, or
// has not made what it wants.
func (w *World) WantRest(after, length time.Duration) {
	w.t.Helper()
	w.Run(after)
	creates, deletes := w.checks.creates, w.checks.deletes
	w.Run(length)
	if c, d := w.checks.creates-creates, w.checks.deletes-deletes; c != 0 || d != 0 {
		w.Fail("rest", "nothing changes any more, and yet %d machines were made and %d deleted", c, d)
	}
	for _, d := range w.decisions() {
		if hindered(d) {
			continue
		}
		if !d.Demand.Total.Fits(d.Supply.Free) {
			w.Fail("standby", "config %s has %s free and wants %s, and nothing hinders it: %+v", d.Config, d.Supply.Free, d.Demand.Total, d.Reasons)
		}
	}
}

// decisions are what the planner would decide now.
func (w *World) decisions() (out []plan.ConfigDecision) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		pools, err := tx.Objects(fleet.KindPool)
		for _, o := range pools {
			in, err := snapshot.Load(tx, o.Name, w.engine.Wall.Now(), func(fleet.VMProviderSpec) fleet.Resources { return w.opt.Behaviour.Shape }, provider.Access([]provider.Kind{w.kind}))
			if err != nil {
				return err
			}
			out = append(out, plan.For(in).Configs...)
		}
		return err
	})
	return out
}

// hindered says that a reason explains why a config does not have what it
// wants.
func hindered(d plan.ConfigDecision) bool {
	for _, r := range d.Reasons {
		switch r.Code {
		case plan.ReasonMax, plan.ReasonMaxServers, plan.ReasonFrozen, plan.ReasonDisabled, plan.ReasonTooLarge:
			return true
		default:
		}
	}
	return false
}

// WantNothingLeft retires everything and fails if the cloud still holds
// something of ours afterwards.
func (w *World) WantNothingLeft(manifest string, within time.Duration) {
	w.t.Helper()
	w.must(w.apply(manifest), "applying")
	for end := w.clock.Now().Add(within); w.clock.Now().Before(end) && !w.empty(); {
		w.Run(20 * time.Minute)
	}
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		for _, s := range servers {
			state, _ := tx.AutoscaleState(s.AutoscaleConfig)
			w.note("server %s of %s is %s since %s with %d sessions: %s (%s)", s.Name, s.AutoscaleConfig, s.Phase, s.PhaseSince.Sub(w.opt.Begin), s.Sessions, s.Reason, state.Decision)
		}
		return err
	})
	for _, m := range w.cloud.Instances() {
		w.Fail("nothing left", "machine %s of server %s is left", m.ID, m.Tags.Server)
	}
	for _, r := range w.cloud.Remnants() {
		w.Fail("nothing left", "%s %s of server %s is left", r.Kind, r.ID, r.Tags.Server)
	}
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		for _, s := range servers {
			w.Fail("nothing left", "server %s is still %s: %s", s.Name, s.Phase, s.Reason)
		}
		return err
	})
}

// empty says that nothing is left.
func (w *World) empty() (none bool) {
	if len(w.cloud.Instances())+len(w.cloud.Remnants()) > 0 {
		return false
	}
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{Limit: 1})
		none = len(servers) == 0
		return err
	})
	return none
}

var reasonID = regexp.MustCompile(`id\d+|hr-\w+`)

// Summary says what happened, so that a history in which nothing did is
// noticed.
func (w *World) Summary() string {
	return fmt.Sprintf("%d events, %d creates, %d deletes, %d machines at most, %d crashes, %d orphans, sessions: %v, accidents: %v, events: %v",
		w.checks.lastSeq, w.checks.creates, w.checks.deletes, w.checks.most, w.crashes, w.checks.orphans, w.ledger.ended, w.luck.kinds(), w.checks.types)
}

// kinds counts the accidents that happened.
func (l *luck) kinds() map[string]int {
	out := map[string]int{}
	for _, a := range l.happened {
		out[a.Kind]++
	}
	return out
}

func logOf(x float64) float64 { return math.Log(max(x, 1e-9)) }
