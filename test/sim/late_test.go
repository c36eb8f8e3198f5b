package sim_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	world "github.com/headroom-dev/headroom/test/sim"
)

// A cloud that shows new machines a minute late, to whoever lists them and to
// whoever asks for them, says of a machine that is deleted at once that there is
// none. It must be deleted as soon as it shows, also when the controller dies
// meanwhile, and not by a sweep hours later.
func TestAMachineThatIsShownLateIsDeleted(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		b := behaviour()
		b.Boot = sim.Always(3 * time.Second)
		b.ListLag, b.GetLag = sim.Always(time.Minute), sim.Always(time.Minute)
		w := world.New(t, world.Options{Seed: 1, Manifest: installation(6, 4, ""), Behaviour: b})
		w.Run(20 * time.Second)
		w.WantReady("p", 2)
		w.DeleteOne("p")
		if restart {
			w.Run(10 * time.Second)
			w.Restart()
		}
		w.Run(4 * time.Minute)
		w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2, fleet.PhaseGone: 1})
		w.WantMachines(2)
		w.WantCalls(3, 2) // the second delete finds it gone
	}
}
