package service_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// twoNodes are two controllers on one PostgreSQL.
func twoNodes(t *testing.T) [2]*world {
	t.Helper()
	url, dir := pgtest.New(t), t.TempDir()
	nodes := [2]*world{newWorldOn(t, url, dir), newWorldOn(t, url, dir)}
	nodes[0].apply(basic)
	return nodes
}

func TestTwoNodesNeverOverCapacityAndNobodyForgotten(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	for i := range 3 {
		nodes[0].server(fmt.Sprintf("s%d", i)) // two sessions each
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 8 {
				w := nodes[(g+i)%2]
				s, err := w.Acquire(w.ctx, ann, one())
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					if _, err := nodes[g%2].EndSession(w.ctx, ann, s.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	counts := map[fleet.SessionState]int{}
	list, _, err := nodes[1].Sessions(nodes[1].ctx, admin, service.SessionQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		counts[s.State]++
	}
	if counts[fleet.SessionActive] != 6 || counts[fleet.SessionQueued] != 32-6 {
		t.Errorf("%v, want 6 active (all the room) and 26 queued", counts)
	}
	for i := range 3 {
		if s := nodes[0].get(fmt.Sprintf("s%d", i)); s.Sessions != 2 || s.Claimed != s.Capacity {
			t.Errorf("server %s: %d sessions, %s claimed", s.ID, s.Sessions, s.Claimed)
		}
	}
}

func TestWaitSeesWhatAnotherNodeServed(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	a, b := nodes[0], nodes[1]
	a.server("s1")
	first := a.take(ann, func(r *service.AcquireRequest) { r.Cores = 2 * fleet.Core })
	q := a.take(ann)
	done := make(chan service.SessionView, 1)
	go func() {
		s, err := a.Session(a.ctx, ann, q.ID, time.Minute)
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	a.until(func() bool { return a.clock.HasWaiters() })
	if _, err := b.EndSession(b.ctx, ann, first.ID); err != nil {
		t.Fatal(err)
	}
	a.clock.Step(2 * time.Second)
	select {
	case s := <-done:
		if s.State != fleet.SessionActive {
			t.Errorf("session is %s", s.State)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the wait did not see it")
	}
}
