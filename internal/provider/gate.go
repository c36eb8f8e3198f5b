package provider

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	firstPause = 5 * time.Second
	maxPause   = time.Minute
	longestAsk = 10 * time.Minute // a cloud that asks for more is asked again after this

	maxPromise = time.Minute     // no refused call is told to wait longer for the limiter
	maxCredit  = 5 * time.Second // debt up to which a listing is admitted over the limit
)

// gate decides whether a call may be made now: the rate limit, the pause that
// the cloud asked for, and the number of calls under way.
type gate struct {
	clock   clock.PassiveClock
	limiter *rate.Limiter // nil: unlimited
	slots   chan struct{}

	mu       sync.Mutex
	promised time.Time // last moment that a refused call was sent to
	owed     bool      // a call was refused since a listing went before its turn
	credited bool      // the last call admitted was a listing that did
	until    time.Time // pause
	pausedAt time.Time
	pause    time.Duration // length of the last pause that we chose ourselves
}

func newGate(c clock.PassiveClock, perSecond float64, concurrency int) *gate {
	g := &gate{clock: c, slots: make(chan struct{}, max(concurrency, 1))}
	if perSecond > 0 {
		// A delete is two calls that are admitted together.
		g.limiter = rate.NewLimiter(rate.Limit(perSecond), max(2, int(math.Ceil(min(perSecond, 1e6)))))
	}
	return g
}

// admit takes n calls out of the rate limit or refuses all of them with
// RateLimited and the time to wait. With credit, they are admitted while the
// debt is small and later calls pay for it: without the listing nothing else
// can make progress, so that it must not starve behind a thousand creates. Nor
// must they behind it, when the limit is so low that listings use all of it:
// whoever was refused after one has a call before the next.
func (g *gate) admit(n int, credit bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	if err := g.pauseError(now); err != nil {
		return err
	}
	if g.limiter == nil {
		return nil
	}
	r := g.limiter.ReserveN(now, n)
	wait := r.DelayFrom(now)
	switch {
	case !credit && wait == 0:
		g.owed, g.credited = false, false
		return nil
	case credit && (wait == 0 || wait <= maxCredit && !g.owed):
		g.credited = wait > 0
		return nil
	}
	r.CancelAt(now)
	g.owed = g.owed || !credit && g.credited
	step := time.Duration(float64(n) / float64(g.limiter.Limit()) * float64(time.Second))
	if credit { // it comes back after the call that it owes
		return refusal(min(wait+step, maxPromise))
	}
	// The callers that are refused now come back one after the other, in the
	// pace of the limit, and not all at the moment of the next free call.
	at := now.Add(wait)
	if next := g.promised.Add(step); next.After(at) {
		at = next
	}
	if limit := now.Add(maxPromise); at.After(limit) {
		at = limit
	}
	g.promised = at
	return refusal(at.Sub(now))
}

func refusal(after time.Duration) error {
	return &Error{
		Class:   RateLimited,
		Message: "waiting for this provider's own rate limit; raise rate_limit if the cloud allows more",
		After:   after,
	}
}

// enter takes a slot; leave gives it back.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return &Error{Class: Unavailable, Message: "too many calls to this provider are under way", Cause: ctx.Err()}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.pauseError(g.clock.Now()); err != nil {
		g.leave()
		return err
	}
	return nil
}

func (g *gate) leave() { <-g.slots }

func (g *gate) pauseError(now time.Time) error {
	if !now.Before(g.until) {
		return nil
	}
	return &Error{Class: RateLimited, Message: "the cloud asked for fewer calls; waiting", After: g.until.Sub(now)}
}

func (g *gate) paused(now time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.until) {
		return g.until
	}
	return time.Time{}
}

// throttle begins a pause for all calls and returns how long it lasts from
// now. Without a time from the cloud it is 5 s, and twice as long each time
// that the cloud still refuses, up to 60 s. Calls that were already under way
// when the pause began do not double it.
func (g *gate) throttle(began time.Time, after time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	if after <= 0 {
		if g.pause == 0 {
			g.pause = firstPause
		} else if began.After(g.pausedAt) {
			g.pause = min(2*g.pause, maxPause)
		}
		after = g.pause
	}
	g.pausedAt = now
	if until := now.Add(min(after, longestAsk)); until.After(g.until) {
		g.until = until
	}
	return g.until.Sub(now)
}

// succeeded forgets the doubling, unless the call began before the pause.
func (g *gate) succeeded(began time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if began.After(g.pausedAt) {
		g.pause = 0
	}
}

// Concurrency is how many calls may be under way at once.
func (c *Client) Concurrency() int { return cap(c.gate.slots) }
