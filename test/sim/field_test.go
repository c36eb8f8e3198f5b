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
