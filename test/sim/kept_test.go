package sim_test

import (
	"testing"

	world "github.com/headroom-dev/headroom/test/sim"
)

// kept are histories that once broke a promise, as a failing test printed them,
// with what was wrong.
func kept() map[string]string {
	return map[string]string{
		"a machine that had spoken was taken for one that was never made": "scenario=desks seed=5017 length=5h0m0s",
		"sessions ended when the clock was set forward":                   "scenario=fleet seed=1 length=8h0m0s",
		"a pool was not planned while a staged session found no room":     "scenario=estate seed=1 length=6h0m0s",
	}
}

func TestKeptHistories(t *testing.T) {
	t.Parallel()
	for name, text := range kept() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := world.ParseSpec(text)
			if err != nil {
				t.Fatal(err)
			}
			tell(t, play(t)(s))
		})
	}
}
