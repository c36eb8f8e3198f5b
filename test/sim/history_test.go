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

var (
	firstSeed = flag.Uint64("sim.seed", 1, "first seed of the histories")
	length    = flag.Duration("sim.length", 0, "length of a history until everything works again; 0: 8h, and a week when SEEDS is set")
	shrinkFor = flag.Duration("sim.shrink", time.Minute, "how long a failing history is made smaller")
	replay    = flag.String("sim.replay", "", "a history to live through again, as a failing test prints it")
	trace     = flag.String("sim.trace", "", "file for everything that happened in a failing or repeated history")
	scenario  = flag.String("sim.scenario", "", "only histories of this scenario")
)

// seeds is how many histories of each scenario are lived through: SEEDS in the
// environment.
func seeds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SEEDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("SEEDS is %q, expected a number of histories", text)
	}
	return n
}

const week = 7 * 24 * time.Hour

func lengthOf() time.Duration {
	switch {
	case *length != 0:
		return *length
	case os.Getenv("SEEDS") != "":
		return week
	}
	return 8 * time.Hour
}

func play(t *testing.T) func(world.Spec) world.History {
	return func(s world.Spec) world.History { return world.Play(t, world.Scenarios(), s) }
}

func TestHistories(t *testing.T) {
	t.Parallel()
	for _, sc := range world.Scenarios() {
		if *scenario != "" && *scenario != sc.Name {
			continue
		}
		for i := range seeds(t) {
			s := world.Spec{Scenario: sc.Name, Seed: *firstSeed + uint64(i), Length: lengthOf()}
			t.Run(fmt.Sprint(sc.Name, " seed ", s.Seed), func(t *testing.T) {
				t.Parallel()
				tell(t, play(t)(s))
			})
		}
	}
}

// TestReplay lives through one history again.
func TestReplay(t *testing.T) {
	t.Parallel()
	if *replay == "" {
		t.Skip("no history to live through again: -sim.replay names it")
	}
	s, err := world.ParseSpec(*replay)
	if err != nil {
		t.Fatal(err)
	}
	tell(t, play(t)(s))
}

// tell fails the test with the smallest history that breaks the promise.
func tell(t *testing.T, h world.History) {
	t.Helper()
	if h.Failure == nil {
		t.Log(h.Summary)
		return
	}
	first := h
	began := time.Now()                                                                      //nolint:forbidigo // the budget is one of real time
	small := world.Shrink(h, play(t), func() bool { return time.Since(began) > *shrinkFor }) //nolint:forbidigo // see above
	if *trace != "" {
		if err := os.WriteFile(*trace, []byte(strings.Join(small.Trace, "\n")+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Fatalf(`promise %q is broken after %s: %s
found with: %s, %d accidents; made smaller: %d accidents
live through it again:
  go test ./test/sim -run TestReplay -sim.shrink=0 -sim.trace=trace.txt -sim.replay='%s'
The last steps:
  %s`, small.Failure.Promise, small.Failure.At, small.Failure.Text,
		world.Spec{Scenario: first.Spec.Scenario, Seed: first.Spec.Seed, Length: lengthOf()}, len(first.Spec.Accidents), len(small.Spec.Accidents),
		small.Spec, small.Last)
}
