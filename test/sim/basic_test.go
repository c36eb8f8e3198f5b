package sim_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	world "github.com/headroom-dev/headroom/test/sim"
)

const manifest = `
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
spec: {provider: sim, max_instances: 6}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c}
spec:
  pool: p
  zone: default
  vm_providers: [cloud]
  standby: {cores: 4, memory: 4Gi}
  downscale_backoff: 1m
`

func behaviour() sim.Behaviour {
	return sim.Behaviour{
		Shape: fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048},
		Boot:  sim.Always(20 * time.Second), DeleteTime: sim.Always(5 * time.Second),
	}
}

// cloudOf is a cloud with the weather of a seed: how long machines take to
// boot, how late listings are, and whether a repeated create is recognised.
func cloudOf(seed uint64) sim.Behaviour {
	b := behaviour()
	b.Boot = sim.Spread{Law: sim.Lognormal, Mean: time.Duration(5+seed%7*20) * time.Second}
	b.ListLag = sim.Spread{Law: sim.Uniform, Mean: time.Duration(seed%4*10) * time.Second, Max: time.Minute}
	b.NoTokens = seed%3 == 0
	b.Page = 3
	return b
}

func TestFillsTakesAndReturns(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: manifest, Behaviour: behaviour()})
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
