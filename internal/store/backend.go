package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// backend is a kind of database. Everything in which SQLite and PostgreSQL
// differ is behind it.
type backend struct {
	name         string // for messages: a path or an address, never a password
	postgres     bool
	writers      *pool
	readers      *pool
	lanes, batch int // leaders at once, closures in one commit
	full         int // closures of a commit up to which it takes in those that come while it runs; 0: none

	beginWrite, beginRead string
	migrate               func(ctx context.Context, program string) (version int64, err error)
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
	open    func() (*liteConn, error)                // SQLite's; nil for PostgreSQL
	connect func(context.Context) (*pgx.Conn, error) // PostgreSQL's; nil for SQLite
	slots   chan *conn                               // nil: to be opened by whoever takes it
}

func newPool(size int) *pool {
	p := &pool{slots: make(chan *conn, size)}
	for range size {
		p.slots <- nil
	}
	return p
}

// conn is one connection.
type conn struct {
	pool   *pool
	lite   *liteConn // of SQLite
	pg     *pgx.Conn // of PostgreSQL
	ahead  ahead     // statements that PostgreSQL is yet to be sent
	broken bool      // not to be used again
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
	c, err := p.new(ctx)
	if err != nil {
		p.slots <- nil
		return nil, err
	}
	return c, nil
}

func (p *pool) new(ctx context.Context) (*conn, error) {
	c := &conn{pool: p}
	var err error
	if p.connect != nil {
		c.pg, err = p.connect(ctx)
	} else {
		c.lite, err = p.open()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// renew opens the connection anew in place of one that has broken.
func (p *pool) renew(ctx context.Context, c *conn) error {
	c.discard()
	fresh, err := p.new(ctx)
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
			c.discard()
		}
	}
}

// discardWait is how long PostgreSQL is given to take note of an end.
const discardWait = time.Second

// discard closes the connection for good.
func (c *conn) discard() {
	c.broken = true
	if c.lite != nil {
		c.lite.close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), discardWait)
	defer cancel()
	c.pg.Close(ctx) //nolint:errcheck // it was broken before, or nobody cares
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if c.pg != nil {
		return c.pgExec(ctx, query, args)
	}
	return c.lite.exec(query, args)
}

func (c *conn) query(ctx context.Context, query string, args ...any) (rows, error) {
	if c.pg != nil {
		return c.pgQuery(ctx, query, args)
	}
	return c.lite.query(query, args)
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

// check notes whether the connection has ended, after an error.
func (c *conn) check(postgres bool) (lost bool) {
	if postgres && c.pg.IsClosed() {
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
