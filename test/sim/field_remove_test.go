package sim_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	world "github.com/headroom-dev/headroom/test/sim"
)

// What must never be deleted: a machine that somebody has just taken.
func TestFieldIdleCheckAndDeleteDoNotRace(t *testing.T) {
	t.Parallel()
	var ids []string
	pounce := false
	w := world.New(t, world.Options{
		Seed: 1, Manifest: installation(10, 4, ""), Behaviour: behaviour(),
		Between: func(w *world.World) {
			for pounce { // everything that is free is taken before each write of the controller
				id := w.AcquireNow("p", 2, 256)
				if id == "" {
					return
				}
				ids = append(ids, id)
			}
		},
	})
	w.Run(5 * time.Minute)
	first := w.Acquire("p", 2, 256)
	w.Run(2 * time.Minute)
	w.End(first)
	w.Run(time.Minute - 10*time.Millisecond) // until just before the surplus is retired
	pounce = true
	w.Run(5 * time.Minute)
	pounce = false
	if len(ids) < 3 {
		t.Fatalf("only %d sessions: nothing was raced for", len(ids))
	}
	for _, id := range ids {
		w.WantState(id, fleet.SessionActive)
	}
}

// Scale-down once killed 22 running jobs in three days.
func TestFieldScaleDownKillsNoJob(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(12, 4, "rotate_after: 5h"), Behaviour: behaviour(), Beat: 2 * time.Minute})
	w.Demand(24*time.Hour, world.Demand{PerHour: 10, Length: 30 * time.Minute, Most: 10, Pools: []string{"p"}})
	w.Run(24 * time.Hour)
	if n := w.Ended("its server"); n != 0 { // the ledger fails the test before
		t.Errorf("%d sessions ended with their server", n)
	}
	if n := w.Ended("ended by token/admin"); n < 50 {
		t.Errorf("only %d sessions: nothing was tried", n)
	}
}

// A ceiling was once exceeded by machines that were still being deleted.
func TestFieldMachinesBeingDeletedCount(t *testing.T) {
	t.Parallel()
	b := behaviour()
	b.DeleteTime = sim.Always(10 * time.Minute)
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(4, 8, ""), Behaviour: b})
	w.Run(5 * time.Minute)
	w.WantMachines(4)
	w.DeleteOne("p")
	w.Run(8 * time.Minute)
	w.WantCalls(4, w.Deletes()) // nothing is made while the old one exists
	w.Run(10 * time.Minute)
	w.WantReady("p", 4)
}

// A listing that leaves out what is being deleted once had the cloud asked for
// its end twenty times a second.
func TestFieldADeleteIsNotRepeatedWithoutPause(t *testing.T) {
	t.Parallel()
	b := behaviour()
	b.DeleteTime = sim.Always(20 * time.Minute)
	hidden := false
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 2, ""), Behaviour: b, Fault: func(c sim.Call) sim.Fault {
		return sim.Fault{CutList: hidden && c.Op == sim.OpList}
	}})
	w.Run(5 * time.Minute)
	w.Apply(installation(10, 0, ""))
	hidden = true
	w.Run(19 * time.Minute)
	w.WantMachines(1)
	if n := w.Deletes(); n < 2 || n > 15 {
		t.Errorf("%d delete calls in 18 minutes", n)
	}
	w.Run(20 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseGone: 1})
}

// A machine whose id is not known, since the answer to its create was lost, and
// which listings leave out, exists when it has spoken.
func TestFieldAMachineThatHasSpokenIsNotForgotten(t *testing.T) {
	t.Parallel()
	var f faults
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(1, 2, ""), Behaviour: behaviour(), Fault: f.of})
	f.call = func(c sim.Call) sim.Fault {
		return sim.Fault{Lost: c.Op == sim.OpCreate, CutList: c.Op == sim.OpList}
	}
	w.Run(5 * time.Minute)
	w.WantReady("p", 1)
	w.Apply(installation(1, 0, "")) // retired, so that there is nothing to compare listings with
	w.Run(20 * time.Minute)
	w.Apply(installation(1, 2, "")) // the ceiling is one machine
	w.Run(time.Hour)
	w.WantMachines(1)
	f.call = nil
	w.Run(20 * time.Minute)
	w.WantReady("p", 1)
	w.WantNothingLeft(installation(1, 0, ""), 3*time.Hour)
}

// A cloud that takes spot machines back says so two minutes before. A machine
// without a session is replaced in that time, and one with a session takes no
// other and is left to it.
func TestFieldNoticeOfAnInterruption(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(6, 4, ""), Behaviour: behaviour()})
	w.Run(time.Minute)
	held := w.Acquire("p", 1, 1024)
	w.Run(time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3})
	w.InterruptAll()
	w.Run(2 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2, fleet.PhaseDraining: 1, fleet.PhaseGone: 2})
	w.WantState(held, fleet.SessionActive)
	another := w.Acquire("p", 1, 1024)
	w.WantState(another, fleet.SessionActive)
	w.Run(time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3, fleet.PhaseDraining: 1, fleet.PhaseGone: 2})
	w.End(held)
	w.Run(time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3, fleet.PhaseGone: 3})
}
