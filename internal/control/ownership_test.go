package control

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// owning is the ownership of a node without its loops, round by round.
type owning struct {
	*ownership
	t            *testing.T
	clock        *clocktesting.FakeClock
	begun, ended []string
}

func newOwning(t *testing.T, url string) *owning {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	n := &owning{t: t, clock: clocktesting.NewFakeClock(time.Now())}
	c := New(Deps{Store: st, Clock: n.clock, Log: slog.New(slog.DiscardHandler)})
	ctx := context.WithoutCancel(t.Context())
	n.ownership = newOwnership(ctx, c,
		func(key string) { n.begun = append(n.begun, key) }, func(key string) { n.ended = append(n.ended, key) })
	t.Cleanup(func() {
		n.settle(nil)
		if err := errors.Join(n.node.Leave(ctx), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *owning) next() {
	n.t.Helper()
	if _, err := n.round(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// step begins a step that ends when done is called; nil: it may not begin.
func (n *owning) step(key string) (ctx context.Context, done func()) {
	ctx, done, _ = n.begin(key)
	return ctx, done
}

// TestStopsByItself: without a heartbeat a node stops its steps before others
// may take over, and starts anew when a heartbeat gets through again.
func TestStopsByItself(t *testing.T) {
	t.Parallel()
	n := newOwning(t, pgtest.New(t))
	n.want([]string{"a", "b"})
	n.next()
	slices.Sort(n.begun)
	if !slices.Equal(n.begun, []string{"a", "b"}) {
		t.Fatalf("gained %v", n.begun)
	}
	n.clock.Step(store.LeaseTime - leaseMargin - time.Millisecond)
	ctx, done := n.step("a")
	if done == nil {
		t.Fatal("the lease is not over yet")
	}
	n.clock.Step(time.Millisecond)
	if _, other := n.step("b"); other != nil {
		t.Error("a step began after the lease")
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.round(cut); err == nil {
		t.Fatal("a heartbeat got through")
	}
	if !errors.Is(context.Cause(ctx), store.ErrLost) || len(n.ended) != 2 {
		t.Errorf("the step goes on (%v); lost %v", context.Cause(ctx), n.ended)
	}
	// The step is still under way: its key waits for it, the other one does not.
	n.begun = nil
	n.next()
	if !slices.Equal(n.begun, []string{"b"}) {
		t.Errorf("gained %v, want b", n.begun)
	}
	done()
	n.next()
	if !slices.Equal(n.begun, []string{"b", "a"}) {
		t.Errorf("gained %v, want b, then a", n.begun)
	}
	ctx, done = n.step("a")
	defer done()
	if o, _ := ctx.Value(leaseKey{}).(store.Owner); o.Epoch < 2 {
		t.Errorf("the new tenure is %+v", o)
	}
}

// TestLateHeartbeat: work that was turned away at the end of the lease is
// begun anew although the heartbeat got through after all.
func TestLateHeartbeat(t *testing.T) {
	t.Parallel()
	n := newOwning(t, pgtest.New(t))
	n.want([]string{"a"})
	n.next()
	n.clock.Step(store.LeaseTime)
	if _, done := n.step("a"); done != nil {
		t.Fatal("a step began after the lease")
	}
	n.next()
	if !slices.Equal(n.begun, []string{"a", "a"}) || !slices.Equal(n.ended, []string{"a"}) {
		t.Errorf("gained %v, lost %v", n.begun, n.ended)
	}
}

// TestHandOver: what falls to a node that has come is released when the step
// under way has ended, and not before.
func TestHandOver(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	a, b := newOwning(t, url), newOwning(t, url)
	var mine, theirs string // keys that stay with a, and that go to b
	nodes := []string{a.node.ID(), b.node.ID()}
	for _, key := range []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12", "k13", "k14", "k15"} {
		if chosen(key, nodes) == nodes[0] {
			mine = key
		} else {
			theirs = key
		}
	}
	keys := []string{mine, theirs}
	a.want(keys)
	b.want(keys)
	a.next()
	ctx, done := a.step(theirs)
	b.next()
	a.next()
	b.next()
	if ctx.Err() != nil || len(a.ended) != 0 || len(b.begun) != 0 {
		t.Fatalf("handed over during a step: lost %v, gained %v, %v", a.ended, b.begun, ctx.Err())
	}
	if _, more := a.step(theirs); more != nil {
		t.Error("another step began on what is to be handed over")
	}
	done()
	a.next()
	b.next()
	if !slices.Equal(a.ended, []string{theirs}) || !slices.Equal(b.begun, []string{theirs}) {
		t.Errorf("a lost %v, b gained %v, want %s", a.ended, b.begun, theirs)
	}
	if _, still := a.step(mine); still == nil {
		t.Error("a may not work on what is its own")
	}
	// What there is no more is given up.
	b.want(nil)
	b.next()
	if !slices.Equal(b.ended, []string{theirs}) {
		t.Errorf("b gave up %v", b.ended)
	}
}
