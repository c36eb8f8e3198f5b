package sim

import (
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/simulate"
	"github.com/headroom-dev/headroom/internal/store"
)

// Chaos says what goes wrong, each as a chance per opportunity unless said
// otherwise.
type Chaos struct {
	Crash float64 // per commit or call of the controller, before and after it

	Refuse     float64 // any call: unavailable
	Throttle   float64 // any call: too many requests
	Lost       float64 // create and delete: the effect happens, the answer is lost
	NoCapacity float64
	Quota      float64
	Forbid     float64 // create: not allowed
	NeverBoot  float64
	FailBoot   float64
	Die        float64 // a machine stops some time after it ran
	Mute       float64 // a machine never checks in
	LeaveDisk  float64
	FailList   float64 // a listing breaks off with an error
	CutList    float64 // a listing ends early without an error
	RepeatList float64 // a listing shows everything twice

	FailRead   float64 // a read of anybody fails
	FailCommit float64 // a commit of anybody fails
	LostCommit float64 // a commit of anybody takes effect and its answer is lost

	Between float64 // somebody asks for a session or ends one just before the controller writes

	LoseMail   float64 // a message of a machine is lost
	LateMail   float64 // a message of a machine arrives up to ten minutes later
	DoubleMail float64 // a message of a machine arrives twice
	FailScript float64 // the startup script fails

	// Chances per hour.
	Outage float64 // the cloud is away for up to an hour
	Storm  float64 // the cloud answers that there are too many calls, for up to half an hour
	Lies   float64 // listings are empty or cut for up to an hour, without an error
	Jump   float64 // the controller's clock is set
	Vanish float64 // somebody removes a machine behind our back
	Notice float64 // the cloud gives notice of a machine, and takes it an hour later
}

// Everything goes wrong in this mix, each thing rarely enough that the system
// gets something done between.
var Everything = Chaos{ //nolint:gochecknoglobals // a constant in all but name
	Crash: 0.003, Refuse: 0.02, Throttle: 0.01, Lost: 0.03, NoCapacity: 0.03, Quota: 0.01, Forbid: 0.005, NeverBoot: 0.02, FailBoot: 0.02,
	Die: 0.03, Mute: 0.02, LeaveDisk: 0.02, FailList: 0.03, CutList: 0.01, RepeatList: 0.01,
	FailRead: 0.0005, FailCommit: 0.003, LostCommit: 0.003, Between: 0.02, LoseMail: 0.02, LateMail: 0.02, DoubleMail: 0.03, FailScript: 0.02,
	Outage: 0.05, Storm: 0.05, Lies: 0.05, Jump: 0.05, Vanish: 0.05, Notice: 0.05,
}

// weather is what lasts for a while.
type weather struct {
	liesUntil time.Time
	showing   int // machines that a lying listing shows
	stormy    time.Time
	cutBefore bool   // the last listing was cut
	taken     string // machine that the cloud has given notice of
}

// crash decides about the life of the controller.
func (w *World) crash(point string) bool {
	if w.opt.Crash != nil {
		return w.opt.Crash(point)
	}
	_, hit := w.luck.hit("crash", w.chaos.Crash)
	if hit {
		w.note("crash at: %s", point)
	}
	return hit
}

// simulatedFault is how errors of the database begin that a history wants.
const simulatedFault = "the simulated database failed"

func (w *World) failCommit(controller bool, stage store.Stage) error {
	if w.looking {
		return nil
	}
	if w.opt.Database != nil {
		return w.opt.Database(stage)
	}
	var kind string
	var p float64
	switch stage {
	case store.BeforeRead:
		kind, p = "failed-read", w.chaos.FailRead
	case store.BeforeCommit:
		kind, p = "failed-commit", w.chaos.FailCommit
	case store.AfterCommit:
		kind, p = "lost-commit", w.chaos.LostCommit
	case store.BeforeWrite:
		return nil
	}
	if _, hit := w.luck.hit(kind, p); !hit {
		return nil
	}
	w.note("%s of the controller: %v", kind, controller)
	return fleet.Errorf(fleet.CodeUnavailable, simulatedFault+": %s", kind)
}

// script watches the calls that reach the cloud and lets the faults of the
// history happen.
func (w *World) script(call sim.Call) sim.Fault {
	var f sim.Fault
	if w.opt.Fault != nil {
		f = w.opt.Fault(call)
	} else {
		f = w.fault(call)
	}
	switch call.Op {
	case sim.OpCreate:
		w.checks.creates++
	case sim.OpDelete:
		w.checks.deletes++
		w.killed[machineOf(call.ID, call.Server)] = true
		if m := w.checks.machine[call.Server]; m == "" || m == call.ID {
			w.killed[call.Server] = true
		}
		w.ledger.deleted(call)
	}
	w.note("cloud %s %s%s%s", call.Op, call.Server, call.ID, describe(f))
	return f
}

// fault draws what happens to a call.
func (w *World) fault(call sim.Call) sim.Fault {
	c, op := w.chaos, string(call.Op)
	if w.clock.Now().Before(w.weather.stormy) {
		return sim.Throttle(0)
	}
	if _, hit := w.luck.hit("refuse-"+op, c.Refuse); hit {
		return sim.Refuse(provider.Unavailable)
	}
	if d, hit := w.luck.hit("throttle-"+op, c.Throttle); hit {
		return sim.Throttle(d.upTo(time.Minute).Round(time.Second))
	}
	switch call.Op {
	case sim.OpCreate:
		return w.faultOfCreate()
	case sim.OpDelete:
		_, lost := w.luck.hit("lost-delete", c.Lost)
		_, disk := w.luck.hit("disk-of-delete", c.LeaveDisk)
		return sim.Fault{Lost: lost, LeaveDisk: disk}
	case sim.OpList:
		return w.faultOfList()
	}
	return sim.Fault{}
}

