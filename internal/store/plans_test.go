package store

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestClaimPlans: on both databases every statement of a claim finds its rows
// through an index. It is what keeps the cost of a claim from growing with the
// pool.
func TestClaimPlans(t *testing.T) {
	t.Parallel()
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, url)
			fill(t, s, 3000)
			if s.db.postgres {
				raw(t, s, "ANALYZE")
			}
			for _, places := range []bool{false, true} {
				for _, spread := range []bool{false, true} {
					w := newClaimWay(places, spread)
					for what, query := range map[string]string{"anywhere": w.firstsAnywhere, "zone": w.firstsInZone, "next": w.next, "read through": w.readThrough, "familiar": w.familiar} {
						plan := explain(t, s, query)
						index := "servers_room"
						if places {
							index = "servers_places"
						}
						if what == "familiar" {
							index = ""
						}
						if scan := regexp.MustCompile(`(?i)(SCAN (c|s|f|e)\b|Seq Scan on (servers|sessions))`).FindString(plan); scan != "" || !strings.Contains(plan, index) {
							t.Errorf("places %t, spread %t, %s: %q, want an index search by %q:\n%s", places, spread, what, scan, index, plan)
						}
						if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Sort Key") {
							t.Errorf("places %t, spread %t, %s sorts:\n%s", places, spread, what, plan)
						}
					}
				}
			}
			for _, query := range []string{
				"SELECT " + serverColumns + " FROM servers WHERE pool = 'p' AND live ORDER BY created_at, id LIMIT 100",
				"SELECT COUNT(*) FROM servers WHERE vm_provider = 'rare' AND live",
				sessionQuery + " WHERE e.pool = 'p' AND e.state = 'queued' ORDER BY e.queue_order, e.id LIMIT 10",
				sessionQuery + " WHERE e.due_at IS NOT NULL AND e.due_at <= 5 ORDER BY e.due_at, e.id LIMIT 10",
				sessionQuery + " WHERE e.owner = 'o' AND e.idempotency_key = 'k' AND e.idempotency_key <> ''",
				sessionQuery + " WHERE e.server_id = 'x' AND e.live",
				"SELECT COUNT(*) FROM sessions AS e WHERE e.pool = 'p' AND e.staging = 'st' AND e.state = 'staged' AND e.live",
				"SELECT seq FROM events WHERE pool = 'p' AND seq > 5 ORDER BY seq LIMIT 10",
				"SELECT seq FROM events WHERE kind = 'Server' AND name = 'x' AND seq < 99 ORDER BY seq DESC LIMIT 10",
			} {
				plan := explain(t, s, query)
				if regexp.MustCompile(`(?i)(SCAN (servers|e|events)\b|Seq Scan|TEMP B-TREE|Sort Key)`).MatchString(plan) {
					t.Errorf("%s\nscans or sorts:\n%s", query, plan)
				}
			}
			for _, query := range []string{
				entranceText,
				"SELECT e.state, COUNT(*) FROM sessions AS e" + (SessionFilter{Pool: "p", States: []fleet.SessionState{fleet.SessionStaged}}).condition().where() + " GROUP BY e.state",
			} {
				plan := explain(t, s, query)
				if regexp.MustCompile(`(?i)(SCAN e\b|Seq Scan on sessions|sessions_pool)`).MatchString(plan) {
					t.Errorf("%s\nwalks the sessions of the pool:\n%s", query, plan)
				}
			}
		})
	}
}

// TestClaimPlansWithoutStatistics: a pool that has just grown is not sorted for
// each claim, either.
func TestClaimPlansWithoutStatistics(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.New(t))
	fill(t, s, 2000)
	for _, places := range []bool{false, true} {
		for _, spread := range []bool{false, true} {
			w := newClaimWay(places, spread)
			for what, query := range map[string]string{"anywhere": w.firstsAnywhere, "zone": w.firstsInZone, "next": w.next, "read through": w.readThrough} {
				var plan string
				err := s.Write(t.Context(), func(tx *Tx) (err error) {
					plan, err = explainIn(tx, query)
					return err
				})
				index := "servers_room"
				if places {
					index = "servers_places"
				}
				if err != nil || strings.Contains(plan, "Sort Key") || !strings.Contains(plan, index) {
					t.Errorf("places %t, spread %t, %s: want a search by %s and no sort; error %v\n%s", places, spread, what, index, err, plan)
				}
			}
		}
	}
}

// fill adds n servers, and sessions and events to match, so that PostgreSQL
// has a reason to use an index.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	err := s.Write(t.Context(), func(tx *Tx) error {
		for i := range n {
			v := &fleet.Server{
				Pool: "p", Zone: "z", Phase: fleet.PhaseReady, VMProvider: "v", MaxUsers: int64(i % 3),
				Capacity: fleet.Resources{Cores: fleet.Cores(i), MemoryMiB: int64(i), Places: 5},
			}
			if err := tx.InsertServer(v); err != nil {
				return err
			}
			e := &fleet.Session{Pool: "p", User: fmt.Sprint("u", i), State: fleet.SessionActive, ServerID: v.ID, Need: fleet.Resources{Places: 1}, Owner: "o", IdempotencyKey: fmt.Sprint("k", i)}
			if i%3 == 0 {
				e.State, e.ServerID = fleet.SessionQueued, ""
			}
			at := tx.s.clock.Now()
			e.ExpiresAt, e.WaitUntil = &at, &at
			if err := tx.InsertSession(e); err != nil {
				return err
			}
			tx.Emit(fleet.Event{Kind: "Server", Name: v.Name, Pool: "p"})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	raw(t, s, "UPDATE servers SET room = FALSE, crowded = TRUE, users = 1 WHERE max_users = 1 AND free_cores < 30")
}

// explain is the plan of a query with some value for each parameter.
func explain(t *testing.T, s *Store, query string) (plan string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *Tx) (err error) {
		plan, err = explainIn(tx, query)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return plan
}

func explainIn(tx *Tx, query string) (string, error) {
	prefix, columns := "EXPLAIN ", 1
	if !tx.s.db.postgres {
		prefix, columns = "EXPLAIN QUERY PLAN ", 4
	}
	query = strings.NewReplacer("c.pool = $1", "c.pool = 'p'", "b.pool = $1", "b.pool = 'p'", "f.pool = $1", "f.pool = 'p'", "e.pool = $1", "e.pool = 'p'", "p.name = $1", "p.name = 'p'", "s.pool = $1", "s.pool = 'p'",
		"user_name = $2", "user_name = 'u7'", "c.zone = $3", "c.zone = 'z'", "c.fixed = $4", "c.fixed = FALSE").Replace(query)
	query = regexp.MustCompile(`b\.zone = \$\d+`).ReplaceAllString(query, "b.zone = 'z'")
	query = regexp.MustCompile(`\$\d+`).ReplaceAllString(query, "7")
	var lines []string
	err := tx.each(prefix+query, nil, func(r row) error {
		values := make([]any, columns)
		dest := make([]any, columns)
		for i := range values {
			dest[i] = &values[i]
		}
		err := r.Scan(dest...)
		lines = append(lines, fmt.Sprint(values[columns-1]))
		return err
	})
	return strings.Join(lines, "\n"), err
}
