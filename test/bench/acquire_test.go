package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/app"
	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

const (
	callers       = 16
	acquires      = 4000 // that are measured
	placesOfOne   = 10   // on one server
	fullestToFill = 80   // per cent of a pool; then the sessions end again, unmeasured
)

// BenchmarkAcquire measures what it takes to get a session from a warm pool,
// committed and synced before the answer, by 16 callers at once: in process, and
// over HTTP on the loopback.
func BenchmarkAcquire(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		var base float64 // p99 of the smallest pool
		for _, places := range []int{100, 1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/places=%d", kind, places), func(b *testing.B) {
				a := warm(b, kind, places, 0)
				s := a.Service()
				p := auth.Principal{TokenID: "bench", Name: "bench", Role: fleet.RoleAdmin}
				settle(b, a, p)
				p99 := acquireAll(b, places, "in process", func(ctx context.Context, user string) (string, error) {
					v, err := s.Acquire(ctx, p, service.AcquireRequest{Pool: "x", User: user, NoQueue: true})
					return v.ID, err
				}, func(ctx context.Context, id string) error {
					_, err := s.EndSession(ctx, p, id)
					return err
				})
				if base == 0 {
					base = p99
				}
				note(b, "p99 to that of 100 places", p99/base, "x", "<= 2")
				overHTTP(b, a, places)
			})
		}
	}
}

// BenchmarkAcquireWhileChurning is the same while 1,000 machines are made and
// given up again all the time.
func BenchmarkAcquireWhileChurning(b *testing.B) {
	a := warm(b, "sqlite", 10_000, 1000)
	settle(b, a, auth.Principal{TokenID: "bench", Name: "bench", Role: fleet.RoleAdmin})
	overHTTP(b, a, 10_000)
}

func overHTTP(b *testing.B, a *app.App, places int) {
	b.Helper()
	token, _ := a.AdminToken()
	c, err := client.New(client.Options{URL: a.URL(), Token: token})
	if err != nil {
		b.Fatal(err)
	}
	acquireAll(b, places, "http", func(ctx context.Context, user string) (string, error) {
		v, err := c.CreateSession(ctx, client.SessionRequest{Pool: "x", User: user, NoQueue: true})
		if err != nil {
			return "", err
		}
		return v.ID, nil
	}, func(ctx context.Context, id string) error {
		_, err := c.EndSession(ctx, id)
		return err
	})
}

// settle waits until the controller, which has just started and looks at all it
// has, answers nobody but us: some sessions come and go.
func settle(b *testing.B, a *app.App, p auth.Principal) {
	b.Helper()
	for range 200 {
		v, err := a.Service().Acquire(b.Context(), p, service.AcquireRequest{Pool: "x", NoQueue: true})
		if err == nil {
			_, err = a.Service().EndSession(b.Context(), p, v.ID)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// acquireAll measures rounds of acquires until there have been enough, and
// returns the 99th percentile in milliseconds.
func acquireAll(b *testing.B, places int, how string, acquire func(ctx context.Context, user string) (string, error), end func(ctx context.Context, id string) error) float64 {
	b.Helper()
	var all []time.Duration
	var busy, used time.Duration
	for len(all) < acquires {
		n := min(acquires-len(all), places*fullestToFill/100)
		took, ids := make([]time.Duration, n), make([]string, n)
		began, cpu := time.Now(), cpuTime(b) //nolint:forbidigo // what is measured is real time
		together(n, func(i int) {
			t := time.Now() //nolint:forbidigo // as above
			id, err := acquire(b.Context(), fmt.Sprint("user", i))
			if err != nil {
				b.Error(err)
			}
			took[i], ids[i] = time.Since(t), id //nolint:forbidigo // as above
		})
		busy += time.Since(began) //nolint:forbidigo // as above
		used += cpuTime(b) - cpu
		all = append(all, took...)
		together(n, func(i int) {
			if err := end(b.Context(), ids[i]); err != nil {
				b.Error(err)
			}
		})
		if b.Failed() {
			b.FailNow()
		}
	}
	slices.Sort(all)
	note(b, how+" rate", float64(len(all))/busy.Seconds(), "/s", "")
	note(b, how+" cpu", float64(used.Microseconds())/float64(len(all)), "us", "")
	note(b, how+" p50", percentile(all, 50), "ms", "")
	p99 := percentile(all, 99)
	note(b, how+" p99", p99, "ms", "")
	return p99
}

// together has 16 callers do n things.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n; i += callers {
				do(i)
			}
		})
	}
	wg.Wait()
}

