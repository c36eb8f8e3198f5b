package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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
	poolWorkers  = 4
)

// Run does the work until ctx ends, and returns when all of it has stopped.
func (c *Controller) Run(ctx context.Context) error {
	l := &loops{
		c: c, pools: newQueue(c, "pools"), sessions: newQueue(c, "sessions"), unresolved: newQueue(c, "unresolved"),
		runners: map[string]*runner{}, providerOf: map[string]string{}, ctx: ctx,
	}
	c.OnListSoon(l.listSoon)
	remove := c.Store.OnCommit(l.wake)
	defer remove()

	l.wg.Go(func() { l.resync(ctx) })
	for range poolWorkers {
		l.wg.Go(func() { work(ctx, c, l.pools, "pool", l.stepPool) })
	}
	l.wg.Go(func() { work(ctx, c, l.sessions, "sessions", l.stepSessions) })
	l.wg.Go(func() { work(ctx, c, l.unresolved, "resolve", l.resolve) })
	l.sessions.Add("expire")

	<-ctx.Done()
	l.stop()
	l.wg.Wait()
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
	ctx        context.Context //nolint:containedctx // of Run, for runners that start later
	wg         sync.WaitGroup
	pools      queue
	sessions   queue
	unresolved queue // servers whose provider is not known yet

	mu         sync.Mutex
	runners    map[string]*runner // by provider; "" is for fixed servers
	providerOf map[string]string  // server id → provider
	stopped    bool
}

// runner works on the servers of one provider config, so that a slow cloud
// holds up nobody else.
type runner struct {
	queue  queue
	listQ  queue
	cancel context.CancelFunc
}

func (l *loops) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for _, q := range []queue{l.pools, l.sessions, l.unresolved} {
		q.ShutDown()
	}
	for _, r := range l.runners {
		r.queue.ShutDown()
		r.listQ.ShutDown()
		r.cancel()
	}
}

// runner returns the runner of a provider, started on first need.
func (l *loops) runner(name string) *runner {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runners[name]; r != nil || l.stopped {
		return r
	}
	ctx, cancel := context.WithCancel(l.ctx)
	r := &runner{queue: newQueue(l.c, "servers"), listQ: newQueue(l.c, "listings"), cancel: cancel}
	l.runners[name] = r
	for range l.c.concurrency(ctx, name) {
		l.wg.Go(func() { work(ctx, l.c, r.queue, "server", l.c.StepServer) })
	}
	if name != "" {
		l.wg.Go(func() {
			work(ctx, l.c, r.listQ, "listing", func(ctx context.Context, key string) (time.Duration, error) {
				return l.stepListing(ctx, name, key, r)
			})
		})
		r.listQ.Add(keyList)
		r.listQ.AddAfter(keyRemnants, remnantEvery)
	}
	return r
}

// The keys of a runner's second queue.
const (
	keyList     = "list"
	keyRemnants = "remnants"
)

func (l *loops) stepListing(ctx context.Context, name, key string, r *runner) (time.Duration, error) {
	if key == keyRemnants {
		return remnantEvery, l.c.SweepRemnants(ctx, name)
	}
	began := l.c.Clock.Now()
	out, err := l.c.RefreshProvider(ctx, name)
	for _, id := range out.Step {
		r.queue.Add(id)
	}
	// A listing that takes long is not asked for more often than a tenth of
	// the time.
	return max(out.Next, 10*l.c.Clock.Since(began)), err
}

// concurrency is how many servers of a provider are worked on at once: as many
// as its cloud takes calls, and some more whose steps need no call.
func (c *Controller) concurrency(ctx context.Context, name string) int {
	if name == "" {
		return 2
	}
	if r, err := c.clouds.get(ctx, name, 0); err == nil {
		return r.client.Concurrency() + 2
	}
	return 8
}

func (l *loops) listSoon(name string) {
	if r := l.runner(name); r != nil && name != "" {
		r.listQ.AddAfter(keyList, 50*time.Millisecond)
	}
}

func (l *loops) stepPool(ctx context.Context, pool string) (time.Duration, error) {
	next, err := l.c.ReconcilePool(ctx, pool)
	return until(l.c.now(), next), err
}

func (l *loops) stepSessions(ctx context.Context, key string) (time.Duration, error) {
	if key == "retain" {
		return retainEvery, l.c.Retain(ctx)
	}
	next, err := l.c.ExpireSessions(ctx)
	return until(l.c.now(), next), err
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
	keyAllPools = "\x00pools"  // wake every pool
	keyReset    = "\x00reset:" // a provider's settings have changed
)

