package store

import (
	"context"
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Read runs fn once on a consistent snapshot of the database: what others
// commit meanwhile is not seen. fn cannot change anything.
func (s *Store) Read(ctx context.Context, fn func(*Tx) error) error {
	after, err := s.read(ctx, fn)
	if err != nil {
		return err
	}
	for _, f := range after {
		if err := s.Write(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) read(ctx context.Context, fn func(*Tx) error) (after []func(*Tx) error, err error) {
	if s.closed.Load() {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "the database is closed: Headroom is stopping")
	}
	if err := s.fault(BeforeRead); err != nil {
		return nil, err
	}
	// SQLite's statements are short and are not worth a watcher each; the
	// context is looked at between them.
	sqlctx := context.WithoutCancel(ctx)
	if s.db.postgres {
		var cancel context.CancelFunc
		sqlctx, cancel = context.WithTimeout(ctx, postgresReadTimeout)
		defer cancel()
	}
	c, err := s.db.readers.get(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("before the database's turn: %w", context.Cause(ctx))
		}
		_, shown := s.db.classify(err, true)
		return nil, shown
	}
	defer s.db.readers.put(c)

	tx := &Tx{ctx: ctx, sqlctx: sqlctx, s: s, c: c}
	err = c.begin(sqlctx, s.db.beginRead)
	if err != nil {
		return nil, tx.fail(err)
	}
	defer func() {
		tx.c = nil
		if !c.forget() {
			return
		}
		if _, err := c.exec(sqlctx, "ROLLBACK"); err != nil {
			c.broken = c.broken || s.db.postgres
		}
	}()
	if err := fn(tx); err != nil {
		return nil, err
	}
	return tx.after, tx.failed
}
