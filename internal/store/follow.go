package store

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	hintEvents  = "headroom_events" // the channel on which nodes say that there are new events
	followEvery = time.Second       // between looks at the table, hint or not
	followBatch = 1000              // events of one look
	followCall  = 5 * time.Second   // for a call that should take a millisecond
	// Nodes are not told more often than this of a stream of commits.
	hintEvery = 5 * time.Millisecond
)

// follower announces events exactly once and in the order of their numbers,
// those of this process and those of other nodes.
//
// A commit of this process announces its own events, as long as they are next
// in the order. When another node has committed in between, the whole gap is
// read from the table by Follow instead: a reader that sees a number sees every
// number before it.
type follower struct {
	mu     sync.Mutex    // held while listeners are called
	told   int64         // number of the last event that was announced
	active bool          // Follow runs
	behind chan struct{} // holds one: there is something to read
	news   chan struct{} // holds one: the other nodes should be told
}

func newFollower() follower {
	return follower{behind: make(chan struct{}, 1), news: make(chan struct{}, 1)}
}

// own announces the events of a commit of this process.
func (f *follower) own(events []fleet.Event, tell func([]fleet.Event)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active {
		poke(f.news)
		if events[0].Seq != f.told+1 {
			poke(f.behind)
			return
		}
	}
	f.told = events[len(events)-1].Seq
	tell(events)
}

// read announces events from the table, without those that were announced
// while they were read.
func (f *follower) read(events []fleet.Event, tell func([]fleet.Event)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	events = slices.DeleteFunc(events, func(e fleet.Event) bool { return e.Seq <= f.told })
	if len(events) > 0 {
		f.told = events[len(events)-1].Seq
		tell(events)
	}
}

func (f *follower) after() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// setActive begins or ends following. It goes on from what this process has
// announced or found when it opened the database, whichever is later.
func (f *follower) setActive(active bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = active
}

// pause lets d pass, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d) //nolint:forbidigo // waits for a network, as its deadlines do, on the real clock
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Follow announces the events of other nodes to the listeners of OnCommit
// until ctx ends: those that were committed after the store was opened, each
// once, and in one order with those of this process. Their hints make it
// quick; what they miss, as when PostgreSQL restarts, is found by a look at the
// table every second. While Follow runs, a listener may be told of a commit of
// this process after Write has returned. On a database that is not shared it
// only waits. It must run at most once at a time.
func (s *Store) Follow(ctx context.Context) {
	if !s.Shared() {
		<-ctx.Done()
		return
	}
	f := &s.order.follower
	f.setActive(true)
	defer f.setActive(false)
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			closeConn(ctx, conn)
		}
	}()
	failed := false
	for ctx.Err() == nil {
		if conn == nil {
			conn = s.listen(ctx)
		}
		more, err := s.catchUp(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			s.log.WarnContext(ctx, "events of other nodes cannot be read, it is tried again", slog.Any("error", err))
		}
		failed = err != nil
		if !more && !s.awaitNews(ctx, conn) {
			closeConn(ctx, conn)
			conn = nil
		}
	}
}

// listen opens the connection for hints; nil when that fails, since the looks
// at the table do without.
func (s *Store) listen(ctx context.Context) *pgx.Conn {
	ctx, cancel := context.WithTimeout(ctx, followCall)
	defer cancel()
	c, err := s.db.connect(ctx)
	if err != nil {
		return nil
	}
	if _, err := c.Exec(ctx, "LISTEN "+hintEvents); err != nil {
		closeConn(ctx, c)
		return nil
	}
	return c
}

// catchUp announces what the table has and nobody here was told of; more says
// that there may be more.
func (s *Store) catchUp(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, followCall)
	defer cancel()
	f := &s.order.follower
	var events []fleet.Event
	err = s.Read(ctx, func(tx *Tx) (err error) {
		events, err = tx.Events(EventFilter{After: f.after(), Limit: followBatch})
		return err
	})
	if err != nil {
		return false, err
	}
	more = len(events) == followBatch
	f.read(events, s.order.tell)
	return more, nil
}

// awaitNews waits for a hint, for a commit of this process that leaves a gap,
// or for the next look, and passes on hints of this process meanwhile. false:
// the connection has broken.
func (s *Store) awaitNews(ctx context.Context, conn *pgx.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, followEvery)
	defer cancel()
	f := &s.order.follower
	if conn == nil {
		select {
		case <-f.behind:
		case <-ctx.Done():
		}
		return true
	}
	for {
		news, hint, alive := f.interruptible(ctx, conn)
		if !alive {
			return false
		}
		if news {
			call, cancel := context.WithTimeout(context.WithoutCancel(ctx), followCall)
			_, err := conn.Exec(call, "NOTIFY "+hintEvents)
			cancel()
			if err != nil {
				return false
			}
			pause(ctx, hintEvery)
		}
		if hint || ctx.Err() != nil {
			return true
		}
	}
}

// interruptible waits on the connection until a hint comes, a commit of this
// process leaves a gap or is to be told, or ctx ends.
func (f *follower) interruptible(ctx context.Context, conn *pgx.Conn) (news, hint, alive bool) {
	wait, cancel := context.WithCancel(ctx)
	var behind bool
	var done sync.WaitGroup
	done.Go(func() {
		defer cancel()
		select {
		case <-f.behind:
			behind = true
		case <-f.news:
			news = true
		case <-wait.Done():
		}
	})
	hint, alive = awaitHint(wait, conn)
	cancel()
	done.Wait()
	return news, hint || behind, alive
}
