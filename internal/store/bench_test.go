package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// BenchmarkAcquire measures what a session costs the database: a claim, the
// session's row and its event, durably committed, by 16 callers at once.
func BenchmarkAcquire(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, servers := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%s/servers=%d", kind, servers), func(b *testing.B) {
				url := "sqlite://" + filepath.Join(b.TempDir(), "headroom.db")
				if kind == "postgres" {
					url = pgtest.New(b, pgtest.Durable())
				}
				s, err := store.Open(b.Context(), store.Options{URL: url})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close() //nolint:errcheck // the benchmark is over
				addOpenServers(b, s, servers, int64(b.N/servers+1))
				b.ReportAllocs()
				before := changes(b, s)
				b.ResetTimer()
				report(b, acquire(b, s, 16))
				b.ReportMetric(float64(b.N)/float64(changes(b, s)-before), "acquires/commit")
			})
		}
	}
}

// BenchmarkRefuse measures a claim in a pool that has cores and no memory.
func BenchmarkRefuse(b *testing.B) {
	for _, servers := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("sqlite/servers=%d", servers), func(b *testing.B) {
			s, err := store.Open(b.Context(), store.Options{URL: "sqlite://" + filepath.Join(b.TempDir(), "headroom.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the benchmark is over
			addOpenServers(b, s, servers, 8)
			for b.Loop() {
				err := s.Write(b.Context(), func(tx *store.Tx) error {
					_, err := tx.Claim(store.ClaimQuery{Pool: "p", Need: fleet.Resources{Cores: 1000, MemoryMiB: 1 << 40}, User: "u"})
					return err
				})
				if !errors.Is(err, store.ErrNotFound) {
					b.Fatal(err)
				}
			}
		})
	}
}

func addOpenServers(b *testing.B, s *store.Store, n int, sessions int64) {
	for done := 0; done < n; {
		err := s.Write(b.Context(), func(tx *store.Tx) error {
			for i := range min(1000, n-done) {
				if err := tx.InsertServer(&fleet.Server{
					Origin: fleet.OriginAutoscaled, Pool: "p", Zone: "z", Phase: fleet.PhaseReady,
					Capacity: fleet.Resources{Cores: fleet.Core * fleet.Cores(sessions), MemoryMiB: 1024*sessions + int64(i%50)},
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		done += min(1000, n-done)
	}
}

func acquire(b *testing.B, s *store.Store, callers int) []time.Duration {
	took := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < b.N; i += callers {
				begin := time.Now()
				err := s.WriteSession(context.Background(), func(tx *store.Tx) error {
					q := store.ClaimQuery{Pool: "p", Zone: "z", Need: fleet.Resources{Cores: 1000, MemoryMiB: 1024}, User: fmt.Sprint("u", i%1000), PreferFixed: true}
					srv, err := tx.Claim(q)
					if err != nil {
						return err
					}
					e := fleet.Session{Pool: "p", User: q.User, State: fleet.SessionActive, ServerID: srv.ID, Need: q.Need, Owner: "o"}
					if err := tx.InsertSession(&e); err != nil {
						return err
					}
					tx.Emit(fleet.Event{Type: fleet.EventSessionActive, Kind: fleet.EventKindSession, Name: e.ID, Pool: "p", Actor: "o", Message: "claimed on " + srv.Name})
					return nil
				})
				if err != nil {
					b.Error(err)
					return
				}
				took[c] = append(took[c], time.Since(begin))
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...)
}

// changes counts the commits that have changed a server.
func changes(b *testing.B, s *store.Store) (n int64) {
	err := s.Read(b.Context(), func(tx *store.Tx) error {
		c, err := tx.Changes(-1)
		n = c.Upto
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func report(b *testing.B, took []time.Duration) {
	b.StopTimer()
	slices.Sort(took)
	if len(took) == 0 {
		return
	}
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "acquires/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
