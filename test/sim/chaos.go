package sim

import (
	"fmt"
	"regexp"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// Chaos says what goes wrong, each as a chance per call unless said otherwise.
type Chaos struct {
	Refuse     float64 // any call: unavailable
	Throttle   float64 // any call: too many requests
	Lost       float64 // create and delete: the effect happens, the answer is lost
	NoCapacity float64
	Quota      float64
	NeverBoot  float64
	FailBoot   float64
	Die        float64 // a machine stops some time after it ran
	Mute       float64 // a machine never checks in
	LeaveDisk  float64
	FailList   float64 // a listing breaks off
	Outage     float64 // per hour: the cloud is away for up to an hour
}

// Everything goes wrong in this mix, each thing rarely enough that the system
// gets something done between.
var Everything = Chaos{ //nolint:gochecknoglobals // a constant in all but name
	Refuse: 0.03, Throttle: 0.02, Lost: 0.03, NoCapacity: 0.03, Quota: 0.01, NeverBoot: 0.02, FailBoot: 0.02,
	Die: 0.03, Mute: 0.02, LeaveDisk: 0.02, FailList: 0.05, Outage: 0.2,
}

// fault draws what happens to a call.
func (w *World) fault(call sim.Call) sim.Fault {
	hit := func(p float64) bool { return p > 0 && w.rnd.Float64() < p }
	c := w.chaos
	switch {
	case hit(c.Refuse):
		return sim.Refuse(provider.Unavailable)
	case hit(c.Throttle):
		return sim.Throttle(time.Duration(w.rnd.IntN(60)) * time.Second)
	}
	switch call.Op {
	case sim.OpCreate:
		switch {
		case hit(c.NoCapacity):
			return sim.Refuse(provider.NoCapacity)
		case hit(c.Quota):
			return sim.Refuse(provider.Quota)
		case hit(c.LeaveDisk):
			return sim.Fault{LeaveDisk: true, Err: provider.Errorf(provider.Unavailable, "made a disk and failed")}
		}
		f := sim.Fault{Lost: hit(c.Lost), NeverBoot: hit(c.NeverBoot), Mute: hit(c.Mute)}
		if hit(c.FailBoot) {
			f.FailAfter = time.Duration(w.rnd.IntN(30)) * time.Second
		}
		if hit(c.Die) {
			f.DieAfter = time.Duration(1+w.rnd.IntN(7200)) * time.Second
		}
		return f
	case sim.OpDelete:
		return sim.Fault{Lost: hit(c.Lost), LeaveDisk: hit(c.LeaveDisk)}
	case sim.OpList:
		if hit(c.FailList) {
			return sim.Fault{FailList: true, After: w.rnd.IntN(5)}
		}
	}
	return sim.Fault{}
}

// Demand is how people behave.
type Demand struct {
	PerHour  float64       // sessions that are asked for
	Length   time.Duration // mean length of one
	Most     int           // sessions that people hold at once
	Pools    []string      // where; default "p"
	Operator func(*World)  // what the operator does now and then; nil: nothing
}

// Live lets people, faults and crashes happen for a length of history.
func (w *World) Live(d time.Duration, demand Demand, chaos Chaos) {
	w.t.Helper()
	w.chaos = chaos
	crash := w.opt.CrashRate
	w.crashRate = crash
	end := w.clock.Now().Add(d)
	type stay struct {
		id    string
		until time.Time
	}
	var stays []stay
	for w.clock.Now().Before(end) {
		gap := time.Duration(w.rnd.ExpFloat64() / max(demand.PerHour, 0.01) * float64(time.Hour))
		w.Run(min(gap, end.Sub(w.clock.Now())))
		if w.rnd.Float64() < chaos.Outage*gap.Hours() {
			from := w.clock.Now()
			w.cloud.Outage(from, from.Add(time.Duration(w.rnd.IntN(3600))*time.Second), provider.Unavailable)
		}
		kept := stays[:0]
		for _, s := range stays {
			if s.until.After(w.clock.Now()) {
				kept = append(kept, s)
				continue
			}
			w.End(s.id)
		}
		if stays = kept; len(stays) >= demand.Most {
			continue
		}
		if demand.Operator != nil && w.rnd.IntN(12) == 0 {
			demand.Operator(w)
		}
		pool := "p"
		if n := len(demand.Pools); n > 0 {
			pool = demand.Pools[w.rnd.IntN(n)]
		}
		if id := w.acquireAny(pool); id != "" {
			length := time.Duration(w.rnd.ExpFloat64() * float64(demand.Length))
			stays = append(stays, stay{id, w.clock.Now().Add(length)})
		}
	}
	w.chaos, w.crashRate = Chaos{}, 0
	for _, s := range stays {
		w.End(s.id)
	}
}

// WantRest fails if the system still acts when nothing changes any more.
func (w *World) WantRest(after, length time.Duration) {
	w.t.Helper()
	w.Run(after)
	creates, deletes := w.checks.creates, w.checks.deletes
	w.Run(length)
	if c, d := w.checks.creates-creates, w.checks.deletes-deletes; c != 0 || d != 0 {
		w.Fail("nothing changes any more, and yet %d machines were made and %d deleted", c, d)
	}
}

// WantNothingLeft retires everything and fails if the cloud still holds
// something of ours afterwards.
func (w *World) WantNothingLeft(manifest string, within time.Duration) {
	w.t.Helper()
	w.Apply(manifest)
	w.Run(within)
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		for _, s := range servers {
			state, _ := tx.AutoscaleState(s.AutoscaleConfig)
			w.note("server %s of %s is %s since %s with %d sessions: %s (%s)", s.Name, s.AutoscaleConfig, s.Phase, s.PhaseSince.Sub(Begin), s.Sessions, s.Reason, state.Decision)
		}
		return err
	}), "reading servers")
	for _, m := range w.cloud.Instances() {
		w.Fail("machine %s of server %s is left", m.ID, m.Tags.Server)
	}
	for _, r := range w.cloud.Remnants() {
		w.Fail("%s %s of server %s is left", r.Kind, r.ID, r.Tags.Server)
	}
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		for _, s := range servers {
			if s.Phase != fleet.PhaseGone {
				w.Fail("server %s is still %s: %s", s.Name, s.Phase, s.Reason)
			}
		}
		return err
	}), "reading servers")
}

var reasonID = regexp.MustCompile(`id\d+`)

// Summary says what happened, so that a history in which nothing did is
// noticed.
func (w *World) Summary() string {
	ended := map[string]int{}
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		list, err := tx.Sessions(store.SessionFilter{IncludeEnded: true})
		for _, s := range list {
			ended[reasonID.ReplaceAllString(s.Reason, "…")]++
		}
		return err
	}), "reading sessions")
	return fmt.Sprintf("%d events, %d creates, %d deletes, %d crashes, %d orphans, sessions: %v, events: %v", w.checks.lastSeq, w.checks.creates, w.checks.deletes, w.crashes, w.checks.orphans, ended, w.checks.types)
}
