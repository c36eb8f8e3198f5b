package pgtest

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func query(t *testing.T, url, text string) (n int64, err error) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return 0, err
	}
	defer c.Close(t.Context()) //nolint:errcheck // the answer counts
	err = c.QueryRow(t.Context(), text).Scan(&n)
	return n, err
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	one, two := New(t), New(t)
	if _, err := query(t, one, "WITH made AS (SELECT 1) SELECT count(*) FROM made"); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context()) //nolint:errcheck // the test is over
	if _, err := c.Exec(t.Context(), "CREATE TABLE mine (n BIGINT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := query(t, two, "SELECT count(*) FROM mine"); err == nil {
		t.Error("a table of one database is in the other")
	}
}

func TestStopAndKillKeepData(t *testing.T) {
	t.Parallel()
	s := Start(t)
	url := s.Database(t)
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42::bigint AS n"); err != nil {
		t.Fatal(err)
	}
	c.Close(t.Context()) //nolint:errcheck // the server is stopped next
	for name, end := range map[string]func(){"stop": s.Stop, "kill": s.Kill} {
		end()
		if _, err := query(t, url, "SELECT n FROM kept"); err == nil {
			t.Errorf("after a %s the server answers", name)
		}
		if err := s.Start(); err != nil {
			t.Fatalf("starting after a %s: %v", name, err)
		}
		if n, err := query(t, url, "SELECT n FROM kept"); err != nil || n != 42 {
			t.Errorf("after a %s: %d, %v", name, n, err)
		}
	}
}

// TestEndsWithTheProcess: the end of a process closes its pipes; the server
// must then end and leave nothing behind.
func TestEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	s := Start(t)
	if err := s.leash.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the watching shell: %v", err)
	}
	s.cmd = nil
	if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the server's directory is still there: %v", err)
	}
}
