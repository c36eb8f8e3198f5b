package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// How PostgreSQL is asked less often
//
// A round trip costs more than most statements. Those whose answer nobody waits
// for (the begin of a transaction, savepoints and their release, locks, inserts
// that cannot be refused) are kept and sent in front of the next one, in one
// message and in their order. Should one of them fail, the ones behind it are
// not run, as if they had been sent one after the other.

// statement is one that is yet to be sent.
type statement struct {
	query string
	args  []any
	none  error // what it means that no row is there; nil: nothing
}

// ahead are the statements that go in front of the next.
type ahead struct {
	list    []statement
	begin   bool // the first begins the transaction
	closure bool // the present closure's savepoint is among them, if it has one
	others  int  // how many of them belong to closures before the present one
}

// othersError is the error of a statement that belongs to a closure before the
// one that met it: the transaction is lost, and none of its closures is to
// blame before they have run one by one.
type othersError struct{ err error }

func (e *othersError) Error() string { return e.err.Error() }
func (e *othersError) Unwrap() error { return e.err }

// begin has a transaction begin with the next statement. On PostgreSQL a
// connection that turns out to have broken while it was idle is opened anew
// then.
func (c *conn) begin(ctx context.Context, text string) error {
	c.ahead = ahead{}
	if c.pg == nil {
		_, err := c.exec(ctx, text)
		return err
	}
	c.ahead.begin = true
	return c.later(ctx, text)
}

// closure says that statements from now on belong to another closure.
func (c *conn) closure() { c.ahead.closure, c.ahead.others = true, len(c.ahead.list) }

// takeBack drops what the present closure has not sent. It says whether the
// server knows of the closure's savepoint.
func (c *conn) takeBack() (sent bool) {
	if c.pg == nil {
		return true
	}
	a := &c.ahead
	sent = !a.closure
	a.list = a.list[:a.others]
	return sent
}

// forget drops what has not been sent, and says whether the server knows of a
// transaction.
func (c *conn) forget() (begun bool) {
	begun = !c.ahead.begin
	c.ahead = ahead{}
	return begun
}

// flush sends what is kept.
func (c *conn) flush(ctx context.Context) error {
	if len(c.ahead.list) == 0 {
		return nil
	}
	results, err := c.send(ctx, nil)
	if err != nil {
		return err
	}
	return results.Close()
}

// send sends what is kept and last, if there is one, whose answer is then the
// next of the results.
func (c *conn) send(ctx context.Context, last *statement) (pgx.BatchResults, error) {
	a := c.ahead
	c.ahead = ahead{}
	results, err := c.sendBatch(ctx, a, last)
	if err != nil && a.begin && c.pg.IsClosed() && ctx.Err() == nil {
		// Nothing can have come of it: it had not even begun.
		if err = c.pool.renew(ctx, c); err == nil {
			results, err = c.sendBatch(ctx, a, last)
		}
	}
	return results, err
}

func (c *conn) sendBatch(ctx context.Context, a ahead, last *statement) (pgx.BatchResults, error) {
	var b pgx.Batch
	for _, st := range a.list {
		b.Queue(st.query, st.args...)
	}
	if last != nil {
		b.Queue(last.query, last.args...)
	}
	results := c.pg.SendBatch(ctx, &b)
	for i := range a.list {
		tag, err := results.Exec()
		if err == nil && tag.RowsAffected() == 0 {
			err = a.list[i].none
		}
		if err != nil {
			results.Close() //nolint:errcheck // it repeats the error, or what follows is undone
			if i < a.others {
				err = &othersError{err}
			}
			return nil, err
		}
	}
	return results, nil
}

func (c *conn) pgExec(ctx context.Context, query string, args []any) (int64, error) {
	if len(c.ahead.list) == 0 {
		tag, err := c.pg.Exec(ctx, query, args...)
		return tag.RowsAffected(), err
	}
	results, err := c.send(ctx, &statement{query: query, args: args})
	if err != nil {
		return 0, err
	}
	tag, err := results.Exec()
	if e := results.Close(); err == nil {
		err = e
	}
	return tag.RowsAffected(), err
}

func (c *conn) pgQuery(ctx context.Context, query string, args []any) (rows, error) {
	if len(c.ahead.list) == 0 {
		r, err := c.pg.Query(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		return pgRows{Rows: r}, nil
	}
	results, err := c.send(ctx, &statement{query: query, args: args})
	if err != nil {
		return nil, err
	}
	r, err := results.Query()
	if err != nil {
		results.Close() //nolint:errcheck // it repeats the error
		return nil, err
	}
	return pgRows{r, results}, nil
}

// pgRows are the rows of an answer of PostgreSQL.
type pgRows struct {
	pgx.Rows
	results pgx.BatchResults // nil: the statement was sent alone
}

func (r pgRows) Close() error {
	r.Rows.Close()
	err := r.Err()
	if r.results != nil {
		if e := r.results.Close(); err == nil {
			err = e
		}
	}
	return err
}
