package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/plan"
)

// idle is a pool that needs two of n machines, of which all are idle.
func idle(n int, now time.Time, spare []plan.Spare) plan.Input {
	in := input(func(in *plan.Input) { in.Now = now }, config(func(c *plan.Config) { c.Spare = spare }))
	for i := range n {
		in.Servers = append(in.Servers, agent(fmt.Sprintf("s%03d", i)))
	}
	return in
}

// Each machine has its own backoff: those that people have just left are not
// retired with the first that could be spared.
func TestEachMachineInSurplusLastsItsBackoff(t *testing.T) {
	t.Parallel()
	at := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	for _, tc := range []struct {
		name    string
		spare   []int // how many could be spared, minute by minute
		retired string
	}{
		{"all at once", []int{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}, "10:2"},
		{"two more at the last moment", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3}, "10:1"},
		{"and later they too", []int{1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2}, "10:1 15:2"},
		{"what was needed for a moment begins anew", []int{3, 3, 3, 3, 3, 1, 3, 3, 3, 3, 3}, "10:1"},
		{"all of them were", []int{3, 3, 3, 3, 3, 0, 3, 3, 3, 3, 3}, ""},
		{"fewer and fewer", []int{5, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2}, "10:2"},
	} {
		got := ""
		var spare []plan.Spare
		for minute, n := range tc.spare {
			d := plan.For(idle(2+n, at(minute), spare)).Configs[0]
			spare = d.Spare
			if len(d.Retires) > 0 {
				if got != "" {
					got += " "
				}
				got += fmt.Sprintf("%d:%d", minute, len(d.Retires))
			}
			left := int64(n - len(d.Retires))
			if len(spare) > 0 && spare[len(spare)-1].Machines != left || len(spare) == 0 && left > 0 {
				t.Errorf("%s, minute %d: %d are left in surplus, remembered are %v", tc.name, minute, left, spare)
			}
			if d.Surplus.IsZero() != (len(spare) == 0) {
				t.Errorf("%s, minute %d: surplus since %v with %v", tc.name, minute, d.Surplus, spare)
			}
		}
		if diff := cmp.Diff(tc.retired, got); diff != "" {
			t.Errorf("%s: retired (-want +got):\n%s", tc.name, diff)
		}
	}
}

// A surplus is given up batch after batch, and each waits for the backoff once.
func TestALargeSurplusGoesInBatches(t *testing.T) {
	t.Parallel()
	first := plan.For(idle(2502, noon, lasting(time.Hour)))
	d := first.Configs[0]
	if len(d.Retires) != 1000 || !first.NextAt.Equal(noon) {
		t.Fatalf("%d machines are retired at first, and then at %v", len(d.Retires), first.NextAt)
	}
	if second := plan.For(idle(1502, noon, d.Spare)).Configs[0]; len(second.Retires) != 1000 {
		t.Errorf("%d machines are retired next: %+v", len(second.Retires), second.Reasons)
	}
}

// Whatever the surplus did before, no more machines are retired than could be
// spared all the time, and what is remembered of it has bounds.
func TestNothingGoesThatWasNeededWithinTheBackoff(t *testing.T) {
	t.Parallel()
	went := 0
	rapid.Check(t, func(t *rapid.T) {
		backoff := 10 * time.Minute
		var spare []plan.Spare
		now := noon
		type look struct {
			at time.Time
			n  int
		}
		var seen []look
		n := 0
		pace := rapid.SampledFrom([]int{5, 200}).Draw(t, "pace")
		for range rapid.IntRange(1, 250).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(1, pace).Draw(t, "seconds")) * time.Second)
			n = max(0, n+rapid.IntRange(-2, 4).Draw(t, "more"))
			seen = append(seen, look{now, n})
			d := plan.For(idle(2+n, now, spare)).Configs[0]
			spare = d.Spare
			if len(spare) > 64 {
				t.Fatalf("%d moments are remembered", len(spare))
			}
			least, since := n, now
			for i := len(seen) - 1; i >= 0 && now.Sub(since) < backoff; i-- {
				least, since = min(least, seen[i].n), seen[i].at
			}
			if now.Sub(since) < backoff {
				least = 0
			}
			if len(d.Retires) > least {
				t.Fatalf("%d machines are retired, and %d could be spared all the time: %v", len(d.Retires), least, seen)
			}
			if len(d.Retires) < least && len(spare) < 60 {
				t.Fatalf("%d machines are retired, although %d could be spared all the time: %v", len(d.Retires), least, seen)
			}
			went += len(d.Retires)
			n -= len(d.Retires)
			for i := range seen { // those that went were spare all the time
				seen[i].n = max(0, seen[i].n-len(d.Retires))
			}
		}
	})
	if went == 0 {
		t.Error("nothing was ever retired: nothing was tried")
	}
}
