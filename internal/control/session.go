package control

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// expireBatch bounds how many sessions one pass ends.
const expireBatch = 200

// ExpireSessions ends sessions whose life time is over and gives up on those
// that have waited for too long. It returns when the next one is due; zero:
// none is.
func (c *Controller) ExpireSessions(ctx context.Context) (time.Time, error) {
	var next time.Time
	// Every session that comes asks, and hardly ever is one due: a look takes no
	// turn from those who write.
	due := false
	err := c.Store.Read(ctx, func(tx *store.Tx) error {
		list, err := tx.SessionsDue(c.now(), 1)
		if due = len(list) > 0; due || err != nil {
			return err
		}
		next, err = tx.NextSessionDue(c.now())
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for sessions that are due: %w", err)
	}
	if !due {
		return next, nil
	}
	err = c.write(ctx, func(tx *store.Tx) error {
		next = time.Time{}
		since := c.hearingSince()
		ended := 0
		due, err := tx.SessionsDue(c.now(), expireBatch)
		if err != nil {
			return err
		}
		for _, s := range due {
			// Ending one session can have served or ended another one of the list.
			s, err := tx.Session(s.ID)
			if err != nil {
				return err
			}
			over := expiry(s, since)
			if over.IsZero() {
				continue
			}
			if c.now().Before(over) {
				if next.IsZero() || over.Before(next) {
					next = over
				}
				continue
			}
			ended++
			why := "its life time is over and it was not renewed"
			if s.State == fleet.SessionQueued {
				why = "no capacity became free within its waiting time"
			}
			if _, err := claim.End(tx, s, why, Actor, c.now()); err != nil {
				return err
			}
		}
		if len(due) == expireBatch && ended > 0 {
			next = c.now()
			return nil
		}
		if len(due) == expireBatch {
			return nil // the rest is looked at when these are over
		}
		// Those that were kept are due, and not yet over: the next one after
		// them may come sooner.
		after, err := tx.NextSessionDue(c.now())
		if err == nil && !after.IsZero() && (next.IsZero() || after.Before(next)) {
			next = after
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("ending sessions: %w", err)
	}
	return next, nil
}

// retainBatch bounds how many rows one statement of Retain removes, so that it
// never holds up a claim for long.
const retainBatch = 1000

// Retain removes what is over and older than the retention says.
func (c *Controller) Retain(ctx context.Context) error {
	now := c.now()
	steps := []func(*store.Tx) (int64, error){
		func(tx *store.Tx) (int64, error) { return tx.DeleteEvents(now.Add(-c.Retention.Events), retainBatch) },
		func(tx *store.Tx) (int64, error) {
			return tx.DeleteEndedSessions(now.Add(-c.Retention.Sessions), retainBatch)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.DeleteGoneServers(now.Add(-c.Retention.Servers), retainBatch)
		},
		func(tx *store.Tx) (int64, error) { return tx.PruneProviderRevisions() },
	}
	for _, step := range steps {
		for {
			var n int64
			err := c.write(ctx, func(tx *store.Tx) (err error) {
				n, err = step(tx)
				return err
			})
			if err != nil {
				return fmt.Errorf("removing what is past its retention: %w", err)
			}
			if n < retainBatch {
				break
			}
		}
	}
	return nil
}
