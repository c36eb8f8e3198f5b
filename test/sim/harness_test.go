package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	world "github.com/headroom-dev/headroom/test/sim"
)

func TestTheSameSeedGivesTheSameHistory(t *testing.T) {
	t.Parallel()
	for _, scenario := range []string{"estate"} {
		s := world.Spec{Scenario: scenario, Seed: 7, Length: 2 * time.Hour}
		first, second := play(t)(s), play(t)(s)
		if first.Digest != second.Digest {
			t.Errorf("two histories of %s differ:\n%s", s, cmp.Diff(first.Trace, second.Trace))
		}
		// The accidents that happened, and no others, give the same again.
		if third := play(t)(first.Spec); third.Digest != first.Digest {
			t.Errorf("the history of %s with its accidents named differs:\n%s", s, cmp.Diff(first.Trace, third.Trace))
		}
		s.Seed++
		if other := play(t)(s); other.Digest == first.Digest {
			t.Errorf("another seed gives the same history")
		}
	}
}

func TestSpecIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, s := range []world.Spec{
		{Scenario: "fleet", Seed: 12, Length: 90 * time.Minute},
		{Scenario: "fleet", Seed: 12, Length: 90 * time.Minute, Accidents: []world.Accident{}},
		{Scenario: "desks", Seed: 1 << 60, Length: 1500 * time.Millisecond, Accidents: []world.Accident{{Kind: "crash", N: 7}, {Kind: "crash", N: 9}, {Kind: "lost-create", N: 0}}},
	} {
		got, err := world.ParseSpec(s.String())
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("%s: %s", s, diff)
		}
	}
	for _, bad := range []string{"seed", "seed=x", "length=1", "what=1", "only=crash", "only=crash:x"} {
		if _, err := world.ParseSpec(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestShrinkFindsTheFewThatMatter gives it a history of 400 accidents of which
// two together break a promise.
func TestShrinkFindsTheFewThatMatter(t *testing.T) {
	t.Parallel()
	s := world.Spec{Scenario: "any", Length: 24 * time.Hour}
	for _, kind := range []string{"a", "b", "c", "d"} {
		for n := range 100 {
			s.Accidents = append(s.Accidents, world.Accident{Kind: kind, N: n})
		}
	}
	runs := 0
	play := func(s world.Spec) world.History {
		runs++
		h := world.History{Spec: s}
		if slices.Contains(s.Accidents, world.Accident{Kind: "b", N: 31}) && slices.Contains(s.Accidents, world.Accident{Kind: "d", N: 77}) {
			h.Failure = &world.Failure{Promise: "ceiling", At: 5 * time.Hour}
		} else if len(s.Accidents) > 0 {
			h.Failure = &world.Failure{Promise: "another", At: time.Hour}
		}
		return h
	}
	small := world.Shrink(play(s), play, func() bool { return false })
	want := world.Spec{Scenario: "any", Length: 5*time.Hour + time.Minute, Accidents: []world.Accident{{Kind: "b", N: 31}, {Kind: "d", N: 77}}}
	if diff := cmp.Diff(want, small.Spec); diff != "" {
		t.Error(diff)
	}
	if runs > 120 {
		t.Errorf("it took %d runs", runs)
	}
}
