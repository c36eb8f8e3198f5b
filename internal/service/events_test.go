package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func TestEventPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic) // five events
	var up, down []int64
	q := store.EventFilter{Limit: 2}
	for {
		items, next, err := w.Events(w.ctx, viewer, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range items {
			up = append(up, e.Seq)
		}
		if q.After = next; next == 0 {
			break
		}
	}
	q = store.EventFilter{Limit: 2, Newest: true}
	for {
		items, next, err := w.Events(w.ctx, viewer, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range items {
			down = append(down, e.Seq)
		}
		if q.Before = next; next == 0 {
			break
		}
	}
	if len(up) != 5 || len(down) != 5 || up[0] != down[4] || up[4] != down[0] {
		t.Errorf("up %v, down %v", up, down)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	st, gap, err := w.OpenStream(w.ctx, viewer, store.EventFilter{After: 2, Pool: "desk"})
	if err != nil || gap != nil {
		t.Fatal(gap, err)
	}
	defer st.Close()
	next := func() []fleet.Event {
		t.Helper()
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		defer cancel()
		events, err := st.Next(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	for _, e := range next() {
		if e.Seq <= 2 || e.Pool != "desk" {
			t.Errorf("event %+v", e)
		}
	}
	got := make(chan []fleet.Event, 1)
	go func() { got <- next() }()
	w.until(func() bool { return w.clock.HasWaiters() })
	w.apply(basic + doc("Zone", "other", "{}")) // not of the pool
	w.server("s1")
	s := w.take(ann)
	select {
	case events := <-got:
		if len(events) != 1 || events[0].Name != s.ID {
			t.Errorf("events %+v", events)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream was not woken")
	}
}

func TestStreamFromNowOnAndGaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	last := w.lastSeq()
	st, gap, err := w.OpenStream(w.ctx, viewer, store.EventFilter{After: -1})
	if err != nil || gap != nil {
		t.Fatal(gap, err)
	}
	w.apply(basic + doc("Zone", "other", "{}"))
	events, err := st.Next(w.ctx, time.Minute)
	if err != nil || len(events) != 1 || events[0].Seq != last+1 {
		t.Errorf("events %+v, error %v", events, err)
	}
	st.Close()
	w.clock.Step(time.Hour)
	w.write(func(tx *store.Tx) error {
		_, err := tx.DeleteEvents(w.clock.Now(), 3)
		return err
	})
	st, gap, err = w.OpenStream(w.ctx, viewer, store.EventFilter{After: 1})
	if err != nil || gap == nil || gap.After != 3 || !strings.Contains(gap.Message, "events 2 to 3 are no longer kept") {
		t.Fatalf("gap %+v, error %v", gap, err)
	}
	if events, err = st.Next(w.ctx, time.Minute); err != nil || events[0].Seq != 4 {
		t.Errorf("events %+v, error %v", events, err)
	}
	st.Close()
	if _, gap, err = w.OpenStream(w.ctx, viewer, store.EventFilter{After: 999}); err != nil || gap == nil || gap.After != last+1 {
		t.Errorf("a number that has never been: gap %+v, error %v", gap, err)
	}
}

func TestStreamEndsWithTheService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	st, _, err := w.OpenStream(w.ctx, viewer, store.EventFilter{After: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	done := make(chan error, 1)
	go func() {
		_, err := st.Next(w.ctx, time.Minute)
		done <- err
	}()
	w.until(func() bool { return w.clock.HasWaiters() })
	w.Close()
	if err := <-done; !errors.Is(err, service.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(strings.Replace(basic, "max_instances: 10", "max_instances: 1", 1))
	w.server("s1")
	w.server("s2", inPhase(fleet.PhaseBooting))
	w.take(ann)
	w.take(ann)
	q := w.take(bob)
	w.write(func(tx *store.Tx) error {
		return tx.SaveProviderState(store.ProviderState{Provider: "cloud1", Circuit: "open", Failures: 3, Error: "bad image", OpenUntil: w.clock.Now().Add(time.Minute)})
	})
	text := func(e service.Explanation, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out := e.Subject + "|" + e.State + "|" + e.Summary
		for _, l := range e.Lines {
			out += "|" + l.Level + " " + l.Text
		}
		if len(e.Events) == 0 {
			out += "|no events"
		}
		return out
	}
	for _, tc := range []struct {
		got   string
		words []string
	}{
		{text(w.ExplainPool(w.ctx, viewer, "desk")), []string{"pool desk|queueing|", "1 server ready", "1 session waiting", "provider cloud1 is not used until", "error provider cloud1: circuit open after 3 failures in a row: bad image", "1 machine coming up"}},
		{text(w.ExplainServer(w.ctx, viewer, "hr-s2")), []string{"server hr-s2|booting|", "waits for the machine to run", "circuit open"}},
		{text(w.ExplainServer(w.ctx, viewer, "hr-s1")), []string{"|ready|", "takes sessions: nothing free of 2 cores, 2Gi"}},
		{text(w.ExplainSession(w.ctx, bob, q.ID)), []string{"|queued|", "position 1 in the queue of pool desk for 1 core, 1Gi", "1 machine of desk-here coming up"}},
	} {
		for _, word := range tc.words {
			if !strings.Contains(tc.got, word) {
				t.Errorf("%q does not say %q", tc.got, word)
			}
		}
	}
	_, err := w.ExplainPool(w.ctx, viewer, "nope")
	wantCode(t, err, fleet.CodeNotFound)
	_, err = w.ExplainSession(w.ctx, ann, q.ID)
	wantCode(t, err, fleet.CodeNotFound)
}
