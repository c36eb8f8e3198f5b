package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	world "github.com/headroom-dev/headroom/test/sim"
)

// A drain waits for the sessions of its machine: for ever without a deadline,
// and until then with one. Nobody new is placed there meanwhile, and the standby
// is made elsewhere at once.
func TestADrainWaitsForItsSessions(t *testing.T) {
	t.Parallel()
	for name, deadline := range map[string]time.Duration{"without a deadline": 0, "with a deadline": 2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 2, ""), Behaviour: behaviour()})
			w.Run(time.Minute)
			held := w.Acquire("p", 1, 512) // half of the machine stays free
			w.Run(time.Minute)
			w.WantReady("p", 2)
			w.Drain(held, deadline)
			w.Run(2*time.Hour - time.Minute - time.Second)
			w.WantState(held, fleet.SessionActive)
			w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 1, fleet.PhaseDraining: 1})
			other := w.Acquire("p", 1, 512)
			w.WantState(other, fleet.SessionActive)
			w.Run(2 * time.Minute)
			if deadline > 0 {
				w.WantState(held, fleet.SessionEnded)
				w.WantState(other, fleet.SessionActive)
				if n := w.Ended("its server reached the deadline of its drain"); n != 1 {
					t.Errorf("%d sessions ended at the deadline", n)
				}
			} else {
				w.Run(24 * time.Hour)
				w.WantState(held, fleet.SessionActive)
				w.End(held)
				w.Run(time.Minute)
			}
			w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 2, fleet.PhaseGone: 1})
		})
	}
}

// A disabled config lets its machines be, whatever its numbers say, and does
// nothing about those that people drain or delete.
func TestADisabledConfigLeavesItsMachinesToPeople(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(10, 8, ""), Behaviour: behaviour()})
	w.Run(time.Minute)
	held := w.Acquire("p", 2, 512)
	w.Run(time.Minute)
	w.WantReady("p", 5)
	w.Apply(installation(10, 2, "enabled: false\n  max_servers: 1\n  rotate_after: 1h"))
	w.Run(6 * time.Hour)
	w.WantReady("p", 5)
	w.Drain(held, 0)
	w.Run(time.Hour)
	w.WantState(held, fleet.SessionActive)
	w.End(held)
	w.DeleteOne("p")
	w.Run(time.Hour)
	w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3, fleet.PhaseGone: 2})
	w.WantMachines(3)
}

// Where orphans are only to be reported, nothing is removed.
func TestOrphansAreOnlyReported(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Manifest: strings.Replace(installation(100, 20, ""), "create_burst: 500", "create_burst: 500, cleanup_orphans: report", 1), Behaviour: behaviour()})
	w.Run(5 * time.Minute)
	w.PlantOurs("forgotten")
	w.PlantDisk("forgotten")
	w.Run(6 * time.Hour)
	w.WantMachines(11)
	w.WantRemnants(1)
	if found, removed := w.Events(fleet.EventOrphanFound), w.Events(fleet.EventOrphanRemoved); found < 2 || found > 4 || removed != 0 {
		t.Errorf("%d events tell of orphans, %d of removed ones", found, removed)
	}
}

// A machine whose replacement is not there yet is not rotated: standby never
// dips.
func TestRotationKeepsTheStandby(t *testing.T) {
	t.Parallel()
	b := behaviour()
	w := world.New(t, world.Options{Seed: 1, Manifest: installation(20, 8, "rotate_after: 2h\n  rotate_prewarm: 5m\n  max_unavailable: 2"), Behaviour: b})
	w.Run(time.Minute)
	w.WantReady("p", 4)
	first := w.Creates()
	for range 600 {
		w.Run(time.Minute)
		if n := w.Ready("p"); n < 4 || n > 6 {
			t.Fatalf("%d machines are ready while they are replaced", n)
		}
	}
	if n := w.Creates() - first; n < 12 || n > 24 {
		t.Errorf("%d machines replaced 4 that live for 2 hours, in 10 hours", n)
	}
}

const desktopsOnce = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: cloud}
spec: {provider: sim, max_instances: 20}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c}
spec: {pool: p, zone: default, vm_providers: [cloud], min_available_sessions: 2, reusable: REUSABLE, downscale_backoff: 1h}
`

// A machine that may be used once goes when its session has ended, and another
// one goes back to the pool.
func TestReusable(t *testing.T) {
	t.Parallel()
	for text, gone := range map[string]int{"true": 0, "false": 1} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			w := world.New(t, world.Options{Seed: 1, Manifest: strings.Replace(desktopsOnce, "REUSABLE", text, 1), Behaviour: behaviour()})
			w.Run(time.Minute)
			w.WantReady("p", 2)
			s := w.Acquire("p", 0, 0)
			w.WantState(s, fleet.SessionActive)
			w.Run(time.Minute)
			w.WantReady("p", 3)
			w.End(s)
			w.Run(time.Minute)
			w.WantPhases(map[fleet.Phase]int{fleet.PhaseReady: 3 - gone, fleet.PhaseGone: gone})
		})
	}
}

// The numbers of a window hold from its first second to its last, wherever the
// controller's clock is: the history begins on a Monday at 8:00 UTC.
func TestWindowsOfASchedule(t *testing.T) {
	t.Parallel()
	w := world.New(t, world.Options{Seed: 1, Behaviour: behaviour()})
	w.Apply(installation(20, 2, "") + `---
apiVersion: headroom.dev/v1
kind: Schedule
metadata: {name: office}
spec:
  autoscale_config: c
  time_zone: America/New_York # 5 hours behind
  windows:
    - {days: [mon], start: "04:00", end: "06:00", standby: {cores: 8}}
    - {days: [mon], start: "05:00", end: "07:00", min_servers: 3}
    - {days: [mon], start: "23:00", end: "01:00", standby: {cores: 6}, max_servers: 2}
`)
	at := func(hour, minute int) { // UTC, counted on over midnight
		t.Helper()
		w.Run(world.Begin.Add(time.Duration(hour-8)*time.Hour + time.Duration(minute)*time.Minute).Sub(w.Now()))
	}
	for _, want := range []struct{ hour, minute, ready int }{
		{8, 30, 1},
		{9, 0, 1},
		{9, 1, 4}, // the first window
		{10, 59, 4},
		{11, 3, 3}, // the second one: standby falls back, and the floor holds
		{12, 3, 1},
		{27, 59, 1},
		{28, 1, 2}, // the third, under its ceiling
		{29, 59, 2},
		{30, 3, 1},
		{24*7 + 9 - 1, 0, 1},
		{24*7 + 9, 1, 4}, // a week later
	} {
		at(want.hour, want.minute)
		if got := w.Ready("p"); got != want.ready {
			t.Errorf("%d:%02d UTC: %d machines are ready, want %d", want.hour, want.minute, got, want.ready)
		}
	}
}
