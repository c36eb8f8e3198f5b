package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	world "github.com/headroom-dev/headroom/test/sim"
)

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
