package provider_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

func TestPauseAfterRateLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, nil)
	throttle := sim.Throttle(0)
	r.cloud.Script(func(sim.Call) sim.Fault { return throttle })
	// Without a time from the cloud: 5 s, doubling to 60 s.
	for i, want := range []time.Duration{5, 10, 20, 40, 60, 60} {
		want *= time.Second
		_, err := r.Get(t.Context(), "x")
		wantClass(t, err, provider.RateLimited)
		if after := provider.RetryAfter(err); after != want {
			t.Fatalf("pause %d lasts %v, expected %v", i+1, after, want)
		}
		calls := r.cloud.Calls()[sim.OpGet]
		r.clock.Step(want - time.Millisecond)
		_, err = r.List(t.Context())
		wantClass(t, err, provider.RateLimited)
		if after := provider.RetryAfter(err); after != time.Millisecond {
			t.Fatalf("1 ms before the end of pause %d the client asks for %v", i+1, after)
		}
		if got := r.cloud.Calls(); got[sim.OpGet] != calls || got[sim.OpList] != 0 {
			t.Fatalf("the cloud was called during a pause: %v", got)
		}
		r.clock.Step(time.Millisecond)
	}
	// Success ends the doubling; a time that the cloud names is kept.
	throttle = sim.Fault{}
	if _, err := r.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := r.PausedUntil(); !at.IsZero() {
		t.Errorf("paused until %v after a success", at)
	}
	r.clock.Step(time.Second)
	for _, want := range []time.Duration{17 * time.Second, 5 * time.Second} {
		throttle = sim.Throttle(want)
		if want == 5*time.Second {
			throttle = sim.Throttle(0)
		}
		_, err := r.Get(t.Context(), "x")
		if after := provider.RetryAfter(err); after != want {
			t.Errorf("pause lasts %v, expected %v", after, want)
		}
		r.clock.Step(want)
	}
}

func TestRateLimitRefusesAndSpreads(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.RateLimit = 2 })
	get := func() error { _, err := r.Get(t.Context(), "x"); return err }
	for range 2 {
		wantClass(t, get(), provider.NotFound)
	}
	var afters []time.Duration
	for range 3 {
		err := get()
		wantClass(t, err, provider.RateLimited)
		afters = append(afters, provider.RetryAfter(err))
	}
	if diff := cmp.Diff([]time.Duration{500 * time.Millisecond, time.Second, 1500 * time.Millisecond}, afters); diff != "" {
		t.Errorf("times at which refused callers come back:\n%s", diff)
	}
	// The listing is made on credit, and later calls pay for it.
	if _, err := r.List(t.Context()); err != nil {
		t.Errorf("listing: %v", err)
	}
	r.clock.Step(500 * time.Millisecond)
	wantClass(t, get(), provider.RateLimited)
	r.clock.Step(500 * time.Millisecond)
	wantClass(t, get(), provider.NotFound)
	if n := r.cloud.Calls()[sim.OpGet]; n != 3 {
		t.Errorf("the cloud was called %d times, expected 3", n)
	}
}

// A limit below the pace of the listings: neither they nor the other calls
// starve.
func TestTightRateLimitIsShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.RateLimit = 0.1 })
	var listAt, getAt time.Duration
	for now := time.Duration(0); now < 20*time.Minute; now += time.Second {
		if now >= listAt {
			_, err := r.List(t.Context())
			listAt = now + max(5*time.Second, provider.RetryAfter(err))
		}
		if now >= getAt {
			_, err := r.Get(t.Context(), "x")
			getAt = now + max(time.Second, provider.RetryAfter(err))
		}
		r.clock.Step(time.Second)
	}
	calls := r.cloud.Calls()
	if lists, gets := calls[sim.OpList], calls[sim.OpGet]; lists+gets > 123 || lists < 30 || gets < 30 {
		t.Errorf("in 20 minutes with a call each 10 s there were %d listings and %d other calls", lists, gets)
	}
}

// A delete is a look and a removal. Under the tightest limit it must come to
// its end and not spend each call on another look.
func TestTightRateLimitLetsDeletesThrough(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.RateLimit = 0.5 })
	id := r.cloud.Plant("m", request("a").Tags)
	if err := r.Delete(t.Context(), id, "a"); err != nil {
		t.Fatal(err)
	}
	_, err := r.Get(t.Context(), id)
	wantClass(t, err, provider.RateLimited) // the delete counted as the two calls that it is
	id = r.cloud.Plant("m", request("a").Tags)
	for range 20 {
		err := r.Delete(t.Context(), id, "a")
		if provider.ClassOf(err) == provider.NotFound && err != nil {
			return
		}
		if err != nil {
			wantClass(t, err, provider.RateLimited)
		}
		r.clock.Step(max(provider.RetryAfter(err), time.Millisecond))
	}
	t.Errorf("the machine is still there: %v", r.cloud.Instances())
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	g := counting{begun: make(chan struct{}, 10), goOn: make(chan struct{})}
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) {
		g.Driver = o.Driver
		o.Driver, o.Concurrency = g, 2
	})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() { _, _ = r.Get(t.Context(), "x") })
	}
	<-g.begun
	<-g.begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.Get(ctx, "x")
	wantClass(t, err, provider.Unavailable)
	if len(g.begun) != 0 {
		t.Error("a third call was made while two were under way")
	}
	close(g.goOn)
	wg.Wait()
}

type counting struct {
	provider.Driver
	begun chan struct{}
	goOn  chan struct{}
}

func (g counting) Get(ctx context.Context, id string) (provider.Instance, error) {
	g.begun <- struct{}{}
	<-g.goOn
	return g.Driver.Get(ctx, id)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		class   provider.Class
		attempt int64
		want    time.Duration
	}{
		{provider.NotFound, 9, 0},
		{provider.Unavailable, 0, time.Second},
		{provider.Unavailable, 1, time.Second},
		{provider.Unavailable, 3, 4 * time.Second},
		{provider.Unknown, 1 << 40, time.Minute},
		{provider.Conflict, 5, 10 * time.Second},
		{provider.RateLimited, 2, 10 * time.Second},
		{provider.NoCapacity, 99, 10 * time.Minute},
		{provider.Invalid, 1, 30 * time.Second},
		{provider.Forbidden, 99, 30 * time.Minute},
	} {
		if got := provider.Backoff(tc.class, tc.attempt); got != tc.want {
			t.Errorf("Backoff(%s, %d) = %v, expected %v", tc.class, tc.attempt, got, tc.want)
		}
	}
}
