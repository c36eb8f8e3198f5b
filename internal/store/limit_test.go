package store

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// BenchmarkAcquireLimit runs the statements of BenchmarkAcquire bare: 16
// acquires in each commit, prepared, from one goroutine, with nothing around
// them. No way of sharing commits can be faster with these statements one after
// the other.
func BenchmarkAcquireLimit(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, servers := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%s/servers=%d", kind, servers), func(b *testing.B) {
				url := "sqlite://" + filepath.Join(b.TempDir(), "headroom.db")
				if kind == "postgres" {
					url = pgtest.New(b, pgtest.Durable())
				}
				s, err := Open(b.Context(), Options{URL: url})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close() //nolint:errcheck // the benchmark is over
				err = s.Write(b.Context(), func(tx *Tx) error {
					for i := range servers {
						n := int64(b.N/servers + 1)
						if err := tx.InsertServer(&fleet.Server{
							Origin: fleet.OriginAutoscaled, Pool: "p", Zone: "z", Phase: fleet.PhaseReady,
							Capacity: fleet.Resources{Cores: fleet.Core * fleet.Cores(n), MemoryMiB: 1024*n + int64(i%50)},
						}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				c, err := s.db.writers.get(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				defer s.db.writers.put(c)
				l := &limit{b: b, s: s, c: c}
				b.ResetTimer()
				for done := 0; done < b.N; done += 16 {
					l.batch(min(16, b.N-done))
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acquires/s")
			})
		}
	}
}

type limit struct {
	b *testing.B
	s *Store
	c *conn
}

func (l *limit) exec(query string, args ...any) {
	if _, err := l.c.exec(context.Background(), query, args...); err != nil {
		l.b.Fatal(err)
	}
}

// row reads one row of that many columns, and returns one of them.
func (l *limit) row(column, columns int, query string, args ...any) (value any) {
	rows, err := l.c.query(context.Background(), query, args...)
	if err != nil {
		l.b.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // closed below, unless something fails
	values, dest := make([]any, columns), make([]any, columns)
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			l.b.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		l.b.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		l.b.Fatal(err)
	}
	return values[column]
}

func (l *limit) batch(n int) {
	w := claimWays[0][0]
	l.exec(l.s.db.beginWrite)
	args := []any{}
	var ids []string
	for i := range n {
		user := fmt.Sprint("u", i)
		id := l.row(3, 6+len(w.columns), w.firstsInZone, "p", user, int64(0), int64(1000), int64(1024), "z")
		l.row(0, strings.Count(serverColumns, ",")+1, takeText, id, int64(1000), int64(1024), int64(0), int64(0), 1, "p", "z")
		e := l.s.NewID()
		ids = append(ids, e)
		l.exec(insertSessionText, e, "p", "", user, user, "active", "", int64(1000), int64(1024), int64(0), int64(0), "", id, int64(0), time.Now().UnixMicro(), int64(0),
			nil, nil, nil, nil, "o", "", int64(1), true, true, nil)
	}
	last, ok := l.row(0, 2, numberText, n, 1).(int64)
	if !ok {
		l.b.Fatal("no number")
	}
	for i, id := range ids {
		args = append(args, last-int64(n)+int64(i)+1, time.Now().UnixMicro(), "session.active", "Session", id, "", "p", "o", "claimed on a server", sql.NullString{})
	}
	l.exec(eventInserts[n], args...)
	l.exec("COMMIT")
}
