package sim

import (
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// Acquire asks for a session and returns its id, empty when it was refused.
func (w *World) Acquire(pool string, cores, memoryMiB int64) string {
	return w.acquire(service.AcquireRequest{Pool: pool, Cores: fleet.Cores(cores) * fleet.Core, Memory: fleet.Memory(memoryMiB)})
}

// AcquireNow is like Acquire for somebody who does not wait.
func (w *World) AcquireNow(pool string, cores, memoryMiB int64) string {
	return w.acquire(service.AcquireRequest{Pool: pool, Cores: fleet.Cores(cores) * fleet.Core, Memory: fleet.Memory(memoryMiB), NoQueue: true})
}

// AcquireFor is like Acquire for a session with a life time.
func (w *World) AcquireFor(pool string, cores, memoryMiB int64, ttl time.Duration) string {
	return w.acquire(service.AcquireRequest{Pool: pool, Cores: fleet.Cores(cores) * fleet.Core, Memory: fleet.Memory(memoryMiB), TTL: fleet.Duration(ttl)})
}

// AcquireIn is like Acquire for a session that asks for a zone.
func (w *World) AcquireIn(pool, zone string, cores, memoryMiB int64) string {
	return w.acquire(service.AcquireRequest{Pool: pool, Zone: zone, Cores: fleet.Cores(cores) * fleet.Core, Memory: fleet.Memory(memoryMiB)})
}

// ZoneOf is the zone of the server that a session is on, empty when it is on
// none.
func (w *World) ZoneOf(session string) (zone string) {
	w.read(func(tx *store.Tx) error {
		s, err := tx.Session(session)
		if err != nil || s.ServerID == "" {
			return err
		}
		server, err := tx.Server(s.ServerID)
		if err == nil {
			zone = server.Zone
		}
		return err
	})
	return zone
}

func (w *World) acquire(r service.AcquireRequest) string {
	v, err := w.service.Acquire(w.t.Context(), Admin(), r)
	if err != nil {
		w.note("acquire refused: %v", err)
		return ""
	}
	w.ledger.asked(v.ID, r.TTL.D())
	return v.ID
}

// KeepAlive renews a session every so often.
func (w *World) KeepAlive(id string, every, length time.Duration) {
	w.keepAlive(id, "somebody", every, w.clock.Now().Add(length))
}

// Demand lets people come and go for a length of history.
func (w *World) Demand(length time.Duration, d Demand) { w.people(d, w.clock.Now().Add(length)) }

// End ends a session.
func (w *World) End(id string) {
	w.t.Helper()
	w.ledger.ending[id] = true
	_, err := w.service.EndSession(w.t.Context(), Admin(), id)
	w.must(err, "ending a session")
}

// Restart ends the controller and begins its next life.
func (w *World) Restart() { w.Away(0) }

// Away lets time pass without a controller.
func (w *World) Away(d time.Duration) {
	w.t.Helper()
	w.must(w.engine.Away(w.t.Context(), d), "restarting")
}

// Now is the moment of the history.
func (w *World) Now() time.Time { return w.clock.Now() }

// Jump sets the controller's clock.
func (w *World) Jump(d time.Duration) {
	w.t.Helper()
	w.note("the controller's clock is set by %s", d)
	w.must(w.engine.Jump(w.t.Context(), d), "setting the clock")
}

// VanishAll removes every machine behind our back.
func (w *World) VanishAll() {
	for _, m := range w.cloud.Instances() {
		w.cloud.Vanish(m.ID)
	}
}

// InterruptAll lets the cloud give notice of every machine.
func (w *World) InterruptAll() {
	for _, m := range w.cloud.Instances() {
		w.cloud.Interrupt(m.ID, "spot capacity is wanted back in two minutes")
	}
}

// VanishOf removes the machine of a session behind our back.
func (w *World) VanishOf(session string) {
	w.t.Helper()
	server := w.ledger.sessions[session].server
	for _, m := range w.cloud.Instances() {
		if m.Tags.Server == server {
			w.cloud.Vanish(m.ID)
		}
	}
}

// GiveAway removes the machine of a session behind our back and gives its id to
// somebody else's, which bears no marks.
func (w *World) GiveAway(session string) {
	w.t.Helper()
	id := w.machineOf(session)
	w.cloud.PlantAs(id, "theirs", w.clock.Now())
}

// Strip removes all marks of the machine of a session, as by hand.
func (w *World) Strip(session string) {
	w.t.Helper()
	w.cloud.Remark(w.machineOf(session), func(t *provider.Tags) { *t = provider.Tags{} })
}

func (w *World) machineOf(session string) string {
	w.t.Helper()
	for _, m := range w.cloud.Instances() {
		if m.Tags.Server == w.ledger.sessions[session].server {
			return m.ID
		}
	}
	w.Fail("wanted", "session %s has no machine", session)
	return ""
}

// Forget lets go of the servers that are being deleted.
func (w *World) Forget() {
	w.t.Helper()
	var names []string
	w.read(func(tx *store.Tx) error {
		list, err := tx.Servers(store.ServerFilter{Phases: []fleet.Phase{fleet.PhaseDeleting}})
		for _, s := range list {
			names = append(names, s.Name)
		}
		return err
	})
	for _, name := range names {
		_, err := w.service.Forget(w.t.Context(), Admin(), name)
		w.must(err, "letting go of "+name)
	}
}

// Plant puts a machine there that nobody asked for.
func (w *World) Plant(tags provider.Tags) { w.cloud.Plant("planted", tags) }

// PlantOurs puts a machine there that bears our marks, for a server that the
// database has never heard of.
func (w *World) PlantOurs(server string) {
	w.checks.phase[server] = fleet.PhaseGone // the test explains it
	w.Plant(provider.Tags{Installation: w.store.Installation(), Server: server, AutoscaleConfig: "c", Provider: "cloud"})
}

// PlantDisk puts a disk there that bears our marks and belongs to no machine.
func (w *World) PlantDisk(server string) {
	w.cloud.PlantRemnant(provider.Tags{Installation: w.store.Installation(), Server: server, AutoscaleConfig: "c", Provider: "cloud"})
}

// Deletes is how many delete calls have reached the cloud.
func (w *World) Deletes() int64 { return w.checks.deletes }

// DeleteOne deletes a server of the pool that holds no session.
func (w *World) DeleteOne(pool string) {
	w.t.Helper()
	var names []string
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{Pool: pool})
		for _, s := range servers {
			if s.Phase == fleet.PhaseReady && s.Sessions == 0 {
				names = append(names, s.Name)
			}
		}
		return err
	})
	if len(names) == 0 {
		w.Fail("wanted", "no server of pool %s is free", pool)
	}
	_, err := w.service.DeleteServer(w.t.Context(), Admin(), names[0], false)
	w.must(err, "deleting a server")
}

