package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	staleRetries = 3  // of a closure that returned ErrStale, in place
	aloneRetries = 10 // of a closure whose transaction was lost, by itself
)

// lostError says that a whole transaction was lost before its commit, without
// a trace: its closures can be run again.
type lostError struct {
	fate fate
	err  error // fit to be shown
}

func (e *lostError) Error() string { return e.err.Error() }

// runBatch runs the closures in one transaction. When that transaction is lost
// they run one by one, so that the one that cannot be committed harms no other.
func (s *Store) runBatch(b *batch) {
	ctx := context.WithoutCancel(b.jobs[0].ctx)
	if s.db.postgres {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, postgresWriteTimeout)
		defer cancel()
	}
	c, err := s.db.writers.get(ctx)
	if err != nil {
		_, shown := s.db.classify(err, true)
		for _, j := range b.jobs {
			j.err = shown
		}
		return
	}
	defer s.db.writers.put(c)

	if s.attemptTogether(ctx, c, b) {
		return
	}
	for _, j := range b.jobs {
		s.runAlone(c, j)
	}
}

func (s *Store) attemptTogether(ctx context.Context, c *conn, b *batch) bool {
	s.alone.RLock()
	defer s.alone.RUnlock()
	return s.attempt(ctx, c, b, 0) == nil
}

// runAlone runs one closure, a few times if need be, while no other lane of
// this store is in a transaction: the only rivals are other nodes.
func (s *Store) runAlone(c *conn, j *job) {
	s.alone.Lock()
	defer s.alone.Unlock()
	ctx := context.WithoutCancel(j.ctx)
	if s.db.postgres {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, postgresWriteTimeout)
		defer cancel()
	}
	for try := 1; ; try++ {
		lost := s.attempt(ctx, c, &batch{jobs: []*job{j}}, try)
		if lost == nil {
			return
		}
		if try == aloneRetries || ctx.Err() != nil || lost.fate == fateBroken && (try > 1 || !s.db.postgres) {
			j.err = lost.err
			return
		}
	}
}

// attempt runs a batch in one transaction on c and answers it, unless the
// transaction is lost.
func (s *Store) attempt(ctx context.Context, c *conn, b *batch, alone int) *lostError {
	w := &writing{s: s, ctx: ctx, c: c, alone: alone}
	if lost := w.begin(); lost != nil {
		return lost
	}
	defer w.rollback() // nothing to do after a commit
	succeeded := false
	var numbered []event
	var changed changeSet
	for i := 0; i < len(b.jobs); i++ {
		j := b.jobs[i]
		j.err, j.panicked, j.events, j.changed = nil, nil, nil, changeSet{}
		if lost := w.run(j, len(b.jobs) > 1); lost != nil {
			return lost
		}
		if j.err == nil && j.panicked == nil {
			succeeded = true
			numbered = append(numbered, j.events...)
			changed.add(j.changed)
		}
		if i == len(b.jobs)-1 {
			b.admit(s.db.full)
		}
	}
	if !succeeded {
		return nil
	}
	turn, change, lost := w.numberAll(numbered, changed)
	if turn != nil {
		defer turn.end()
	}
	var err error
	if lost == nil {
		if err = s.fault(BeforeCommit); err == nil {
			lost, err = w.commit()
		}
	}
	if change > 0 { // while the counter is still locked, if nothing was committed
		s.changes.end(change, lost == nil && err == nil)
	}
	if lost != nil {
		return lost
	}
	if err != nil {
		for _, j := range b.jobs {
			if j.err == nil && j.panicked == nil {
				j.err = err
			}
		}
		return nil
	}
	if turn != nil {
		turn.deliver(numbered)
	}
	if err := s.fault(AfterCommit); err != nil {
		for _, j := range b.jobs {
			if j.err == nil && j.panicked == nil {
				j.err = err
			}
		}
	}
	return nil
}

// fault is the failure of a transaction that a simulation wants.
func (s *Store) fault(stage Stage) error {
	if s.faults == nil {
		return nil
	}
	return s.faults(stage)
}

// numberAll gives the events and the change their numbers and writes them down.
// It returns the place of the events in the order, if there are any, and the
// number of the change, which has begun then; 0: there is none.
func (w *writing) numberAll(events []event, changed changeSet) (_ *turn, change int64, _ *lostError) {
	if len(events) == 0 && changed.empty() {
		return nil, 0, nil
	}
	w.c.closure()
	number := w.number
	if w.s.db.postgres {
		number = w.numberAtOnce
	}
	first, change, lost := number(events, changed)
	if lost != nil {
		return nil, 0, lost
	}
	var turn *turn
	if len(events) > 0 {
		turn = w.s.order.take()
		for i := range events {
			events[i].Seq = first + int64(i)
		}
		if !w.s.db.postgres {
			if lost := w.insert(events); lost != nil {
				return turn, 0, lost
			}
		}
	}
	if changed.empty() {
		return turn, 0, nil
	}
	w.s.changes.begin(change, changed)
	return turn, change, nil
}