// warm runs a whole controller on a pool with so many free places on servers
// that were registered by hand, and with as many machines of another pool that
// come and go.
func warm(b *testing.B, kind string, places, churning int) *app.App {
	b.Helper()
	dir := b.TempDir()
	url := "sqlite://" + filepath.Join(dir, "headroom.db")
	if kind == "postgres" {
		url = pgtest.New(b, pgtest.Durable())
	}
	st, err := store.Open(b.Context(), store.Options{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	put(b, st, object{fleet.KindZone, "x", fleet.ZoneSpec{}}, object{fleet.KindPool, "x", fleet.PoolSpec{Type: fleet.PoolServer}})
	for first := 0; first < places; first += 1000 {
		err := st.Write(b.Context(), func(tx *store.Tx) error {
			for range min(1000, places-first) / placesOfOne {
				now := time.Now() //nolint:forbidigo // as above
				err := tx.InsertServer(&fleet.Server{
					Origin: fleet.OriginFixed, Pool: "x", Zone: "x", Phase: fleet.PhaseReady, Reason: "warm", CapacitySource: fleet.CapacityOverride,
					Capacity: fleet.Resources{Places: placesOfOne}, LastSeenAt: &now, RegisteredAt: &now, ReadyAt: &now,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	a, err := app.New(b.Context(), app.Config{DataDir: dir, DatabaseURL: url, Listen: "127.0.0.1:0", Executable: executable}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	if churning > 0 {
		running.Go(func() { churn(ctx, b, a, churning) })
	}
	b.Cleanup(func() {
		stop()
		running.Wait()
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	})
	return a
}

// churn wishes for n machines and for none in turn.
func churn(ctx context.Context, b *testing.B, a *app.App, n int) {
	p := auth.Principal{TokenID: "bench", Name: "bench", Role: fleet.RoleAdmin}
	tick := time.NewTicker(3 * time.Second) //nolint:forbidigo // as above
	defer tick.Stop()
	for wish := n; ; wish = n - wish {
		_, err := a.Service().Apply(ctx, p, service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "bench", Text: fmt.Sprintf(churnManifest, n, wish, max(wish, 1))}}})
		if err != nil && ctx.Err() == nil {
			b.Error(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

const churnManifest = `
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: churn}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: churn}
spec: {provider: sim, max_instances: %[1]d, create_burst: %[1]d, create_rate: %[1]d, settings: {boot_time: 500ms}}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: churn}
spec: {pool: churn, zone: x, vm_providers: [churn], min_servers: %[2]d, max_servers: %[3]d, downscale_backoff: 1s, require_checkin: false}
`

type object struct {
	kind fleet.Kind
	name string
	spec any
}

// put writes objects as an operator would have.
func put(b *testing.B, st *store.Store, objects ...object) {
	b.Helper()
	err := st.Write(b.Context(), func(tx *store.Tx) error {
		now := time.Now() //nolint:forbidigo // as above
		for _, o := range objects {
			spec, err := json.Marshal(o.spec)
			if err != nil {
				return err
			}
			if _, _, err := tx.PutObject(&store.Object{Kind: o.kind, Name: o.name, Spec: spec}, now); err != nil {
				return err
			}
			tx.Emit(fleet.Event{Type: fleet.EventObjectCreated, Kind: string(o.kind), Name: o.name, Actor: "bench", Message: "created"})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
