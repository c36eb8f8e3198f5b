package control

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/store"
)

const (
	renewEvery   = 3 * time.Second        // heartbeat
	renewTimeout = 2 * time.Second        // of one heartbeat
	renewAgain   = 300 * time.Millisecond // after one that failed
	leaveTimeout = 3 * time.Second
	// A node stops this long before others may take its work.
	leaseMargin = 2 * time.Second
)

// ownership knows which keys this node works on. On a database that is not
// shared that is every key that is wanted, at once. Otherwise the node takes
// keys from the database, as many as fall to it among the nodes that are alive,
// and gives up all by itself when its heartbeat gets no answer for so long that
// others may soon take over.
//
// gained and lost are told of each change, in order and without a lock held;
// they must not block.
type ownership struct {
	c            *Controller
	ctx          context.Context   //nolint:containedctx // of Run: parent of the steps' contexts
	node         *store.Membership // nil: the only node
	gained, lost func(key string)
	turn         sync.Mutex // held while tenures change and are told of
	outdated     bool       // somebody was told that the database is newer than this node; of the round
	skewed       bool       // the same of clocks that differ
	// clock is that of the host: a lease must not last longer because the time of
	// the database was put back.
	clock clock.WithTicker

	mu        sync.Mutex
	wanted    map[string]bool
	held      map[string]*tenure
	busy      map[string]int     // steps under way by key, those of lost tenures too
	until     time.Time          // when this node stops unless a heartbeat succeeds
	stopping  bool               // nothing more is taken
	changed   bool               // there is work for the next round
	interrupt context.CancelFunc // ends the wait for the next round
}

// tenure is the time from gaining a key to losing it.
type tenure struct {
	owner   store.Owner
	ctx     context.Context //nolint:containedctx // of the steps; ends with the tenure
	end     context.CancelCauseFunc
	leaving bool // no new step begins; the key is released when the last has ended
}

func newOwnership(ctx context.Context, c *Controller, gained, lost func(key string)) *ownership {
	return &ownership{
		c: c, ctx: ctx, clock: store.HostClock(c.Clock), node: c.Store.Join(c.Address), gained: gained, lost: lost,
		wanted: map[string]bool{}, held: map[string]*tenure{}, busy: map[string]int{},
	}
}

// want sets the keys that there are. Those that are no longer among them are
// given up.
func (o *ownership) want(keys []string) {
	o.mu.Lock()
	next := make(map[string]bool, len(keys))
	for _, k := range keys {
		next[k] = true
	}
	if maps.Equal(next, o.wanted) {
		o.mu.Unlock()
		return
	}
	o.wanted = next
	o.mu.Unlock()
	if o.node == nil {
		o.settle(nil)
		return
	}
	o.wake()
}

// begin starts a step on a key. not ok: this node does not own it. The step
// works with the context, which ends when the key is lost, and calls done at
// its end.
func (o *ownership) begin(key string) (ctx context.Context, done func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.held[key]
	if t == nil || t.leaving || o.expired() {
		return nil, nil, false
	}
	o.busy[key]++
	return t.ctx, func() { o.finished(key) }, true
}

func (o *ownership) finished(key string) {
	o.mu.Lock()
	o.busy[key]--
	last := o.busy[key] == 0
	if last {
		delete(o.busy, key)
	}
	t := o.held[key]
	waited := last && o.node != nil && (t == nil || t.leaving)
	o.mu.Unlock()
	if waited {
		o.wake()
	}
}

// holds says whether steps of the key may begin.
func (o *ownership) holds(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.held[key]
	return t != nil && !t.leaving
}

// expired says that others may soon take over what this node owns. mu is held.
func (o *ownership) expired() bool { return o.node != nil && !o.clock.Now().Before(o.until) }

// stop ends the taking of work. What is held is kept until run ends.
func (o *ownership) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopping = true
}

// wake has the next round begin at once.
func (o *ownership) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed = true
	if o.interrupt != nil {
		o.interrupt()
	}
}

// run keeps this node alive among the others and its ownership up to date
// until ctx ends, and then gives everything up.
func (o *ownership) run(ctx context.Context) {
	if o.node == nil {
		<-ctx.Done()
		o.settle(nil)
		return
	}
	failed := false
	for ctx.Err() == nil {
		wait, err := o.round(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			o.c.Log.WarnContext(ctx, "this node cannot renew its lease; it stops its work unless that succeeds soon", slog.Any("error", err))
		}
		failed = err != nil
		o.pause(ctx, wait)
	}
	o.settle(nil)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := o.node.Leave(ctx); err != nil {
		o.c.Log.WarnContext(ctx, "the other nodes could not be told that this one stops; they find out by themselves", slog.Any("error", err))
	}
}

// pause waits for the next round.
func (o *ownership) pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	o.mu.Lock()
	if o.changed {
		cancel()
	}
	o.interrupt = cancel
	o.mu.Unlock()
	o.node.Wait(ctx)
	o.mu.Lock()
	o.interrupt = nil
	o.mu.Unlock()
}

