package sim_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	world "github.com/headroom-dev/headroom/test/sim"
)

// story lives through the whole life of a few machines: made, taken, given
// back, lost, drained, retired. die says at which points the controller dies;
// the answer is how many points there were.
func story(t *testing.T, tokens bool, die func(n int, point string) bool) int {
	t.Helper()
	b := behaviour()
	b.NoTokens = !tokens
	n := 0
	w := world.New(t, world.Options{
		Seed: 1, Manifest: installation(4, 4, ""), Behaviour: b, Beat: time.Minute,
		Crash: func(point string) bool {
			n++
			return die(n, point)
		},
		Fault: func(c sim.Call) sim.Fault { return sim.Fault{LeaveDisk: c.Op == sim.OpDelete} },
	})
	w.Run(5 * time.Minute)
	first, second := w.Acquire("p", 2, 256), w.Acquire("p", 1, 256)
	w.Run(5 * time.Minute)
	w.WantState(first, fleet.SessionActive)
	w.WantState(second, fleet.SessionActive)
	w.WantReady("p", 4)
	w.End(first)
	w.Run(10 * time.Minute)
	w.WantReady("p", 3)
	w.WantState(second, fleet.SessionActive)
	w.End(second)
	w.WantRest(15*time.Minute, 20*time.Minute)
	w.WantReady("p", 2)
	w.WantNothingLeft(installation(4, 0, ""), 3*time.Hour)
	return n
}

// TestCrashAtEveryPoint ends the controller at every point at which that makes
// a difference: before and after each of its commits and each call to a cloud.
func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	for _, tokens := range []bool{true, false} {
		t.Run(fmt.Sprint("tokens ", tokens), func(t *testing.T) {
			t.Parallel()
			lastOf := 0 // points before anything but listings happens any more
			points := story(t, tokens, func(n int, point string) bool {
				if point != "call list" && point != "answer list" && point != "call list_remnants" && point != "answer list_remnants" {
					lastOf = n
				}
				return false
			})
			if points < 100 {
				t.Fatalf("only %d points: nothing happens", points)
			}
			step := 11
			if os.Getenv("SEEDS") != "" { // make sim
				step = 1
			}
			tried := 0
			for at := 1; at <= lastOf; at += step {
				before := at
				story(t, tokens, func(n int, point string) bool {
					// Nothing lies between two listings: one of ten is enough.
					if n != before || step == 1 && (point == "call list" || point == "answer list") && n%10 != 0 {
						return false
					}
					tried++
					return true
				})
			}
			t.Logf("died at %d of %d points", tried, points)
		})
	}
}

// TestCrashAgainAndAgain ends it so often that hardly anything gets done
// between.
func TestCrashAgainAndAgain(t *testing.T) {
	t.Parallel()
	for every := 3; every < 12; every += 4 {
		crashes, next := 0, every
		story(t, every%2 == 0, func(n int, _ string) bool {
			if n < next || crashes > 150 {
				return false
			}
			// Not at each third point: a step of just as many would die at the same
			// one for ever.
			crashes++
			next = n + every + crashes%3
			return true
		})
		if crashes < 20 {
			t.Errorf("only %d crashes with one at each %d. point or so", crashes, every)
		}
	}
}
