package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/service"
	world "github.com/headroom-dev/headroom/test/sim"
)

// account are the settings of a cloud that asks who is there.
type account struct {
	sim.Settings
	AccessKeyID string `json:"access_key_id,omitempty" access:"true" doc:"Who asks."`
}

// Replacing credentials once replaced a whole fleet: one of two halves was no
// secret, and so counted as another machine.
func TestFieldReplacedCredentialsReplaceNoMachine(t *testing.T) {
	t.Parallel()
	with := func(settings string) string {
		return strings.Replace(installation(10, 8, "replace_on_drift: true\n  max_unavailable: 5"), "create_burst", "settings: {"+settings+"}, create_burst", 1)
	}
	w := world.New(t, world.Options{
		Seed: 1, Manifest: with("access_key_id: first, cores: 2"), Behaviour: behaviour(), Settings: func() any { return new(account) },
	})
	preview := func(manifest string) string {
		t.Helper()
		changes := w.Preview(manifest)
		i := slices.IndexFunc(changes, func(c service.Change) bool { return c.Kind == fleet.KindVMProvider })
		return strings.Join(changes[i].Notes, "\n")
	}
	w.Run(5 * time.Minute)
	held := w.Acquire("p", 2, 256)
	w.Run(5 * time.Minute)
	w.WantReady("p", 5)
	made := w.Creates()

	rotated := with("access_key_id: second, cores: 2")
	if told := preview(rotated); !strings.Contains(told, "none is replaced; access alone changes (access_key_id)") {
		t.Errorf("the preview says %q", told)
	}
	w.Apply(rotated)
	w.Run(2 * time.Hour)
	w.WantReady("p", 5)
	w.WantCalls(made, 0)

	larger := with("access_key_id: second, cores: 4")
	if told := preview(larger); !strings.Contains(told, "they are replaced only where replace_on_drift is set") {
		t.Errorf("the preview says %q", told)
	}
	w.Apply(larger)
	w.Run(2 * time.Hour)
	w.WantState(held, fleet.SessionActive)
	w.WantCalls(made+4, 4) // all but the one that holds a session
	w.End(held)
	w.Run(time.Hour)
	w.WantNothingLeft(strings.Replace(larger, "cores: 8", "cores: 0", 1), 3*time.Hour)
}
