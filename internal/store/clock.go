package store

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

const (
	// clockTolerance is how far a host may be from the database without being
	// corrected: the way there and back takes time, too.
	clockTolerance = 500 * time.Millisecond
	// clockPatience is how long an answer may take that says what time it is.
	clockPatience = time.Second
)

// Clock is the clock of all nodes of one database. Moments that one node writes
// are compared by another: silence of agents, ends of sessions, deadlines. On
// PostgreSQL the time of the database therefore holds, whatever the clocks of
// the hosts say; on SQLite, that of the only host. Timers are those of the host.
type Clock struct {
	clock.WithTicker
	offset atomic.Int64 // nanoseconds
}

// NewClock makes the clock of a node. It follows the database once a store has
// been opened with it.
func NewClock(host clock.WithTicker) *Clock { return &Clock{WithTicker: host} }

// Now is the present moment by the clock of the database.
func (c *Clock) Now() time.Time { return c.WithTicker.Now().Add(c.Offset()) }

// Since is the time that has gone by since a moment.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Offset is how far the database is ahead of this host; 0 while the two agree.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// Host is the clock of the host, which never jumps by a correction.
func (c *Clock) Host() clock.WithTicker { return c.WithTicker }

// observe takes in what time it was at the database between two moments of this
// host.
func (c *Clock) observe(began, ended, there time.Time) {
	took := ended.Sub(began)
	if took < 0 || took > clockPatience {
		return
	}
	offset := there.Sub(began.Add(took / 2).Round(0))
	if change := (offset - c.Offset()).Abs(); change <= clockTolerance {
		return
	}
	if offset.Abs() <= clockTolerance {
		offset = 0
	}
	c.offset.Store(int64(offset))
}

// HostClock is the clock of the host behind a clock of a database.
func HostClock(c clock.WithTicker) clock.WithTicker {
	if shared, ok := c.(*Clock); ok {
		return shared.Host()
	}
	return c
}

// setClock asks a shared database for the time.
func (s *Store) setClock(ctx context.Context) error {
	c, ok := s.clock.(*Clock)
	if !ok || !s.Shared() {
		return nil
	}
	return s.Read(ctx, func(tx *Tx) error {
		began := c.Host().Now()
		var now int64
		if _, err := tx.get("SELECT "+dbNow, nil, &now); err != nil {
			return err
		}
		c.observe(began, c.Host().Now(), moment(now))
		return nil
	})
}
