package sim

import (
	"maps"

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
