package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	postgresLanes   = 3 // and one for sessions
	postgresReaders = 8
	postgresBatch   = 32

	// A dead server must not hold a transaction for ever.
	postgresWriteTimeout = 30 * time.Second
	postgresReadTimeout  = 60 * time.Second
)

// Two batches can wait for each other's rows. Rather than for the server's
// deadlock check (a second), a batch waits this long, gives up and has its
// closures run one by one while the other lanes rest.
const batchLockTimeout = "250ms"

// inOrderOfIndexes are settings of connections that write. There is an index in
// the order that a claim wants, and it reads one row of it. As long as
// PostgreSQL has no statistics, as in a database that has just grown, it would
// rather sort the servers of the pool each time. Where a sort cannot be avoided
// it is still made; it must not be compiled because it seems dear.
var inOrderOfIndexes = map[string]string{"enable_sort": "off", "jit": "off"} //nolint:gochecknoglobals // a constant in all but name

// aloneLockTimeout is the statement that sets how long a closure that runs
// alone waits for a row of another node. It grows with every try, and by
// chance, so that of two nodes that wait for each other one gives way soon.
func aloneLockTimeout(try int) string {
	most := min(100<<try, 10_000)
	return fmt.Sprintf("SET LOCAL lock_timeout = %d", most/2+rand.IntN(most/2)) //nolint:gosec // no secret
}

func openPostgres(ctx context.Context, rawURL string) (backend, error) {
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return backend{}, &fleet.Error{Code: fleet.CodeInvalid, Cause: err, Message: "the database URL is not valid: write postgres://user:password@host:5432/database"}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	setDefault := func(name, value string) {
		if _, ok := cfg.RuntimeParams[name]; !ok {
			cfg.RuntimeParams[name] = value
		}
	}
	setDefault("application_name", "headroom")
	setDefault("lock_timeout", batchLockTimeout)
	// A node that is stopped in the middle of a write keeps its rows locked, the
	// counter of events among them: no longer than this.
	setDefault("idle_in_transaction_session_timeout", "5s")

	name := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))) + "/" + cfg.Database
	if strings.HasPrefix(cfg.Host, "/") {
		name = cfg.Host + " (database " + cfg.Database + ")"
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxIdleConns(0) // it is for migrations alone
	b := backend{
		name:       name,
		postgres:   true,
		writers:    newPool(postgresLanes + 1),
		readers:    newPool(postgresReaders),
		lanes:      postgresLanes,
		batch:      postgresBatch,
		beginWrite: "BEGIN ISOLATION LEVEL READ COMMITTED",
		beginRead:  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		classify:   func(err error, lost bool) (fate, error) { return classifyPostgres(name, err, lost) },
		migrate: func(ctx context.Context, program string) (int64, error) {
			return migratePostgres(ctx, name, program, db)
		},
		connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, cfg.Copy()) },
	}
	b.readers.connect = b.connect
	b.writers.connect = func(ctx context.Context) (*pgx.Conn, error) {
		cfg := cfg.Copy()
		for name, value := range inOrderOfIndexes {
			if _, ok := cfg.RuntimeParams[name]; !ok {
				cfg.RuntimeParams[name] = value
			}
		}
		return pgx.ConnectConfig(ctx, cfg)
	}
	b.close = func() error {
		b.readers.drain()
		b.writers.drain()
		return db.Close()
	}
	pingCtx, cancel := context.WithTimeout(ctx, postgresWriteTimeout)
	defer cancel()
	if err := db.PingContext(pingCtx); err != nil {
		_, shown := b.classify(err, true)
		if _, answered := errors.AsType[*pgconn.PgError](err); !answered { // there is no later call that could go better
			shown = unreached(name, err)
		}
		return backend{}, errors.Join(shown, db.Close())
	}
	return b, nil
}

// unreached is the error of a start without a server. What the network says is
// told; other parts of the cause may hold the URL.
func unreached(name string, err error) error {
	why := ""
	if op, ok := errors.AsType[*net.OpError](err); ok {
		why = ": " + op.Error()
	}
	return &fleet.Error{Code: fleet.CodeUnavailable, Cause: err, Message: "the PostgreSQL server at " + name + " cannot be reached" + why +
		"; check that it runs and that --database-url names its host and port, then start again"}
}

func classifyPostgres(name string, err error, lost bool) (fate, error) {
	unavailable := func(text string, f fate) (fate, error) {
		return f, &fleet.Error{Code: fleet.CodeUnavailable, Message: text, Cause: err}
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if !lost {
			return fateAlive, err
		}
		return unavailable("the PostgreSQL server at "+name+" cannot be reached; it is tried again with every call", fateBroken)
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock timeout
		return unavailable("the database is too busy with rival changes: try again", fateRetry)
	case "53100":
		return unavailable("the database cannot be written: no space left at the PostgreSQL server at "+name, fateAlive)
	case "25006":
		return unavailable("the database cannot be written: the PostgreSQL server at "+name+" is read-only; it may be a standby", fateBroken)
	case "28P01", "28000", "3D000":
		return unavailable("the PostgreSQL server at "+name+" refuses the user, the password or the database: "+e.Message, fateBroken)
	}
	switch e.Code[:2] {
	case "08", "57", "58", "53": // connection, operator intervention, system, resources
		return unavailable("the PostgreSQL server at "+name+" cannot work now: "+e.Message, fateBroken)
	}
	return fateAlive, err
}
