package control

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestRest: a pool rests after a costly pass, but not for long after one that
// was held up, and not at all when it has just become this node's.
func TestRest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ took, want time.Duration }{
		{longPass, 0},
		{100 * time.Millisecond, 900 * time.Millisecond},
		{time.Minute, longestRest},
	} {
		if got := restAfter(tc.took); got != tc.want {
			t.Errorf("after a pass of %s the pool rests for %s, want %s", tc.took, got, tc.want)
		}
	}
	c := New(Deps{Clock: clocktesting.NewFakeClock(time.Now())})
	l := &loops{c: c, pools: newQueue(c, "pools"), restUntil: map[string]time.Time{"p": c.now().Add(time.Minute)}}
	defer l.pools.ShutDown()
	if l.rest("p") != time.Minute {
		t.Fatal("the pool does not rest")
	}
	l.gained(keyPool + "p")
	if wait := l.rest("p"); wait > 0 || l.pools.Len() != 1 {
		t.Errorf("the pool rests for %s when it is gained; %d passes are due", wait, l.pools.Len())
	}
}
