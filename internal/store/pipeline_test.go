package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// inOneBatch runs closures in one transaction and returns their errors: the
// first holds the lane until the others have lined up.
func inOneBatch(t *testing.T, s *Store, closures ...func(*Tx) error) []error {
	t.Helper()
	errs := make([]error, len(closures))
	inside, goOn := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var once sync.Once
		err := s.WriteSession(t.Context(), func(*Tx) error {
			once.Do(func() { close(inside); <-goOn })
			return nil
		})
		if err != nil {
			t.Errorf("the first: %v", err)
		}
	})
	<-inside
	for i, f := range closures {
		wg.Go(func() { errs[i] = s.WriteSession(t.Context(), f) })
		for lined := 0; lined <= i; {
			s.sessions.mu.Lock()
			lined = len(s.sessions.jobs)
			s.sessions.mu.Unlock()
		}
	}
	close(goOn)
	wg.Wait()
	return errs
}

// TestPipeline: a statement that was sent together with those of other closures
// fails its own closure and nobody else's, wherever in the batch it stands, and
// nothing is left of a closure that failed.
func TestPipeline(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, url)
			var announced []string
			s.OnCommit(func(events []fleet.Event) {
				for _, e := range events {
					announced = append(announced, e.Name)
				}
			})
			// Each writes its mark first, so that it can be seen whether it was undone.
			kinds := map[string]func(tx *Tx) error{
				"good":              func(tx *Tx) error { return nil },
				"good and reads":    func(tx *Tx) error { _, err := tx.Setting("x"); return err },
				"fails unsent":      func(tx *Tx) error { return boom },
				"fails sent":        func(tx *Tx) error { return errors.Join(second(tx.Setting("x")), boom) },
				"fails sent, again": func(tx *Tx) error { return errors.Join(second(tx.Setting("x")), tx.SetSetting("more", "x"), boom) },
				"bad statement":     func(tx *Tx) error { return tx.do("INSERT INTO nowhere (a) VALUES (1)") },
				"bad, then reads": func(tx *Tx) error {
					_ = tx.do("INSERT INTO nowhere (a) VALUES (1)")
					_, _ = tx.Setting("x") // heedless
					return nil
				},
				"finds nothing": func(tx *Tx) error { return tx.doOr(boom, "UPDATE settings SET value = 'x' WHERE name = 'none'") },
				"finds nothing, then writes": func(tx *Tx) error {
					_ = tx.doOr(boom, "UPDATE settings SET value = 'x' WHERE name = 'none'")
					_, _ = tx.exec("UPDATE settings SET value = 'x' WHERE name = 'none'")
					return nil
				},
			}
			wantFail := func(kind string) bool { return kind[:4] != "good" }
			names := slices.Sorted(maps.Keys(kinds))
			for round := range 4 {
				var all []string
				for i := range 3 * len(names) {
					all = append(all, names[(i*(round+1)+round)%len(names)])
				}
				var closures []func(*Tx) error
				for i, kind := range all {
					mark := fmt.Sprintf("%d-%d", round, i)
					closures = append(closures, func(tx *Tx) error {
						if err := tx.SetSetting(mark, "x"); err != nil {
							return err
						}
						tx.Emit(fleet.Event{Name: mark})
						return kinds[kind](tx)
					})
				}
				announced = nil
				var want []string
				for i, err := range inOneBatch(t, s, closures...) {
					mark := fmt.Sprintf("%d-%d", round, i)
					if (err != nil) != wantFail(all[i]) {
						t.Errorf("%s, %q between %q: error %v", mark, all[i], all[max(i-1, 0)], err)
					}
					if all[i] == "finds nothing" && !errors.Is(err, boom) {
						t.Errorf("%s: error %v, want its own", all[i], err)
					}
					if left := setting(t, s, mark); (left == "x") == wantFail(all[i]) {
						t.Errorf("%s, %q: its mark is %q", mark, all[i], left)
					}
					if !wantFail(all[i]) {
						want = append(want, mark)
					}
				}
				if fmt.Sprint(announced) != fmt.Sprint(want) {
					t.Errorf("announced %v, want %v", announced, want)
				}
			}
			if v := setting(t, s, "more"); v != "" {
				t.Error("a failed closure left something")
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestPipelineBreaks: PostgreSQL ends the connection in the middle of a shared
// transaction: what is answered is there once, and everything is answered.
func TestPipelineBreaks(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := openAt(t, server.Database(t))
	if err := set(t, s, "before", "x"); err != nil {
		t.Fatal(err)
	}
	var killed sync.Once
	var closures []func(*Tx) error
	for i := range 12 {
		closures = append(closures, func(tx *Tx) error {
			e := &fleet.Session{Pool: "p", State: fleet.SessionActive, User: fmt.Sprint("u", i)}
			if err := tx.InsertSession(e); err != nil { // not sent yet
				return err
			}
			if i == 6 {
				killed.Do(func() {
					server.Kill()
					if err := server.Start(); err != nil {
						t.Error(err)
					}
				})
			}
			tx.Emit(fleet.Event{Name: e.User})
			return nil
		})
	}
	for i, err := range inOneBatch(t, s, closures...) {
		if err != nil {
			t.Errorf("closure %d: %v", i, err)
		}
	}
	err := s.Read(t.Context(), func(tx *Tx) error {
		list, err := tx.Sessions(SessionFilter{Pool: "p"})
		users := map[string]int{}
		for _, e := range list {
			users[e.User]++
		}
		if len(list) != 12 || len(users) != 12 {
			t.Errorf("%d sessions of %d users, want 12", len(list), len(users))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
