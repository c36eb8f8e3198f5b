package control

import (
	"github.com/headroom-dev/headroom/internal/fleet"
)

// wake turns committed events into work. It is called in the order of the
// commits and must be quick.
func (l *loops) wake(events []fleet.Event) {
	pool := "" // the last that was woken: the events of a commit are mostly of one
	servers, sessions := false, false
	for _, e := range events {
		w := WakeFor(e)
		servers = servers || e.Kind == fleet.EventKindServer
		sessions = sessions || w.Sessions
		if w.Provider != "" && w.Server != "" {
			l.mu.Lock()
			l.providerOf[w.Server] = w.Provider
			l.mu.Unlock()
		}
		if w.Pool != "" && w.Pool != pool {
			pool = w.Pool
			l.pools.Add(pool)
		}
		if w.Server != "" {
			l.stepServer(w.Server)
		}
		if w.Configured {
			// Which pools a change touches is not worth knowing: a pool that has
			// nothing to do is quick. A commit hook must not read the database.
			l.unresolved.Add(keyAll)
		}
		if w.Settings {
			l.unresolved.Add(keyReset + w.Provider)
		}
		if e.Data["phase"] == string(fleet.PhaseGone) {
			l.mu.Lock()
			delete(l.providerOf, e.ID)
			l.mu.Unlock()
		}
	}
	if servers {
		l.wakeDNS()
	}
	if sessions && !l.dueSoon.Swap(true) {
		l.sessions.AddAfter(keyExpire, dueDelay)
	}
}

// Wake is work that an event makes worthwhile.
type Wake struct {
	Pool       string
	Server     string // id
	Provider   string // of the server, or whose settings have changed
	Sessions   bool   // a session may be due
	Configured bool   // an object has changed: every pool is looked at
	Settings   bool   // a VM provider has changed: Provider is asked anew
}

// WakeFor says what an event makes worthwhile.
func WakeFor(e fleet.Event) Wake {
	switch e.Kind {
	case fleet.EventKindServer:
		w := Wake{Pool: e.Pool}
		if e.Data["phase"] != string(fleet.PhaseGone) {
			w.Server = e.ID
			w.Provider, _ = e.Data["vm_provider"].(string)
		}
		return w
	case fleet.EventKindSession:
		// A session that has ended is not due any more; one that takes its place
		// has an event of its own.
		w := Wake{Pool: e.Pool, Sessions: e.Type != fleet.EventSessionEnded}
		if e.Type == fleet.EventSessionEnded {
			w.Server, _ = e.Data["server_id"].(string)
		}
		return w
	case fleet.EventKindToken:
		return Wake{}
	case string(fleet.KindPool):
		return Wake{Configured: e.Type != fleet.EventPoolDecision}
	case string(fleet.KindVMProvider):
		changed := e.Type == fleet.EventObjectUpdated || e.Type == fleet.EventObjectCreated
		w := Wake{Configured: true, Settings: changed}
		if changed {
			w.Provider = e.Name
		}
		return w
	}
	return Wake{Configured: true}
}
