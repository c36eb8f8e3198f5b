package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
	world "github.com/headroom-dev/headroom/test/sim"
)

// Each test of this file is something that has gone wrong in the field, in other
// systems.

// installation is one pool of agents with 2 cores each.
func installation(most, cores int, more string) string {
	return fmt.Sprintf(`
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: cloud}
spec: {provider: sim, max_instances: %d, create_burst: 500}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c}
spec:
  pool: p
  zone: default
  vm_providers: [cloud]
  standby: {cores: %d}
  downscale_backoff: 1m
  %s
`, most, cores, more)
}

func behaviour() sim.Behaviour {
	return sim.Behaviour{
		Shape: fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048},
		Boot:  sim.Always(20 * time.Second), DeleteTime: sim.Always(5 * time.Second),
	}
}

// faults can be changed while a history goes on.
type faults struct {
	call func(sim.Call) sim.Fault
	db   error
}

func (f *faults) of(c sim.Call) sim.Fault {
	if f.call == nil {
		return sim.Fault{}
	}
	return f.call(c)
}

func (f *faults) database(store.Stage) error { return f.db }

func TestFillsTakesAndReturns(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(6, 4, ""), Behaviour: behaviour()})
	w.Run(time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2})
	s := w.Acquire("p", 2, 2048)
	w.WantState(s, fleet.SessionActive)
	w.Run(time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3})
	w.End(s)
	w.Run(5 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2, fleet.PhaseGone: 1})
	w.WantMachines(2)
}

// A surplus is given up when it has lasted, and whoever takes it for a moment
// makes it begin anew.
func TestASurplusLastsItsBackoff(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(6, 4, ""), Behaviour: behaviour()})
	w.Run(time.Minute)
	s := w.Acquire("p", 2, 2048)
	w.Run(time.Minute)
	w.End(s)
	w.Run(50 * time.Second)
	w.WantReady("p", 3)
	s = w.Acquire("p", 2, 2048)
	w.Run(time.Second)
	w.End(s)
	w.Run(50 * time.Second)
	w.WantReady("p", 3)
	w.Run(15 * time.Second)
	w.WantReady("p", 2)
}

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

// A controller that comes back after hours finds every agent silent and every
// session expired, since nobody has listened.
func TestFieldAbsenceOfTheControllerIsNotSilenceOfTheAgents(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(100, 40, ""), Behaviour: behaviour()})
	w.Run(5 * time.Minute)
	s := w.AcquireFor("p", 1, 512, 10*time.Minute)
	w.KeepAlive(s, 2*time.Minute, 9*time.Hour)
	w.Run(5 * time.Minute)
	w.Away(4 * time.Hour)
	w.Run(time.Hour)
	w.WantState(s, fleet.SessionActive)
	w.Jump(3 * time.Hour)
	w.Run(time.Hour)
	w.WantState(s, fleet.SessionActive)
	w.WantCalls(21, 0)
}

// The same for a clock that is put back: nothing stands still until it has
// caught up.
func TestFieldAClockThatIsPutBackHoldsNothingUp(t *testing.T) {
	t.Parallel()
	var f faults
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(100, 4, ""), Behaviour: behaviour(), Fault: f.of})
	w.Run(5 * time.Minute)
	w.Jump(24 * time.Hour)
	w.Run(5 * time.Minute)
	f.call = func(c sim.Call) sim.Fault { // no clear answer
		if c.Op == sim.OpCreate {
			return sim.Refuse(provider.Unavailable)
		}
		return sim.Fault{}
	}
	w.Acquire("p", 2, 512)
	w.Run(time.Second)
	f.call = nil
	w.Jump(-24 * time.Hour)
	w.Run(6 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3})
	w.Acquire("p", 2, 512)
	w.Run(3 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 4})
}

// 100 requests once led to 500 machines, because those that were coming up did
// not count.
func TestFieldMachinesThatComeUpCount(t *testing.T) {
	t.Parallel()
	b := behaviour()
	b.Boot = sim.Always(8 * time.Minute)
	b.ListLag = sim.Spread{Law: sim.Uniform, Mean: 30 * time.Second, Max: time.Minute}
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(120, 0, ""), Behaviour: b})
	for range 100 {
		w.Acquire("p", 1, 256)
		w.Run(3 * time.Second)
	}
	w.Run(20 * time.Minute)
	w.WantCalls(50, 0)
}