// Drain has an operator drain the server of a session.
func (w *World) Drain(session string, deadline time.Duration) {
	w.t.Helper()
	var name string
	w.read(func(tx *store.Tx) error {
		s, err := tx.Session(session)
		if err == nil {
			name = s.Server
		}
		return err
	})
	w.ledger.deadline[name] = deadline > 0
	_, err := w.service.Drain(w.t.Context(), Admin(), name, deadline)
	w.must(err, "draining a server")
}

// Creates is how many create calls have reached the cloud.
func (w *World) Creates() int64 { return w.checks.creates }

// Events is how many events of a type there were.
func (w *World) Events(t fleet.EventType) int { return w.checks.types[t] }

// Ended is how many sessions ended for a reason that begins with the text.
func (w *World) Ended(reason string) (n int) {
	for text, count := range w.ledger.ended {
		if strings.HasPrefix(text, reason) {
			n += count
		}
	}
	return n
}

// WantState fails unless the session is in the state.
func (w *World) WantState(id string, want fleet.SessionState) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		s, err := tx.Session(id)
		if err == nil && s.State != want {
			w.Fail("wanted", "session %s is %s (%s), want %s", id, s.State, s.Reason, want)
		}
		return err
	})
}

// WantPhases fails unless the servers are in these phases and no others; a phase
// of which there is none may be left out.
func (w *World) WantPhases(want map[fleet.Phase]int) {
	w.t.Helper()
	got := map[fleet.Phase]int{}
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{IncludeGone: true})
		for _, s := range servers {
			got[s.Phase]++
		}
		return err
	})
	for _, p := range fleet.Phases() {
		if got[p] != want[p] {
			w.Fail("wanted", "servers are in phases %v, want %v", got, want)
		}
	}
}

// WantReady fails unless so many servers of a pool are ready.
func (w *World) WantReady(pool string, want int) {
	w.t.Helper()
	if got := w.Ready(pool); got != want {
		w.Fail("standby", "%d servers of pool %s are ready, want %d", got, pool, want)
	}
}

// Ready is how many servers of a pool are ready.
func (w *World) Ready(pool string) (got int) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{Pool: pool})
		for _, s := range servers {
			if s.Phase == fleet.PhaseReady {
				got++
			}
		}
		return err
	})
	return got
}

// WantMachines fails unless the cloud holds so many machines.
func (w *World) WantMachines(n int) {
	w.t.Helper()
	if got := len(w.cloud.Instances()); got != n {
		w.Fail("wanted", "the cloud holds %d machines, want %d", got, n)
	}
}

// WantRemnants fails unless so many disks are left over.
func (w *World) WantRemnants(n int) {
	w.t.Helper()
	if got := len(w.cloud.Remnants()); got != n {
		w.Fail("wanted", "%d disks are left, want %d", got, n)
	}
}

// WantCalls fails unless the cloud has had so many calls that make and delete.
func (w *World) WantCalls(creates, deletes int64) {
	w.t.Helper()
	if c, d := w.cloud.Calls()[sim.OpCreate], w.cloud.Calls()[sim.OpDelete]; c != creates || d != deletes {
		w.Fail("wanted", "the cloud has had %d creates and %d deletes, want %d and %d", c, d, creates, deletes)
	}
}
