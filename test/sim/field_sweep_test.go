package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	world "github.com/headroom-dev/headroom/test/sim"
)

// Throttling together with a restart once deleted 197 of 200 machines: the
// listing came back with what was left of it, and the rest looked like orphans,
// or lost.
func TestFieldThrottledListingsAndARestartDeleteNothing(t *testing.T) {
	t.Parallel()
	for _, shown := range []int{0, 3, 150} {
		t.Run(fmt.Sprint(shown, " of 200 are shown"), func(t *testing.T) {
			t.Parallel()
			var f faults
			w := world.New(t, world.Options{Seed: 1, Manifest: installation(300, 400, ""), Behaviour: behaviour(), Beat: 2 * time.Minute, Fault: f.of, Database: f.database})
			w.Run(10 * time.Minute)
			w.WantMachines(200)
			w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 200})
			n := 0
			f.call = func(c sim.Call) sim.Fault {
				if c.Op != sim.OpList {
					return sim.Fault{}
				}
				if n++; n%3 == 0 {
					return sim.Throttle(0)
				}
				return sim.Fault{CutList: true, After: shown}
			}
			for range 3 {
				w.Restart()
				w.Run(8 * time.Minute)
			}
			w.WantCalls(200, 0)
			f.call = nil
			w.Run(20 * time.Minute)
			w.WantCalls(200, 0)
			w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 200})
		})
	}
}

// An unreadable listing was once taken for an empty cloud, and everything was
// made anew.
func TestFieldUnreadableListingsStartNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"error":   sim.Refuse(provider.Unavailable),
		"broken":  {FailList: true, After: 1},
		"empty":   {CutList: true},
		"garbage": {Repeat: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f faults
			w := world.New(t, world.Options{Seed: 1, Manifest: installation(100, 40, ""), Behaviour: behaviour(), Beat: 2 * time.Minute, Fault: f.of})
			w.Run(5 * time.Minute)
			w.WantMachines(20)
			f.call = func(c sim.Call) sim.Fault {
				if c.Op == sim.OpList {
					return fault
				}
				return sim.Fault{}
			}
			w.Run(2 * time.Hour)
			w.Restart()
			w.Run(20 * time.Minute)
			w.WantCalls(20, 0)
		})
	}
}

// Orphan collection once deleted every worker while the store was down.
func TestFieldNothingIsDeletedWhileTheDatabaseIsDown(t *testing.T) {
	t.Parallel()
	var f faults
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(100, 40, ""), Behaviour: behaviour(), Beat: 2 * time.Minute, Fault: f.of, Database: f.database})
	w.Run(5 * time.Minute)
	f.db = fleet.Errorf(fleet.CodeUnavailable, "the simulated database failed: it is down")
	w.Run(3 * time.Hour)
	f.db = nil
	w.Run(time.Hour)
	w.WantCalls(20, 0)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 20})
}

// Disks were left over when only machines were collected.
func TestFieldDisksOfFailedCreatesAreCollected(t *testing.T) {
	t.Parallel()
	n := 0
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 12, ""), Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
		switch c.Op {
		case sim.OpCreate:
			if n++; n%2 == 0 {
				return sim.Fault{LeaveDisk: true, Err: provider.Errorf(provider.Unavailable, "made a disk and failed")}
			}
		case sim.OpDelete:
			return sim.Fault{LeaveDisk: true}
		}
		return sim.Fault{}
	}})
	w.Run(30 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 6})
	w.Apply(installation(10, 0, ""))
	w.Run(2 * time.Hour)
	w.WantMachines(0)
	w.WantRemnants(0)
}

// Nobody's machines are touched but our own.
func TestFieldForeignMachinesAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 8, ""), Behaviour: behaviour()})
	w.Plant(provider.Tags{})
	w.Plant(provider.Tags{Installation: "somebody else", Server: "x", Provider: "cloud"})
	w.Run(6 * time.Hour)
	w.WantMachines(6)
}

