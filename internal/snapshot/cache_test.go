package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func shape(fleet.VMProviderSpec) fleet.Resources { return fleet.Resources{} }

// TestCacheIsTheDatabase: whatever is written, the cache gives the planner what
// the database gives.
func TestCacheIsTheDatabase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s, err := store.Open(context.Background(), store.Options{URL: "sqlite://:memory:"})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // in memory
		cache := snapshot.NewCache(s, nil)
		at := now
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			for range rapid.IntRange(0, 3).Draw(rt, "writes") {
				err := s.Write(context.Background(), func(tx *store.Tx) error { return change(rt, tx) })
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					rt.Fatal(err)
				}
			}
			at = at.Add(time.Duration(rapid.IntRange(0, 50).Draw(rt, "minutes")) * time.Minute)
			if rapid.IntRange(0, 19).Draw(rt, "lost") == 0 {
				cache = snapshot.NewCache(s, nil)
			}
			compare(rt, s, cache, at)
		}
	})
}

func compare(rt *rapid.T, s *store.Store, cache *snapshot.Cache, at time.Time) {
	ctx := context.Background()
	opts := cmp.Options{cmpopts.EquateEmpty()}
	for _, pool := range []string{"p", "q"} {
		var want plan.Input
		wantErr := s.Read(ctx, func(tx *store.Tx) (err error) {
			want, err = snapshot.Load(tx, pool, at, shape, nil)
			return err
		})
		got, err := cache.Load(ctx, pool, at, shape)
		if errors.Is(wantErr, store.ErrNotFound) != errors.Is(err, store.ErrNotFound) || (err == nil) != (wantErr == nil) {
			rt.Fatalf("pool %s: error %v, want %v", pool, err, wantErr)
		}
		if d := cmp.Diff(want, got, opts); err == nil && d != "" {
			rt.Fatalf("pool %s (-database +cache):\n%s", pool, d)
		}
	}
	var want []*fleet.Server
	var object error
	err := s.Read(ctx, func(tx *store.Tx) (err error) {
		_, object = tx.Object(fleet.KindVMProvider, "v")
		want, err = tx.Servers(store.ServerFilter{VMProvider: "v"})
		return err
	})
	if err != nil {
		rt.Fatal(err)
	}
	got, configured, err := cache.Servers(ctx, "v", at)
	if d := cmp.Diff(want, got, opts); err != nil || d != "" || configured != (object == nil) {
		rt.Fatalf("servers of v, configured %t, error %v (-database +cache):\n%s", configured, err, d)
	}
	for _, v := range want {
		one, _, err := cache.Server(ctx, v.ID, at)
		if d := cmp.Diff(v, one); err != nil || d != "" {
			rt.Fatalf("server %s, error %v (-database +cache):\n%s", v.ID, err, d)
		}
	}
}

// change writes one random thing.
func change(rt *rapid.T, tx *store.Tx) error {
	pick := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(rt, what) }
	put := func(kind fleet.Kind, name string, spec any) error {
		if pick("delete", 4) == 0 {
			return tx.DeleteObject(kind, name)
		}
		b, err := json.Marshal(spec)
		if err != nil {
			return err
		}
		_, _, err = tx.PutObject(&store.Object{Kind: kind, Name: name, Spec: b}, now)
		return err
	}
	pool := []string{"p", "q"}[pick("pool", 2)]
	switch pick("what", 9) {
	case 0:
		return put(fleet.KindPool, pool, fleet.PoolSpec{Type: fleet.PoolDockerAgent, Frozen: pick("frozen", 2) == 0})
	case 1:
		return put(fleet.KindAutoscaleConfig, fmt.Sprint("c", pick("config", 3)), fleet.AutoscaleConfigSpec{Pool: pool, Zone: "z", VMProviders: []string{"v", "w"}[pick("from", 2):]})
	case 2:
		return put(fleet.KindVMProvider, "v", fleet.VMProviderSpec{Provider: "sim", MaxInstances: int64(pick("max", 9))})
	case 3:
		over := pick("fall over", 2) == 0
		return put(fleet.KindZone, "z", fleet.ZoneSpec{FallOver: &over})
	case 4:
		return put(fleet.KindStaging, fmt.Sprint("s", pick("staging", 2)), fleet.StagingSpec{Pool: pool, Zone: "z", Count: int64(pick("count", 3))})
	case 5, 6:
		return tx.InsertServer(&fleet.Server{
			Pool: pool, Zone: "z", VMProvider: []string{"v", "w", ""}[pick("provider", 3)], Phase: fleet.PhaseReady, CapacitySource: fleet.CapacityReported,
			Capacity:  fleet.Resources{Cores: 4 * fleet.Core, MemoryMiB: 4096},
			CreatedAt: now.Add(time.Duration(pick("age", 100)) * time.Second), // also older than those that are there
		})
	case 7:
		servers, err := tx.Servers(store.ServerFilter{})
		if err != nil || len(servers) == 0 {
			return err
		}
		v := servers[pick("server", len(servers))]
		v.Phase = fleet.Phases()[pick("phase", len(fleet.Phases()))]
		v.Pool, v.Reason, v.CreatedAt = pool, "changed", now.Add(time.Duration(pick("age", 100))*time.Second)
		return tx.SaveServer(v)
	}
	q := store.ClaimQuery{Pool: pool, Need: fleet.Resources{Cores: fleet.Core, MemoryMiB: 512}, User: "u"}
	v, err := tx.Claim(q)
	if err != nil {
		return tx.InsertSession(&fleet.Session{Pool: pool, Zone: []string{"", "z"}[pick("zone", 2)], State: fleet.SessionQueued, Need: q.Need, Owner: "o"})
	}
	state := []fleet.SessionState{fleet.SessionActive, fleet.SessionStaged}[pick("state", 2)]
	return tx.InsertSession(&fleet.Session{Pool: pool, User: "u", State: state, Staging: "s0", ServerID: v.ID, Need: q.Need, Owner: "o"})
}
