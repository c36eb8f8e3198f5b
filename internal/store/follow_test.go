package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// ear is a node that follows, and what it was told.
type ear struct {
	*store.Store
	mu   sync.Mutex
	seqs []int64
	more chan struct{}
}

func follow(t *testing.T, url string) *ear {
	t.Helper()
	e := &ear{Store: open(t, url), more: make(chan struct{}, 1)}
	e.OnCommit(func(events []fleet.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, v := range events {
			e.seqs = append(e.seqs, v.Seq)
		}
		select {
		case e.more <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { e.Follow(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return e
}

// followers are nodes that have begun to follow: they have heard event 1, which
// is of another one.
func followers(t *testing.T, url string, n int) []*ear {
	t.Helper()
	other := &ear{Store: open(t, url)}
	var nodes []*ear
	for range n {
		nodes = append(nodes, follow(t, url))
	}
	other.emit(t, 1)
	for _, e := range nodes {
		e.await(t, 1, 1)
	}
	return nodes
}

// await waits until the events up to last were heard: each once, in order,
// from first on.
func (e *ear) await(t *testing.T, first, last int64) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		e.mu.Lock()
		n := int64(len(e.seqs))
		for i, seq := range e.seqs {
			if seq != first+int64(i) {
				t.Fatalf("event %d was heard as number %d of those from %d: …%v", seq, i, first, e.seqs[max(0, i-5):i+1])
			}
		}
		e.mu.Unlock()
		if n == last-first+1 {
			return
		}
		if n > last-first+1 {
			t.Fatalf("%d events were heard of %d", n, last-first+1)
		}
		select {
		case <-e.more:
		case <-deadline:
			t.Fatalf("%d events were heard of %d", n, last-first+1)
		}
	}
}

func (e *ear) emit(t *testing.T, n int) {
	t.Helper()
	err := e.Write(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
		for i := range n {
			tx.Emit(fleet.Event{Type: "test", Message: fmt.Sprint(i), Data: map[string]any{"phase": "ready"}})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFollowNodes: three nodes write at once; each hears every event once and
// in order, its own among them.
func TestFollowNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	nodes := followers(t, url, 3)
	const writers, writes = 4, 40
	var wg sync.WaitGroup
	for _, n := range nodes {
		for range writers {
			wg.Go(func() {
				for i := range writes {
					n.emit(t, 1+i%3)
				}
			})
		}
	}
	wg.Wait()
	total := lastSeq(t, nodes[0].Store)
	if total < 3*writers*writes {
		t.Fatalf("only %d events", total)
	}
	for _, n := range nodes {
		n.await(t, 1, total)
	}
}

func lastSeq(t *testing.T, s *store.Store) (last int64) {
	t.Helper()
	if err := s.Read(t.Context(), func(tx *store.Tx) (err error) { last, err = tx.LastEventSeq(); return err }); err != nil {
		t.Fatal(err)
	}
	return last
}

// TestFollowIsQuick: a hint makes it much faster than the next look would be.
func TestFollowIsQuick(t *testing.T) {
	t.Parallel()
	nodes := followers(t, pgtest.New(t), 2)
	a, b := nodes[0], nodes[1]
	quick := 0
	for i := range 10 {
		began := time.Now()
		a.emit(t, 1)
		b.await(t, 1, int64(i)+2)
		if time.Since(began) < 300*time.Millisecond {
			quick++
		}
	}
	if quick < 5 {
		t.Errorf("%d of 10 events were heard within 300 ms", quick)
	}
}

// TestFollowFromOpen: what others commit between the opening of the store and
// the begin of Follow is heard, and what was there before is not.
func TestFollowFromOpen(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	other := &ear{Store: open(t, url)}
	other.emit(t, 5)
	late := open(t, url)
	other.emit(t, 3)
	var e ear
	e.Store, e.more = late, make(chan struct{}, 1)
	late.OnCommit(func(events []fleet.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, v := range events {
			e.seqs = append(e.seqs, v.Seq)
		}
		select {
		case e.more <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { late.Follow(ctx) })
	defer wg.Wait()
	defer cancel()
	e.await(t, 6, 8)
}

// TestFollowOverRestart: PostgreSQL goes away while events come; nothing is
// lost and nothing comes twice.
func TestFollowOverRestart(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	url := server.Database(t)
	nodes := followers(t, url, 2)
	a, b := nodes[0], nodes[1]
	for range 3 {
		server.Kill()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		// The first writes may meet connections that are broken.
		for _, n := range []*ear{a, b} {
			if err := n.Ping(t.Context()); err != nil {
				t.Logf("first write after the restart: %v", err)
			}
			n.emit(t, 2)
		}
	}
	total := lastSeq(t, a.Store)
	a.await(t, 1, total)
	b.await(t, 1, total)
}
