package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

func events(t *testing.T, s *store.Store, f store.EventFilter) []fleet.Event {
	t.Helper()
	return get(t, s, func(tx *store.Tx) ([]fleet.Event, error) { return tx.Events(f) })
}

func seqs(list []fleet.Event) []int64 {
	out := []int64{}
	for _, e := range list {
		out = append(out, e.Seq)
	}
	return out
}

func testEvents(t *testing.T, s *store.Store) {
	full := fleet.Event{
		At: t0, Type: fleet.EventServerPhase, Kind: fleet.EventKindServer, Name: "hr-1", ID: "i", Pool: "p", Actor: "loop", Message: "moved",
		Data: map[string]any{"from": "ready", "n": 1.5, "list": []any{"a"}},
	}
	write(t, s, func(tx *store.Tx) error {
		tx.Emit(full)
		tx.Emit(fleet.Event{Type: fleet.EventPoolDecision, Kind: "Pool", Name: "p", Pool: "p"})
		return nil
	})
	write(t, s, func(tx *store.Tx) error {
		for i := range 50 { // more than one statement inserts
			tx.Emit(fleet.Event{At: t0, Type: fleet.EventObjectUpdated, Kind: "Zone", Name: fmt.Sprint("z", i%2)})
		}
		return nil
	})
	all := events(t, s, store.EventFilter{})
	if len(all) != 52 || all[1].At.IsZero() {
		t.Fatalf("got %d events, want 52; the second was at %v", len(all), all[1].At)
	}
	want := full
	want.Seq, want.At = 1, us(t0)
	wantSame(t, "the first event", all[0], want)
	for i, e := range all {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has number %d", i, e.Seq)
		}
	}
	tests := []struct {
		name string
		f    store.EventFilter
		want []int64
	}{
		{"after", store.EventFilter{After: 49}, []int64{50, 51, 52}},
		{"between", store.EventFilter{After: 3, Before: 6}, []int64{4, 5}},
		{"newest", store.EventFilter{Newest: true, Limit: 2}, []int64{52, 51}},
		{"newest before", store.EventFilter{Newest: true, Before: 10, Limit: 2}, []int64{9, 8}},
		{"types", store.EventFilter{Types: []fleet.EventType{fleet.EventServerPhase, fleet.EventPoolDecision}}, []int64{1, 2}},
		{"kind and name", store.EventFilter{Kind: "Zone", Name: "z1", Limit: 2}, []int64{4, 6}},
		{"pool", store.EventFilter{Pool: "p"}, []int64{1, 2}},
	}
	for _, tt := range tests {
		wantSame(t, tt.name, seqs(events(t, s, tt.f)), tt.want)
	}

	// What fails leaves no event and no gap.
	boom := errors.New("boom")
	wantErr(t, "failing after Emit", s.Write(t.Context(), func(tx *store.Tx) error { tx.Emit(full); return boom }), boom)
	write(t, s, func(tx *store.Tx) error { tx.Emit(full); return nil })
	if last := get(t, s, func(tx *store.Tx) (int64, error) { return tx.LastEventSeq() }); last != 53 {
		t.Errorf("the last event is %d, want 53", last)
	}
	bad := full
	bad.Data = map[string]any{"f": func() {}}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { tx.Emit(bad); return nil }); err == nil {
		t.Error("an event that cannot be encoded was committed")
	}
}

// testEventOrder: what is announced, what is stored and what a reader sees
// follow one order, whoever writes.
func testEventOrder(t *testing.T, s *store.Store) {
	const writers, each = 16, 30
	var mu sync.Mutex
	var announced []fleet.Event
	var inside atomic.Int64
	remove := s.OnCommit(func(list []fleet.Event) {
		if inside.Add(1) != 1 {
			t.Error("announced twice at once")
		}
		defer inside.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		announced = append(announced, list...)
	})
	seen := func(name string) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(announced, func(e fleet.Event) bool { return e.Name == name })
	}
	done := make(chan struct{})
	var tail sync.WaitGroup
	tail.Go(func() { // a reader who resumes after the last number must miss none
		var after int64
		for n := 0; n < writers*each; {
			over := false
			select {
			case <-done:
				over = true
			default:
			}
			list := events(t, s, store.EventFilter{After: after})
			for _, e := range list {
				if e.Seq != after+1 {
					t.Errorf("a reader saw event %d after %d", e.Seq, after)
					return
				}
				after = e.Seq
				n++
			}
			if over && len(list) == 0 {
				t.Errorf("a reader saw %d events in the end", n)
				return
			}
		}
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d-%d", w, i)
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					tx.Emit(fleet.Event{Type: fleet.EventObjectUpdated, Kind: "Zone", Name: name})
					if i%7 == 3 {
						return errors.New("no")
					}
					return nil
				})
				if i%7 == 3 {
					err = s.Write(t.Context(), func(tx *store.Tx) error {
						tx.Emit(fleet.Event{Type: fleet.EventObjectUpdated, Kind: "Zone", Name: name})
						return nil
					})
				}
				if err != nil {
					t.Error(err)
				} else if !seen(name) {
					t.Errorf("Write returned before event %s was announced", name)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	tail.Wait()
	remove()
	write(t, s, func(tx *store.Tx) error { tx.Emit(fleet.Event{Name: "unheard"}); return nil })
	if len(announced) != writers*each {
		t.Errorf("%d events were announced, want %d", len(announced), writers*each)
	}
	wantSame(t, "announced and stored", announced, events(t, s, store.EventFilter{Before: writers*each + 1}))
	last := map[int]int{}
	for _, e := range announced {
		var w, i int
		if _, err := fmt.Sscanf(e.Name, "%d-%d", &w, &i); err != nil {
			t.Fatal(err)
		}
		if i != last[w] {
			t.Fatalf("writer %d: event %d after %d", w, i, last[w])
		}
		last[w]++
	}
}

func testEventRetention(t *testing.T, s *store.Store) {
	oldest := func() int64 {
		return get(t, s, func(tx *store.Tx) (int64, error) { return tx.OldestEventSeq() })
	}
	if n := oldest(); n != 1 {
		t.Errorf("before the first event the oldest is %d, want 1", n)
	}
	write(t, s, func(tx *store.Tx) error {
		for i := range 10 {
			tx.Emit(fleet.Event{At: at(i), Kind: "Zone"})
		}
		return nil
	})
	forget := func(before, limit int) (n int64) {
		write(t, s, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteEvents(at(before), limit)
			return err
		})
		return n
	}
	for _, step := range []struct {
		before, limit int
		want, oldest  int64
	}{{4, 3, 3, 4}, {4, 3, 1, 5}, {4, 3, 0, 5}, {100, 100, 6, 11}} {
		if n := forget(step.before, step.limit); n != step.want || oldest() != step.oldest {
			t.Errorf("deleting before %d: %d, oldest %d; want %d, %d", step.before, n, oldest(), step.want, step.oldest)
		}
	}
}
