package store

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"

	sqlite3 "modernc.org/sqlite/lib"
)

// liteStmt is a prepared statement, and the rows of its answer while it runs.
type liteStmt struct {
	c       *liteConn
	p       uintptr
	columns int
	places  []int // of the argument of each parameter
	wants   int   // arguments

	text  uintptr // memory for arguments that are text, kept for the next run
	room  int     // of text
	first bool    // the first row has been reached, and nobody has asked for it
	over  bool    // there is no further row: another step would begin anew
	err   error
}

// textKept is how many bytes of memory for arguments a statement keeps.
const textKept = 64 << 10

func (st *liteStmt) finalize() {
	sqlite3.Xsqlite3_finalize(st.c.tls, st.p)
	sqlite3.Xsqlite3_free(st.c.tls, st.text)
	st.p, st.text, st.room = 0, 0, 0
}

// bind sets all parameters. Text is copied to memory that stays as it is until
// the next run, so that SQLite need not copy it once more.
func (st *liteStmt) bind(args []any) error {
	if len(args) != st.wants {
		return fmt.Errorf("%d arguments for %d parameters", len(args), st.wants)
	}
	size := 1 // an address is needed for an empty text, too
	for i, a := range args {
		switch a.(type) {
		case nil, string, int64, int, bool, float64, []byte:
		default:
			var err error
			if args[i], err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
				return fmt.Errorf("argument %d: %w", i+1, err)
			}
		}
		switch a := args[i].(type) {
		case string:
			size += len(a)
		case []byte:
			size += len(a)
		}
	}
	if size > st.room {
		sqlite3.Xsqlite3_free(st.c.tls, st.text)
		st.room = max(size, 2*st.room, 64)
		if st.text = sqlite3.Xsqlite3_malloc64(st.c.tls, uint64(st.room)); st.text == 0 { //nolint:gosec // not negative
			st.room = 0
			return &liteError{code: sqlite3.SQLITE_NOMEM, text: "out of memory"}
		}
	}
	used := 0
	for i, place := range st.places {
		rc, err := st.bindOne(int32(i+1), args[place], &used) //nolint:gosec // there are few
		if err != nil {
			return fmt.Errorf("argument %d: %w", place+1, err)
		}
		if rc != sqlite3.SQLITE_OK {
			return st.c.fault(rc)
		}
	}
	return nil
}

func (st *liteStmt) bindOne(i int32, a any, used *int) (rc int32, err error) {
	tls := st.c.tls
	switch a := a.(type) {
	case nil:
		return sqlite3.Xsqlite3_bind_null(tls, st.p, i), nil
	case int64:
		return sqlite3.Xsqlite3_bind_int64(tls, st.p, i, a), nil
	case int:
		return sqlite3.Xsqlite3_bind_int64(tls, st.p, i, int64(a)), nil
	case bool:
		return sqlite3.Xsqlite3_bind_int64(tls, st.p, i, number(a)), nil
	case float64:
		return sqlite3.Xsqlite3_bind_double(tls, st.p, i, a), nil
	case string:
		p := st.text + uintptr(*used) //nolint:gosec // not negative
		*used += copy(memory(p, st.room-*used), a)
		return sqlite3.Xsqlite3_bind_text(tls, st.p, i, p, int32(len(a)), sqlite3.SQLITE_STATIC), nil //nolint:gosec // what is longer than SQLite takes is refused before
	case []byte:
		if a == nil {
			return sqlite3.Xsqlite3_bind_null(tls, st.p, i), nil
		}
		p := st.text + uintptr(*used) //nolint:gosec // not negative
		*used += copy(memory(p, st.room-*used), a)
		return sqlite3.Xsqlite3_bind_blob(tls, st.p, i, p, int32(len(a)), sqlite3.SQLITE_STATIC), nil //nolint:gosec // likewise
	}
	return 0, fmt.Errorf("a %T cannot be stored", a)
}

// step goes to the next row; false: there is none, or st.err says why.
func (st *liteStmt) step() bool {
	switch rc := sqlite3.Xsqlite3_step(st.c.tls, st.p); rc {
	case sqlite3.SQLITE_ROW:
		return true
	case sqlite3.SQLITE_DONE:
	default:
		st.err = st.c.fault(rc)
	}
	st.over = true
	return false
}

// run runs the statement to its end and drops its rows.
func (st *liteStmt) run() error {
	for st.step() {
	}
	err := st.err
	st.reset()
	return err
}

