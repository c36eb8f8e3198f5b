package sim_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
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
			w := world.New(t, world.Options{Seed: seed, Manifest: manifest, Behaviour: cloudOf(seed), CrashRate: 0.01})
			w.Live(24*time.Hour, world.Demand{PerHour: 20, Length: 20 * time.Minute, Most: 8}, world.Everything)
			w.WantRest(4*time.Hour, 6*time.Hour)
			w.WantNothingLeft(standbyOff, 2*time.Hour)
			t.Log(w.Summary())
		})
	}
}

// estate is an installation with most of what a policy can say.
const estate = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: north}
spec: {placement: spread, fall_over: false}
---
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: south}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p}
spec: {type: docker_agent, queue_limit: 20}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: desks}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: first}
spec: {provider: sim, max_instances: 7, settings: {boot_time: %[1]s}}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: second}
spec: {provider: sim, max_instances: 5}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: north}
spec:
  pool: p
  zone: north
  vm_providers: [first, second]
  standby: {cores: %[2]d, memory: 2Gi}
  downscale_backoff: 3m
  rotate_after: 9h
  rotate_prewarm: 20m
  missing_after: 2m
  dead_after: 30m
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: south}
spec:
  pool: p
  zone: south
  vm_providers: [second, first]
  min_servers: %[3]d
  max_servers: 4
  standby: {cores: 2}
  downscale_backoff: 1m
  replace_on_drift: true
  missing_after: 2m
  dead_after: 30m
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: desks}
spec:
  pool: desks
  zone: south
  vm_providers: [first]
  min_available_sessions: %[4]d
  max_simultaneous_sessions: 2
  max_simultaneous_users: 1
  reusable: false
  downscale_backoff: 2m
  missing_after: 2m
  dead_after: 30m
---
apiVersion: headroom.dev/v1
kind: Schedule
metadata: {name: nights}
spec:
  autoscale_config: north
  time_zone: Europe/Berlin
  windows:
  - {days: [mon, tue, wed, thu, fri, sat, sun], start: "22:00", end: "05:30", standby: {cores: 0}}
---
apiVersion: headroom.dev/v1
kind: Staging
metadata: {name: ready}
spec: {pool: p, zone: south, count: %[5]d, shape: {cores: 1, memory: 1Gi}}
`

// shutDown is the same installation that wants nothing any more.
func shutDown() string {
	return fmt.Sprintf(strings.NewReplacer("memory: 2Gi", "memory: 0", "standby: {cores: 2}", "standby: {}").Replace(estate), "20s", 0, 0, 0, 0)
}

func TestEstates(t *testing.T) {
	t.Parallel()
	for i := range seeds(t) {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{
				Seed: seed, Manifest: fmt.Sprintf(estate, "20s", 2, 1, 2, 2), Behaviour: cloudOf(seed), CrashRate: 0.01,
			})
			w.Live(24*time.Hour, world.Demand{
				PerHour: 20, Length: 20 * time.Minute, Most: 10, Pools: []string{"p", "desks"},
				Operator: func(w *world.World) {
					if world.Pick(w, true, false) {
						w.MeddleWithServer()
						return
					}
					w.Apply(fmt.Sprintf(estate, world.Pick(w, "20s", "21s", "22s"), world.Pick(w, 0, 2, 6), world.Pick(w, 0, 1, 2), world.Pick(w, 0, 1, 4), world.Pick(w, 0, 1, 3)))
				},
			}, world.Everything)
			w.WantNothingLeft(shutDown(), 14*time.Hour)
			t.Log(w.Summary())
		})
	}
}
