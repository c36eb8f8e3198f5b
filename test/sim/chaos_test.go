package sim_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	world "github.com/headroom-dev/headroom/test/sim"
)

var firstSeed = flag.Uint64("sim.seed", 1, "first seed of the histories")

// seeds is how many histories are lived through: SEEDS in the environment.
func seeds(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("SEEDS"))
	if err != nil {
		return 8
	}
	return n
}

const standbyOff = `
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c}
spec:
  pool: p
  zone: default
  vm_providers: [cloud]
  downscale_backoff: 1m
`

func TestHistories(t *testing.T) {
	t.Parallel()
	for i := range seeds(t) {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: seed, Manifest: manifest, Behaviour: behaviour(), CrashRate: 0.01})
			w.Live(24*time.Hour, world.Demand{PerHour: 20, Length: 20 * time.Minute, Most: 8}, world.Everything)
			w.WantRest(4*time.Hour, 6*time.Hour)
			w.WantNothingLeft(standbyOff, 2*time.Hour)
			t.Log(w.Summary())
		})
	}
}
