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

// Credentials that are refused are no reason to wait for a second provider: the
// machines that were planned for the first are given up when its circuit opens.
func TestFieldRefusedCredentialsFallThrough(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"one machine": 1, "several": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifest := strings.ReplaceAll(twoClouds, "cores: 8", fmt.Sprint("cores: ", 2*n))
			refused := behaviour()
			refused.Token = "invalid"
			w := world.New(t, world.Options{Seed: 1, Manifest: manifest, Behaviour: behaviour(), BehaviourOf: map[string]sim.Behaviour{"first": refused}})
			w.Run(25 * time.Second) // boot takes 20
			w.WantReady("p", n)
			w.WantReady("other", n)
			w.Run(6 * time.Hour)
			w.WantReady("p", n)
			// Twice before it opens, and then once in 30 minutes, if that.
			if got := w.Events(fleet.EventProviderCircuit); got < 1 || got > 20 {
				t.Errorf("%d events tell that the provider is out of use", got)
			}
		})
	}
}

// What is planned and not made when somebody stops a pool, a provider or a
// config is not made: the cloud was out of reach until then.
func TestWhatIsStoppedMakesNothing(t *testing.T) {
	t.Parallel()
	plain := installation(10, 8, "")
	for name, stopped := range map[string]string{
		"pool":     strings.Replace(plain, "{type: docker_agent}", "{type: docker_agent, frozen: true}", 1),
		"provider": strings.Replace(plain, "create_burst: 500", "create_burst: 500, frozen: true", 1),
		"config":   installation(10, 8, "enabled: false"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, class := range []provider.Class{provider.RateLimited, provider.Unavailable} {
				var f faults
				f.call = func(c sim.Call) sim.Fault {
					if c.Op == sim.OpCreate {
						return sim.Refuse(class)
					}
					return sim.Fault{}
				}
				w := world.New(t, world.Options{Seed: 1, Manifest: plain, Behaviour: behaviour(), Fault: f.of})
				w.Run(10 * time.Second)
				w.Apply(stopped)
				w.Run(time.Second)
				f.call = nil
				w.Run(15 * time.Minute)
				w.WantMachines(0)
				w.WantPhases(map[fleet.Phase]int{fleet.PhaseGone: 4})
				w.Apply(plain)
				w.Run(time.Minute)
				w.WantReady("p", 4)
			}
		})
	}
}

const twoZones = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: east}
spec: {%s}
---
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: west}
spec: {%s}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: east}
spec: {provider: sim, max_instances: %d}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: west}
spec: {provider: sim, max_instances: %d}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: a-east}
spec: {pool: p, zone: east, vm_providers: [east]}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: b-west}
spec: {pool: p, zone: west, vm_providers: [west]}
`

// A session that waits has its machine made in the zone that it asked for, and
// in another one only when that has no room and the session may go there.
func TestMachinesAreMadeInTheZoneThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		manifest string
		zone     string
		want     string // where its server is; empty: it waits
	}{
		"there is room":              {fmt.Sprintf(twoZones, "", "", 5, 5), "west", "west"},
		"there is none":              {fmt.Sprintf(twoZones, "", "", 5, 0), "west", "east"},
		"there is none in the first": {fmt.Sprintf(twoZones, "", "", 0, 5), "", "west"},
		"it may go nowhere else":     {fmt.Sprintf(twoZones, "", "fall_over: false", 5, 0), "west", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: tc.manifest, Behaviour: behaviour()})
			id := w.AcquireIn("p", tc.zone, 1, 512)
			w.Run(time.Minute)
			if tc.want == "" {
				w.WantState(id, fleet.SessionQueued)
				w.WantMachines(0)
				return
			}
			w.WantState(id, fleet.SessionActive)
			w.WantMachines(1)
			if got := w.ZoneOf(id); got != tc.want {
				t.Errorf("its machine is in zone %s, want %s", got, tc.want)
			}
		})
	}
}
