package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

func openAt(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // some of these databases are broken by then
	return s
}

// raw runs statements that the API does not have, in a write transaction.
func raw(t *testing.T, s *Store, statements ...string) {
	t.Helper()
	for _, st := range statements {
		if err := s.Write(t.Context(), func(tx *Tx) error { _, err := tx.exec(st); return err }); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
}

func setting(t *testing.T, s *Store, key string) (v string) {
	t.Helper()
	if err := s.Read(t.Context(), func(tx *Tx) (err error) { v, err = tx.Setting(key); return err }); err != nil {
		t.Fatalf("reading setting %s: %v", key, err)
	}
	return v
}

func set(t *testing.T, s *Store, key, value string) error {
	return s.Write(context.WithoutCancel(t.Context()), func(tx *Tx) error { return tx.SetSetting(key, value) })
}

func wantUnavailable(t *testing.T, err error, parts ...string) {
	t.Helper()
	if fleet.CodeOf(err) != fleet.CodeUnavailable {
		t.Fatalf("got error %v, want one of code unavailable", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

// pragma runs a statement on the writer's connection outside of a transaction.
func pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	c, err := s.db.writers.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.db.writers.put(c)
	rows, err := c.query(context.WithoutCancel(t.Context()), text)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "headroom.db")
	s := openAt(t, "sqlite://"+path)
	if err := set(t, s, "before", "x"); err != nil {
		t.Fatal(err)
	}
	pragma(t, s, "PRAGMA max_page_count = 1") // which means: no page more than there are
	big := strings.Repeat("x", 200_000)
	wantUnavailable(t, set(t, s, "big", big), "no space left", path)

	// In a batch, too, those that fit are written.
	var wg sync.WaitGroup
	errs := make([]error, 32)
	for i := range errs {
		wg.Go(func() {
			value := "small"
			if i%4 == 0 {
				value = big
			}
			errs[i] = set(t, s, "before", value)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if i%4 == 0 {
			wantUnavailable(t, err, "no space left")
		} else if err != nil {
			t.Errorf("a write that fits failed beside one that does not: %v", err)
		}
	}
	if v := setting(t, s, "before"); v != "small" {
		t.Errorf("the setting is %q", v)
	}
	pragma(t, s, "PRAGMA max_page_count = 1000000")
	if err := set(t, s, "big", big); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if setting(t, s, "big") != big {
		t.Error("what was written is not there")
	}
}

func TestBadDatabases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	writeFile(t, garbage, strings.Repeat("this is no database ", 1000))
	for _, tt := range []struct {
		name, url string
		code      fleet.Code
		say       string
	}{
		{"no URL", "", fleet.CodeInvalid, "sqlite://"},
		{"another database", "mysql://x", fleet.CodeInvalid, "sqlite://"},
		{"relative path", "sqlite://headroom.db", fleet.CodeInvalid, "absolute"},
		{"query", "sqlite:///x.db?mode=ro", fleet.CodeInvalid, "absolute"},
		{"no directory", "sqlite://" + dir + "/none/headroom.db", fleet.CodeUnavailable, "none/headroom.db"},
		{"a directory", "sqlite://" + dir, fleet.CodeUnavailable, dir},
		{"garbage", "sqlite://" + garbage, fleet.CodeUnavailable, "damaged"},
		{"bad URL", "postgres://u:hush@h:port/x", fleet.CodeInvalid, "postgres://"},
		{"no server", "postgres://u:hush@/x?host=" + dir, fleet.CodeUnavailable, "cannot be reached"},
		{"no server's remedy", "postgres://u:hush@127.0.0.1:1/x", fleet.CodeUnavailable, "connection refused; check that it runs"},
	} {
		s, err := Open(t.Context(), Options{URL: tt.url})
		if err == nil {
			s.Close() //nolint:errcheck // the test has failed
			t.Errorf("%s: opened", tt.name)
			continue
		}
		if fleet.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.say) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "tried again") {
			t.Errorf("%s: got %q of code %s, want %q of code %s", tt.name, err, fleet.CodeOf(err), tt.say, tt.code)
		}
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, url)
			id := s.Installation()
			if err := set(t, s, "k", "kept"); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, url)
			if s.Installation() != id || setting(t, s, "k") != "kept" {
				t.Errorf("after opening again: installation %q, want %q; setting %q", s.Installation(), id, setting(t, s, "k"))
			}
		})
	}
}

