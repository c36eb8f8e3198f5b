package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// Periods of work that nothing wakes.
const (
	resyncEvery  = 30 * time.Second // every pool and provider is looked at again
	retainEvery  = 10 * time.Minute
	remnantEvery = 10 * time.Minute
	// remnantFirst is short, so that a controller which is restarted again and
	// again sweeps too.
	remnantFirst = time.Minute
	poolWorkers  = 4
	// Opening a provider can take long and must not hold up the others.
	resolveWorkers = 4
	dnsWorkers     = 2
)

// Run does the work until ctx ends, and returns when all of it has stopped. On
// a database that other controllers share it works on what this node owns.
func (c *Controller) Run(ctx context.Context) error {
	l := &loops{
		c: c, pools: newQueue(c, "pools"), sessions: newQueue(c, "sessions"), dns: newQueue(c, "dns"), unresolved: newQueue(c, "unresolved"),
		runners: map[string]*runner{}, providerOf: map[string]string{}, restUntil: map[string]time.Time{},
	}
	l.own = newOwnership(ctx, c, l.gained, l.lost)
	c.OnListSoon(l.listSoon)
	remove := c.Store.OnCommit(l.wake)
	defer remove()

	// What is owned is kept until every step has ended.
	owning, release := context.WithCancel(context.WithoutCancel(ctx))
	var owner sync.WaitGroup
	owner.Go(func() { l.own.run(owning) })

	l.wg.Go(func() { l.resync(ctx) })
	for range poolWorkers {
		l.wg.Go(func() { work(ctx, c, l.pools, "pool", l.stepPool) })
	}
	l.wg.Go(func() { work(ctx, c, l.sessions, "sessions", l.stepSessions) })
	for range dnsWorkers {
		l.wg.Go(func() { work(ctx, c, l.dns, "dns", l.stepDNS) })
	}
	for range resolveWorkers {
		l.wg.Go(func() { work(ctx, c, l.unresolved, "resolve", l.resolve) })
	}

	<-ctx.Done()
	l.own.stop()
	l.stop()
	l.wg.Wait()
	release()
	owner.Wait()
	c.clouds.close(ctx)
	return nil
}

type queue = workqueue.TypedRateLimitingInterface[string]

func newQueue(c *Controller, name string) queue {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, time.Minute)
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[string]{Name: name, Clock: c.Clock})
}

// work takes keys from a queue until it is shut down. One key is never worked
// on twice at once; a key that is woken meanwhile comes again.
func work(ctx context.Context, c *Controller, q queue, loop string, step func(ctx context.Context, key string) (time.Duration, error)) {
	for {
		key, down := q.Get()
		if down {
			return
		}
		began := c.Clock.Now()
		next, err := step(ctx, key)
		c.Metrics.step(loop, c.Clock.Since(began).Seconds())
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, store.ErrLost):
			// Its new owner goes on with it.
			c.Metrics.stepLost(loop)
			c.Log.DebugContext(ctx, "step ended: its work belongs to another node", "loop", loop, "key", key, "error", err)
			q.Forget(key)
		case err != nil:
			c.Log.LogAttrs(ctx, levelOf(err), "step failed, it is repeated", slog.String("loop", loop), slog.String("key", key), slog.Any("error", err))
			q.AddRateLimited(key)
		default:
			q.Forget(key)
			if next >= 0 {
				q.AddAfter(key, next)
			}
		}
		q.Done(key)
	}
}