// round is one heartbeat and what follows from it. It returns the time until
// the next one is due.
func (o *ownership) round(ctx context.Context) (time.Duration, error) {
	began := o.clock.Now()
	o.mu.Lock()
	o.changed = false
	patience := renewTimeout
	if len(o.held) > 0 {
		patience = min(patience, max(o.until.Sub(began), renewAgain))
	}
	o.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	view, err := o.node.Renew(call)
	o.mu.Lock()
	expired := o.expired()
	o.mu.Unlock()
	if expired { // also when it succeeded too late: work was turned away meanwhile
		o.settle(nil)
	}
	if err != nil {
		return renewAgain, err
	}
	o.mu.Lock()
	// The lease counts from before the call, the database's count from within.
	o.until = began.Add(store.LeaseTime - leaseMargin)
	o.mu.Unlock()
	o.c.Metrics.heartbeat(began, view)
	if view.Newer > 0 && !o.outdated {
		o.outdated = true
		o.c.Log.WarnContext(ctx, "a newer Headroom has upgraded the database; this node goes on for now, but would not start again: replace it with the newer version soon",
			slog.Int64("schema_version", view.Newer))
	}
	o.compareClocks(ctx, view.Offset)
	o.settle(view.Owners)
	if err := o.exchange(ctx, view); err != nil {
		return renewAgain, err
	}
	// When another node dies, its work is taken at once and not a round later.
	return min(renewEvery, view.NextExpiry+10*time.Millisecond), nil
}

// tellSkew is how far clocks may differ without a word.
const tellSkew = 5 * time.Second

// compareClocks tells of a host whose clock differs from that of the database.
func (o *ownership) compareClocks(ctx context.Context, offset time.Duration) {
	far := offset.Abs() > tellSkew
	if far && !o.skewed {
		o.c.Log.WarnContext(ctx, "the clock of this host differs from that of the database; Headroom goes by the database, other programs of this host do not: set it right",
			slog.Duration("database_is_ahead_by", offset.Round(time.Second)))
	}
	o.skewed = far
}

// settle ends the tenures that do not agree with what the database says; nil
// ends all. On a database that is not shared every wanted key is held instead,
// until the end.
func (o *ownership) settle(owners map[string]store.Owner) {
	o.turn.Lock()
	defer o.turn.Unlock()
	o.mu.Lock()
	var ended, begun []string
	for key, t := range o.held {
		keep := owners[key] == t.owner
		if o.node == nil {
			keep = o.wanted[key] && o.ctx.Err() == nil
		}
		if !keep {
			o.drop(t)
			ended = append(ended, key)
		}
	}
	if o.node == nil && o.ctx.Err() == nil {
		for key := range o.wanted {
			if o.held[key] == nil {
				o.hold(store.Owner{Key: key})
				begun = append(begun, key)
			}
		}
	}
	o.mu.Unlock()
	o.tell("no longer works on", ended, o.lost)
	o.tell("works on", begun, o.gained)
}

// hold begins a tenure. mu is held.
func (o *ownership) hold(owner store.Owner) {
	ctx, end := context.WithCancelCause(withLease(o.ctx, owner))
	o.held[owner.Key] = &tenure{owner: owner, ctx: ctx, end: end}
	o.c.Metrics.gained(owner)
}

// drop ends a tenure. mu is held.
func (o *ownership) drop(t *tenure) {
	t.end(store.ErrLost)
	delete(o.held, t.owner.Key)
	o.c.Metrics.lost(t.owner)
}

func (o *ownership) tell(what string, keys []string, f func(key string)) {
	if len(keys) == 0 {
		return
	}
	slices.Sort(keys)
	if o.node != nil {
		o.c.Log.Info("this node "+what, slog.String("node", o.node.ID()), slog.Any("keys", keys))
	}
	for _, k := range keys {
		f(k)
	}
}

// exchange takes what falls to this node and is free, and releases what falls
// to another and is idle.
func (o *ownership) exchange(ctx context.Context, view store.View) error {
	o.turn.Lock()
	defer o.turn.Unlock()
	take, release := o.plan(view)
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if len(release) > 0 {
		ended := make([]string, len(release))
		for i, r := range release {
			ended[i] = r.Key
		}
		o.tell("hands over", ended, o.lost)
		if err := o.node.Release(ctx, release); err != nil {
			return err
		}
	}
	if len(take) == 0 {
		return nil
	}
	taken, err := o.node.Take(ctx, take)
	begun := make([]string, 0, len(taken))
	o.mu.Lock()
	for _, owner := range taken {
		if !o.stopping {
			o.hold(owner)
			begun = append(begun, owner.Key)
		}
	}
	o.mu.Unlock()
	o.tell("works on", begun, o.gained)
	return err
}

// plan compares what this node owns with what it should. What is to be
// released has been taken from what is held; steps that are under way are
// waited for first.
func (o *ownership) plan(view store.View) (take []string, release []store.Owner) {
	me := o.node.ID()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopping {
		return nil, nil
	}
	for key, t := range o.held {
		// Once begun, it is finished: work was turned away meanwhile.
		t.leaving = t.leaving || !o.wanted[key] || chosen(key, view.Nodes) != me
		if t.leaving && o.busy[key] == 0 {
			o.drop(t)
			release = append(release, t.owner)
		}
	}
	for key := range o.wanted {
		owner := view.Owners[key]
		alive := owner.Node != me && slices.Contains(view.Nodes, owner.Node)
		if o.held[key] == nil && o.busy[key] == 0 && !alive && chosen(key, view.Nodes) == me {
			take = append(take, key)
		}
	}
	for key, owner := range view.Owners {
		// Taken by a call whose answer was lost, or by a tenure that has ended.
		mine := owner.Node == me && o.held[key] == nil && o.busy[key] == 0
		if mine && !slices.Contains(take, key) && !slices.Contains(release, owner) {
			release = append(release, owner)
		}
	}
	return take, release
}
