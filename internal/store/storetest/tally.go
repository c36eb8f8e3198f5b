package storetest

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// testTallies counts over all pools at once; what is gone or has ended does not
// count, and a server that is full of users has nothing free.
func testTallies(t *testing.T, s *store.Store) {
	size := fleet.Resources{Cores: 4000, MemoryMiB: 1 << 40, GPUs: 1, Places: 2}
	one := func(id, pool string, phase fleet.Phase, change func(*fleet.Server)) *fleet.Server {
		v := &fleet.Server{ID: id, Pool: pool, Zone: "z", VMProvider: "v", Phase: phase, Capacity: size}
		change(v)
		return v
	}
	plain := func(*fleet.Server) {}
	addServers(t, s,
		one("a", "p", fleet.PhaseReady, plain),
		one("b", "p", fleet.PhaseReady, func(v *fleet.Server) { v.Claimed = fleet.Resources{Cores: 1000, GPUs: 1} }),
		one("c", "p", fleet.PhaseReady, func(v *fleet.Server) { v.MaxUsers, v.Users = 1, 1 }),
		one("d", "p", fleet.PhaseReady, func(v *fleet.Server) { v.Missing, v.AutoscaleConfig, v.ProviderRevision, v.Offer = true, "c", 2, "o" }),
		one("h", "p", fleet.PhaseReady, func(v *fleet.Server) { v.VMProvider, v.Missing = "", true }), // registered by hand
		one("e", "p", fleet.PhaseBooting, plain),
		one("f", "p", fleet.PhaseGone, plain),
		one("g", "other", fleet.PhaseBooting, plain),
	)
	servers := get(t, s, func(tx *store.Tx) (map[store.ServerTally]bool, error) {
		list, err := tx.TallyServers()
		set := map[store.ServerTally]bool{}
		for _, v := range list {
			set[v] = true
		}
		return set, err
	})
	wantSame(t, "servers", servers, map[store.ServerTally]bool{
		{Pool: "p", VMProvider: "v", Phase: fleet.PhaseReady, Count: 4}:       true,
		{Pool: "p", VMProvider: "v", Phase: fleet.PhaseBooting, Count: 1}:     true,
		{Pool: "p", VMProvider: "", Phase: fleet.PhaseReady, Count: 1}:        true,
		{Pool: "other", VMProvider: "v", Phase: fleet.PhaseBooting, Count: 1}: true,
	})
	machines := func(pool string) map[store.MachineTally]bool {
		return get(t, s, func(tx *store.Tx) (map[store.MachineTally]bool, error) {
			list, err := tx.TallyMachines(pool)
			set := map[store.MachineTally]bool{}
			for _, v := range list {
				set[v] = true
			}
			return set, err
		})
	}
	other := store.MachineTally{Pool: "other", VMProvider: "v", Phase: fleet.PhaseBooting, Count: 1}
	wantSame(t, "machines", machines(""), map[store.MachineTally]bool{
		{Pool: "p", VMProvider: "v", Phase: fleet.PhaseReady, Count: 3}:                                                true,
		{Pool: "p", VMProvider: "v", AutoscaleConfig: "c", Revision: 2, Offer: "o", Phase: fleet.PhaseReady, Count: 1}: true,
		{Pool: "p", VMProvider: "v", Phase: fleet.PhaseBooting, Count: 1}:                                              true,
		other: true,
	})
	wantSame(t, "machines of one pool", machines("other"), map[store.MachineTally]bool{other: true})
	rooms := get(t, s, func(tx *store.Tx) (map[string]store.PoolRoom, error) { return tx.PoolRooms() })
	wantSame(t, "rooms", rooms, map[string]store.PoolRoom{"p": {
		Capacity: fleet.Resources{Cores: 12000, MemoryMiB: 3 << 40, GPUs: 3, Places: 6},
		Free:     fleet.Resources{Cores: 7000, MemoryMiB: 2 << 40, GPUs: 1, Places: 4},
	}})

	err := s.Write(t.Context(), func(tx *store.Tx) error {
		for id, state := range map[string]fleet.SessionState{
			"q1": fleet.SessionQueued, "q2": fleet.SessionQueued, "s": fleet.SessionStaged, "x": fleet.SessionEnded,
		} {
			if err := tx.InsertSession(&fleet.Session{ID: id, Pool: "p", State: state}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sessions := get(t, s, func(tx *store.Tx) (map[store.SessionTally]bool, error) {
		list, err := tx.TallySessions()
		set := map[store.SessionTally]bool{}
		for _, v := range list {
			set[v] = true
		}
		return set, err
	})
	wantSame(t, "sessions", sessions, map[store.SessionTally]bool{
		{Pool: "p", State: fleet.SessionQueued, Count: 2}: true,
		{Pool: "p", State: fleet.SessionStaged, Count: 1}: true,
	})
}