// levelOf tells what happens in normal work from what somebody should look at.
func levelOf(err error) slog.Level {
	if errors.Is(err, store.ErrStale) || errors.Is(err, context.Canceled) {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// loops is the running state of a Controller.
type loops struct {
	c          *Controller
	own        *ownership
	wg         sync.WaitGroup
	pools      queue
	sessions   queue
	dns        queue
	unresolved queue // servers whose provider is not known yet, and orders

	mu         sync.Mutex
	runners    map[string]*runner // by provider, of those that are owned; "" is for fixed servers
	providerOf map[string]string  // server id → provider
	restUntil  map[string]time.Time
	dnsNames   []string // of the DNS providers
	stopped    bool

	dueSoon atomic.Bool // a look at what is due stands in the queue, dueDelay off at most
}

func (l *loops) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for _, q := range []queue{l.pools, l.sessions, l.dns, l.unresolved} {
		q.ShutDown()
	}
	for _, r := range l.runners {
		r.shutDown()
	}
}

// owned runs a step under the ownership of its key; without it, the key's new
// owner does.
func (l *loops) owned(key string, step func(ctx context.Context) (time.Duration, error)) (time.Duration, error) {
	ctx, done, ok := l.own.begin(key)
	if !ok {
		return never, nil
	}
	defer done()
	next, err := step(ctx)
	if err != nil && errors.Is(context.Cause(ctx), store.ErrLost) {
		err = fmt.Errorf("%w: %w", store.ErrLost, err)
	}
	return next, err
}

// A pool of many machines is woken by each of them, and by each session. A pass
// that took longer than longPass is followed by a rest of restFactor times as
// long, unless it has more to do at once: a pool of any size takes a tenth of a
// core at most from those who ask for its sessions. Small pools are looked at
// without delay. A pass that took very long was held up, by a database that did
// not answer or by a process that was stopped, and says nothing of the next one.
const (
	longPass    = 2 * time.Millisecond
	restFactor  = 9
	longestRest = 3 * time.Second
)

// restAfter is how long a pool is not looked at after a pass.
func restAfter(took time.Duration) time.Duration {
	if took <= longPass {
		return 0
	}
	return min(restFactor*took, longestRest)
}

func (l *loops) stepPool(_ context.Context, pool string) (time.Duration, error) {
	return l.owned(keyPool+pool, func(ctx context.Context) (time.Duration, error) {
		if wait := l.rest(pool); wait > 0 {
			return wait, nil
		}
		began := l.c.now()
		next, err := l.c.ReconcilePool(ctx, pool)
		now := l.c.now()
		after := until(now, next)
		if rest := restAfter(now.Sub(began)); rest > 0 && after != 0 && err == nil {
			l.mu.Lock()
			l.restUntil[pool] = now.Add(rest)
			l.mu.Unlock()
		}
		return after, err
	})
}

// rest is how long a pool is not looked at yet.
func (l *loops) rest(pool string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.restUntil[pool].Sub(l.c.now())
	if wait <= 0 {
		delete(l.restUntil, pool)
	}
	return wait
}

// The keys of the queue of sessions.
const (
	keyExpire = "expire"
	keyRetain = "retain"
)

// dueDelay gathers sessions that come together: one look finds when the first of
// them is due. No life time is so short that it matters.
const dueDelay = 100 * time.Millisecond

// keySweep marks the names of DNS providers that are to be swept.
const keySweep = "sweep:"

// dnsDelay gathers machines that change together.
const dnsDelay = 200 * time.Millisecond

func (l *loops) stepSessions(_ context.Context, key string) (time.Duration, error) {
	if key == keyExpire {
		l.dueSoon.Store(false) // before the look: who comes from now on asks for another
	}
	return l.owned(keySystem, func(ctx context.Context) (time.Duration, error) {
		if key == keyRetain {
			return retainEvery, l.c.Retain(ctx)
		}
		next, err := l.c.ExpireSessions(ctx)
		return until(l.c.now(), next), err
	})
}

// stepDNS brings names up to date, or sweeps them.
func (l *loops) stepDNS(_ context.Context, name string) (time.Duration, error) {
	name, sweeps := strings.CutPrefix(name, keySweep)
	return l.owned(keyDNS+name, func(ctx context.Context) (time.Duration, error) {
		if sweeps {
			return dnsSweepEvery, l.c.SweepDNS(ctx, name)
		}
		return l.c.ReconcileDNS(ctx, name)
	})
}

// wakeDNS looks at the names again soon after machines have changed. Which
// provider a machine belongs to is not worth knowing: there are few.
func (l *loops) wakeDNS() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range l.dnsNames {
		l.dns.AddAfter(name, dnsDelay)
	}
}

