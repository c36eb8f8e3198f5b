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
