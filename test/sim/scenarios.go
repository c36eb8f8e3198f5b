package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

// Scenarios are the installations that are lived through at random.
func Scenarios() []Scenario { return []Scenario{fleetOfAgents(), estate(), desks(), tight()} }

// cloudOf is a cloud with the weather of a seed: how long machines take to
// boot, how late listings are, whether a repeated create is recognised, and whether
// ids of machines come back.
func cloudOf(seed uint64) sim.Behaviour {
	return sim.Behaviour{
		Shape: fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048}, DeleteTime: sim.Always(5 * time.Second),
		Boot:     sim.Spread{Law: sim.Lognormal, Mean: time.Duration(5+seed%7*20) * time.Second},
		ListLag:  sim.Spread{Law: sim.Uniform, Mean: time.Duration(seed%4*10) * time.Second, Max: time.Minute},
		NoTokens: seed%3 == 0, Page: 3, ReuseIDs: seed%5 == 3,
	}
}

// beginOf is where a history begins: now and then just before a clock is put
// forward or back.
func beginOf(seed uint64) time.Time {
	switch seed % 5 {
	case 1:
		return time.Date(2026, 3, 28, 20, 0, 0, 0, time.UTC)
	case 2:
		return time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC)
	}
	return Begin
}

func options(seed uint64) Options {
	return Options{Behaviour: cloudOf(seed), Begin: beginOf(seed), Beat: time.Minute}
}

// or is the first choice for the manifest that a history begins with, and one
// of all for what an operator makes of it later.
func or[T any](d *dice, choices ...T) T {
	if d == nil {
		return choices[0]
	}
	return pick(d, choices...)
}

const fleetText = `
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
  standby: {cores: %d, memory: %s}
  downscale_backoff: 1m
`

// fleetOfAgents is one pool on one cloud, which nobody touches.
func fleetOfAgents() Scenario {
	return Scenario{
		Name: "fleet", Options: options, Rests: true, Chaos: Everything,
		Manifest: func(*dice) string { return fmt.Sprintf(fleetText, 4, "4Gi") },
		ShutDown: fmt.Sprintf(fleetText, 0, "0"),
		Demand:   Demand{PerHour: 20, Length: 20 * time.Minute, Most: 8, Pools: []string{"p"}},
	}
}

// estateText is an installation with most of what a policy can say.
const estateText = `
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
spec: {type: docker_agent, queue_limit: 20, frozen: %[6]t}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: desks}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: first}
spec: {provider: sim, max_instances: 7, frozen: %[7]t, settings: {boot_time: %[1]s}}
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
  standby: {cores: %[2]d, memory: %[9]s}
  downscale_backoff: 3m
  rotate_after: 9h
  rotate_prewarm: 20m
  missing_after: 4m
  dead_after: 30m
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: south}
spec:
  pool: p
  zone: south
  enabled: %[8]t
  vm_providers: [second, first]
  min_servers: %[3]d
  max_servers: 4
  standby: {cores: %[10]d}
  max_total_standby: {cores: 6}
  downscale_backoff: 1m
  replace_on_drift: true
  max_unavailable: 2
  missing_after: 4m
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
---
apiVersion: headroom.dev/v1
kind: Schedule
metadata: {name: nights}
spec:
  autoscale_config: north
  time_zone: Europe/Berlin
  windows:
  - {days: [mon, tue, wed, thu, fri, sat, sun], start: "22:00", end: "02:30", standby: {cores: 0}}
  - {days: [mon, tue, wed, thu, fri, sat, sun], start: "02:30", end: "05:30", standby: {cores: %[10]d}, max_servers: 3}
---
apiVersion: headroom.dev/v1
kind: Staging
metadata: {name: ready}
spec: {pool: p, zone: south, count: %[5]d, shape: {cores: 1, memory: 1Gi}}
`

// estate is edited and meddled with all the time.
func estate() Scenario {
	text := func(d *dice) string {
		return fmt.Sprintf(estateText, or(d, "20s", "21s", "22s"), or(d, 2, 0, 6), or(d, 1, 0, 2), or(d, 2, 0, 1, 4), or(d, 2, 0, 1, 3),
			or(d, false, false, false, true), or(d, false, false, false, true), or(d, true, true, true, false), "2Gi", 2)
	}
	return Scenario{
		Name: "estate", Options: options, Manifest: text, Chaos: Everything,
		ShutDown: fmt.Sprintf(estateText, "20s", 0, 0, 0, 0, false, false, true, "0", 0),
		Demand: Demand{
			PerHour: 20, Length: 20 * time.Minute, Most: 10, Pools: []string{"p", "p", "desks"}, Zones: []string{"north", "south"},
		},
		Operator: func(w *World, d dice) {
			if d.n(5) == 0 {
				o := pick(&d, [2]string{string(fleet.KindStaging), "ready"}, [2]string{string(fleet.KindSchedule), "nights"}, [2]string{string(fleet.KindAutoscaleConfig), "south"})
				w.remove(fleet.Kind(o[0]), o[1])
				return
			}
			w.note("the operator applies a manifest: %v", w.apply(text(&d)))
		},
	}
}

const desksText = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: once}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: shared}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: cloud}
spec: {provider: sim, max_instances: 8}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: once}
spec: {pool: once, zone: default, vm_providers: [cloud], min_available_sessions: %[1]d, reusable: false, downscale_backoff: 1m}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: shared}
spec:
  pool: shared
  zone: default
  vm_providers: [cloud]
  require_checkin: false
  connection_port: 3389
  min_available_sessions: %[2]d
  max_simultaneous_sessions: 3
  max_simultaneous_users: 2
  max_total_sessions: 12
  downscale_backoff: 2m
`

// desks are machines that are used once, and machines that are shared and have
// no agent.
func desks() Scenario {
	return Scenario{
		Name: "desks", Options: options, Rests: true, Chaos: Everything,
		Manifest: func(*dice) string { return fmt.Sprintf(desksText, 2, 3) },
		ShutDown: fmt.Sprintf(desksText, 0, 0),
		Demand:   Demand{PerHour: 12, Length: 25 * time.Minute, Most: 9, Pools: []string{"once", "shared"}},
	}
}

// tight is a cloud with less room than everybody wants, shared by three pools.
func tight() Scenario {
	var b strings.Builder
	b.WriteString(`
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: cloud}
spec: {provider: sim, max_instances: 5, create_burst: 3, create_rate: 0.05, rate_limit: 2}
`)
	for i := range 3 {
		fmt.Fprintf(&b, `---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p%[1]d}
spec: {type: docker_agent, queue_limit: 5}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c%[1]d}
spec: {pool: p%[1]d, zone: default, vm_providers: [cloud], standby: {cores: %%[%[2]d]d}, downscale_backoff: 2m, aggressive_scaling: %[3]t}
`, i, i+1, i != 2)
	}
	text := b.String()
	return Scenario{
		Name: "tight", Options: options, Chaos: Everything, Rests: true,
		Manifest: func(d *dice) string { return fmt.Sprintf(text, or(d, 4, 2), or(d, 4, 0), or(d, 4, 6)) },
		ShutDown: fmt.Sprintf(text, 0, 0, 0),
		Demand:   Demand{PerHour: 20, Length: 15 * time.Minute, Most: 12, Pools: []string{"p0", "p1", "p2"}},
	}
}
