package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// gather holds up the database until every given closure waits behind it, so
// that they share one batch, and returns their errors.
func gather(t *testing.T, s *store.Store, closures ...func(*store.Tx) error) []error {
	t.Helper()
	entered, leave := make(chan struct{}, 16), make(chan struct{})
	var wg sync.WaitGroup
	hold := func(tx *store.Tx) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	const lanes = 4 // at most: PostgreSQL has as many
	for range lanes {
		wg.Go(func() {
			if err := s.Write(context.WithoutCancel(t.Context()), hold); err != nil {
				t.Errorf("holding up: %v", err)
			}
		})
	}
	<-entered
	errs := make([]error, len(closures))
	for i, fn := range closures {
		wg.Go(func() { errs[i] = s.Write(context.WithoutCancel(t.Context()), fn) })
	}
	for range 100 { // let them line up; whether they do changes nothing in what must be true
		runtime.Gosched()
	}
	close(leave)
	wg.Wait()
	return errs
}

func testFailuresStayAlone(t *testing.T, s *store.Store) {
	boom := errors.New("boom")
	for round := range 5 {
		closures := make([]func(*store.Tx) error, 24)
		for i := range closures {
			key := fmt.Sprintf("%d-%d", round, i)
			closures[i] = func(tx *store.Tx) error {
				if err := tx.SetSetting(key, "written"); err != nil {
					return err
				}
				tx.Emit(fleet.Event{Name: key})
				if i%3 == 1 {
					return boom
				}
				return nil
			}
		}
		for i, err := range gather(t, s, closures...) {
			key, want, wantValue := fmt.Sprintf("%d-%d", round, i), error(nil), "written"
			if i%3 == 1 {
				want, wantValue = boom, ""
			}
			wantErr(t, key, err, want)
			if got := get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting(key) }); got != wantValue {
				t.Errorf("setting %s is %q, want %q", key, got, wantValue)
			}
		}
	}
	if n := len(events(t, s, store.EventFilter{})); n != 5*16 {
		t.Errorf("%d events, want %d", n, 5*16)
	}
}

// testFailedStatements: after an SQL error nothing of the closure is kept,
// even if the closure pays no heed, alone and in a batch.
func testFailedStatements(t *testing.T, s *store.Store) {
	heedless := func(tx *store.Tx) error {
		if err := tx.SetSetting("heedless", "x"); err != nil {
			return err
		}
		tx.Emit(fleet.Event{Data: map[string]any{"bad": make(chan int)}}) // cannot be stored
		if err := tx.SetSetting("later", "x"); err == nil {
			t.Error("a statement ran after a failed one")
		}
		return nil
	}
	if err := s.Write(t.Context(), heedless); err == nil {
		t.Error("a failed closure was committed")
	}
	good := func(tx *store.Tx) error { return tx.SetSetting("good", "x") }
	errs := gather(t, s, heedless, good, heedless, good)
	if errs[0] == nil || errs[2] == nil || errs[1] != nil || errs[3] != nil {
		t.Errorf("errors in a batch: %v", errs)
	}
	read(t, s, func(tx *store.Tx) error {
		if v := must(tx.Setting("heedless")); v != "" {
			t.Errorf("a failed closure left %q", v)
		}
		if v := must(tx.Setting("good")); v != "x" {
			t.Error("a batch mate of a failed closure was lost")
		}
		return nil
	})
}

func testStaleIsRetried(t *testing.T, s *store.Store) {
	closure := func(runs *int, key string) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			*runs++
			if *runs < 3 {
				_ = tx.SetSetting(key+"-first", "must be undone")
				return fmt.Errorf("looking: %w", store.ErrStale)
			}
			return tx.SetSetting(key, "done")
		}
	}
	var alone, together int
	wantErr(t, "alone", s.Write(t.Context(), closure(&alone, "alone")), nil)
	wantErr(t, "in a batch", gather(t, s, closure(&together, "together"), func(tx *store.Tx) error { return nil })[0], nil)
	read(t, s, func(tx *store.Tx) error {
		for _, key := range []string{"alone", "together"} {
			if must(tx.Setting(key)) != "done" || must(tx.Setting(key+"-first")) != "" {
				t.Errorf("%s: %q, %q", key, must(tx.Setting(key)), must(tx.Setting(key+"-first")))
			}
		}
		return nil
	})
}

func testPanics(t *testing.T, s *store.Store) {
	caught := func(fn func(*store.Tx) error) (v any) {
		defer func() { v = recover() }()
		_ = s.Write(context.WithoutCancel(t.Context()), fn)
		return nil
	}
	bad := func(tx *store.Tx) error {
		_ = tx.SetSetting("bad", "x")
		panic("boom")
	}
	check := func(what string, v any) {
		t.Helper()
		p, ok := v.(*store.Panic)
		if !ok || p.Value != "boom" || !strings.Contains(p.Error(), "testPanics") {
			t.Errorf("%s panicked with %v, want boom and where", what, v)
		}
	}
	check("alone", caught(bad))
	values := make([]any, 8)
	closures := make([]func(*store.Tx) error, 0, 16)
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() { values[i] = caught(bad) })
		closures = append(closures, func(tx *store.Tx) error { return tx.SetSetting(fmt.Sprint("good", i), "x") })
	}
	for i, err := range gather(t, s, closures...) {
		wantErr(t, fmt.Sprint("batch mate ", i), err, nil)
	}
	wg.Wait()
	for i, v := range values {
		check(fmt.Sprint("in a batch ", i), v)
	}
	if v := get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("bad") }); v != "" {
		t.Errorf("a panicked closure left %q", v)
	}
}

