package plan_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
)

// TestCostGrowsWithTheFleet: planners have been seen that were quick with 1,000
// machines and stood still with 10,000. One pass over twenty times as many
// machines may cost twenty times as much, and some more for sorting and for a
// memory that no longer fits into the caches; a quadratic one costs more than
// four hundred times as much. What is measured is the processor time
// of this thread alone, which does not depend on what else the host does.
//
//nolint:paralleltest // nothing else may collect garbage meanwhile
func TestCostGrowsWithTheFleet(t *testing.T) {
	const small, large, most = 1000, 20_000, 200
	age := func(in *plan.Input) {
		for i, s := range in.Servers {
			s.CreatedAt = noon.Add(-time.Duration(i%5000) * time.Minute)
		}
	}
	for name, edit := range map[string]func(in *plan.Input, n int){
		"nothing to do": func(in *plan.Input, n int) {
			in.Configs[0].Spec.Standby = fleet.Shape{Cores: fleet.Cores(2*n) * fleet.Core}
		},
		"all of them idle": func(in *plan.Input, _ int) {
			in.Configs[0].Spare = lasting(time.Hour)
		},
		"all of them outdated and too old": func(in *plan.Input, _ int) {
			in.Configs[0].Spec.RotateAfter, in.Configs[0].Spec.ReplaceOnDrift = fleet.Duration(time.Hour), true
			in.Configs[0].Spec.MaxUnavailable = 50
			p := in.Providers["a"]
			p.Revision = 2
			in.Providers["a"] = p
		},
		"far too many": func(in *plan.Input, _ int) { in.Configs[0].Spec.MaxServers = 1 },
		"all of them coming up, and people wait": func(in *plan.Input, n int) {
			for i, s := range in.Servers {
				s.Phase = fleet.PhaseBooting
				in.Queued = append(in.Queued, plan.Demand{Need: fleet.Resources{Cores: fleet.Cores(1+i%3) * fleet.Core}})
			}
			in.Stagings = []plan.Staging{{Name: "s", Need: twoByTwo, Missing: int64(n)}}
		},
		"none of them is there yet": func(in *plan.Input, n int) {
			in.Servers = nil
			in.Configs[0].Spec.Standby = fleet.Shape{Cores: fleet.Cores(2*n) * fleet.Core}
		},
	} {
		cost := func(n int) time.Duration {
			in := input()
			for i := range n {
				in.Servers = append(in.Servers, agent(fmt.Sprintf("s%06d", i)))
			}
			age(&in)
			for name, p := range in.Providers {
				p.Max, p.Tokens, p.Exists = 1e9, 1e9, int64(n)
				in.Providers[name] = p
			}
			edit(&in, n)
			return processorTime(t, func() { plan.For(in) })
		}
		few, many := cost(small), cost(large)
		t.Logf("%s: %s for %d machines, %s for %d", name, few, small, many, large)
		if few = max(few, 100*time.Microsecond); many > most*few {
			t.Errorf("%s: one pass takes %s for %d machines and %s for %d, more than %d times as much", name, few, small, many, large, most)
		}
	}
}

// processorTime is the least of some runs.
func processorTime(t *testing.T, f func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	now := func() time.Duration {
		var u unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Nano())
	}
	best := time.Duration(1 << 62)
	for range 5 {
		began := now()
		f()
		best = min(best, now()-began)
	}
	return best
}
