package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// node is a member of a database, which leaves at the end of the test.
func node(t *testing.T, s *store.Store) *store.Membership {
	t.Helper()
	m := s.Join("http://" + t.Name())
	t.Cleanup(func() {
		if err := m.Leave(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Leave: %v", err)
		}
	})
	return m
}

func renew(t *testing.T, m *store.Membership) store.View {
	t.Helper()
	v, err := m.Renew(t.Context())
	if err != nil {
		t.Fatalf("Renew: %v", err)
	}
	return v
}

func takeKeys(t *testing.T, m *store.Membership, keys ...string) []store.Owner {
	t.Helper()
	taken, err := m.Take(t.Context(), keys)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	slices.SortFunc(taken, func(a, b store.Owner) int { return int(a.Key[0]) - int(b.Key[0]) })
	return taken
}

func checkOwner(s *store.Store, o store.Owner) error {
	return s.Write(context.Background(), func(tx *store.Tx) error { return tx.CheckOwner(o) })
}

func wantOwners(t *testing.T, what string, got []store.Owner, want ...store.Owner) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestOwnership(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.New(t))
	a, b := node(t, s), node(t, s)
	renew(t, a)
	if v := renew(t, b); !slices.Equal(v.Nodes, []string{a.ID(), b.ID()}) {
		t.Errorf("nodes %v", v.Nodes)
	}
	own := takeKeys(t, a, "x", "y")
	wantOwners(t, "a takes", own, store.Owner{Key: "x", Node: a.ID(), Epoch: 1}, store.Owner{Key: "y", Node: a.ID(), Epoch: 1})
	wantOwners(t, "b takes what a has", takeKeys(t, b, "x", "y"))
	if err := checkOwner(s, own[0]); err != nil {
		t.Errorf("the owner is refused: %v", err)
	}
	for _, wrong := range []store.Owner{{Key: "x", Node: b.ID(), Epoch: 1}, {Key: "x", Node: a.ID(), Epoch: 2}, {Key: "z", Node: a.ID(), Epoch: 1}} {
		if err := checkOwner(s, wrong); !errors.Is(err, store.ErrLost) {
			t.Errorf("%+v: %v, want ErrLost", wrong, err)
		}
	}

	// Released with an old epoch: still owned. With the present one: free.
	if err := a.Release(t.Context(), []store.Owner{{Key: "x", Epoch: 0}}); err != nil {
		t.Fatal(err)
	}
	wantOwners(t, "b takes after a false release", takeKeys(t, b, "x"))
	if err := a.Release(t.Context(), own[:1]); err != nil {
		t.Fatal(err)
	}
	wantOwners(t, "b takes what was released", takeKeys(t, b, "x", "y"), store.Owner{Key: "x", Node: b.ID(), Epoch: 2})
	if err := checkOwner(s, own[0]); !errors.Is(err, store.ErrLost) {
		t.Errorf("the former owner: %v, want ErrLost", err)
	}
	// One's own is taken anew, and the tenure before is over.
	wantOwners(t, "a takes again", takeKeys(t, a, "y"), store.Owner{Key: "y", Node: a.ID(), Epoch: 2})
	if err := checkOwner(s, own[1]); !errors.Is(err, store.ErrLost) {
		t.Errorf("the former epoch: %v, want ErrLost", err)
	}
	// Leaving frees everything.
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantOwners(t, "b takes after a left", takeKeys(t, b, "y"), store.Owner{Key: "y", Node: b.ID(), Epoch: 3})
	if v := renew(t, b); !slices.Equal(v.Nodes, []string{b.ID()}) || v.Owners["y"].Node != b.ID() {
		t.Errorf("after a left: %+v", v)
	}
}

// TestOwnershipExpires: a node that is silent for LeaseTime by the database's
// clock has lost what it owned to whoever takes it, and not before.
func TestOwnershipExpires(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.New(t))
	a, b := node(t, s), node(t, s)
	began := time.Now()
	renew(t, a)
	own := takeKeys(t, a, "x")
	var v store.View
	for v = renew(t, b); len(takeKeys(t, b, "x")) == 0; v = renew(t, b) {
		wait, cancel := context.WithTimeout(t.Context(), min(v.NextExpiry, time.Second)+time.Millisecond)
		b.Wait(wait)
		cancel()
		if time.Since(began) > 3*store.LeaseTime {
			t.Fatal("it does not expire")
		}
	}
	if held := time.Since(began); held < store.LeaseTime || held > store.LeaseTime+2*time.Second {
		t.Errorf("taken after %s, the lease is for %s", held, store.LeaseTime)
	}
	if !slices.Equal(v.Nodes, []string{b.ID()}) {
		t.Errorf("nodes %v, want b alone", v.Nodes)
	}
	if err := checkOwner(s, own[0]); !errors.Is(err, store.ErrLost) {
		t.Errorf("the dead node: %v, want ErrLost", err)
	}
	// It comes back as a node that owns nothing.
	if v := renew(t, a); len(v.Nodes) != 2 || v.Owners["x"].Node != b.ID() {
		t.Errorf("after its return: %+v", v)
	}
}

// TestFenceHolds: between the check of an owner and its commit nobody takes the
// key, and other keys can be taken meanwhile.
func TestFenceHolds(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	a, b := node(t, s), node(t, open(t, url))
	renew(t, a)
	own := takeKeys(t, a, "x", "y")
	renew(t, b)
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.CheckOwner(own[0]); err != nil {
			return err
		}
		if _, err := tx.Setting("k"); err != nil { // the check is made together with the next statement
			return err
		}
		if err := a.Release(t.Context(), own[1:]); err != nil {
			return err
		}
		bury(t, url, a)
		wantOwners(t, "during the write", takeKeys(t, b, "x", "y"), store.Owner{Key: "y", Node: b.ID(), Epoch: 2})
		return tx.SetSetting("k", "v")
	})
	if err != nil {
		t.Fatal(err)
	}
	wantOwners(t, "after the write", takeKeys(t, b, "x"), store.Owner{Key: "x", Node: b.ID(), Epoch: 2})
}

// bury lets a node be dead for all others.
func bury(t *testing.T, url string, m *store.Membership) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the statement was answered
	if _, err := c.Exec(t.Context(), "DELETE FROM nodes WHERE id = $1", m.ID()); err != nil {
		t.Fatal(err)
	}
}

// TestReleaseIsAHint: a node that waits learns at once that work is free.
func TestReleaseIsAHint(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.New(t))
	a, b := node(t, s), node(t, s)
	renew(t, a)
	renew(t, b)
	own := takeKeys(t, a, "x")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { b.Wait(ctx) })
	if err := a.Release(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("the hint did not arrive")
	}
}

func TestOneNodeNeedsNoLease(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite://:memory:")
	if s.Shared() || s.Join("") != nil {
		t.Error("SQLite has nodes")
	}
	if err := checkOwner(s, store.Owner{Key: "x"}); err != nil {
		t.Error(err)
	}
}
