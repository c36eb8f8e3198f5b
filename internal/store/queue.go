package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Panic is what Write panics with when its closure panicked: the closure may
// have run in the goroutine of another writer, whose stack it keeps.
type Panic struct {
	Value any
	Stack []byte
}

// Error shows the value and the stack.
func (p *Panic) Error() string {
	return fmt.Sprintf("panic in a transaction: %v\n\n%s", p.Value, p.Stack)
}

// job is one call of Write.
type job struct {
	ctx      context.Context
	fn       func(*Tx) error
	err      error
	panicked *Panic
	events   []event
	changed  changeSet
	wake     chan signal // holds one
}

type signal int

const (
	signalDone signal = iota // the answer is there
	signalLead               // run the next batch
)

// writeQueue lines up closures and makes some of their callers leaders.
type writeQueue struct {
	lanes, most int // leaders at once, closures in a batch

	mu      sync.Mutex
	jobs    []*job
	leaders int
	closed  bool
	idle    chan struct{} // closed when closed and without a leader
}

// Write runs fn in a transaction and returns after the commit is durable; see
// the package comment. An error of fn undoes what fn did and nothing else. fn
// runs again, a few times, when it returns ErrStale or when the database made
// its transaction yield to a rival. When ctx ends before fn's turn, fn does
// not run; once it has begun, ctx no longer matters. A panic in fn surfaces
// here as a *Panic.
//
// An error of code unavailable means that nothing was written, unless its text
// says that the outcome is unknown: the connection to PostgreSQL broke during
// the commit.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error {
	return s.write(ctx, &s.queue, fn)
}

// WriteSession is Write for what claims capacity or gives it back on somebody's
// behalf. Such closures want the same few servers: on PostgreSQL, where Write
// works on several connections at once, these share one and its commits instead
// of waiting for each other's rows.
func (s *Store) WriteSession(ctx context.Context, fn func(*Tx) error) error {
	return s.write(ctx, s.sessions, fn)
}

func (s *Store) write(ctx context.Context, q *writeQueue, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("before the database's turn: %w", context.Cause(ctx))
	}
	if err := s.fault(BeforeWrite); err != nil {
		return err
	}
	j := &job{ctx: ctx, fn: fn, wake: make(chan signal, 1)}
	lead, ok := q.join(j)
	if !ok {
		return fleet.Errorf(fleet.CodeUnavailable, "the database is closed: Headroom is stopping")
	}
	if !lead {
		select {
		case sig := <-j.wake:
			lead = sig == signalLead
		case <-ctx.Done():
			if q.leave(j) {
				return fmt.Errorf("before the database's turn: %w", context.Cause(ctx))
			}
			lead = <-j.wake == signalLead
		}
	}
	if lead {
		s.lead(q, j)
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// lead runs one batch of q that begins with j and hands the lead on.
func (s *Store) lead(q *writeQueue, j *job) {
	b := &batch{jobs: q.take(j), queue: q}
	answered := false
	defer func() {
		q.handOn()
		for _, other := range b.jobs[1:] {
			if !answered {
				// A closure has ended this goroutine (runtime.Goexit, as
				// t.FailNow does): nothing of the batch was committed.
				other.err = errors.New("the goroutine that ran the transaction ended inside of a closure")
			}
			other.wake <- signalDone
		}
	}()
	s.runBatch(b)
	answered = true
}

// batch is what one commit is for.
type batch struct {
	jobs  []*job
	queue *writeQueue // nil: nobody joins it
}

// admit takes in those who have lined up since the batch began, as long as it
// has fewer than full closures. They have a commit less to wait for, and a
// commit costs the same for more of them.
func (b *batch) admit(full int) {
	if b.queue == nil || len(b.jobs) >= full {
		return
	}
	q := b.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	b.jobs = append(b.jobs, q.shift(full-len(b.jobs))...)
}

// join adds a job; lead: its caller is a leader at once.
func (q *writeQueue) join(j *job) (lead, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return false, false
	case q.leaders < q.lanes:
		q.leaders++
		return true, true
	}
	q.jobs = append(q.jobs, j)
	return false, true
}

// leave removes a job whose turn has not come.
func (q *writeQueue) leave(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range q.jobs {
		if other == j {
			q.jobs = append(q.jobs[:i], q.jobs[i+1:]...)
			return true
		}
	}
	return false
}

// take gives the batch that j leads.
func (q *writeQueue) take(j *job) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*job{j}, q.shift(q.most-1)...)
}

// shift takes the first n of the queue, or all there are. mu is held.
func (q *writeQueue) shift(n int) []*job {
	n = min(n, len(q.jobs))
	if n == 0 {
		return nil
	}
	first := slices.Clone(q.jobs[:n])
	rest := copy(q.jobs, q.jobs[n:])
	clear(q.jobs[rest:])
	q.jobs = q.jobs[:rest]
	return first
}

// handOn makes the first in the queue leader in place of the present one.
func (q *writeQueue) handOn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		q.leaders--
		if q.closed && q.leaders == 0 {
			close(q.idle)
		}
		return
	}
	q.shift(1)[0].wake <- signalLead
}

// close refuses further jobs; the channel is closed when the last is done.
func (q *writeQueue) close() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.idle = make(chan struct{})
	if q.leaders == 0 {
		close(q.idle)
	}
	return q.idle
}

// call runs fn and catches its panic.
func (j *job) call(tx *Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			j.panicked = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	return j.fn(tx)
}