// writing is a write transaction on a connection.
type writing struct {
	s     *Store
	ctx   context.Context
	c     *conn
	alone int  // which try of a closure by itself; 0: not alone
	open  bool // begun and neither committed nor rolled back
}

func (w *writing) lost(err error) *lostError {
	gone := w.c.check(w.s.db.postgres)
	f, shown := w.s.db.classify(err, gone)
	if gone || f == fateAlive {
		f = fateBroken
	}
	return &lostError{fate: f, err: shown}
}

// begin opens the transaction. A connection that broke while it was idle, as
// all do when PostgreSQL restarts, is opened anew.
func (w *writing) begin() *lostError {
	if w.c.broken {
		if err := w.s.db.writers.renew(w.ctx, w.c); err != nil {
			return w.lost(err)
		}
	}
	if err := w.c.begin(w.ctx, w.s.db.beginWrite); err != nil {
		return w.lost(err)
	}
	w.open = true
	if w.alone > 0 && w.s.db.postgres {
		if err := w.c.later(w.ctx, aloneLockTimeout(w.alone)); err != nil {
			return w.lost(err)
		}
	}
	return nil
}

// run runs one closure, under a savepoint if it shares the transaction.
func (w *writing) run(j *job, shared bool) *lostError {
	if j.ctx.Err() != nil {
		j.err = fmt.Errorf("before the database's turn: %w", context.Cause(j.ctx))
		return nil //nolint:nilerr // the error is the closure's own; the connection is not lost
	}
	for try := 0; ; try++ {
		if !w.open {
			if lost := w.begin(); lost != nil {
				return lost
			}
		}
		if shared {
			w.c.closure()
			if err := w.c.later(w.ctx, "SAVEPOINT closure"); err != nil {
				return w.lost(err)
			}
		}
		tx := &Tx{ctx: j.ctx, sqlctx: w.ctx, s: w.s, c: w.c, write: true}
		err := j.call(tx)
		tx.c = nil
		if tx.failed != nil && tx.fate != fateAlive {
			j.panicked = nil
			return &lostError{fate: tx.fate, err: tx.failed}
		}
		if err == nil && tx.failed != nil {
			err = tx.failed
		}
		if err == nil && j.panicked == nil {
			j.events, j.changed = tx.events, tx.changed
			if shared {
				if err := w.c.later(w.ctx, "RELEASE SAVEPOINT closure"); err != nil {
					return w.lost(err)
				}
			}
			return nil
		}
		if lost := w.undo(shared); lost != nil {
			return lost
		}
		if errors.Is(err, ErrStale) && j.panicked == nil && try < staleRetries {
			continue
		}
		j.err = err
		return nil
	}
}

// undo takes back what the last closure did.
func (w *writing) undo(shared bool) *lostError {
	if !shared {
		w.rollback()
		return nil
	}
	w.s.entrances.forget()
	if !w.c.takeBack() {
		return nil
	}
	for _, text := range []string{"ROLLBACK TO SAVEPOINT closure", "RELEASE SAVEPOINT closure"} {
		if err := w.c.later(w.ctx, text); err != nil {
			return w.lost(err)
		}
	}
	return nil
}

// commit: lost means that nothing was committed and that the closures can run
// again, err that they cannot.
func (w *writing) commit() (lost *lostError, err error) {
	if !w.open {
		return nil, nil
	}
	// Not together with the commit: what is left must have succeeded before.
	w.c.closure()
	if err := w.c.flush(w.ctx); err != nil {
		return w.lost(err), nil
	}
	_, err = w.c.exec(w.ctx, "COMMIT")
	if err == nil {
		w.open = false
		return nil, nil
	}
	if w.s.db.postgres && w.c.check(true) {
		return nil, &fleet.Error{Code: fleet.CodeUnavailable, Cause: err, Message: "the connection to the PostgreSQL server at " + w.s.db.name +
			" broke during a commit: the outcome is unknown, look before trying again"}
	}
	f, shown := w.s.db.classify(err, false)
	if f == fateRetry {
		return &lostError{fate: f, err: shown}, nil
	}
	return nil, fmt.Errorf("committing: %w", shown)
}

func (w *writing) rollback() {
	if !w.open {
		return
	}
	w.open = false
	w.s.entrances.forget()
	if !w.c.forget() {
		return
	}
	// SQLite may have rolled back by itself and then says that no transaction
	// is open.
	if _, err := w.c.exec(w.ctx, "ROLLBACK"); err != nil && w.s.db.postgres {
		w.c.broken = true
	}
}
