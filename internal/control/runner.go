package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// runner works on the servers of one provider config, so that a slow cloud
// holds up nobody else. It lives as long as this node owns the provider.
type runner struct {
	queue queue
	listQ queue
}

func (r *runner) shutDown() {
	r.queue.ShutDown()
	r.listQ.ShutDown()
}

// The keys of a runner's second queue.
const (
	keyList     = "list"
	keyRemnants = "remnants"
)

// gained begins with work that has become ours as after a start of the
// process: nothing that was known of it before counts.
func (l *loops) gained(key string) {
	l.c.forget(key)
	pool, isPool := strings.CutPrefix(key, keyPool)
	switch {
	case isPool:
		l.mu.Lock()
		delete(l.restUntil, pool)
		l.mu.Unlock()
		l.pools.Add(pool)
	case strings.HasPrefix(key, keyDNS):
		name := strings.TrimPrefix(key, keyDNS)
		l.dns.Add(name)
		l.dns.AddAfter(keySweep+name, dnsSweepEvery/2)
	case key == keySystem:
		l.sessions.Add(keyExpire)
		l.sessions.AddAfter(keyRetain, time.Minute)
	default:
		l.unresolved.Add(keyGained + key)
	}
}

// lost drops what is known of work that is no longer ours, and what was to be
// done. Keys of queues that several pools share are dropped when their turn
// comes.
func (l *loops) lost(key string) {
	l.c.forget(key)
	name, isProvider := strings.CutPrefix(key, keyProvider)
	if !isProvider && key != keyFixed {
		return
	}
	if key == keyFixed {
		name = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runners[name]; r != nil {
		r.shutDown()
		delete(l.runners, name)
	}
}

// forget drops what the controller keeps in memory of the work of a key.
func (c *Controller) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pool, ok := strings.CutPrefix(key, keyPool); ok {
		delete(c.decided, pool)
	}
	if name, ok := strings.CutPrefix(key, keyProvider); ok {
		delete(c.listFailures, name)
		delete(c.allBorn, name)
		c.clouds.drop(name)
	}
}

// drop forgets a provider altogether, with listings and short memories.
func (cs *clouds) drop(name string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, r := range cs.realms[name] {
		cs.replaced = append(cs.replaced, r.client)
	}
	delete(cs.keyOf, name)
	delete(cs.realms, name)
}

// startRunner starts the work on a provider that has become ours: its listing
// and all its servers.
func (l *loops) startRunner(ctx context.Context, key string) error {
	name, _ := strings.CutPrefix(key, keyProvider)
	if key == keyFixed {
		name = ""
	}
	concurrency := l.c.concurrency(ctx, name)
	r := l.runner(key, name, concurrency)
	if r == nil {
		return nil // lost again
	}
	var servers []*fleet.Server
	err := l.c.Store.Read(ctx, func(tx *store.Tx) (err error) {
		servers, err = tx.Servers(store.ServerFilter{VMProvider: name})
		return err
	})
	if err != nil {
		return fmt.Errorf("reading servers of provider %s: %w", name, err)
	}
	for _, s := range servers {
		if s.VMProvider != name {
			continue // the filter for fixed servers is no filter
		}
		l.learn(s)
		r.queue.Add(s.ID)
	}
	return nil
}

// runner makes the runner of a provider, unless it is there or the provider is
// not ours any more: nil.
func (l *loops) runner(key, name string, concurrency int) *runner {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runners[name]; r != nil {
		return r
	}
	if l.stopped || !l.own.holds(key) {
		return nil
	}
	r := &runner{queue: newQueue(l.c, "servers"), listQ: newQueue(l.c, "listings")}
	l.runners[name] = r
	ctx := l.own.ctx
	for range concurrency {
		l.wg.Go(func() {
			work(ctx, l.c, r.queue, "server", func(_ context.Context, id string) (time.Duration, error) {
				return l.owned(key, func(ctx context.Context) (time.Duration, error) { return l.c.StepServer(ctx, id) })
			})
		})
	}
	if name != "" {
		l.wg.Go(func() {
			work(ctx, l.c, r.listQ, "listing", func(_ context.Context, what string) (time.Duration, error) {
				return l.owned(key, func(ctx context.Context) (time.Duration, error) { return l.stepListing(ctx, name, what, r) })
			})
		})
		r.listQ.Add(keyList)
		r.listQ.AddAfter(keyRemnants, remnantFirst)
	}
	return r
}

func (l *loops) stepListing(ctx context.Context, name, what string, r *runner) (time.Duration, error) {
	if what == keyRemnants {
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

func (l *loops) listSoon(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runners[name]; r != nil && name != "" {
		r.listQ.AddAfter(keyList, 50*time.Millisecond)
	}
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