func (w *World) faultOfCreate() sim.Fault {
	c := w.chaos
	for _, r := range []struct {
		kind  string
		p     float64
		class provider.Class
	}{{"no-capacity", c.NoCapacity, provider.NoCapacity}, {"quota", c.Quota, provider.Quota}, {"forbid", c.Forbid, provider.Forbidden}} {
		if _, hit := w.luck.hit(r.kind, r.p); hit {
			return sim.Refuse(r.class)
		}
	}
	if _, hit := w.luck.hit("disk-of-create", c.LeaveDisk); hit {
		return sim.Fault{LeaveDisk: true, Err: provider.Errorf(provider.Unavailable, "made a disk and failed")}
	}
	var f sim.Fault
	_, f.Lost = w.luck.hit("lost-create", c.Lost)
	_, f.NeverBoot = w.luck.hit("never-boot", c.NeverBoot)
	_, f.Mute = w.luck.hit("mute", c.Mute)
	if d, hit := w.luck.hit("fail-boot", c.FailBoot); hit {
		f.FailAfter = time.Second + d.upTo(30*time.Second)
	}
	if d, hit := w.luck.hit("die", c.Die); hit {
		f.DieAfter = time.Second + d.upTo(2*time.Hour)
	}
	return f
}

func (w *World) faultOfList() sim.Fault {
	c := w.chaos
	if w.clock.Now().Before(w.weather.liesUntil) {
		return sim.Fault{CutList: true, After: w.weather.showing}
	}
	if d, hit := w.luck.hit("failed-list", c.FailList); hit {
		return sim.Fault{FailList: true, After: d.n(5)}
	}
	// A cloud that recognises no repeated create and hides the machine twice in
	// a row cannot be told from one that made none.
	d, cut := w.luck.hit("cut-list", c.CutList)
	cut = cut && !(w.weather.cutBefore && w.opt.Behaviour.NoTokens)
	if w.weather.cutBefore = cut; cut {
		return sim.Fault{CutList: true, After: d.n(4)}
	}
	_, repeat := w.luck.hit("repeated-list", c.RepeatList)
	return sim.Fault{Repeat: repeat}
}

// deliver decides about a message of a machine.
func (w *World) deliver(m simulate.Message) []simulate.Delivery {
	c, kind := w.chaos, string(m.Kind)
	if _, hit := w.luck.hit("lost-"+kind, c.LoseMail); hit {
		w.note("%s of machine %s is lost", kind, m.Machine)
		return nil
	}
	out := []simulate.Delivery{{}}
	if m.Kind == simulate.MessageCheckin {
		if _, hit := w.luck.hit("failed-script", c.FailScript); hit {
			out[0].Status = "failed"
		}
	}
	if d, hit := w.luck.hit("late-"+kind, c.LateMail); hit {
		out[0].After = d.upTo(10 * time.Minute)
	}
	if d, hit := w.luck.hit("double-"+kind, c.DoubleMail); hit {
		out = append(out, simulate.Delivery{After: d.upTo(10 * time.Minute), Status: out[0].Status})
	}
	return out
}

// hour lets the weather change.
func (w *World) hour() {
	c, now := w.chaos, w.clock.Now()
	if d, hit := w.luck.hit("outage", c.Outage); hit {
		from := now.Add(d.upTo(time.Hour))
		w.cloud.Outage(from, from.Add(d.upTo(time.Hour)), provider.Unavailable)
	}
	if d, hit := w.luck.hit("storm", c.Storm); hit {
		w.weather.stormy = now.Add(d.upTo(30 * time.Minute))
		w.note("too many calls until %s", w.weather.stormy.Sub(w.opt.Begin))
	}
	lies := c.Lies
	if w.opt.Behaviour.NoTokens {
		lies = 0
	}
	if d, hit := w.luck.hit("lies", lies); hit {
		w.weather.liesUntil, w.weather.showing = now.Add(d.upTo(time.Hour)), pick(&d, 0, 0, 1, 2, 4)
		w.note("listings show %d machines until %s", w.weather.showing, w.weather.liesUntil.Sub(w.opt.Begin))
	}
	if d, hit := w.luck.hit("jump", c.Jump); hit {
		by := pick(&d, time.Second, -time.Second, 90*time.Second, -90*time.Second, 20*time.Minute, -20*time.Minute, 5*time.Hour, -5*time.Hour, -w.engine.Wall.Off())
		w.note("the controller's clock is set by %s", by)
		w.must(w.engine.Jump(w.t.Context(), by), "setting the clock")
	}
	if d, hit := w.luck.hit("vanish", c.Vanish); hit {
		if all := w.cloud.Instances(); len(all) > 0 {
			m := all[d.n(len(all))]
			w.cloud.Vanish(m.ID)
			w.note("machine %s of server %s is removed by somebody else", m.ID, m.Tags.Server)
		}
	}
	if w.weather.taken != "" && w.cloud.Vanish(w.weather.taken) {
		w.note("machine %s is taken back", w.weather.taken)
	}
	w.weather.taken = ""
	if d, hit := w.luck.hit("notice", c.Notice); hit {
		if all := w.cloud.Instances(); len(all) > 0 {
			m := all[d.n(len(all))]
			w.weather.taken = m.ID
			w.cloud.Interrupt(m.ID, "spot capacity is wanted back")
			w.note("the cloud gives notice of machine %s of server %s", m.ID, m.Tags.Server)
		}
	}
}