// urls are a new database of each kind that outlives its store.
func urls(t *testing.T) map[string]string {
	return map[string]string{"sqlite": "sqlite://" + filepath.Join(t.TempDir(), "headroom.db"), "postgres": pgtest.New(t)}
}

// TestOpenTogether: nodes that start at once on a new database upgrade it once
// and agree on the installation.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	ids := make([]string, 4)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.Installation()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("the nodes have the ids %v", ids)
		}
	}
}

func TestPostgresRestart(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := openAt(t, server.Database(t))
	var announced int
	s.OnCommit(func(e []fleet.Event) { announced += len(e) })
	for round, stop := range []func(){server.Stop, server.Kill} {
		// Every connection has been used and stands idle.
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				if err := set(t, s, fmt.Sprint(i), "x"); err != nil {
					t.Error(err)
				}
				setting(t, s, fmt.Sprint(i))
			})
		}
		wg.Wait()
		stop()
		wantUnavailable(t, set(t, s, "k", "while it is down"), "cannot be reached")
		err := s.Read(t.Context(), func(tx *Tx) error { _, err := tx.Setting("k"); return err })
		wantUnavailable(t, err, "cannot be reached")
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		for i := range 32 {
			wg.Go(func() {
				err := s.Write(t.Context(), func(tx *Tx) error {
					tx.Emit(fleet.Event{})
					return tx.SetSetting("k", fmt.Sprint("up again ", round))
				})
				if err != nil {
					t.Errorf("write %d after the restart: %v", i, err)
				}
				setting(t, s, "k")
			})
		}
		wg.Wait()
		if v := setting(t, s, "k"); v != fmt.Sprint("up again ", round) {
			t.Errorf("the setting is %q", v)
		}
	}
	if announced != 64 {
		t.Errorf("%d events were announced, want 64", announced)
	}
}

// TestBrokenConnection: a connection that breaks before the commit costs
// nothing, whether the closure was alone or not.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.New(t))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			runs := 0
			err := s.Write(t.Context(), func(tx *Tx) error {
				runs++
				if i%8 == 0 && runs == 1 {
					_, err := tx.exec("SELECT pg_terminate_backend(pg_backend_pid())")
					return err
				}
				return tx.SetSetting(fmt.Sprint(i), "x")
			})
			if err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range 16 {
		if setting(t, s, fmt.Sprint(i)) != "x" {
			t.Errorf("write %d was answered and is not there", i)
		}
	}
	wantUnavailable(t, s.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.exec("SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	}))
}

// TestUnknownOutcome: when the connection breaks during the commit, the
// closure is not run again, and the caller is told.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.New(t))
	raw(t, s, `CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'die') EXECUTE FUNCTION die()`)
	var announced int
	s.OnCommit(func(e []fleet.Event) { announced += len(e) })
	runs := 0
	err := s.Write(t.Context(), func(tx *Tx) error {
		runs++
		tx.Emit(fleet.Event{Name: "lost"})
		return tx.SetSetting("die", "x")
	})
	wantUnavailable(t, err, "outcome is unknown")
	if runs != 1 || announced != 0 {
		t.Errorf("the closure ran %d times, want 1; %d events were announced, want none", runs, announced)
	}
	if err := s.Write(t.Context(), func(tx *Tx) error { tx.Emit(fleet.Event{Name: "next"}); return nil }); err != nil || announced != 1 {
		t.Errorf("the next write: %v, %d events announced", err, announced)
	}
}

