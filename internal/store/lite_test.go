package store

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/headroom-dev/headroom/internal/fleet"
)

func newLite(t *testing.T) *liteConn {
	t.Helper()
	c, err := openLite("file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// one reads the only row of an answer.
func one(t *testing.T, c *liteConn, dest []any, query string, args ...any) {
	t.Helper()
	r, err := c.query(query, args)
	if err != nil {
		t.Fatal(query, err)
	}
	defer r.Close() //nolint:errcheck // it has none
	if !r.Next() {
		t.Fatal("no row:", query, r.Err())
	}
	if err := r.Scan(dest...); err != nil {
		t.Fatal(query, err)
	}
	if r.Next() || r.Err() != nil {
		t.Fatal("more than a row:", query, r.Err())
	}
}

func TestLiteKeepsValues(t *testing.T) {
	t.Parallel()
	c := newLite(t)
	text := "ä\x00ö" + strings.Repeat("x", 2*textKept)
	for range 3 { // the statement is kept, its memory is not
		var i int64
		var f float64
		var s, empty string
		var phase fleet.Phase
		var yes bool
		var none, some sql.NullString
		var noNumber sql.NullInt64
		var bytes, nothing any
		one(t, c, []any{&i, &f, &s, &empty, &phase, &yes, &none, &some, &noNumber, &bytes, &nothing},
			"SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11",
			int64(-1)<<62, 2.5, text, "", fleet.PhaseReady, true, nil, sql.NullString{String: "s", Valid: true}, sql.NullInt64{}, []byte{0, 1}, []byte(nil))
		if diff := cmp.Diff([]any{int64(-1) << 62, 2.5, text, "", fleet.PhaseReady, true, sql.NullString{}, sql.NullString{String: "s", Valid: true}, sql.NullInt64{}, any([]byte{0, 1}), any(nil)},
			[]any{i, f, s, empty, phase, yes, none, some, noNumber, bytes, nothing}); diff != "" {
			t.Error(diff)
		}
	}
	if room := c.stmts["SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11"].room; room > textKept {
		t.Errorf("%d bytes are kept for arguments", room)
	}
}

func TestLiteFindsArgumentsByTheirNumbers(t *testing.T) {
	t.Parallel()
	c := newLite(t)
	var a, b, again string
	one(t, c, []any{&a, &b, &again}, "SELECT $2, $1, $2", "first", "second")
	if got := a + " " + b + " " + again; got != "second first second" {
		t.Error(got)
	}
	if _, err := c.query("SELECT $2, $1, $2", []any{"first"}); err == nil {
		t.Error("a missing argument is accepted")
	}
}

func TestLiteErrors(t *testing.T) {
	t.Parallel()
	c := newLite(t)
	for _, text := range []string{"CREATE TABLE t (k TEXT PRIMARY KEY, n BIGINT NOT NULL)", "INSERT INTO t VALUES ('a', 1)"} {
		if _, err := c.exec(text, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "SELEKT 1", "SELECT 1; SELECT 2", "SELECT no FROM t", "SELECT @name"} {
		if _, err := c.exec(bad, nil); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for range 2 { // an error does not stick to the statement
		_, err := c.exec("INSERT INTO t VALUES ($1, $2)", []any{"a", 2})
		if code, ok := liteCode(err); !ok || code != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
			t.Errorf("error %v with code %d", err, code)
		}
	}
	if n, err := c.exec("UPDATE t SET n = n + $1 WHERE k = $2", []any{1, "a"}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := c.exec("UPDATE t SET n = n + $1 WHERE k = $2", []any{1, "none"}); n != 0 || err != nil {
		t.Error(n, err)
	}
	r, err := c.query("SELECT k, n, NULL FROM t", nil)
	if err != nil || !r.Next() {
		t.Fatal(err)
	}
	var s string
	var n int64
	for what, dest := range map[string][]any{"too few": {&s, &n}, "a text into a number": {&n, &n, &s}, "nothing into a text": {&s, &n, &s}, "no pointer": {&s, n, &s}} {
		if err := r.Scan(dest...); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestLitePlansOnce: SQLite plans a statement anew when an argument might be
// the value of a partial index, unless it is told not to.
func TestLitePlansOnce(t *testing.T) {
	t.Parallel()
	c := newLite(t)
	for _, text := range []string{"CREATE TABLE t (k TEXT, state TEXT)", "CREATE INDEX t_queued ON t (k) WHERE state = 'queued'", "CREATE INDEX t_k ON t (k)"} {
		if _, err := c.exec(text, nil); err != nil {
			t.Fatal(err)
		}
	}
	query := "SELECT k FROM t WHERE state = $1 AND k = $2"
	for _, state := range []string{"queued", "active", "queued", "ended"} {
		r, err := c.query(query, []any{state, "x"})
		if err != nil {
			t.Fatal(err)
		}
		r.Close() //nolint:errcheck // it has none
	}
	if n := sqlite3.Xsqlite3_stmt_status(c.tls, c.stmts[query].p, sqlite3.SQLITE_STMTSTATUS_REPREPARE, 0); n != 0 {
		t.Errorf("it was planned anew %d times", n)
	}
}

func TestLiteOpensWhatIsThereOrSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := openLite("file:" + filepath.Join(dir, "none", "x.db"))
	if code, ok := liteCode(err); !ok || code&0xff != sqlite3.SQLITE_CANTOPEN {
		t.Errorf("error %v with code %d", err, code)
	}
	if _, err := openLite("file:"+filepath.Join(dir, "x.db"), "PRAGMA journal_mode = WAL", "NONSENSE"); err == nil {
		t.Error("a statement that fails is accepted")
	}
}

func TestAddressesAreReadAsJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`[]`: {}, `["10.0.0.1"]`: {"10.0.0.1"}, `["10.0.0.1","fe80::1","ä"]`: {"10.0.0.1", "fe80::1", "ä"},
		`["a", "b"]`: {"a", "b"}, `["a\"","b"]`: {`a"`, "b"}, `["a\u003c"]`: {"a<"}, `[""]`: {""}, `["",""]`: {"", ""}, `[ "a" ]`: {"a"},
	} {
		got, err := decodeAddresses(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	if got, err := decodeAddresses(`["a","b`); err == nil {
		t.Errorf("half a list is read as %q", got)
	}
}
