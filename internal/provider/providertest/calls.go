package providertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

func endedContext(t *testing.T, s *suite) {
	req := s.request(owners()[0])
	i := s.create(t, req)
	s.running(t, i.ID)
	s.shown(t, owners()[0], 1)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for name, ctx := range map[string]context.Context{"cancelled": cancelled, "expired": expired} {
		for op, call := range map[string]func() error{
			"create": func() error { _, err := s.driver.Create(ctx, s.request(owners()[0])); return err },
			"get":    func() error { _, err := s.driver.Get(ctx, i.ID); return err },
			"delete": func() error { return s.driver.Delete(ctx, i.ID) },
			"list": func() (last error) {
				for _, err := range s.driver.List(ctx, owners()[0]) {
					last = err
				}
				return last
			},
		} {
			began := time.Now()
			err := call()
			if provider.ClassOf(err) != provider.Unavailable || err == nil {
				t.Errorf("%s with a context that is %s: %v, expected unavailable", op, name, err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("%s with a context that is %s took %v", op, name, took)
			}
		}
	}
	if i := s.running(t, i.ID); i.Tags.Server != req.Tags.Server {
		t.Errorf("a call without time changed the machine: %+v", i)
	}
	s.shown(t, owners()[0], 1)
}

// atOnce makes the creates at the same moment and counts the machines.
func (s *suite) atOnce(t *testing.T, reqs []provider.Request) map[string]int {
	t.Helper()
	var mu sync.Mutex
	ids := map[string]int{}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, req := range reqs {
		wg.Go(func() {
			<-start
			// A cloud may refuse one of two calls with the same token with
			// Conflict while the other is under way.
			s.repeat(t, func() error {
				i, err := s.driver.Create(t.Context(), req)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				ids[i.ID]++
				return nil
			})
		})
	}
	close(start)
	wg.Wait()
	return ids
}

// repeat calls f until it does not answer Conflict any more.
func (s *suite) repeat(t *testing.T, f func() error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(s.Patience)
	defer over.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if provider.ClassOf(err) != provider.Conflict {
			t.Errorf("create: %v", err)
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Errorf("create still after %v: %v", s.Patience, err)
			return
		}
	}
}

func manyCreates(t *testing.T, s *suite) {
	var reqs []provider.Request
	for range 8 {
		reqs = append(reqs, s.request(owners()[0]))
	}
	if ids := s.atOnce(t, reqs); len(ids) != 8 {
		t.Errorf("8 creates made %d machines: %v", len(ids), ids)
	}
	s.shown(t, owners()[0], 8)
}

func oneToken(t *testing.T, s *suite) {
	req := s.request(owners()[0])
	reqs := make([]provider.Request, 8)
	for i := range reqs {
		reqs[i] = req
	}
	if ids := s.atOnce(t, reqs); len(ids) != 1 {
		t.Errorf("8 creates with one token made %d machines: %v", len(ids), ids)
	}
	s.shown(t, owners()[0], 1)
}

func errorClasses(t *testing.T, s *suite) {
	for _, class := range []provider.Class{
		provider.NotFound, provider.Invalid, provider.Unauthenticated, provider.Forbidden, provider.Quota, provider.NoCapacity,
		provider.RateLimited, provider.Conflict, provider.Unavailable, provider.Unsupported, provider.Unknown,
	} {
		t.Run(string(class), func(t *testing.T) {
			provoke := s.Provoke[class]
			if provoke == nil {
				t.Skipf("harness cannot provoke %s", class)
			}
			err := s.errorOf(t, "the provoked call", provoke(t, s.raw))
			if err == nil || provider.ClassOf(err) != class {
				t.Errorf("the driver answered %v, expected %s", err, class)
			}
			if after := provider.RetryAfter(err); class == provider.RateLimited && s.Throttle != 0 && (after > s.Throttle || after < s.Throttle-5*time.Second) {
				t.Errorf("the driver says to wait %v, the cloud says %v", after, s.Throttle)
			}
		})
	}
}
