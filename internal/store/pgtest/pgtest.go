// Package pgtest gives tests a throw-away PostgreSQL from the binaries that are
// installed: one server for each test binary, reached through a Unix socket in a
// temporary directory, and a database of its own for each test. The server ends
// with the test binary, however that ends.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Required is the environment variable that makes a missing PostgreSQL a
// failure rather than a reason to skip; continuous integration sets it to 1.
const Required = "HEADROOM_REQUIRE_POSTGRES"

// Option changes the server that a test gets.
type Option func(*options)

type options struct{ durable bool }

// Durable asks for a server that syncs its commits to the disk, as in real
// life. Without it, commits survive the death of the server but not that of the
// machine.
func Durable() Option { return func(o *options) { o.durable = true } }

// shared are the servers of this test binary, by durability. They are started
// once and end with the process: tests come and go in any order.
var shared [2]struct {
	once   sync.Once
	server *Server
	err    error
}

// New gives the URL of a new empty database, which is dropped when the test
// ends. Without PostgreSQL the test is skipped, or fails if
// HEADROOM_REQUIRE_POSTGRES is 1.
func New(t testing.TB, opts ...Option) (url string) {
	t.Helper()
	var o options
	for _, f := range opts {
		f(&o)
	}
	at := 0
	if o.durable {
		at = 1
	}
	s := &shared[at]
	s.once.Do(func() { s.server, s.err = start(o) })
	if s.err != nil {
		missing(t, s.err)
	}
	return s.server.Database(t)
}

// Start gives a server of its own to a test that stops or kills it. It ends
// with the test.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	var o options
	for _, f := range opts {
		f(&o)
	}
	s, err := start(o)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(s.remove)
	return s
}

// Database makes a new empty database, dropped when the test ends, and gives
// its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.do(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("making a database: %v", err)
	}
	t.Cleanup(func() {
		// The server may have been killed by the test: then nothing is left to drop.
		_ = s.do(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)")
	})
	return s.url(name)
}

func (s *Server) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database}
	u.RawQuery = url.Values{"host": {s.dir}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

func (s *Server) do(ctx context.Context, query string) error {
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx) //nolint:errcheck // the query has been answered
	_, err = c.Exec(ctx, query)
	return err
}