// reset makes the statement fit for the next run.
func (st *liteStmt) reset() {
	sqlite3.Xsqlite3_reset(st.c.tls, st.p) // repeats the error of the last step
	st.first, st.over, st.err = false, false, nil
	if st.room > textKept {
		sqlite3.Xsqlite3_clear_bindings(st.c.tls, st.p)
		sqlite3.Xsqlite3_free(st.c.tls, st.text)
		st.text, st.room = 0, 0
	}
}

// Next goes to the next row.
func (st *liteStmt) Next() bool {
	if st.first {
		st.first = false
		return true
	}
	return !st.over && st.step()
}

// Err is why there are no more rows; nil: that was all.
func (st *liteStmt) Err() error { return st.err }

// Close ends the run.
func (st *liteStmt) Close() error {
	st.reset()
	return nil
}

// Scan copies the present row to where dest points.
func (st *liteStmt) Scan(dest ...any) error {
	if len(dest) != st.columns {
		return fmt.Errorf("%d columns are scanned into %d variables", st.columns, len(dest))
	}
	for i, d := range dest {
		v := liteValue{st.c, sqlite3.Xsqlite3_column_value(st.c.tls, st.p, int32(i))} //nolint:gosec // there are few
		if err := v.assign(d); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// liteValue is a value of the present row.
type liteValue struct {
	c *liteConn
	p uintptr
}

func (v liteValue) integer() int64 { return sqlite3.Xsqlite3_value_int64(v.c.tls, v.p) }

func (v liteValue) text() string {
	p := sqlite3.Xsqlite3_value_text(v.c.tls, v.p)
	if n := int(sqlite3.Xsqlite3_value_bytes(v.c.tls, v.p)); p != 0 && n > 0 {
		return string(memory(p, n))
	}
	return ""
}

// any is the value as drivers of database/sql give it.
func (v liteValue) any() driver.Value {
	switch sqlite3.Xsqlite3_value_type(v.c.tls, v.p) {
	case sqlite3.SQLITE_INTEGER:
		return v.integer()
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_value_double(v.c.tls, v.p)
	case sqlite3.SQLITE_TEXT:
		return v.text()
	case sqlite3.SQLITE_BLOB:
		p := sqlite3.Xsqlite3_value_blob(v.c.tls, v.p)
		n := int(sqlite3.Xsqlite3_value_bytes(v.c.tls, v.p))
		b := make([]byte, n)
		if n > 0 {
			copy(b, memory(p, n))
		}
		return b
	}
	return nil
}

// assign stores the value in what dest points to.
func (v liteValue) assign(dest any) error {
	switch sqlite3.Xsqlite3_value_type(v.c.tls, v.p) {
	case sqlite3.SQLITE_INTEGER:
		switch d := dest.(type) {
		case *int64:
			*d = v.integer()
			return nil
		case *bool:
			*d = v.integer() != 0
			return nil
		case *sql.NullInt64:
			*d = sql.NullInt64{Int64: v.integer(), Valid: true}
			return nil
		}
	case sqlite3.SQLITE_TEXT:
		switch d := dest.(type) {
		case *string:
			*d = v.text()
			return nil
		case *sql.NullString:
			*d = sql.NullString{String: v.text(), Valid: true}
			return nil
		}
	case sqlite3.SQLITE_NULL:
		switch d := dest.(type) {
		case *sql.NullInt64:
			*d = sql.NullInt64{}
			return nil
		case *sql.NullString:
			*d = sql.NullString{}
			return nil
		}
	}
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(v.any())
	case *any:
		*d = v.any()
		return nil
	}
	to := reflect.ValueOf(dest)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return fmt.Errorf("a value cannot be stored in a %T", dest)
	}
	return v.assignTo(to.Elem())
}

// assignTo stores the value in a variable of a type of its own.
func (v liteValue) assignTo(to reflect.Value) error {
	switch sqlite3.Xsqlite3_value_type(v.c.tls, v.p) {
	case sqlite3.SQLITE_INTEGER:
		n := v.integer()
		switch {
		case to.CanInt() && !to.OverflowInt(n):
			to.SetInt(n)
			return nil
		case to.CanFloat():
			to.SetFloat(float64(n))
			return nil
		}
	case sqlite3.SQLITE_FLOAT:
		if to.CanFloat() {
			to.SetFloat(sqlite3.Xsqlite3_value_double(v.c.tls, v.p))
			return nil
		}
	case sqlite3.SQLITE_TEXT:
		if to.Kind() == reflect.String {
			to.SetString(v.text())
			return nil
		}
	}
	return fmt.Errorf("a %T cannot be stored in a %s", v.any(), to.Type())
}
