package bench

import (
	"fmt"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

const pools = 100

// BenchmarkPlan measures a pass of the planner: one over each of 100 pools after
// a start, when everything is read, and one over a pool of which one server has
// changed.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("servers=%d", n), func(b *testing.B) {
			st, err := store.Open(b.Context(), store.Options{URL: "sqlite://" + b.TempDir() + "/bench.db"})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close() //nolint:errcheck // the benchmark is over
			server := populate(b, st, n)
			before := heap()
			cache := snapshot.NewCache(st, nil)
			shape := func(fleet.VMProviderSpec) fleet.Resources { return fleet.Resources{Cores: fleet.Core, MemoryMiB: 1024} }
			pass := func(pool string) {
				in, err := cache.Load(b.Context(), pool, time.Now(), shape) //nolint:forbidigo // what is measured is real time
				if err != nil {
					b.Fatal(err)
				}
				if d := plan.For(in); len(d.Configs) != 1 || d.Configs[0].Supply.Servers != int64(n/pools) {
					b.Fatalf("pool %s: %+v", pool, d)
				}
			}
			begin := cpuTime(b)
			pass(poolName(0))
			note(b, "first pass, everything read", ms(cpuTime(b)-begin), "ms cpu", "")
			note(b, "memory of the copy", float64(heap()-before)/float64(n)/1024, "KiB/server", "")
			begin = cpuTime(b)
			for i := range pools {
				pass(poolName(i))
			}
			note(b, "all 100 pools, nothing changed", ms(cpuTime(b)-begin), "ms cpu", "<= 50")
			const changes = 200
			var spent time.Duration
			for i := range changes {
				err := st.Write(b.Context(), func(tx *store.Tx) error {
					s, err := tx.Server(server)
					if err != nil {
						return err
					}
					s.Reason = fmt.Sprint("changed ", i)
					return tx.SaveServer(s)
				})
				if err != nil {
					b.Fatal(err)
				}
				begin := cpuTime(b)
				pass(poolName(0))
				spent += cpuTime(b) - begin
			}
			note(b, "one pool, one server changed", ms(spent)/changes, "ms cpu", "<= 50")
		})
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func poolName(i int) string { return fmt.Sprintf("p%03d", i) }

// populate writes 100 pools with n ready servers, and returns the id of one of
// the first pool.
func populate(b *testing.B, st *store.Store, n int) (server string) {
	b.Helper()
	put(b, st, object{fleet.KindZone, "x", fleet.ZoneSpec{}})
	for i := range pools {
		put(b, st,
			object{fleet.KindPool, poolName(i), fleet.PoolSpec{Type: fleet.PoolDockerAgent}},
			object{fleet.KindVMProvider, poolName(i), fleet.VMProviderSpec{Provider: "sim", MaxInstances: int64(n)}},
			object{fleet.KindAutoscaleConfig, poolName(i), fleet.AutoscaleConfigSpec{Pool: poolName(i), Zone: "x", VMProviders: []string{poolName(i)}, MinServers: int64(n / pools)}},
		)
		err := st.Write(b.Context(), func(tx *store.Tx) error {
			for range n / pools {
				s := &fleet.Server{
					Origin: fleet.OriginAutoscaled, Pool: poolName(i), Zone: "x", AutoscaleConfig: poolName(i), VMProvider: poolName(i), ProviderRevision: 1,
					Phase: fleet.PhaseReady, Reason: "runs in the cloud", CapacitySource: fleet.CapacityReported, Addresses: []string{"10.0.0.1"},
					Capacity: fleet.Resources{Cores: fleet.Core, MemoryMiB: 1024},
				}
				if err := tx.InsertServer(s); err != nil {
					return err
				}
				if i == 0 {
					server = s.ID
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return server
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below 2^63
}

// BenchmarkQuiet measures what 10,000 machines cost that nobody uses: the share
// of a core, the listings and the memory of a whole controller.
func BenchmarkQuiet(b *testing.B) {
	const n, watch = 10_000, time.Minute
	before := heap()
	i := install(b, n)
	i.fill(b, n)
	<-time.After(5 * time.Second) //nolint:forbidigo // until the last listing has been looked at
	note(b, "memory with the cloud", float64(heap()-before)/(1<<20), "MiB", "")
	calls, used := i.cloud.Calls(), cpuTime(b)
	<-time.After(watch) //nolint:forbidigo // what is measured is a stretch of time
	note(b, "share of a core", 100*float64(cpuTime(b)-used)/float64(watch), "%", "<= 2")
	now := i.cloud.Calls()
	note(b, "pages listed in a minute", float64(now[sim.OpList]-calls[sim.OpList]), "calls", "")
	// The sweep for remnants lists them every ten minutes, for the first time a
	// minute after the start.
	note(b, "remnants listed in a minute", float64(now[sim.OpListRemnants]-calls[sim.OpListRemnants]), "calls", "<= 1")
	others := total(now) - total(calls)
	for _, listing := range []sim.Operation{sim.OpList, sim.OpListRemnants} {
		others -= now[listing] - calls[listing]
	}
	note(b, "other calls in a minute", float64(others), "calls", "<= 0")
}

// BenchmarkLife counts the calls to the cloud for machines that are made and
// given up again.
func BenchmarkLife(b *testing.B) {
	const n = 500
	i := install(b, n)
	i.fill(b, n)
	gone := reached(i.store, n, fleet.PhaseGone)
	want(b, i.store, 0)
	select {
	case <-gone:
	case <-time.After(2 * time.Minute): //nolint:forbidigo // as above
		b.Fatal("the machines are not gone after two minutes")
	}
	calls := i.cloud.Calls()
	for _, op := range []sim.Operation{sim.OpCreate, sim.OpDelete, sim.OpList} {
		note(b, string(op)+" calls per machine", float64(calls[op])/n, "", "")
	}
	note(b, "calls per machine", float64(total(calls))/n, "", "")
}

func total(calls map[sim.Operation]int64) (sum int64) {
	for n := range maps.Values(calls) {
		sum += n
	}
	return sum
}
