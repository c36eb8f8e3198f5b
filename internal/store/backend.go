package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// backend is a kind of database. Everything in which SQLite and PostgreSQL
// differ is behind it.
type backend struct {
	name         string // for messages: a path or an address, never a password
	postgres     bool
	writers      *pool
	readers      *pool
	lanes, batch int // leaders at once, closures in one commit

	beginWrite, beginRead string
	migrate               func(context.Context) (version int64, err error)
	schema                int64 // version of the schema that this program knows
	close                 func() error
	// connect opens a PostgreSQL connection beside the pools; nil for SQLite.
	connect func(context.Context) (*pgx.Conn, error)
	// classify makes an error fit to be shown, and says what it means for the
	// transaction. lost: the connection has ended.
	classify func(err error, lost bool) (fate fate, shown error)
}

// fate is what an SQL error means for the transaction in which it happened.
type fate int

const (
	fateAlive  fate = iota // undone to the savepoint, the transaction can go on
	fateRetry              // the transaction is lost to a rival; it can be run again
	fateBroken             // the transaction is lost with its connection or its disk
)

// pool is a fixed number of connections that are kept open, each with its
// prepared statements.
type pool struct {
	db      *sql.DB
	prepare bool       // keep prepared statements (pgx does so by itself)
	slots   chan *conn // nil: to be opened by whoever takes it
}

func newPool(db *sql.DB, prepare bool, size int) *pool {
	p := &pool{db: db, prepare: prepare, slots: make(chan *conn, size)}
	for range size {
		p.slots <- nil
	}
	return p
}

// conn is one connection.
type conn struct {
	pool   *pool
	sc     *sql.Conn
	stmts  map[string]*sql.Stmt // nil: not kept
	pg     *pgx.Conn            // of PostgreSQL, which belongs to sc
	ahead  ahead                // statements that PostgreSQL is yet to be sent
	broken bool                 // not to be used again
}

// row is a row of an answer.
type row interface{ Scan(dest ...any) error }

// rows are an answer, as in database/sql.
type rows interface {
	row
	Next() bool
	Err() error
	Close() error
}

// get waits for a connection; it must be given back with put.
func (p *pool) get(ctx context.Context) (*conn, error) {
	var c *conn
	select {
	case c = <-p.slots:
	default:
		select {
		case c = <-p.slots:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a database connection: %w", context.Cause(ctx))
		}
	}
	if c != nil {
		return c, nil
	}
	c, err := p.open(ctx)
	if err != nil {
		p.slots <- nil
		return nil, err
	}
	return c, nil
}

func (p *pool) open(ctx context.Context) (*conn, error) {
	sc, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{pool: p, sc: sc}
	if p.prepare {
		c.stmts = map[string]*sql.Stmt{}
		return c, nil
	}
	err = sc.Raw(func(dc any) error {
		own, ok := dc.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection of type %T", dc)
		}
		c.pg = own.Conn() // as long as sc is open, and nobody else has it
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, sc.Close())
	}
	return c, nil
}

// renew opens the connection anew in place of one that has broken.
func (p *pool) renew(ctx context.Context, c *conn) error {
	c.discard()
	fresh, err := p.open(ctx)
	if err != nil {
		return err
	}
	*c = *fresh
	return nil
}

func (p *pool) put(c *conn) {
	if c.broken {
		c.discard()
		c = nil
	}
	p.slots <- c
}

// drain takes and closes every connection.
func (p *pool) drain() {
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			c.sc.Close() //nolint:errcheck // the statements end with the database
		}
	}
}

// discard closes the connection for good instead of keeping it for later.
func (c *conn) discard() {
	c.broken = true
	c.sc.Raw(func(any) error { return driver.ErrBadConn }) //nolint:errcheck // it returns what we give it
	c.sc.Close()                                           //nolint:errcheck // it was broken before
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if c.pg != nil {
		return c.pgExec(ctx, query, args)
	}
	st, err := c.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (c *conn) query(ctx context.Context, query string, args ...any) (rows, error) {
	if c.pg != nil {
		return c.pgQuery(ctx, query, args)
	}
	st, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// later runs a statement at once on SQLite, and together with the next one on
// PostgreSQL.
func (c *conn) later(ctx context.Context, query string, args ...any) error {
	if c.pg != nil {
		c.ahead.list = append(c.ahead.list, statement{query: query, args: args})
		return nil
	}
	_, err := c.exec(ctx, query, args...)
	return err
}

func (c *conn) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := c.stmts[query]; st != nil {
		return st, nil
	}
	st, err := c.sc.PrepareContext(ctx, plainMarks(query))
	if err != nil {
		return nil, err
	}
	c.stmts[query] = st
	return st, nil
}

// check notes whether the connection has ended, after an error.
func (c *conn) check(err error, postgres bool) (lost bool) {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || postgres && c.pg.IsClosed() {
		c.broken = true
	}
	return c.broken
}

// plainMarks writes ? for $1, $2 … when each occurs once and in order. SQLite
// looks up $1 by its name, at a cost that grows with the square of their
// number; a ? has none.
func plainMarks(query string) string {
	var b strings.Builder
	for n, rest := 1, query; ; n++ {
		before, after, found := strings.Cut(rest, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		number := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		if number != strconv.Itoa(n) {
			return query
		}
		b.WriteByte('?')
		rest = after[len(number):]
	}
}
