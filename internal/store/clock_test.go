package store

import (
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

func TestClockFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	host := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	c := NewClock(host)
	at := func(d time.Duration) time.Time { return host.Now().Add(d) }
	for _, step := range []struct {
		name  string
		took  time.Duration
		there time.Duration // by the database, in the middle of the call
		want  time.Duration
	}{
		{"a little off", 0, 400 * time.Millisecond, 0},
		{"far ahead", 200 * time.Millisecond, 7*time.Minute + 100*time.Millisecond, 7 * time.Minute},
		{"an answer that took too long says nothing", 3 * time.Second, 0, 7 * time.Minute},
		{"a little off what it was", 0, 7*time.Minute + 300*time.Millisecond, 7 * time.Minute},
		{"behind", 0, -2 * time.Hour, -2 * time.Hour},
		{"right again", 0, 100 * time.Millisecond, 0},
	} {
		c.observe(host.Now(), at(step.took), at(step.there))
		if got := c.Now().Sub(host.Now()); got != step.want {
			t.Errorf("%s: the offset is %s, want %s", step.name, got, step.want)
		}
	}
}

// skewed is the clock of a host that is wrong.
type skewed struct {
	clock.RealClock
	by time.Duration
}

func (s skewed) Now() time.Time                  { return s.RealClock.Now().Add(s.by) }
func (s skewed) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

// TestClockOfANode: the store sets it when it is opened, and each heartbeat does.
func TestClockOfANode(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	for _, by := range []time.Duration{7 * time.Minute, -7 * time.Minute} {
		c := NewClock(skewed{by: by})
		s, err := Open(t.Context(), Options{URL: url, Clock: c})
		if err != nil {
			t.Fatal(err)
		}
		near := func(when string) {
			t.Helper()
			if off := c.Offset() + by; off.Abs() > 5*time.Second {
				t.Errorf("%s: a host that is off by %s is corrected by %s", when, by, c.Offset())
			}
		}
		near("after the start")
		c.offset.Store(0) // as if the clock of the host had been set since
		m := s.Join("")
		v, err := m.Renew(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		near("after a heartbeat")
		if v.Offset != c.Offset() {
			t.Errorf("the heartbeat tells of %s, the clock of %s", v.Offset, c.Offset())
		}
		if err := m.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
