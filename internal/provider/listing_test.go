package provider_test

import (
	"context"
	"iter"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

// fixed shows the given machines, whoever asks.
type fixed struct {
	provider.Driver
	all []provider.Instance
}

func (f fixed) List(context.Context, provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		for _, i := range f.all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	a, b := request("a").Tags, request("b").Tags
	foreign := a
	foreign.Installation = "other"
	for _, tc := range []struct {
		name string
		all  []provider.Instance
		want []string
		fail bool
	}{
		{name: "empty"},
		{name: "two", all: []provider.Instance{{ID: "1", Tags: a}, {ID: "2", Tags: b}}, want: []string{"1", "2"}},
		{name: "foreign", all: []provider.Instance{{ID: "1", Tags: foreign}, {ID: "2", Tags: b}, {ID: "3"}}, want: []string{"2"}},
		{name: "shown twice", all: []provider.Instance{{ID: "1", Tags: a}, {ID: "1", Tags: a}}, want: []string{"1"}},
		{name: "one id for two machines", all: []provider.Instance{{ID: "1", Tags: a}, {ID: "1", Tags: b}}, fail: true},
		{name: "without id", all: []provider.Instance{{Tags: a}}, fail: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.Driver = fixed{o.Driver, tc.all} })
			l, err := r.List(t.Context())
			if tc.fail {
				wantClass(t, err, provider.Unknown)
				if l.Complete() || l.Len() != 0 || r.Latest() != nil {
					t.Error("a failed listing is usable")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range l.All() {
				got = append(got, i.ID)
				if same, ok := l.ByID(i.ID); !ok || same.ID != i.ID || len(l.Find(i.Tags.Server)) != 1 {
					t.Errorf("machine %s is not found", i.ID)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("machines:\n%s", diff)
			}
			if !l.Complete() || r.Latest() != l || !l.At.Equal(r.clock.Now()) {
				t.Error("the listing is not complete, not the latest or has no time")
			}
		})
	}
}

// gated lets each listing go on only when it is told to.
type gated struct {
	provider.Driver
	begun chan struct{}
	goOn  chan struct{}
}

func (g gated) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	var all []provider.Instance
	for i := range g.Driver.List(ctx, o) {
		all = append(all, i)
	}
	g.begun <- struct{}{}
	<-g.goOn
	return fixed{all: all}.List(ctx, o)
}

// Callers that come while a listing is under way must not get its answer,
// which may be older than what they did; they share the next one.
func TestListingsAreShared(t *testing.T) {
	t.Parallel()
	g := gated{begun: make(chan struct{}), goOn: make(chan struct{})}
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) {
		g.Driver = o.Driver
		o.Driver = g
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = r.List(t.Context()) })
	<-g.begun
	id := r.cloud.Plant("late", request("a").Tags)
	entered := make(chan struct{}, 5)
	for range 5 {
		wg.Go(func() {
			entered <- struct{}{}
			l, err := r.List(t.Context())
			if _, ok := l.ByID(id); !ok {
				t.Errorf("the machine that was made before the call is missing: %v", err)
			}
		})
	}
	for range 5 {
		<-entered
	}
	listings := 1
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	for {
		select {
		case g.goOn <- struct{}{}:
		case <-g.begun:
			listings++
		case <-over:
			if listings < 2 || listings > 6 {
				t.Errorf("%d listings for 6 callers", listings)
			}
			return
		}
	}
}