// TestDeadlock: closures that lock in opposite orders all come through.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	nodes := []*Store{openAt(t, url), openAt(t, url)}
	for _, key := range []string{"a", "b"} {
		if err := set(t, nodes[0], key, ""); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	const writers, each = 8, 6
	for w := range writers {
		wg.Go(func() {
			order := []string{"a", "b"}
			if w%2 == 1 {
				order = []string{"b", "a"}
			}
			for range each {
				err := nodes[w/2%2].Write(t.Context(), func(tx *Tx) error {
					for _, key := range order {
						if _, err := tx.exec("UPDATE settings SET value = value || 'x' WHERE name = $1", key); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, key := range []string{"a", "b"} {
		if n := len(setting(t, nodes[0], key)); n != writers*each {
			t.Errorf("%s was written %d times, want %d", key, n, writers*each)
		}
	}
}

// TestSwallowedError: on PostgreSQL a failed statement makes the COMMIT a
// rollback; a closure that hides it must not be told that all is well.
func TestSwallowedError(t *testing.T) {
	t.Parallel()
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, url)
			err := s.Write(t.Context(), func(tx *Tx) error {
				if _, err := tx.exec("INSERT INTO no_such_table VALUES (1)"); err == nil {
					t.Error("a bad statement has worked")
				}
				if err := tx.SetSetting("k", "x"); err == nil {
					t.Error("a statement ran after a failed one")
				}
				return nil
			})
			if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no_such_table") {
				t.Errorf("got error %v, want the statement's", err)
			}
		})
	}
}

// TestUsersAcrossNodes: a claim that looked at a server while another node was
// changing it counts its users as they are after that.
func TestUsersAcrossNodes(t *testing.T) {
	t.Parallel()
	place := fleet.Resources{Places: 1}
	take := func(tx *Tx, id string) error {
		v, err := tx.Claim(ClaimQuery{Pool: "p", Need: place, User: "u"})
		if err != nil {
			return err
		}
		return tx.InsertSession(&fleet.Session{ID: id, Pool: "p", User: "u", State: fleet.SessionActive, Need: place, ServerID: v.ID})
	}
	give := func(tx *Tx, id string) error {
		e, err := tx.Session(id)
		if err != nil {
			return err
		}
		e.State = fleet.SessionEnded
		if err := tx.SaveSession(e); err != nil {
			return err
		}
		_, err = tx.Release(e.ServerID, e.Need, e.User)
		return err
	}
	for name, tt := range map[string]struct {
		before        string // a session that is there at first
		first, second func(*Tx) error
		users         int64
	}{
		"both come":        {"", func(tx *Tx) error { return take(tx, "1") }, func(tx *Tx) error { return take(tx, "2") }, 1},
		"one goes":         {"0", func(tx *Tx) error { return give(tx, "0") }, func(tx *Tx) error { return take(tx, "2") }, 1},
		"one comes":        {"0", func(tx *Tx) error { return take(tx, "1") }, func(tx *Tx) error { return give(tx, "0") }, 1},
		"one goes, no one": {"0", func(tx *Tx) error { return give(tx, "0") }, func(tx *Tx) error { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			one, two := openAt(t, url), openAt(t, url)
			err := one.Write(t.Context(), func(tx *Tx) error {
				if err := tx.InsertServer(&fleet.Server{ID: "a", Pool: "p", Zone: "z", Phase: fleet.PhaseReady, MaxUsers: 2, Capacity: fleet.Resources{Places: 9}}); err != nil {
					return err
				}
				if tt.before == "" {
					return nil
				}
				return take(tx, tt.before)
			})
			if err != nil {
				t.Fatal(err)
			}
			second := make(chan error, 1)
			err = one.Write(t.Context(), func(tx *Tx) error {
				if err := tt.first(tx); err != nil {
					return err
				}
				go func() { second <- two.Write(context.WithoutCancel(t.Context()), tt.second) }()
				return awaitBlocked(tx, second)
			})
			if err := errors.Join(err, <-second); err != nil {
				t.Fatal(err)
			}
			var v *fleet.Server
			if err := one.Read(t.Context(), func(tx *Tx) (err error) { v, err = tx.Server("a"); return err }); err != nil {
				t.Fatal(err)
			}
			if v.Users != tt.users {
				t.Errorf("the server counts %d users, want %d", v.Users, tt.users)
			}
		})
	}
}

// awaitBlocked returns when another session of the database waits for a lock,
// or when done has something.
func awaitBlocked(tx *Tx, done chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int64
		if _, err := tx.get("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'", nil, &n); err != nil {
			return err
		}
		// The view is a snapshot of the transaction unless it is told otherwise.
		if _, err := tx.exec("SELECT pg_stat_clear_snapshot()"); err != nil {
			return err
		}
		if n > 0 || len(done) > 0 {
			return nil
		}
		<-tick.C
	}
}
