package store_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
	"github.com/headroom-dev/headroom/internal/store/storetest"
)

// TestChangesOfOtherNodes: what another process has changed is told as exactly
// as what this one has.
func TestChangesOfOtherNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	storetest.Changes(t, open(t, url), open(t, url), open(t, url))
}

// TestChangesTooLate: whoever asks for more than is remembered is told to read
// everything.
func TestChangesTooLate(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, url(t))
			add := func(n int) {
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					for range n {
						if err := tx.InsertServer(&fleet.Server{Pool: "p", Zone: "z", Phase: fleet.PhaseReady}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			since := func(n int64) (c store.Changes) {
				err := s.Read(t.Context(), func(tx *store.Tx) (err error) { c, err = tx.Changes(n); return err })
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			add(1)
			begin := since(-1)
			if !begin.All || begin.Upto != 1 {
				t.Fatalf("from the beginning: %+v, want all up to 1", begin)
			}
			if c := since(2); !c.All {
				t.Errorf("after a number that does not exist yet: %+v, want all", c)
			}
			add(3)
			if c := since(1); c.All || len(c.Servers) != 3 || c.Upto != 2 {
				t.Errorf("after 1: %d servers, all %t, up to %d; want 3 up to 2", len(c.Servers), c.All, c.Upto)
			}
			const many = 1 << 13 // more than a process remembers; another one can read them
			add(many)
			add(many)
			again := open(t, "sqlite://:memory:") // another database: nothing is shared between stores
			if again.Unchanged(4) {
				t.Error("an empty database says that it is at change 4")
			}
			c := since(1)
			if name == "postgres" {
				if c.All || len(c.Servers) != 2*many+3 {
					t.Errorf("after 1: %d servers, all %t; want what the table says", len(c.Servers), c.All)
				}
			} else if !c.All {
				t.Errorf("after 1: %d servers are told of; want all", len(c.Servers))
			}
			if c := since(3); c.All || len(c.Servers) != many {
				t.Errorf("after 3: %d servers, all %t; want those of the last commit", len(c.Servers), c.All)
			}
		})
	}
}
