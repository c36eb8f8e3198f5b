// Package bench measures the running system: real control loops and a real
// database, with the simulated cloud in real time.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/control"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// The cloud of the fill benchmark: one create call takes 100 ms, a machine
// boots in 2 s. The floor of any controller is the sum.
const (
	callTime = 100 * time.Millisecond
	bootTime = 2 * time.Second
	floor    = callTime + bootTime
)

// BenchmarkFill measures the time from a policy that wants n machines to the
// moment at which all are ready. Each machine is durable in SQLite (WAL,
// synchronous=FULL) before its create call.
func BenchmarkFill(b *testing.B) {
	for _, n := range []int64{100, 500, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var total time.Duration
			for range b.N {
				total += fill(b, n)
			}
			took := total / time.Duration(b.N)
			b.ReportMetric(took.Seconds(), "s/fill")
			b.ReportMetric(float64(took)/float64(floor), "x-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func fill(b *testing.B, n int64) time.Duration {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	st, err := store.Open(ctx, store.Options{URL: "sqlite://" + filepath.Join(b.TempDir(), "bench.db"), Clock: clock.RealClock{}, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	cloud := sim.NewCloud(sim.Options{Clock: clock.RealClock{}, Seed: 1})
	behaviour := sim.Behaviour{
		Shape: fleet.Resources{Cores: fleet.Core, MemoryMiB: 1024}, Boot: sim.Always(bootTime),
		LatencyOf: map[sim.Operation]sim.Spread{sim.OpCreate: sim.Always(callTime)}, Page: 1000,
	}
	kind := sim.Kind(func(string) *sim.Cloud { return cloud })
	kind.Defaults.Concurrency, kind.Defaults.BusyInterval = 1000, 100*time.Millisecond
	c := control.New(control.Deps{
		Store: st, Clock: clock.RealClock{}, Log: quiet(),
		Shape: func(fleet.VMProviderSpec) fleet.Resources { return behaviour.Shape },
		Open: func(_ context.Context, o *store.Object) (*provider.Client, error) {
			return provider.NewClient(provider.ClientOptions{
				Kind: kind, Driver: cloud.Driver(behaviour), Clock: clock.RealClock{},
				Owner: provider.Owner{Installation: st.Installation(), Provider: o.Name},
			}), nil
		},
		Bootstrap: func(context.Context, *fleet.Server) (provider.Bootstrap, error) { return provider.Bootstrap{}, nil },
	})
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	began := time.Now() //nolint:forbidigo // what is measured is real time
	all := allReady(st, n)
	want(b, st, n)
	<-all
	took := time.Since(began) //nolint:forbidigo // as above
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	return took
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// want writes a policy that wants n machines.
func want(b *testing.B, st *store.Store, n int64) {
	b.Helper()
	no := false
	err := st.Write(b.Context(), func(tx *store.Tx) error {
		now := time.Now() //nolint:forbidigo // as above
		for _, o := range []struct {
			kind fleet.Kind
			spec any
		}{
			{fleet.KindZone, fleet.ZoneSpec{}},
			{fleet.KindPool, fleet.PoolSpec{Type: fleet.PoolDockerAgent}},
			{fleet.KindVMProvider, fleet.VMProviderSpec{Provider: "sim", MaxInstances: n, CreateBurst: n, CreateRate: float64(n)}},
			{fleet.KindAutoscaleConfig, fleet.AutoscaleConfigSpec{
				Pool: "x", Zone: "x", VMProviders: []string{"x"}, MinServers: n, RequireCheckin: &no,
			}},
		} {
			spec, err := json.Marshal(o.spec)
			if err != nil {
				return err
			}
			if _, _, err := tx.PutObject(&store.Object{Kind: o.kind, Name: "x", Spec: spec}, now); err != nil {
				return err
			}
			tx.Emit(fleet.Event{Type: fleet.EventObjectCreated, Kind: string(o.kind), Name: "x", Actor: "bench", Message: "created"})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// allReady is closed when n servers have become ready, by their events.
func allReady(st *store.Store, n int64) <-chan struct{} {
	done, ready := make(chan struct{}), int64(0)
	st.OnCommit(func(events []fleet.Event) {
		for _, e := range events {
			if e.Type == fleet.EventServerPhase && e.Data["phase"] == string(fleet.PhaseReady) {
				if ready++; ready == n {
					close(done)
				}
			}
		}
	})
	return done
}