// More of our machines than anybody can explain: somebody has put an old
// database back, perhaps. Nothing is deleted, nothing more is made, and the
// operator is told.
func TestFieldAnOldDatabaseDeletesAndMakesNothing(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(100, 8, ""), Behaviour: behaviour()})
	w.Run(5 * time.Minute)
	for i := range 30 {
		w.PlantOurs(fmt.Sprint("forgotten", i))
		w.PlantDisk(fmt.Sprint("forgotten", i))
	}
	w.Run(2 * time.Hour)
	w.WantMachines(34)
	w.WantRemnants(30)
	if n := w.Events(fleet.EventSweepStopped); n != 2 {
		t.Errorf("%d events tell that the sweeps of machines and of disks have stopped, want 2", n)
	}
	s := w.Acquire("p", 2, 256)
	w.Run(time.Hour)
	w.WantState(s, fleet.SessionActive)
	w.WantMachines(34)
	// Somebody has looked: all of them may go. No restart is needed.
	raised := func(share int) string {
		return strings.Replace(installation(100, 8, ""), "create_burst", fmt.Sprintf("max_orphan_share: %d, create_burst", share), 1)
	}
	w.Apply(raised(80)) // 30 of 34 are 88 %
	w.Run(time.Hour)
	w.WantMachines(34)
	w.WantRemnants(30)
	w.Apply(raised(100))
	w.Run(time.Hour)
	w.WantReady("p", 5) // and machines are made again
	w.WantMachines(5)
	w.WantRemnants(0)
}

// Where clients choose ids, that of a machine which is gone is given to the
// next one: it is nobody's but that one's.
func TestFieldIDsThatComeBackAreNotConfused(t *testing.T) {
	t.Parallel()
	b := behaviour()
	b.ReuseIDs = true
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 4, ""), Behaviour: b})
	w.Run(5 * time.Minute)
	first, second := w.Acquire("p", 2, 256), w.Acquire("p", 2, 256)
	w.Run(5 * time.Minute)
	w.WantReady("p", 4)
	w.VanishOf(first)               // nobody has noticed
	third := w.Acquire("p", 2, 256) // so that one more machine is made, with that id
	w.Run(20 * time.Minute)
	w.WantState(first, fleet.SessionEnded)
	w.WantState(second, fleet.SessionActive)
	w.WantState(third, fleet.SessionActive)
	w.WantReady("p", 4)
	w.WantMachines(4)
	w.WantCalls(5, 0)
	w.End(second)
	w.End(third)
	w.WantNothingLeft(installation(10, 0, ""), 3*time.Hour)
}

// Somebody removes the marks of a machine by hand. It may be ours: nobody's
// session is ended, and it is not forgotten before somebody says so.
func TestFieldMarksRemovedByHand(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 4, ""), Behaviour: behaviour()})
	w.Run(5 * time.Minute)
	s := w.Acquire("p", 2, 256)
	w.Run(3 * time.Hour)
	w.Strip(s)
	w.Run(3 * time.Hour)
	w.WantState(s, fleet.SessionActive)
	w.WantReady("p", 3)
	w.End(s)
	w.Apply(installation(10, 0, ""))
	w.Run(time.Hour)
	w.DeleteOne("p") // its agent is not heard any more
	w.Run(3 * time.Hour)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseDeleting: 1, fleet.PhaseGone: 2})
	w.WantMachines(1)
	w.Forget()
	w.Run(time.Hour)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseGone: 3})
	w.WantMachines(1)
}

// A single machine of ours that nobody explains goes, but not at the first
// sight.
func TestFieldAnOrphanIsRemovedAfterAWhile(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(100, 8, ""), Behaviour: behaviour()})
	w.Run(5 * time.Minute)
	w.PlantOurs("forgotten")
	w.Run(100 * time.Second)
	w.WantMachines(5)
	w.Run(10 * time.Minute)
	w.WantMachines(4)
	if n := w.Events(fleet.EventOrphanRemoved); n != 1 {
		t.Errorf("%d events tell of a removed orphan", n)
	}
}