// testGoexit: a closure that ends its goroutine (t.FailNow does) costs its
// batch an error, and the store goes on.
func testGoexit(t *testing.T, s *store.Store) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Write(t.Context(), func(tx *store.Tx) error {
			_ = tx.SetSetting("gone", "x")
			runtime.Goexit()
			return nil
		})
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the goroutine does not end")
	}
	write(t, s, func(tx *store.Tx) error { return tx.SetSetting("after", "x") })
	if v := get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("gone") }); v != "" {
		t.Errorf("it left %q", v)
	}
}

func testCancelled(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(*store.Tx) error { t.Error("a cancelled closure ran"); return nil }
	wantErr(t, "Write", s.Write(ctx, never), context.Canceled)
	wantErr(t, "Read", s.Read(ctx, func(tx *store.Tx) error { _, err := tx.Setting("x"); return err }), context.Canceled)

	// Cancelled while it waits: it does not run, and the caller is told at once.
	const lanes = 4
	entered, leave := make(chan struct{}, lanes), make(chan struct{})
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			wantErr(t, "holding up", s.Write(context.WithoutCancel(t.Context()), func(*store.Tx) error { entered <- struct{}{}; <-leave; return nil }), nil)
		})
	}
	<-entered
	reason := errors.New("the client has hung up")
	for range 10 {
		ctx, cancel := context.WithCancelCause(t.Context())
		began := make(chan struct{})
		answered := make(chan error, 1)
		go func() {
			close(began)
			answered <- s.Write(ctx, func(tx *store.Tx) error { return tx.SetSetting("ran", "x") })
		}()
		<-began
		cancel(reason)
		select {
		case err := <-answered:
			// It may have found a free lane and have run before.
			if err != nil {
				wantErr(t, "cancelled in the queue", err, reason)
			}
		case <-time.After(patience):
			t.Fatal("a cancelled call waits")
		}
	}
	close(leave)
	wg.Wait()

	// Cancelled while it runs: it is finished all the same.
	ctx, cancel = context.WithCancel(t.Context())
	wantErr(t, "cancelled inside", s.Write(ctx, func(tx *store.Tx) error {
		cancel()
		if tx.Context() != ctx {
			t.Error("Context() is not the caller's")
		}
		return tx.SetSetting("inside", "x")
	}), nil)
	if v := get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("inside") }); v != "x" {
		t.Errorf("the setting is %q", v)
	}
}

func testReads(t *testing.T, s *store.Store) {
	write(t, s, func(tx *store.Tx) error { return tx.SetSetting("k", "1") })
	if err := s.Read(t.Context(), func(tx *store.Tx) error { return tx.SetSetting("k", "2") }); err == nil {
		t.Error("a read has written")
	}
	if err := s.Read(t.Context(), func(tx *store.Tx) error { tx.Emit(fleet.Event{}); return nil }); err == nil {
		t.Error("a read has emitted")
	}
	if err := s.Read(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Claim(store.ClaimQuery{Pool: "p", ServerID: "x"})
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	}); err != nil {
		t.Errorf("looking for nothing in a read: %v", err)
	}
	boom := errors.New("boom")
	wantErr(t, "a failing read", s.Read(t.Context(), func(*store.Tx) error { return boom }), boom)
	var kept *store.Tx
	read(t, s, func(tx *store.Tx) error { kept = tx; return nil })
	if _, err := kept.Setting("k"); err == nil {
		t.Error("a transaction was used after its end")
	}
	write(t, s, func(tx *store.Tx) error { kept = tx; return nil })
	if err := kept.SetSetting("k", "3"); err == nil {
		t.Error("a write transaction was used after its end")
	}
	// What is committed during a read is not seen by it. In memory the writer
	// waits for the reader instead.
	written := make(chan struct{})
	read(t, s, func(tx *store.Tx) error {
		before := must(tx.Setting("k"))
		go func() {
			defer close(written)
			if err := s.Write(context.WithoutCancel(t.Context()), func(tx *store.Tx) error { return tx.SetSetting("k", "new") }); err != nil {
				t.Error(err)
			}
		}()
		select {
		case <-written:
		case <-time.After(500 * time.Millisecond):
		}
		if after := must(tx.Setting("k")); after != before {
			t.Errorf("a read saw %q, then %q", before, after)
		}
		return nil
	})
	<-written
	write(t, s, func(tx *store.Tx) error { return tx.SetSetting("k", "1") })
	func() {
		defer func() { _ = recover() }()
		_ = s.Read(t.Context(), func(*store.Tx) error { panic("boom") })
	}()
	if v := get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("k") }); v != "1" {
		t.Errorf("the setting is %q", v)
	}
}

func testClosed(t *testing.T, s *store.Store) {
	var wg sync.WaitGroup
	for range 8 { // either done or refused, never stuck
		wg.Go(func() {
			for range 20 {
				if err := s.Ping(t.Context()); err != nil && fleet.CodeOf(err) != fleet.CodeUnavailable {
					t.Error(err)
				}
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for what, err := range map[string]error{"Write": s.Ping(t.Context()), "Read": s.Read(t.Context(), func(*store.Tx) error { return nil })} {
		if fleet.CodeOf(err) != fleet.CodeUnavailable {
			t.Errorf("%s on a closed store: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
