package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// queued is a store whose commits are noted by the names of their events.
type queued struct {
	*Store
	t       *testing.T
	commits [][]string
}

func openQueued(t *testing.T, faults func(Stage) error) *queued {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "headroom.db"), Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	q := &queued{Store: s, t: t}
	s.OnCommit(func(events []fleet.Event) {
		var names []string
		for _, e := range events {
			names = append(names, e.Name)
		}
		q.commits = append(q.commits, names)
	})
	return q
}

// together runs first, and lines up the others in their order while it runs. It
// returns their errors, in that order.
func (q *queued) together(first func(*Tx) error, others ...func(*Tx) error) []error {
	errs := make([]error, len(others)+1)
	for i := range errs {
		errs[i] = errors.New("it did not return")
	}
	write := func(i int, fn func(*Tx) error) {
		errs[i] = q.Write(context.Background(), func(tx *Tx) error {
			tx.Emit(fleet.Event{Name: fmt.Sprint(i)})
			return fn(tx)
		})
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		write(0, func(tx *Tx) error {
			close(entered)
			<-leave
			return first(tx)
		})
	})
	<-entered
	for i, fn := range others {
		wg.Go(func() { write(i+1, fn) })
		for n := -1; n <= i; { // it has lined up
			runtime.Gosched()
			q.queue.mu.Lock()
			n = len(q.queue.jobs)
			q.queue.mu.Unlock()
		}
	}
	close(leave)
	wg.Wait()
	return errs
}

func (q *queued) want(commits ...[]string) {
	q.t.Helper()
	if !slices.EqualFunc(q.commits, commits, slices.Equal) {
		q.t.Errorf("the commits were %v, want %v", q.commits, commits)
	}
}

func fine(*Tx) error { return nil }

// setAnd writes a setting and fails with err.
func setAnd(key string, err error) func(*Tx) error {
	return func(tx *Tx) error { return errors.Join(tx.SetSetting(key, "x"), err) }
}

// TestLateComers: who lines up while a batch runs shares its commit, in the
// order of coming.
func TestLateComers(t *testing.T) {
	t.Parallel()
	q := openQueued(t, nil)
	for i, err := range q.together(fine, fine, fine, fine) {
		if err != nil {
			t.Errorf("closure %d: %v", i, err)
		}
	}
	q.want([]string{"0", "1", "2", "3"})
}

// TestLateComersFill: a commit takes in no more of them than fill it; the rest
// have the next one.
func TestLateComersFill(t *testing.T) {
	t.Parallel()
	q := openQueued(t, nil)
	others := make([]func(*Tx) error, sqliteFull+2)
	var names []string
	for i := range others {
		others[i] = fine
		names = append(names, fmt.Sprint(i))
	}
	names = append(names, fmt.Sprint(len(others)))
	for i, err := range q.together(fine, others...) {
		if err != nil {
			t.Errorf("closure %d: %v", i, err)
		}
	}
	q.want(names[:sqliteFull], names[sqliteFull:])
}

// TestLateComersFail: what fails takes back its own, also the first, which had
// the transaction to itself.
func TestLateComersFail(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, failing := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(failing), func(t *testing.T) {
			t.Parallel()
			q := openQueued(t, nil)
			var closures []func(*Tx) error
			var kept []string
			for i := range 4 {
				var err error
				if i == failing {
					err = boom
				} else {
					kept = append(kept, fmt.Sprint(i))
				}
				closures = append(closures, setAnd(fmt.Sprint(i), err))
			}
			for i, err := range q.together(closures[0], closures[1:]...) {
				if errors.Is(err, boom) != (i == failing) || err != nil && i != failing {
					t.Errorf("closure %d: %v", i, err)
				}
			}
			q.want(kept)
			err := q.Read(t.Context(), func(tx *Tx) error {
				for i := range 4 {
					v, err := tx.Setting(fmt.Sprint(i))
					if err != nil {
						return err
					}
					if (v != "") != (i != failing) {
						t.Errorf("setting %d is %q", i, v)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLateComersGoexit: they learn that their transaction has ended, too.
func TestLateComersGoexit(t *testing.T) {
	t.Parallel()
	q := openQueued(t, nil)
	errs := q.together(fine, fine, func(*Tx) error { runtime.Goexit(); return nil }, fine)
	for i, err := range errs {
		if err == nil {
			t.Errorf("closure %d: its answer is that it was committed", i)
		}
	}
	q.want()
	if errs := q.together(fine, fine); errs[0] != nil || errs[1] != nil {
		t.Errorf("afterwards: %v", errs)
	}
}

// TestLateComersOfALostCommit: a commit that fails is no answer of success to
// those that came late.
func TestLateComersOfALostCommit(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	var fails bool
	q := openQueued(t, func(stage Stage) error {
		if stage == BeforeCommit && fails {
			return full
		}
		return nil
	})
	fails = true
	for i, err := range q.together(fine, fine, fine) {
		if !errors.Is(err, full) {
			t.Errorf("closure %d: %v", i, err)
		}
	}
	q.want()
}

// TestLateComerTakesBackWhatWasRead: what a closure has read after its own
// writes is not known to the next one when they are taken back.
func TestLateComerTakesBackWhatWasRead(t *testing.T) {
	t.Parallel()
	q := openQueued(t, nil)
	waiting := &fleet.Session{Pool: "p", State: fleet.SessionQueued, Owner: "o"}
	err := q.Write(t.Context(), func(tx *Tx) error {
		if _, _, err := tx.PutObject(&Object{Kind: fleet.KindPool, Name: "p", Spec: []byte(`{"type":"server"}`)}, time.Now()); err != nil {
			return err
		}
		return tx.InsertSession(waiting)
	})
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	var queued bool
	errs := q.together(fine, func(tx *Tx) error {
		s := *waiting
		s.State = fleet.SessionEnded
		err := tx.SaveSession(&s)
		if err == nil {
			_, err = tx.Entrance("p")
		}
		return errors.Join(err, boom)
	}, func(tx *Tx) error {
		in, err := tx.Entrance("p")
		queued = in.Queued
		return err
	})
	if errs[0] != nil || !errors.Is(errs[1], boom) || errs[2] != nil {
		t.Fatal(errs)
	}
	if !queued {
		t.Error("the session that waits has been forgotten")
	}
}
