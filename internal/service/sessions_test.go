package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func TestAcquire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	s := w.take(ann, func(r *service.AcquireRequest) { r.TTL, r.User = fleet.Duration(time.Hour), "ann@example.com" })
	if s.State != fleet.SessionActive || s.Server != "hr-s1" || len(s.Addresses) != 1 || s.Owner != ann.TokenID {
		t.Errorf("session %+v", s)
	}
	if want := w.clock.Now().Add(time.Hour); s.ExpiresAt == nil || !s.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v, want %v", s.ExpiresAt, want)
	}
	if e := w.lastEvent(fleet.EventKindSession, s.ID); e.Type != fleet.EventSessionActive || e.Actor != "token/ann" || e.Pool != "desk" {
		t.Errorf("event %+v", e)
	}
	if got := w.get("s1"); got.Sessions != 1 || got.Claimed.Cores != fleet.Core || got.Users != 1 {
		t.Errorf("server %+v", got)
	}
}

func TestAcquireRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic + doc("Pool", "tiny", "{type: docker_agent, queue_limit: 1}"))
	w.server("s1")
	for _, tc := range []struct {
		name  string
		r     service.AcquireRequest
		code  fleet.Code
		words []string
	}{
		{"no pool", service.AcquireRequest{Cores: fleet.Core}, fleet.CodeInvalid, []string{"pool: is required"}},
		{"unknown pool", service.AcquireRequest{Pool: "nope", Cores: fleet.Core}, fleet.CodeInvalid, []string{`pool: there is no pool "nope"`}},
		{"unknown zone and no shape", service.AcquireRequest{Pool: "desk", Zone: "mars"}, fleet.CodeInvalid, []string{`zone: there is no zone "mars"`, "cores: pool desk is of type docker_agent"}},
		{"shape for a server pool", service.AcquireRequest{Pool: "win", Cores: fleet.Core}, fleet.CodeInvalid, []string{"takes one place"}},
		{"negative GPUs", service.AcquireRequest{Pool: "desk", Cores: fleet.Core, GPUs: -1}, fleet.CodeInvalid, []string{"gpus"}},
		{"long wait", service.AcquireRequest{Pool: "desk", Cores: fleet.Core, Wait: fleet.Duration(2 * time.Minute)}, fleet.CodeInvalid, []string{"wait: is longer than 1m"}},
		{"more than any machine has", service.AcquireRequest{Pool: "desk", Cores: 64 * fleet.Core, Memory: fleet.GiB}, fleet.CodeInvalid, []string{"cores: exceeds every machine of pool desk: the largest offers 2"}},
		{"no room and no queue", service.AcquireRequest{Pool: "win", NoQueue: true}, fleet.CodeConflict, []string{"no_queue"}},
	} {
		_, err := w.Acquire(w.ctx, ann, tc.r)
		t.Run(tc.name, func(t *testing.T) { wantCode(t, err, tc.code, tc.words...) })
	}
	if _, err := w.Acquire(w.ctx, ann, service.AcquireRequest{Pool: "tiny", Cores: fleet.Core}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Acquire(w.ctx, ann, service.AcquireRequest{Pool: "tiny", Cores: fleet.Core})
	wantCode(t, err, fleet.CodeQueueFull, "queue_limit is 1")
	all, _, err := w.Sessions(w.ctx, admin, service.SessionQuery{IncludeEnded: true})
	if err != nil || len(all) != 1 {
		t.Errorf("refused requests left sessions: %v, %v", all, err)
	}
}

func TestLargerMachinesAreNoticedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	big := one(func(r *service.AcquireRequest) { r.Cores = 8 * fleet.Core })
	_, err := w.Acquire(w.ctx, ann, big)
	wantCode(t, err, fleet.CodeInvalid, "the largest offers 2")
	w.take(ann) // what is remembered of the shapes now never refuses by itself, nor lets pass
	_, err = w.Acquire(w.ctx, ann, big)
	wantCode(t, err, fleet.CodeInvalid, "the largest offers 2")
	w.server("s2", func(s *fleet.Server) { s.Capacity.Cores = 8 * fleet.Core })
	if s, err := w.Acquire(w.ctx, ann, big); err != nil || s.Server != "hr-s2" {
		t.Errorf("session %+v, error %v", s, err)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	key := func(r *service.AcquireRequest) { r.IdempotencyKey = "k1" }
	first := w.take(ann, key)
	if again := w.take(ann, key); again.ID != first.ID {
		t.Errorf("the repetition made session %s beside %s", again.ID, first.ID)
	}
	if other := w.take(bob, key); other.ID == first.ID {
		t.Error("another token got the session of the first")
	}
	_, err := w.Acquire(w.ctx, ann, one(key, func(r *service.AcquireRequest) { r.Cores, r.User = 500, "x" }))
	wantCode(t, err, fleet.CodeConflict, "cores, memory, gpus", "user")
	if _, err := w.EndSession(w.ctx, ann, first.ID); err != nil {
		t.Fatal(err)
	}
	if again := w.take(ann, key); again.ID != first.ID || again.State != fleet.SessionEnded {
		t.Errorf("after its end the key gives %s (%s)", again.ID, again.State)
	}
}

