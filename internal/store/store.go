package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/oklog/ulid/v2"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Options say which database to open and what the store takes from outside.
type Options struct {
	// URL is "sqlite:///absolute/path/headroom.db", "sqlite://:memory:" or
	// "postgres://user:password@host/database".
	URL string
	// Clock dates events and new rows that bring no time; nil: the real one. A
	// [Clock] is set by a database that several nodes share.
	Clock clock.PassiveClock
	// NewID makes ids; nil: lower-case ULIDs, each greater than the last.
	NewID func() string
	// Program is the version of this program, which a database remembers for
	// programs that are too old for it; empty: it is not told.
	Program string
	// Log takes what no caller can be told; nil: nothing is logged.
	Log *slog.Logger
	// Faults lets a simulation fail transactions; nil, as everywhere else: none
	// fails.
	Faults func(stage Stage) error
}

// Stage is a moment of a transaction at which it can fail.
type Stage int

// The stages of a transaction.
const (
	BeforeRead   Stage = iota // a read has not begun
	BeforeWrite               // a write waits for its turn
	BeforeCommit              // nothing takes effect
	AfterCommit               // it has taken effect, its answer is lost
)

// Store is an open database. It may be used by many goroutines at once.
type Store struct {
	db           backend
	clock        clock.PassiveClock
	newID        func() string
	log          *slog.Logger
	faults       func(Stage) error
	installation string

	queue     writeQueue
	sessions  *writeQueue // of what claims capacity or gives it back; &queue on SQLite
	order     commitOrder
	changes   changeLog
	specs     decodedSpecs
	entrances freeEntrances
	alone     sync.RWMutex // held for writing while a closure runs alone
	closed    atomic.Bool
}

// Open opens the database, brings its schema up to date and returns a store.
// A database that a newer Headroom has written is refused. Errors are of code
// unavailable or invalid and can be shown to people.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{clock: o.Clock, newID: o.NewID, log: o.Log, faults: o.Faults}
	s.sessions = &s.queue
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	if s.newID == nil {
		s.newID = newULIDs(s.clock)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.order.last = closedChannel()
	s.order.follower = newFollower()

	var err error
	switch scheme, _, _ := strings.Cut(o.URL, ":"); scheme {
	case "sqlite":
		s.db, err = openSQLite(o.URL)
	case "postgres", "postgresql":
		s.db, err = openPostgres(ctx, o.URL)
	default:
		err = fleet.Errorf(fleet.CodeInvalid, "the database URL must begin with sqlite:// or postgres://: write for example sqlite:///var/lib/headroom/headroom.db")
	}
	if err != nil {
		return nil, err
	}
	s.entrances.on = !s.db.postgres
	s.queue.lanes, s.queue.most = s.db.lanes, s.db.batch
	if s.db.postgres {
		s.sessions = &writeQueue{lanes: 1, most: s.db.batch}
	}
	if err := s.prepare(ctx, o.Program); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, program string) error {
	var err error
	if s.db.schema, err = s.db.migrate(ctx, program); err != nil {
		return err
	}
	if err := s.setClock(ctx); err != nil {
		return err
	}
	err = s.Read(ctx, func(tx *Tx) (err error) {
		if s.order.follower.told, err = tx.LastEventSeq(); err != nil {
			return err
		}
		now, err := tx.Changes(-1)
		if err != nil {
			return err
		}
		s.changes.last = now.Upto
		return s.readInstallation(tx)
	})
	if err != nil || s.installation != "" {
		return err
	}
	return s.Write(ctx, func(tx *Tx) error {
		if _, err := tx.exec("INSERT INTO installation (one, id) VALUES (1, $1) ON CONFLICT DO NOTHING", s.newID()); err != nil {
			return fmt.Errorf("naming the installation: %w", err)
		}
		return s.readInstallation(tx)
	})
}

func (s *Store) readInstallation(tx *Tx) error {
	_, err := tx.get("SELECT id FROM installation", nil, &s.installation)
	if err != nil {
		return fmt.Errorf("reading the id of the installation: %w", err)
	}
	return nil
}

// Close waits for writes under way, refuses later ones and closes the
// database.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	<-s.queue.close()
	if s.sessions != &s.queue {
		<-s.sessions.close()
	}
	if err := s.db.close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// Installation is a random id that was made with the database and is kept for
// ever. It marks everything that this installation makes in clouds.
func (s *Store) Installation() string { return s.installation }

// NewID makes an id: unique, and greater than those made before.
func (s *Store) NewID() string { return s.newID() }

// Ping commits a write, so that nil means that the database works.
func (s *Store) Ping(ctx context.Context) error {
	return s.Write(ctx, func(tx *Tx) error {
		_, err := tx.exec("UPDATE counters SET value = value + 1 WHERE name = 'ping'")
		return err
	})
}

func newULIDs(c clock.PassiveClock) func() string {
	var mu sync.Mutex
	entropy := ulid.Monotonic(rand.Reader, 0)
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		id, err := ulid.New(ulid.Timestamp(c.Now()), entropy)
		if err != nil { // 2^80 ids in one millisecond, or a clock outside of the years 1970 to 10889
			id = ulid.MustNew(0, rand.Reader)
		}
		return strings.ToLower(id.String())
	}
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