// In-flight machines were once deleted and made again after a crash.
func TestFieldMachinesInFlightAreAdoptedAfterACrash(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"agents speak for themselves": "", "no agent": "require_checkin: false", "no tokens": "require_checkin: true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := behaviour()
			b.NoTokens = name == "no tokens"
			b.ListLag = sim.Spread{Law: sim.Uniform, Mean: 20 * time.Second, Max: 40 * time.Second}
			calls, dead := 0, 0
			w := world.New(t, world.Options{Seed: 1, Manifest: installation(30, 40, more), Behaviour: b, Crash: func(point string) bool {
				if point == "answer create" {
					calls++
					if calls%2 == 0 && dead < 8 {
						dead++
						return true
					}
				}
				return false
			}, Fault: func(sim.Call) sim.Fault { return sim.Fault{Mute: name == "no agent"} }})
			w.Run(15 * time.Minute)
			w.WantMachines(20)
			w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 20})
			w.WantCalls(20, 0)
			if dead != 8 {
				t.Errorf("%d crashes, want 8", dead)
			}
		})
	}
}

// A create call whose answer was lost is repeated, and makes no second machine
// although the listings hide the first one.
func TestFieldARepeatedCreateMakesNoSecondMachine(t *testing.T) {
	t.Parallel()
	lost, lying := 0, true
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(2, 4, "provision_timeout: 30m"), Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
		switch {
		case c.Op == sim.OpCreate && lost < 4:
			lost++
			return sim.Fault{Lost: true, Mute: true}
		case c.Op == sim.OpList && lying:
			return sim.Fault{CutList: true}
		}
		return sim.Fault{}
	}})
	w.Run(12 * time.Minute)
	w.WantMachines(2)
	if w.Creates() < 3 {
		t.Errorf("%d create calls: none was repeated", w.Creates())
	}
	lying = false
	w.Run(2 * time.Hour)
	w.WantReady("p", 2)
}

// Accepted, and never seen.
func TestFieldAcceptedButNeverAppears(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(3, 4, ""), Behaviour: behaviour()})
	w.Run(time.Second)
	w.VanishAll()
	w.Run(20 * time.Minute)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2, fleet.PhaseGone: 2})
	w.WantMachines(2)
}

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