func TestARepeatedRequestLearnsOfItsSessionAfterARenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	hour := func(r *service.AcquireRequest) { r.IdempotencyKey, r.TTL = "k1", fleet.Duration(time.Hour) }
	first := w.take(ann, hour)
	if _, err := w.Renew(w.ctx, ann, first.ID, fleet.Duration(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if again := w.take(ann, hour); again.ID != first.ID || again.TTL.D() != 2*time.Hour {
		t.Errorf("the repetition gave session %s with ttl %s", again.ID, again.TTL)
	}
}

func TestARepeatedRequestLearnsOfItsSessionThoughItFitsNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("big", func(s *fleet.Server) { s.Capacity.Cores = 8 * fleet.Core })
	big := one(func(r *service.AcquireRequest) { r.Cores, r.IdempotencyKey = 8*fleet.Core, "k" })
	first, err := w.Acquire(w.ctx, ann, big)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.DeleteServer(w.ctx, operator, "big", true); err != nil {
		t.Fatal(err)
	}
	w.server("small")
	w.clock.Step(time.Hour)
	if again, err := w.Acquire(w.ctx, ann, big); err != nil || again.ID != first.ID {
		t.Errorf("the repetition gave session %q, error %v", again.ID, err)
	}
	_, err = w.Acquire(w.ctx, bob, big)
	wantCode(t, err, fleet.CodeInvalid, "exceeds every machine")
}

func TestIdempotencyUnderRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := w.Acquire(w.ctx, ann, one(func(r *service.AcquireRequest) { r.IdempotencyKey = "same" }))
			if err != nil {
				t.Error(err)
			}
			ids[i] = s.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("sessions %v", ids)
		}
	}
	if got := w.get("s1"); got.Sessions != 1 {
		t.Errorf("%d sessions on the server", got.Sessions)
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	a, b := w.take(ann), w.take(bob)
	q1, q2 := w.take(ann), w.take(bob)
	if q1.State != fleet.SessionQueued || q1.QueuePosition != 1 || q2.QueuePosition != 2 {
		t.Fatalf("q1 %+v, q2 %+v", q1, q2)
	}
	if !strings.Contains(q2.Explanation, "position 2 in the queue of pool desk") || !strings.Contains(q2.Explanation, "about to be made by desk-here") {
		t.Errorf("explanation %q", q2.Explanation)
	}
	if want := w.clock.Now().Add(service.DefaultQueueTimeout); !q1.WaitUntil.Equal(want) {
		t.Errorf("waits until %v, want %v", q1.WaitUntil, want)
	}
	if _, err := w.EndSession(w.ctx, ann, a.ID); err != nil {
		t.Fatal(err)
	}
	if s := w.session(q1.ID); s.State != fleet.SessionActive || s.WaitUntil != nil {
		t.Errorf("the first in line is %s: %s", s.State, s.Reason)
	}
	if s := w.session(q2.ID); s.State != fleet.SessionQueued || s.QueuePosition != 1 {
		t.Errorf("the second in line is %s at %d", s.State, s.QueuePosition)
	}
	if _, err := w.EndSession(w.ctx, bob, b.ID); err != nil {
		t.Fatal(err)
	}
	if s := w.session(q2.ID); s.State != fleet.SessionActive {
		t.Errorf("the second in line is %s", s.State)
	}
}

func TestNobodyJumpsTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	w.take(ann)
	big := w.take(ann, func(r *service.AcquireRequest) { r.Cores = 2 * fleet.Core })
	if big.State != fleet.SessionQueued {
		t.Fatalf("big is %s", big.State)
	}
	if s := w.take(bob); s.State != fleet.SessionQueued {
		t.Errorf("a small session took the room that a large one waits for: %s", s.Reason)
	}
	_, err := w.Acquire(w.ctx, bob, one(func(r *service.AcquireRequest) { r.NoQueue = true }))
	wantCode(t, err, fleet.CodeConflict)
}

func TestWaitEndsWhenTheSessionIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	a := w.take(ann)
	w.take(ann)
	done := make(chan service.SessionView, 1)
	go func() {
		s, err := w.Acquire(w.ctx, bob, one(func(r *service.AcquireRequest) { r.Wait = fleet.Duration(time.Minute) }))
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	w.until(func() bool { return w.clock.HasWaiters() })
	select {
	case s := <-done:
		t.Fatalf("answered too early: %s", s.State)
	default:
	}
	if _, err := w.EndSession(w.ctx, ann, a.ID); err != nil {
		t.Fatal(err)
	}
	select { // the clock stands still: only the commit can have woken it
	case s := <-done:
		if s.State != fleet.SessionActive {
			t.Errorf("session is %s", s.State)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the wait was not woken by the commit")
	}
}

func TestWaitEndsByTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	q := w.take(ann)
	done := make(chan service.SessionView, 1)
	go func() {
		s, err := w.Session(w.ctx, ann, q.ID, 5*time.Second)
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	w.until(func() bool { return w.clock.HasWaiters() })
	w.clock.Step(5 * time.Second)
	select {
	case s := <-done:
		if s.State != fleet.SessionQueued || s.Explanation == "" {
			t.Errorf("session %+v", s)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the wait did not end")
	}
}

func TestCloseEndsWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	q := w.take(ann)
	done := make(chan error, 1)
	go func() {
		_, err := w.Session(w.ctx, ann, q.ID, time.Minute)
		done <- err
	}()
	w.until(func() bool { return w.clock.HasWaiters() })
	w.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("closing did not end the wait")
	}
}

// until waits for a condition that another goroutine brings about.
func (w *world) until(cond func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal("it did not come about within 10 s")
		}
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	s := w.take(ann, func(r *service.AcquireRequest) { r.TTL = fleet.Duration(time.Hour) })
	w.clock.Step(30 * time.Minute)
	r, err := w.Renew(w.ctx, ann, s.ID, 0)
	if err != nil || !r.ExpiresAt.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("expires at %v, error %v", r.ExpiresAt, err)
	}
	if r, err = w.Renew(w.ctx, ann, s.ID, fleet.Duration(2*time.Hour)); err != nil || !r.ExpiresAt.Equal(w.clock.Now().Add(2*time.Hour)) {
		t.Errorf("expires at %v, error %v", r.ExpiresAt, err)
	}
	if _, err := w.EndSession(w.ctx, ann, s.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Renew(w.ctx, ann, s.ID, 0)
	wantCode(t, err, fleet.CodeConflict, "has ended", "ended by token/ann")
	_, err = w.Renew(w.ctx, ann, "nope", 0)
	wantCode(t, err, fleet.CodeNotFound)
}

func TestSessionsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	s := w.take(ann)
	_, err := w.Session(w.ctx, bob, s.ID, 0)
	wantCode(t, err, fleet.CodeNotFound)
	_, err = w.EndSession(w.ctx, bob, s.ID)
	wantCode(t, err, fleet.CodeNotFound)
	_, err = w.Renew(w.ctx, bob, s.ID, 0)
	wantCode(t, err, fleet.CodeNotFound)
	_, err = w.EndSession(w.ctx, viewer, s.ID)
	wantCode(t, err, fleet.CodeForbidden)
	if list, _, err := w.Sessions(w.ctx, bob, service.SessionQuery{}); err != nil || len(list) != 0 {
		t.Errorf("bob sees %v, %v", list, err)
	}
	if list, _, err := w.Sessions(w.ctx, viewer, service.SessionQuery{}); err != nil || len(list) != 1 {
		t.Errorf("the viewer sees %v, %v", list, err)
	}
	if _, err := w.EndSession(w.ctx, operator, s.ID); err != nil {
		t.Error(err)
	}
	bound := ann
	bound.Pool = "win"
	_, err = w.Acquire(w.ctx, bound, one())
	wantCode(t, err, fleet.CodeForbidden, "for pool win only")
}

func TestNeverOverCapacity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	for i := range 3 {
		w.server(fmt.Sprintf("s%d", i)) // two sessions each
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 10 {
				s, err := w.Acquire(w.ctx, ann, one(func(r *service.AcquireRequest) { r.User = fmt.Sprint(g) }))
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					if _, err := w.EndSession(w.ctx, ann, s.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	live := map[string]int64{}
	var active, queued int64
	list, next, err := w.Sessions(w.ctx, admin, service.SessionQuery{Limit: 1000})
	if err != nil || next != "" {
		t.Fatal(err, next)
	}
	for _, s := range list {
		switch s.State {
		case fleet.SessionActive:
			active++
			live[s.ServerID]++
		case fleet.SessionQueued:
			queued++
		default:
		}
	}
	if active != 6 || queued != 80-6 {
		t.Errorf("%d active and %d queued, want 6 and 74", active, queued)
	}
	for i := range 3 {
		s := w.get(fmt.Sprintf("s%d", i))
		if live[s.ID] != 2 || s.Sessions != 2 || s.Claimed != s.Capacity {
			t.Errorf("server %s: %d sessions in the list, %d in the row, %s claimed of %s", s.ID, live[s.ID], s.Sessions, s.Claimed, s.Capacity)
		}
	}
	// The queue is in order of arrival: whoever was served came before whoever waits.
	w.write(func(tx *store.Tx) error {
		waiting, err := tx.QueuedSessions("desk", 1)
		if err != nil {
			return err
		}
		for _, s := range list {
			if s.State == fleet.SessionActive && s.QueueOrder > waiting[0].QueueOrder {
				t.Errorf("session %s was served before %s", s.ID, waiting[0].ID)
			}
		}
		return nil
	})
}
