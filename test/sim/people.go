package sim

import (
	"fmt"
	"maps"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// Acquire asks for a session and returns its id, empty when it was refused.
func (w *World) Acquire(pool string, cores int64, memoryMiB int64) string {
	w.t.Helper()
	v, err := w.service.Acquire(w.t.Context(), Admin(), service.AcquireRequest{
		Pool: pool, Cores: fleet.Cores(cores) * fleet.Core, Memory: fleet.Memory(memoryMiB),
	})
	if err != nil {
		w.note("acquire refused: %v", err)
		return ""
	}
	return v.ID
}

// acquireAny asks a pool for a session of some shape that it can hold.
func (w *World) acquireAny(pool string) string {
	w.t.Helper()
	r := service.AcquireRequest{Pool: pool, User: fmt.Sprint("user", w.rnd.IntN(20))}
	if w.poolType(pool) == fleet.PoolDockerAgent {
		r.Cores, r.Memory = fleet.Cores(1+w.rnd.Int64N(2))*fleet.Core, 1024
	}
	if w.rnd.IntN(4) == 0 {
		r.Zone = "north"
	}
	if w.rnd.IntN(3) == 0 {
		r.TTL = fleet.Duration(time.Duration(1+w.rnd.IntN(60)) * time.Minute)
	}
	v, err := w.service.Acquire(w.t.Context(), Admin(), r)
	if err != nil {
		w.note("acquire in %s refused: %v", pool, err)
		return ""
	}
	return v.ID
}

func (w *World) poolType(name string) (t fleet.PoolType) {
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		o, err := tx.Object(fleet.KindPool, name)
		if err != nil {
			return err
		}
		spec, err := store.Spec[fleet.PoolSpec](o)
		t = spec.Type
		return err
	}), "reading a pool")
	return t
}

// Pick draws one of the choices.
func Pick[T any](w *World, choices ...T) T { return choices[w.rnd.IntN(len(choices))] }

// MeddleWithServer drains, deletes or retries a server as an operator might.
func (w *World) MeddleWithServer() {
	w.t.Helper()
	var servers []*fleet.Server
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		servers, err = tx.Servers(store.ServerFilter{})
		return err
	}), "reading servers")
	if len(servers) == 0 {
		return
	}
	s := Pick(w, servers...)
	ctx, admin := w.t.Context(), Admin()
	var err error
	switch w.rnd.IntN(4) {
	case 0:
		_, err = w.service.Drain(ctx, admin, s.Name, time.Duration(w.rnd.IntN(3600))*time.Second)
	case 1:
		_, err = w.service.DeleteServer(ctx, admin, s.Name, w.rnd.IntN(3) == 0)
	case 2:
		_, err = w.service.Retry(ctx, admin, s.Name)
	case 3:
		_, err = w.service.Undrain(ctx, admin, s.Name)
	}
	w.note("the operator meddles with %s: %v", s.Name, err)
}

// End ends a session.
func (w *World) End(id string) {
	w.t.Helper()
	_, err := w.service.EndSession(w.t.Context(), Admin(), id)
	w.must(err, "ending a session")
}

// WantState fails unless the session is in the state.
func (w *World) WantState(id string, want fleet.SessionState) {
	w.t.Helper()
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		s, err := tx.Session(id)
		if err == nil && s.State != want {
			w.Fail("session %s is %s (%s), want %s", id, s.State, s.Reason, want)
		}
		return err
	}), "reading a session")
}

// WantPhases fails unless the servers are in these phases and no others.
func (w *World) WantPhases(want map[fleet.Phase]int) {
	w.t.Helper()
	got := map[fleet.Phase]int{}
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{IncludeGone: true})
		for _, s := range servers {
			got[s.Phase]++
		}
		return err
	}), "reading servers")
	if !maps.Equal(got, want) {
		w.Fail("servers are in phases %v, want %v", got, want)
	}
}

// WantMachines fails unless the cloud holds so many machines.
func (w *World) WantMachines(n int) {
	w.t.Helper()
	if got := len(w.cloud.Instances()); got != n {
		w.Fail("the cloud holds %d machines, want %d", got, n)
	}
}
