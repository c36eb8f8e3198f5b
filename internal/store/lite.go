package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// liteConn is a connection to SQLite that calls the library itself. A driver of
// database/sql asks for name and declared type of each column at each query,
// puts each value into an interface and takes memory for each argument, which
// together cost more than most of our statements do.
//
// It is not safe for concurrent use, and SQLite's own locks within a connection
// are left out: who has taken it from the pool is alone.
type liteConn struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]*liteStmt // kept
}

// liteError is an error of SQLite's.
type liteError struct {
	code int // the extended one
	text string
}

func (e *liteError) Error() string { return e.text }

// liteCode is the code of an error of SQLite's, whoever has called it.
func liteCode(err error) (code int, ok bool) {
	if e, is := errors.AsType[*liteError](err); is {
		return e.code, true
	}
	if e, is := errors.AsType[*sqlite.Error](err); is { // of migrations
		return e.Code(), true
	}
	return 0, false
}

// openLite opens a database by its URI and runs statements that set it up.
func openLite(uri string, setUp ...string) (_ *liteConn, err error) {
	c := &liteConn{tls: libc.NewTLS(), stmts: map[string]*liteStmt{}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	name, err := libc.CString(uri)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	out := c.tls.Alloc(pointerSize)
	defer c.tls.Free(pointerSize)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE|sqlite3.SQLITE_OPEN_NOMUTEX|sqlite3.SQLITE_OPEN_URI, 0)
	c.db = *at[uintptr](out) // there is one to be closed after most errors, too
	if rc != sqlite3.SQLITE_OK {
		return nil, c.fault(rc)
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	if err := c.stablePlans(); err != nil {
		return nil, err
	}
	for _, text := range setUp {
		if err := c.once(text); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// stablePlans has each statement keep its plan. Otherwise one with a parameter
// that might be the value of a partial index is planned anew each time that it
// is run, which takes longer than to run it.
func (c *liteConn) stablePlans() error {
	args := libc.NewVaList(int32(1), uintptr(0))
	defer libc.Xfree(c.tls, args)
	if rc := sqlite3.Xsqlite3_db_config(c.tls, c.db, sqlite3.SQLITE_DBCONFIG_ENABLE_QPSG, args); rc != sqlite3.SQLITE_OK {
		return c.fault(rc)
	}
	return nil
}

func (c *liteConn) close() {
	for _, st := range c.stmts {
		st.finalize()
	}
	c.stmts = nil
	if c.db != 0 {
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
		c.db = 0
	}
	c.tls.Close()
}

// fault is the error that a call has returned.
func (c *liteConn) fault(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		if more := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); more != text {
			text += ": " + more
		}
	}
	return &liteError{code: int(rc), text: fmt.Sprintf("%s (%d)", text, rc)}
}

// once runs a statement that is not kept.
func (c *liteConn) once(text string) error {
	st, err := c.prepare(text)
	if err != nil {
		return err
	}
	defer st.finalize()
	return st.run()
}

// copyFrom makes this database a copy of another one.
func (c *liteConn) copyFrom(from *liteConn) error {
	name, err := libc.CString("main")
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	backup := sqlite3.Xsqlite3_backup_init(c.tls, c.db, name, from.db, name)
	if backup == 0 {
		return c.fault(sqlite3.Xsqlite3_errcode(c.tls, c.db))
	}
	sqlite3.Xsqlite3_backup_step(c.tls, backup, -1) // its error is that of the end
	if rc := sqlite3.Xsqlite3_backup_finish(c.tls, backup); rc != sqlite3.SQLITE_OK {
		return c.fault(rc)
	}
	return nil
}

// statement finds a statement prepared, or prepares it.
func (c *liteConn) statement(query string) (*liteStmt, error) {
	if st := c.stmts[query]; st != nil {
		return st, nil
	}
	st, err := c.prepare(plainMarks(query))
	if err == nil {
		c.stmts[query] = st
	}
	return st, err
}

func (c *liteConn) prepare(text string) (*liteStmt, error) {
	sql, err := libc.CString(text)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, sql)
	out := c.tls.Alloc(2 * pointerSize)
	defer c.tls.Free(2 * pointerSize)
	rest := out + uintptr(pointerSize)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, sql, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, rest); rc != sqlite3.SQLITE_OK {
		return nil, c.fault(rc)
	}
	st := &liteStmt{c: c, p: *at[uintptr](out)}
	switch more := strings.TrimSpace(libc.GoString(*at[uintptr](rest))); {
	case st.p == 0:
		return nil, fmt.Errorf("%q is no statement", text)
	case more != "":
		st.finalize()
		return nil, fmt.Errorf("%q follows the statement", more)
	}
	st.columns = int(sqlite3.Xsqlite3_column_count(c.tls, st.p))
	st.places = make([]int, sqlite3.Xsqlite3_bind_parameter_count(c.tls, st.p))
	for i := range st.places {
		st.places[i] = i
		if name := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(c.tls, st.p, int32(i+1))); name != "" { //nolint:gosec // there are few
			n, err := strconv.Atoi(strings.TrimPrefix(name, "$"))
			if err != nil || n < 1 {
				st.finalize()
				return nil, fmt.Errorf("parameter %s has no number", name)
			}
			st.places[i] = n - 1
		}
		st.wants = max(st.wants, st.places[i]+1)
	}
	return st, nil
}

// bound finds a statement and gives it arguments.
func (c *liteConn) bound(query string, args []any) (*liteStmt, error) {
	st, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	return st, st.bind(args)
}

func (c *liteConn) exec(query string, args []any) (int64, error) {
	st, err := c.bound(query, args)
	if err != nil {
		return 0, err
	}
	if err := st.run(); err != nil {
		return 0, err
	}
	return int64(sqlite3.Xsqlite3_changes(c.tls, c.db)), nil
}

func (c *liteConn) query(query string, args []any) (rows, error) {
	st, err := c.bound(query, args)
	if err != nil {
		return nil, err
	}
	if st.first = st.step(); st.err != nil {
		err := st.err
		st.reset()
		return nil, err
	}
	return st, nil
}

const pointerSize = int(unsafe.Sizeof(uintptr(0)))

// at is a value in SQLite's memory, which Go's collector knows nothing of.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) } //nolint:gosec // see above

// memory is a piece of SQLite's memory.
func memory(p uintptr, n int) []byte { return unsafe.Slice(at[byte](p), n) } //nolint:gosec // n is what SQLite says, or what was asked of it

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
