package provider_test

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

// slow shows a machine after each pause.
type slow struct {
	provider.Driver
	pauses []time.Duration
}

func (s slow) List(ctx context.Context, _ provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		for n, d := range s.pauses {
			timer := time.NewTimer(d)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				yield(provider.Instance{}, ctx.Err())
				return
			}
			if !yield(provider.Instance{ID: string(rune('a' + n)), Tags: request("a").Tags}, nil) {
				return
			}
		}
	}
}

// A listing of many pages may take longer than one call, as long as it goes
// on; one that hangs ends after the time of one call.
func TestDeadlineOfListings(t *testing.T) {
	t.Parallel()
	sec := time.Second
	for name, tc := range map[string]struct {
		pauses []time.Duration
		ends   time.Duration
		ok     bool
	}{
		"goes on":  {[]time.Duration{15 * sec, 15 * sec, 15 * sec, 15 * sec}, 60 * sec, true},
		"hangs":    {[]time.Duration{15 * sec, time.Hour}, 35 * sec, false},
		"too long": {[]time.Duration{19 * sec, 19 * sec, 19 * sec, 19 * sec, 19 * sec, 19 * sec, 19 * sec}, 120 * sec, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				c := provider.NewClient(provider.ClientOptions{Kind: sim.Kind(nil), Driver: slow{pauses: tc.pauses}, Owner: owner(), Clock: clock.RealClock{}})
				l, err := c.List(t.Context())
				if tc.ok != (err == nil) || tc.ok && l.Len() != len(tc.pauses) {
					t.Errorf("%d machines, %v", l.Len(), err)
				}
				if err != nil {
					wantClass(t, err, provider.Unavailable)
				}
				if took := time.Since(began); took != tc.ends {
					t.Errorf("it took %v, expected %v", took, tc.ends)
				}
			})
		})
	}
}

func (s slow) Check(ctx context.Context) (provider.Report, error) {
	for _, err := range s.List(ctx, owner()) {
		if err != nil {
			return provider.Report{}, err
		}
	}
	return provider.Report{}, nil
}

// A check looks at many things, one after the other.
func TestDeadlineOfChecks(t *testing.T) {
	t.Parallel()
	for last, want := range map[time.Duration]time.Duration{19 * time.Second: 57 * time.Second, 23 * time.Second: 60 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			driver := slow{pauses: []time.Duration{19 * time.Second, 19 * time.Second, last}}
			c := provider.NewClient(provider.ClientOptions{Kind: sim.Kind(nil), Driver: driver, Owner: owner(), Clock: clock.RealClock{}})
			_, err := c.Check(t.Context())
			if took := time.Since(began); took != want || (err == nil) != (want < 60*time.Second) {
				t.Errorf("it took %v, expected %v: %v", took, want, err)
			}
		})
	}
}
