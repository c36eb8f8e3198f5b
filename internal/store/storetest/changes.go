package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

func testChanges(t *testing.T, s *store.Store) { Changes(t, s, s) }

// Changes lets several goroutines write through one or more stores of one
// database, while a copy of the servers for each store is kept up to date by
// what [store.Tx.Changes] tells. In every transaction the copy must be exactly
// what the table holds.
func Changes(t *testing.T, stores ...*store.Store) {
	t.Helper()
	addServers(t, stores[0], agent("first", res(64, 64, 0)), agent("second", places(50)))
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for i, s := range stores {
		writers.Go(func() { meddle(t, s, fmt.Sprint("w", i)) })
		c := &copied{at: -1, servers: map[string]*fleet.Server{}}
		readers.Go(func() {
			for over := false; !over; {
				select {
				case <-stop:
					over = true
				default:
				}
				if err := s.Read(context.WithoutCancel(t.Context()), c.check); err != nil {
					t.Errorf("store %d: %v", i, err)
					return
				}
			}
			if c.all > 3 || c.told < 50 {
				t.Errorf("store %d: everything was read %d times and %d changes were told", i, c.all, c.told)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

// meddle changes servers in every way that there is.
func meddle(t *testing.T, s *store.Store, name string) {
	r := rand.New(rand.NewPCG(1, uint64(name[1]))) //nolint:gosec // repeatable
	boom := errors.New("boom")
	var made, sessions []string
	for i := range 150 {
		id := fmt.Sprintf("%s-%03d", name, i)
		err := s.Write(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
			switch r.IntN(7) {
			case 0, 1:
				made = append(made, id)
				return tx.InsertServer(agent(id, res(1+r.Int64N(8), 8, 0)))
			case 2:
				if len(made) == 0 {
					return nil
				}
				v, err := tx.Server(made[r.IntN(len(made))])
				if err != nil {
					return err
				}
				v.Reason, v.Phase = id, []fleet.Phase{fleet.PhaseReady, fleet.PhaseDraining, fleet.PhaseGone}[r.IntN(3)]
				return tx.SaveServer(v)
			case 3:
				sessions = append(sessions, id)
				_, err := start(tx, id, store.ClaimQuery{Pool: "p", Need: res(1, 1, 0), User: fmt.Sprint("u", r.IntN(3))})
				return err
			case 4:
				if len(sessions) == 0 {
					return nil
				}
				e, err := tx.Session(sessions[r.IntN(len(sessions))])
				if err != nil || !e.Live() {
					return err
				}
				e.User = fmt.Sprint("u", r.IntN(3)) // changes hands
				if r.IntN(2) == 0 {
					return tx.SaveSession(e)
				}
				_, err = finish(tx, e.ID)
				return err
			case 5:
				if err := tx.InsertServer(agent(id, res(1, 1, 0))); err != nil {
					return err
				}
				return boom
			}
			_, _, err := tx.PutObject(&store.Object{Kind: fleet.KindZone, Name: name, Spec: fmt.Appendf(nil, `{"n":%d}`, i)}, t0)
			return err
		})
		if err != nil && !errors.Is(err, boom) && !errors.Is(err, store.ErrNotFound) && fleet.CodeOf(err) != fleet.CodeUnavailable {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// copied is a copy of the servers that are not gone.
type copied struct {
	at        int64
	servers   map[string]*fleet.Server
	all, told int
}

func (c *copied) check(tx *store.Tx) error {
	changes, err := tx.Changes(c.at)
	if err != nil {
		return err
	}
	now, err := tx.Servers(store.ServerFilter{})
	if err != nil {
		return err
	}
	want := map[string]*fleet.Server{}
	for _, v := range now {
		want[v.ID] = v
	}
	if changes.All {
		c.all++
		c.servers = want
		c.at = changes.Upto
		return nil
	}
	c.told += len(changes.Servers)
	var unknown []string
	for id, v := range changes.Servers {
		switch {
		case v == nil:
			unknown = append(unknown, id)
		case v.Phase == fleet.PhaseGone:
			delete(c.servers, id)
		default:
			c.servers[id] = v
		}
	}
	rows, err := tx.ServersByID(unknown)
	if err != nil {
		return err
	}
	for _, v := range rows {
		c.servers[v.ID] = v
		if v.Phase == fleet.PhaseGone {
			delete(c.servers, v.ID)
		}
	}
	if d := cmp.Diff(want, c.servers); d != "" {
		return fmt.Errorf("after changes %d to %d (-database +copy):\n%s", c.at+1, changes.Upto, d)
	}
	c.at = changes.Upto
	return nil
}