// until turns a moment into a delay; the zero moment is never.
func until(now, t time.Time) time.Duration {
	if t.IsZero() {
		return never
	}
	return max(t.Sub(now), 0)
}

// Orders to the resolver beside the ids of servers.
const (
	keyAll    = "\x00all"     // wake every pool, and see what there is to own
	keyReset  = "\x00reset:"  // a provider's settings have changed
	keyGained = "\x00gained:" // a provider or the fixed servers have become ours
)

// resolve carries out orders, and finds out to which provider a server
// belongs.
func (l *loops) resolve(ctx context.Context, id string) (time.Duration, error) {
	if id == keyAll {
		return never, l.enqueueAll(ctx)
	}
	if key, ok := strings.CutPrefix(id, keyGained); ok {
		return l.owned(key, func(ctx context.Context) (time.Duration, error) { return never, l.startRunner(ctx, key) })
	}
	if name, ok := strings.CutPrefix(id, keyReset); ok {
		_, err := l.owned(keyProvider+name, func(ctx context.Context) (time.Duration, error) {
			err := l.c.ProviderChanged(ctx, name)
			if err == nil {
				l.listSoon(name)
			}
			return never, err
		})
		if err != nil {
			return never, err
		}
		return never, l.enqueueAll(ctx)
	}
	var s *fleet.Server
	err := l.c.Store.Read(ctx, func(tx *store.Tx) (err error) {
		s, err = tx.Server(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return never, nil
	}
	if err != nil {
		return never, err
	}
	l.learn(s)
	l.stepServer(id)
	return never, nil
}

// learn keeps to which provider a server belongs.
func (l *loops) learn(s *fleet.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.providerOf[s.ID] = s.VMProvider
}

func (l *loops) stepServer(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, known := l.providerOf[id]
	if !known {
		l.unresolved.Add(id)
		return
	}
	if r := l.runners[name]; r != nil {
		r.queue.Add(id)
	}
}

// resync starts with everything that the database has, and looks at all pools
// again from time to time, so that no lost wake-up lasts.
func (l *loops) resync(ctx context.Context) {
	ticker := l.c.Clock.NewTicker(resyncEvery)
	defer ticker.Stop()
	for {
		l.unresolved.Add(keyAll)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// enqueueAll looks up what there is to be owned, and wakes what this node owns
// of the pools and of the system's work.
func (l *loops) enqueueAll(ctx context.Context) error {
	var names [3][]string // pools, providers, DNS providers
	err := l.c.Store.Read(ctx, func(tx *store.Tx) (err error) {
		for i, kind := range []fleet.Kind{fleet.KindPool, fleet.KindVMProvider, fleet.KindDNSProvider} {
			objects, err := tx.Objects(kind)
			if err != nil {
				return fmt.Errorf("reading configured objects: %w", err)
			}
			names[i] = make([]string, 0, len(objects))
			for _, o := range objects {
				names[i] = append(names[i], o.Name)
			}
		}
		used, err := tx.ProvidersInUse() // also when they are no longer configured
		names[1] = append(names[1], used...)
		return err
	})
	if err != nil {
		return err
	}
	l.c.hearingSince()
	keys := []string{keySystem, keyFixed}
	for i, prefix := range []string{keyPool, keyProvider, keyDNS} {
		for _, name := range names[i] {
			keys = append(keys, prefix+name)
		}
	}
	l.own.want(keys)
	l.mu.Lock()
	l.dnsNames = names[2]
	l.mu.Unlock()
	for _, name := range names[2] {
		l.dns.Add(name)
	}
	for _, pool := range names[0] {
		l.pools.Add(pool)
	}
	l.sessions.Add(keyExpire)
	return nil
}