const twoClouds = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: other}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: first}
spec: {provider: sim, max_instances: 10}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: second}
spec: {provider: sim, max_instances: 10}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c}
spec: {pool: p, zone: default, vm_providers: [first, second], standby: {cores: 8}}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: d}
spec: {pool: other, zone: default, vm_providers: [second], standby: {cores: 8}}
`

// A stock-out falls through to the next provider at once.
func TestFieldStockOutFallsThrough(t *testing.T) {
	t.Parallel()
	for _, class := range []provider.Class{provider.NoCapacity, provider.Quota} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: twoClouds, Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
				if c.Op == sim.OpCreate && c.Owner.Provider == "first" {
					return sim.Refuse(class)
				}
				return sim.Fault{}
			}})
			w.Run(25 * time.Second) // boot takes 20
			w.WantReady("p", 4)
			w.WantReady("other", 4)
		})
	}
}

// A cloud that accepts machines and then has no room for them is passed over
// as one that refuses them.
func TestFieldAcceptedWithoutRoomFallsThrough(t *testing.T) {
	t.Parallel()
	for _, class := range []provider.Class{provider.NoCapacity, provider.Quota} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: twoClouds, Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
				if c.Op == sim.OpCreate && c.Owner.Provider == "first" {
					return sim.Fault{FailAfter: time.Second, FailClass: class}
				}
				return sim.Fault{}
			}})
			w.Run(time.Minute)
			w.WantReady("p", 4)
			w.WantReady("other", 4)
			if n := w.Creates(); n > 12 {
				t.Errorf("%d create calls for 8 machines", n)
			}
		})
	}
}

// A create of several operations goes on as soon as the driver says, and not
// after a search for a machine that cannot be there.
func TestACreateOfSeveralStepsGoesOn(t *testing.T) {
	t.Parallel()
	calls := map[string]int{}
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 4, ""), Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
		if c.Op == sim.OpCreate {
			if calls[c.Server]++; calls[c.Server] <= 3 {
				return sim.Fault{Err: &provider.Error{Class: provider.Conflict, After: 2 * time.Second, Message: "its disk is being made"}}
			}
		}
		return sim.Fault{}
	}})
	w.Run(35 * time.Second) // three waits of 2 seconds, 20 for the boot
	w.WantReady("p", 2)
}

// Creates that the provider's own rate limit refused were asked for again at
// once, and what they needed before each call used the limit up: no machine was
// made for as long as two waited. A limit below the pace of the listings is
// shared with them.
func TestFieldATightRateLimitIsUsedForMachines(t *testing.T) {
	t.Parallel()
	for perSecond, machines := range map[string]int{"0.1": 6, "0.5": 10, "3": 10} {
		t.Run(perSecond+" calls a second", func(t *testing.T) {
			t.Parallel()
			b := behaviour()
			b.Offers = []string{"small", "large"}
			manifest := strings.Replace(installation(20, 2*machines, ""), "create_burst", "rate_limit: "+perSecond+", create_burst", 1)
			w := world.New(t, world.Options{Seed: 1, Manifest: manifest, Behaviour: b})
			w.Run(3 * time.Minute)
			w.WantReady("p", machines)
			w.WantCalls(int64(machines), 0)
		})
	}
}

// One dead cloud holds up nobody else.
func TestFieldADeadCloudHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"unavailable":    sim.Refuse(provider.Unavailable),
		"throttled":      sim.Throttle(time.Minute),
		"no credentials": sim.Refuse(provider.Unauthenticated),
		"unknown":        sim.Refuse(provider.Unknown),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: twoClouds, Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
				if c.Owner.Provider == "first" {
					return fault
				}
				return sim.Fault{}
			}})
			w.Run(25 * time.Second)
			w.WantReady("other", 4)
			w.Run(2 * time.Hour)
			s := w.Acquire("other", 2, 256)
			w.Run(25 * time.Second)
			w.WantState(s, fleet.SessionActive)
			w.WantReady("other", 5)
		})
	}
}

// What can never work is not tried for ever, and somebody is told.
func TestFieldWhatCanNeverWorkIsTriedRarely(t *testing.T) {
	t.Parallel()
	for _, class := range []provider.Class{provider.Invalid, provider.Forbidden, provider.Unauthenticated, provider.Unsupported} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 8, ""), Behaviour: behaviour(), Fault: func(c sim.Call) sim.Fault {
				if c.Op == sim.OpCreate {
					return sim.Refuse(class)
				}
				return sim.Fault{}
			}})
			w.Run(24 * time.Hour)
			// Four at once before the circuit opens, then once in 30 minutes.
			if n := w.Creates(); n > 70 || n < 20 {
				t.Errorf("%d create calls within a day", n)
			}
			if n := w.Events(fleet.EventProviderCircuit); n == 0 {
				t.Error("nobody was told that the provider is out of use")
			}
		})
	}
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

// The id of a machine that is gone is given to somebody else's, which bears no
// marks at all. It is left alone, and nothing waits for it.
func TestFieldAnIDGivenToAStranger(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 4, ""), Behaviour: behaviour()})
	w.Run(5 * time.Minute)
	s := w.Acquire("p", 2, 256)
	w.Run(3 * time.Hour)
	w.WantReady("p", 3)
	w.GiveAway(s)
	w.Run(30 * time.Minute)
	w.WantState(s, fleet.SessionEnded)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2, fleet.PhaseGone: 1})
	w.WantMachines(3)
	w.WantCalls(3, 0)
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

// Standby is reached as fast as the cloud allows.
func TestStandbyIsReachedInTime(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 10, 40} {
		t.Run(fmt.Sprint(n, " machines"), func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Behaviour: behaviour()})
			w.Apply(strings.Replace(installation(100, 2*n, ""), ", create_burst: 500", "", 1))
			after := max(0, n-20) // one a second after the burst of 20
			w.Run(time.Duration(float64(20*time.Second+time.Duration(after)*time.Second)*1.1) + 2*time.Second)
			w.WantReady("p", n)
		})
	}
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
