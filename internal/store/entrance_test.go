package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// TestEntranceIsNeverOld: whatever was written, taken back or lost, a write
// transaction knows the entrance that the database has.
func TestEntranceIsNeverOld(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			e := &entrances{t: t, rand: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // a history that can be repeated
			s, err := Open(t.Context(), Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "headroom.db"), Faults: func(stage Stage) error {
				if stage == BeforeCommit && e.lose {
					return errTakenBack
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the test is over
			for range 300 {
				e.step(s)
			}
			if e.remembered == 0 || e.waited == 0 || e.undone == 0 {
				t.Errorf("%d entrances were remembered, %d had somebody who waits, %d steps were taken back: nothing is proved", e.remembered, e.waited, e.undone)
			}
		})
	}
}

var errTakenBack = errors.New("taken back")

type entrances struct {
	t                          *testing.T
	rand                       *rand.Rand
	lose                       bool // the next commit
	sessions                   []*fleet.Session
	remembered, waited, undone int
}

func (e *entrances) pool() string { return fmt.Sprint("p", e.rand.IntN(2)) }

// step does a few things in one transaction, which may come to nothing, and
// compares.
func (e *entrances) step(s *Store) {
	e.t.Helper()
	fails := e.rand.IntN(3) == 0
	e.lose = e.rand.IntN(6) == 0
	var left []*fleet.Session
	err := s.Write(e.t.Context(), func(tx *Tx) error {
		left = e.sessions
		for range 1 + e.rand.IntN(3) {
			if err := e.change(tx, &left); err != nil {
				return err
			}
			if _, err := tx.Entrance(e.pool()); err != nil {
				return err
			}
		}
		if fails {
			return errTakenBack
		}
		return nil
	})
	e.lose = false
	switch {
	case errors.Is(err, errTakenBack):
		e.undone++
	case err != nil:
		e.t.Fatal(err)
	default:
		e.sessions = left
	}
	for _, pool := range []string{"p0", "p1"} {
		var got, want Entrance
		err := s.Write(e.t.Context(), func(tx *Tx) (err error) { got, err = tx.Entrance(pool); return err })
		if err == nil {
			err = s.Read(e.t.Context(), func(tx *Tx) (err error) { want, err = tx.Entrance(pool); return err })
		}
		if err != nil {
			e.t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			e.t.Fatalf("pool %s has entrance %+v, and a write transaction takes it for %+v", pool, want, got)
		}
		if _, known := s.entrances.get(pool, time.Now()); known {
			e.remembered++
		}
		if want.Queued || want.Staged {
			e.waited++
		}
	}
}

// change does one thing. list is what there is of sessions that have not ended.
func (e *entrances) change(tx *Tx, list *[]*fleet.Session) error {
	states := []fleet.SessionState{fleet.SessionQueued, fleet.SessionStaged, fleet.SessionActive, fleet.SessionEnded}
	switch n := e.rand.IntN(10); {
	case n < 3:
		n := &fleet.Session{Pool: e.pool(), State: states[e.rand.IntN(3)], Owner: "o"}
		*list = append(append([]*fleet.Session{}, *list...), n)
		return tx.InsertSession(n)
	case n < 7 && len(*list) > 0:
		i := e.rand.IntN(len(*list))
		n := *(*list)[i]
		n.State = states[min(e.rand.IntN(8), 3)] // most of them end
		next := append([]*fleet.Session{}, *list...)
		next[i] = &n
		if n.State == fleet.SessionEnded {
			next = append(next[:i], next[i+1:]...)
		}
		*list = next
		return tx.SaveSession(&n)
	case n < 8:
		err := tx.DeleteObject(fleet.KindZone, fmt.Sprint("z", e.rand.IntN(3)))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	default:
		o := &Object{Kind: fleet.KindZone, Name: fmt.Sprint("z", e.rand.IntN(3)), Spec: []byte(`{}`)}
		if e.rand.IntN(2) == 0 {
			o = &Object{Kind: fleet.KindPool, Name: e.pool(), Spec: fmt.Appendf(nil, `{"type":"server","queue_limit":%d}`, e.rand.IntN(9))}
		}
		_, _, err := tx.PutObject(o, time.Now())
		return err
	}
}
