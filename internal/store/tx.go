package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Tx is a transaction. It is valid until the closure that got it returns, and
// only in the goroutine that runs the closure.
type Tx struct {
	ctx    context.Context // the caller's
	sqlctx context.Context // under which statements run
	s      *Store
	c      *conn
	write  bool

	events  []event
	changed changeSet
	made    string // the last id that NewID made
	failed  error  // the first SQL error: nothing runs after it
	fate    fate
	after   []func(*Tx) error // writes that a Read leaves to be done
}

// NewID makes an id that nobody else has.
func (tx *Tx) NewID() string {
	tx.made = tx.s.newID()
	return tx.made
}

// Context is the context of the call that began the transaction.
func (tx *Tx) Context() context.Context { return tx.ctx }

// fail notes an SQL error; from now on every call returns it.
func (tx *Tx) fail(err error) error {
	lost := tx.c.check(tx.s.db.postgres)
	fate, shown := tx.s.db.classify(err, lost)
	if lost {
		fate = fateBroken
	}
	if _, other := errors.AsType[*othersError](err); other && fate == fateAlive {
		fate = fateRetry // each by itself, so that the right one fails
	}
	if !tx.write && tx.ctx.Err() != nil {
		shown = context.Cause(tx.ctx)
	}
	tx.failed, tx.fate = shown, fate
	return shown
}

// ready says whether another statement may run.
func (tx *Tx) ready(write bool) error {
	switch {
	case tx.failed != nil:
		return tx.failed
	case tx.c == nil:
		return errors.New("a transaction was used after its end")
	case write && !tx.write:
		tx.failed = errors.New("a read transaction cannot change anything")
		return tx.failed
	case !tx.write && tx.ctx.Err() != nil:
		return context.Cause(tx.ctx)
	}
	return nil
}

// exec runs a change and returns the number of rows.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if err := tx.ready(true); err != nil {
		return 0, err
	}
	clean(args)
	n, err := tx.c.exec(tx.sqlctx, query, args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	return n, nil
}

// do runs a statement whose answer does not matter unless it fails. On
// PostgreSQL it is sent together with the next one, and is told to have failed
// then.
func (tx *Tx) do(query string, args ...any) error { return tx.doOr(nil, query, args...) }

// doOr is do for a statement that must find or change a row; none is the error
// of the transaction when it does not.
func (tx *Tx) doOr(none error, query string, args ...any) error {
	if err := tx.ready(true); err != nil {
		return err
	}
	clean(args)
	if tx.c.pg != nil {
		tx.c.ahead.list = append(tx.c.ahead.list, statement{query, args, none})
		return nil
	}
	n, err := tx.c.exec(tx.sqlctx, query, args...)
	if err == nil && n == 0 {
		err = none
	}
	if err != nil {
		return tx.fail(err)
	}
	return nil
}

// change runs a change that returns one row, or none: false.
func (tx *Tx) change(query string, args []any, dest ...any) (bool, error) {
	if err := tx.ready(true); err != nil {
		return false, err
	}
	return tx.get(query, args, dest...)
}

// get reads one row; false: there is none.
func (tx *Tx) get(query string, args []any, dest ...any) (found bool, err error) {
	err = tx.each(query, args, func(r row) error {
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

// each reads rows. scan must not run statements.
func (tx *Tx) each(query string, args []any, scan func(row) error) error {
	if err := tx.ready(false); err != nil {
		return err
	}
	clean(args)
	rows, err := tx.c.query(tx.sqlctx, query, args...)
	if err != nil {
		return tx.fail(err)
	}
	for n := 1; rows.Next(); n++ {
		if err = scan(rows); err != nil {
			break
		}
		if n%1024 == 0 && !tx.write && tx.ctx.Err() != nil {
			err = context.Cause(tx.ctx)
			break
		}
	}
	if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return tx.fail(err)
	}
	return nil
}

// clean makes strings fit for both databases: PostgreSQL takes no NUL and only
// valid UTF-8, and neither may cost a machine's log line or error text.
func clean(args []any) {
	for i, a := range args {
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
}

// exact is the moment as the database keeps it: microseconds, UTC.
func exact(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

func exactp(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	e := exact(*t)
	return &e
}

// micros is a moment as an argument: nil for none.
func micros(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}

// microsOrNull is like micros for times whose zero value means none.
func microsOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time { return time.UnixMicro(us).UTC() }

func momentp(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	t := moment(us.Int64)
	return &t
}

func momentOrZero(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return moment(us.Int64)
}

// condition collects the terms of a WHERE clause with their arguments. The
// texts are few, so that their prepared statements can be kept.
type condition struct {
	terms []string
	args  []any
}

// add appends a term; each ? in it becomes the number of one of args.
func (c *condition) add(term string, args ...any) {
	for _, a := range args {
		c.args = append(c.args, a)
		term = strings.Replace(term, "?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	c.terms = append(c.terms, term)
}

// equal appends "column = value" unless value is empty.
func (c *condition) equal(column, value string) {
	if value != "" {
		c.add(column+" = ?", value)
	}
}

// oneOf appends "column IN (values)".
func oneOf[S ~string](c *condition, column string, values []S) {
	marks := make([]string, len(values))
	args := make([]any, len(values))
	for i, v := range values {
		marks[i], args[i] = "?", string(v)
	}
	c.add(column+" IN ("+strings.Join(marks, ", ")+")", args...)
}

func (c *condition) where() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

// limit appends a LIMIT clause to query, if there is one to set.
func (c *condition) limit(query string, n int) string {
	if n <= 0 {
		return query
	}
	c.args = append(c.args, n)
	return query + fmt.Sprintf(" LIMIT $%d", len(c.args))
}

// jsonText encodes a value for a column.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func cursorGone(what, id string) error {
	return fleet.Errorf(fleet.CodeInvalid, "%s %q, after which to continue, does not exist any more: list again from the beginning", what, id)
}