// resolve finds out to which provider a server belongs.
func (l *loops) resolve(ctx context.Context, id string) (time.Duration, error) {
	if id == keyAllPools {
		return never, l.enqueueAll(ctx, false)
	}
	if name, ok := strings.CutPrefix(id, keyReset); ok {
		if err := l.c.ProviderChanged(ctx, name); err != nil {
			return never, err
		}
		l.listSoon(name)
		return never, l.enqueueAll(ctx, false)
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
	l.mu.Lock()
	l.providerOf[id] = s.VMProvider
	l.mu.Unlock()
	l.stepServer(id)
	return never, nil
}

func (l *loops) stepServer(id string) {
	l.mu.Lock()
	name, known := l.providerOf[id]
	l.mu.Unlock()
	if !known {
		l.unresolved.Add(id)
		return
	}
	if r := l.runner(name); r != nil {
		r.queue.Add(id)
	}
}

// resync starts with everything that the database has, and looks at all pools
// and providers again from time to time, so that no lost wake-up lasts.
func (l *loops) resync(ctx context.Context) {
	l.sessions.AddAfter("retain", time.Minute)
	ticker := l.c.Clock.NewTicker(resyncEvery)
	defer ticker.Stop()
	first := true
	for {
		if err := l.enqueueAll(ctx, first); err == nil {
			first = false
		} else if ctx.Err() == nil {
			l.c.Log.ErrorContext(ctx, "resync failed, it is repeated", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// enqueueAll wakes every pool and provider, and with servers every server that
// may exist.
func (l *loops) enqueueAll(ctx context.Context, servers bool) error {
	return l.c.Store.Read(ctx, func(tx *store.Tx) error {
		for _, kind := range []fleet.Kind{fleet.KindPool, fleet.KindVMProvider} {
			objects, err := tx.Objects(kind)
			if err != nil {
				return fmt.Errorf("reading configured objects: %w", err)
			}
			for _, o := range objects {
				if kind == fleet.KindPool {
					l.pools.Add(o.Name)
				} else {
					l.runner(o.Name)
				}
			}
		}
		l.sessions.Add("expire")
		if !servers {
			return nil
		}
		list, err := tx.Servers(store.ServerFilter{})
		if err != nil {
			return fmt.Errorf("reading servers: %w", err)
		}
		for _, s := range list {
			l.mu.Lock()
			l.providerOf[s.ID] = s.VMProvider
			l.mu.Unlock()
			l.stepServer(s.ID)
		}
		return nil
	})
}

// wake turns committed events into work. It is called in the order of the
// commits and must be quick.
func (l *loops) wake(events []fleet.Event) {
	for _, e := range events {
		w := WakeFor(e)
		if w.Provider != "" && w.Server != "" {
			l.mu.Lock()
			l.providerOf[w.Server] = w.Provider
			l.mu.Unlock()
		}
		if w.Pool != "" {
			l.pools.Add(w.Pool)
		}
		if w.Server != "" {
			l.stepServer(w.Server)
		}
		if w.Sessions {
			l.sessions.Add("expire")
		}
		if w.Configured {
			// Which pools a change touches is not worth knowing: a pool that has
			// nothing to do is quick. A commit hook must not read the database.
			l.unresolved.Add(keyAllPools)
		}
		if w.Settings {
			l.unresolved.Add(keyReset + w.Provider)
		}
		if e.Data["phase"] == string(fleet.PhaseGone) {
			l.mu.Lock()
			delete(l.providerOf, e.ID)
			l.mu.Unlock()
		}
	}
}

// Wake is work that an event makes worthwhile.
type Wake struct {
	Pool       string
	Server     string // id
	Provider   string // of the server, or whose settings have changed
	Sessions   bool   // a session may be due
	Configured bool   // an object has changed: every pool is looked at
	Settings   bool   // a VM provider has changed: Provider is asked anew
}

// WakeFor says what an event makes worthwhile.
func WakeFor(e fleet.Event) Wake {
	switch e.Kind {
	case fleet.EventKindServer:
		w := Wake{Pool: e.Pool}
		if e.Data["phase"] != string(fleet.PhaseGone) {
			w.Server = e.ID
			w.Provider, _ = e.Data["vm_provider"].(string)
		}
		return w
	case fleet.EventKindSession:
		w := Wake{Pool: e.Pool, Sessions: true}
		if e.Type == fleet.EventSessionEnded {
			w.Server, _ = e.Data["server_id"].(string)
		}
		return w
	case fleet.EventKindToken:
		return Wake{}
	case string(fleet.KindPool):
		return Wake{Configured: e.Type != fleet.EventPoolDecision}
	case string(fleet.KindVMProvider):
		changed := e.Type == fleet.EventObjectUpdated || e.Type == fleet.EventObjectCreated
		w := Wake{Configured: true, Settings: changed}
		if changed {
			w.Provider = e.Name
		}
		return w
	}
	return Wake{Configured: true}
}
