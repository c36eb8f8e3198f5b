package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// liteConn is a connection to SQLite that is used without database/sql around
// each statement, which would cost more than most statements do: there is no
// pool, no context and no conversion to any type in the way. The connection is
// taken from a sql.DB, since that is how the driver opens one, and is nobody
// else's until it is closed.
type liteConn struct {
	holds   *sql.Conn
	prepare driver.ConnPrepareContext
	stmts   map[string]*liteStmt // kept
}

// liteStmt is a prepared statement. What a run needs is kept for the next one.
type liteStmt struct {
	driver.Stmt
	query  driver.StmtQueryContext
	exec   driver.StmtExecContext
	args   []driver.NamedValue
	values []driver.Value
}

func openLite(ctx context.Context, db *sql.DB) (*liteConn, error) {
	sc, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &liteConn{holds: sc, stmts: map[string]*liteStmt{}}
	err = sc.Raw(func(dc any) error {
		var ok bool
		if c.prepare, ok = dc.(driver.ConnPrepareContext); !ok {
			return fmt.Errorf("SQLite's connection is a %T", dc)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, sc.Close())
	}
	return c, nil
}

func (c *liteConn) close() {
	for _, st := range c.stmts {
		st.Close() //nolint:errcheck // it repeats the error of its last run
	}
	c.holds.Raw(func(any) error { return driver.ErrBadConn }) //nolint:errcheck // closed for good; it returns what we give it
	c.holds.Close()                                           //nolint:errcheck // likewise
}

// statement prepares a statement, or finds it prepared, and binds arguments.
func (c *liteConn) statement(ctx context.Context, query string, args []any) (*liteStmt, error) {
	st := c.stmts[query]
	if st == nil {
		prepared, err := c.prepare.PrepareContext(ctx, plainMarks(query))
		if err != nil {
			return nil, err
		}
		st = &liteStmt{Stmt: prepared}
		var asks, does bool
		st.query, asks = prepared.(driver.StmtQueryContext)
		st.exec, does = prepared.(driver.StmtExecContext)
		if !asks || !does {
			return nil, errors.Join(fmt.Errorf("SQLite's statement is a %T", prepared), prepared.Close())
		}
		c.stmts[query] = st
	}
	st.args = st.args[:0]
	for i, a := range args {
		v := driver.NamedValue{Ordinal: i + 1}
		switch a := a.(type) {
		case nil, string, int64, bool, float64, []byte:
			v.Value = a
		case int:
			v.Value = int64(a)
		default:
			var err error
			if v.Value, err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
				return nil, fmt.Errorf("argument %d: %w", i+1, err)
			}
		}
		st.args = append(st.args, v)
	}
	return st, nil
}

func (c *liteConn) exec(ctx context.Context, query string, args []any) (int64, error) {
	st, err := c.statement(ctx, query, args)
	if err != nil {
		return 0, err
	}
	res, err := st.exec.ExecContext(ctx, st.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (c *liteConn) query(ctx context.Context, query string, args []any) (rows, error) {
	st, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	r, err := st.query.QueryContext(ctx, st.args)
	if err != nil {
		return nil, err
	}
	if n := len(r.Columns()); len(st.values) != n {
		st.values = make([]driver.Value, n)
	}
	return &liteRows{from: r, values: st.values}, nil
}

// liteRows are the rows of an answer of SQLite.
type liteRows struct {
	from   driver.Rows
	values []driver.Value // of the present row
	err    error
}

func (r *liteRows) Next() bool {
	if r.err != nil {
		return false
	}
	r.err = r.from.Next(r.values)
	return r.err == nil
}

func (r *liteRows) Err() error {
	if errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.err
}

func (r *liteRows) Close() error { return r.from.Close() }

// Scan copies the present row to where dest points.
func (r *liteRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("%d columns are scanned into %d variables", len(r.values), len(dest))
	}
	for i, d := range dest {
		if err := assign(d, r.values[i]); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign stores one value of SQLite's: int64, float64, string, []byte or nil.
func assign(dest any, value driver.Value) error {
	switch v := value.(type) {
	case int64:
		switch d := dest.(type) {
		case *int64:
			*d = v
			return nil
		case *bool:
			*d = v != 0
			return nil
		case *sql.NullInt64:
			*d = sql.NullInt64{Int64: v, Valid: true}
			return nil
		}
	case string:
		switch d := dest.(type) {
		case *string:
			*d = v
			return nil
		case *sql.NullString:
			*d = sql.NullString{String: v, Valid: true}
			return nil
		}
	}
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(value)
	case *any:
		*d = value
		return nil
	}
	to := reflect.ValueOf(dest)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return fmt.Errorf("a value cannot be stored in a %T", dest)
	}
	to = to.Elem()
	switch v := value.(type) {
	case int64:
		switch {
		case to.CanInt() && !to.OverflowInt(v):
			to.SetInt(v)
			return nil
		case to.CanFloat():
			to.SetFloat(float64(v))
			return nil
		}
	case float64:
		if to.CanFloat() {
			to.SetFloat(v)
			return nil
		}
	case string:
		if to.Kind() == reflect.String {
			to.SetString(v)
			return nil
		}
	}
	return fmt.Errorf("a %T cannot be stored in a %T", value, dest)
}
