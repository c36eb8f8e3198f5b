package store

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestNewerDatabase: a binary that is older than the database refuses to start,
// names both versions and what to do, and leaves everything as it is.
func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	latest := fmt.Sprint(len(files))
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, url)
			if s.Installation() == "" {
				t.Error("no installation id")
			}
			raw(t, s, "INSERT INTO schema_versions (version_id, is_applied) VALUES (99999, TRUE)",
				"CREATE TABLE of_a_later_version (n BIGINT)", "INSERT INTO of_a_later_version (n) VALUES (7)")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				change string
				says   []string
			}{
				{"DELETE FROM schema_programs", []string{"schema version 99999, and this headroom (0.8.1) knows versions up to " + latest, ": start a headroom at least as new", "or restore a backup"}},
				{"INSERT INTO schema_programs (schema_version, program) VALUES (99999, 'dev'), (" + latest + ", '0.8.0')", []string{"schema version 99999, and", ": start a headroom at least as new"}},
				{"UPDATE schema_programs SET program = '0.9.0' WHERE schema_version = 99999", []string{
					"schema version 99999, written by headroom 0.9.0 or newer, and this headroom (0.8.1) knows", ": install headroom 0.9.0 or newer, or restore a backup",
				}},
				{"DROP TABLE schema_programs", []string{"schema version 99999, and", ": start a headroom at least as new"}},
			} {
				change(t, url, c.change)
				before := contents(t, url)
				for range 2 {
					_, err := Open(t.Context(), Options{URL: url, Program: "0.8.1"})
					wantUnavailable(t, err, c.says...)
				}
				if after := contents(t, url); after != before {
					t.Errorf("the refused start has changed the database:\n%s\nafter\n%s", after, before)
				}
			}
		})
	}
}

// TestProgramIsNoted: the first released program of a schema version is
// remembered, also by a database that a crash has kept from it.
func TestProgramIsNoted(t *testing.T) {
	t.Parallel()
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct{ program, want string }{
				{"", ""}, {"dev", "dev"}, {"", "dev"}, {"0.9.0", "0.9.0"}, {"0.9.1", "0.9.0"}, {"dev", "0.9.0"},
			} {
				s, err := Open(t.Context(), Options{URL: url, Program: c.program})
				if err != nil {
					t.Fatal(err)
				}
				var got string
				err = s.Read(t.Context(), func(tx *Tx) error {
					_, err := tx.get("SELECT program FROM schema_programs WHERE schema_version = $1", []any{s.db.schema}, &got)
					return err
				})
				if err != nil || got != c.want {
					t.Errorf("after a start of %q the database tells of %q (%v), want %q", c.program, got, err, c.want)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// change runs a statement as no program of ours does.
func change(t *testing.T, url, statement string) {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite://"); ok {
		driver, source = "sqlite", path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // its statement was answered
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// contents is a fingerprint of all that a database holds.
func contents(t *testing.T, url string) string {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite://"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // its statements were answered
	rows, err := conn.Query(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatal(tables, err)
	}
	var out strings.Builder
	for _, table := range tables {
		var sum string
		if err := conn.QueryRow(t.Context(), "SELECT COALESCE(md5(string_agg(t::TEXT, ',' ORDER BY t::TEXT)), '') FROM "+table+" AS t").Scan(&sum); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, table, sum)
	}
	return out.String()
}

// TestMigrationsLeaveOlderNodesWorking: nodes are upgraded one after the other,
// so that one of the version before works on the new schema for a while. What it
// reads must stay, and what it writes must be accepted.
func TestMigrationsLeaveOlderNodesWorking(t *testing.T) {
	t.Parallel()
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile(`(?is)\b(DROP\s+(TABLE|COLUMN)|RENAME|ALTER\s+COLUMN|CREATE\s+UNIQUE\s+INDEX|ADD\s+CONSTRAINT)\b`)
	column := regexp.MustCompile(`(?is)ADD\s+COLUMN\s+[^;]*`)
	for i, f := range files {
		text, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(f.Name(), want) {
			t.Errorf("migration %s should begin with %s: versions have no gaps", f.Name(), want)
		}
		if i == 0 {
			continue
		}
		if found := forbidden.Find(text); found != nil {
			t.Errorf("migration %s says %q, which nodes of the version before do not survive: add what is new, and remove the old in a later version", f.Name(), found)
		}
		for _, add := range column.FindAll(text, -1) {
			if s := strings.ToUpper(string(add)); strings.Contains(s, "NOT NULL") && !strings.Contains(s, "DEFAULT") {
				t.Errorf("migration %s says %q: rows that nodes of the version before write do not name the column, so it needs a DEFAULT", f.Name(), add)
			}
		}
	}
}
