// Package bench measures the running system: real control loops and a real
// database, with the simulated cloud in real time.
package bench

import (
	"context"
	"errors"
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
	for _, n := range []int64{100, 500, 10_000} {
		goal := "<= 1.2"
		if n > 500 {
			goal = "<= 3"
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			used := cpuTime(b)
			i := install(b, n)
			took := i.fill(b, n)
			note(b, "time to all ready", took.Seconds(), "s", "")
			note(b, "to the floor", float64(took)/float64(floor), "x", goal)
			note(b, "cpu per machine", (cpuTime(b)-used).Seconds()/float64(n)*1e6, "us", "")
		})
	}
}

// installation is a store, a simulated cloud and the loops that run on them.
type installation struct {
	store *store.Store
	cloud *sim.Cloud
}

func install(b *testing.B, n int64) *installation {
	b.Helper()
	st, err := store.Open(b.Context(), store.Options{URL: "sqlite://" + filepath.Join(b.TempDir(), "bench.db"), Clock: clock.RealClock{}, Log: quiet()})
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
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			b.Error(err)
		}
	})
	return &installation{st, cloud}
}

// fill wishes for n machines and waits until all are ready.
func (i *installation) fill(b *testing.B, n int64) time.Duration {
	b.Helper()
	began := time.Now() //nolint:forbidigo // what is measured is real time
	all := reached(i.store, n, fleet.PhaseReady)
	want(b, i.store, n)
	<-all
	return time.Since(began) //nolint:forbidigo // as above
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// want writes a policy that wants n machines.
func want(b *testing.B, st *store.Store, n int64) {
	b.Helper()
	no := false
	put(b, st,
		object{fleet.KindZone, "x", fleet.ZoneSpec{}},
		object{fleet.KindPool, "x", fleet.PoolSpec{Type: fleet.PoolDockerAgent}},
		object{fleet.KindVMProvider, "x", fleet.VMProviderSpec{Provider: "sim", MaxInstances: max(n, 1), CreateBurst: n, CreateRate: float64(n)}},
		object{fleet.KindAutoscaleConfig, "x", fleet.AutoscaleConfigSpec{
			Pool: "x", Zone: "x", VMProviders: []string{"x"}, MinServers: n, MaxServers: n, RequireCheckin: &no, DownscaleBackoff: fleet.Duration(time.Second),
		}},
	)
}

// reached is closed when n servers have come to a phase, by their events.
func reached(st *store.Store, n int64, phase fleet.Phase) <-chan struct{} {
	done, there := make(chan struct{}), int64(0)
	st.OnCommit(func(events []fleet.Event) {
		for _, e := range events {
			if e.Type == fleet.EventServerPhase && e.Data["phase"] == string(phase) {
				if there++; there == n {
					close(done)
				}
			}
		}
	})
	return done
}
