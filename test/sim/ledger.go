package sim

import (
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// ledger is what people know: the sessions that they hold, and what may end
// them. It is kept apart from the database, from the events alone.
type ledger struct {
	w        *World
	sessions map[string]*stay  // that hold capacity or wait
	ending   map[string]bool   // sessions that somebody has asked to end
	forced   map[string]bool   // server names that an operator gave up with their sessions
	deadline map[string]bool   // server names that an operator drains until a deadline
	suspect  []fleet.Event     // ends for the loss of a server, to be looked at after the step
	ended    map[string]int    // by reason
	spent    map[string]bool   // one-shot servers that have had their use, by id
	over     map[string]string // why sessions have ended
}

// stay is one session.
type stay struct {
	server  string // id; empty while it waits
	staged  bool
	ttl     time.Duration
	renewed time.Time // by the clock of the world
}

func newLedger(w *World) *ledger {
	return &ledger{
		w: w, sessions: map[string]*stay{}, ending: map[string]bool{}, forced: map[string]bool{}, deadline: map[string]bool{},
		ended: map[string]int{}, over: map[string]string{}, spent: map[string]bool{},
	}
}

// asked notes the life time of a session that somebody asked for.
func (l *ledger) asked(id string, ttl time.Duration) {
	if s := l.sessions[id]; s != nil {
		s.ttl = ttl
	}
}

// renewed notes a sign of life of a session.
func (l *ledger) renewed(id string) {
	if s := l.sessions[id]; s != nil {
		s.renewed = l.w.clock.Now()
	}
}

// event follows the sessions.
func (l *ledger) event(e fleet.Event) {
	if e.Kind != fleet.EventKindSession {
		return
	}
	server, _ := e.Data["server_id"].(string)
	s := l.sessions[e.ID]
	switch e.Type {
	case fleet.EventSessionQueued:
		l.sessions[e.ID] = &stay{}
	case fleet.EventSessionStaged:
		l.sessions[e.ID] = &stay{server: server, staged: true}
	case fleet.EventSessionActive:
		if l.over[e.ID] != "" {
			l.w.Fail("sessions", "session %s has ended and becomes active", e.ID)
		}
		if s == nil {
			s = &stay{}
			l.sessions[e.ID] = s
		}
		if s.server != "" {
			l.w.Fail("sessions", "session %s sits on server %s and is given server %s", e.ID, s.server, server)
		}
		if l.spent[server] {
			l.w.Fail("sessions", "session %s is placed on server %s, whose only use is over", e.ID, server)
		}
		s.server, s.renewed = server, l.w.clock.Now()
	case fleet.EventSessionRenewed:
		l.renewed(e.ID)
	case fleet.EventSessionEnded:
		if s == nil {
			l.w.Fail("sessions", "session %s ends, and nobody knows it", e.ID)
			return
		}
		l.end(e, s)
		delete(l.sessions, e.ID)
		if l.w.checks.oneShot[s.server] && !s.staged && !l.holds(s.server) {
			l.spent[s.server] = true
		}
		l.over[e.ID] = e.Message
	default:
	}
}

// holds says that somebody is on a server.
func (l *ledger) holds(server string) bool {
	for _, s := range l.sessions {
		if s.server == server {
			return true
		}
	}
	return false
}

// end checks that a session ends for a reason that is true.
func (l *ledger) end(e fleet.Event, s *stay) {
	w, server := l.w, l.nameOf(e)
	begins := func(text string) bool { return strings.HasPrefix(e.Message, text) }
	ok := false
	switch {
	case begins("ended by token/admin"):
		ok = l.ending[e.ID]
	case begins("its life time is over"):
		// The clock of the controller may be wrong: what counts is what the
		// person lived through.
		ok = s.ttl > 0 && w.clock.Since(s.renewed) >= s.ttl-2*time.Second
	case begins("no capacity became free within its waiting time"):
		ok = s.server == ""
	case begins("its server was lost: "), begins("its server has failed: "):
		ok = true
		l.suspect = append(l.suspect, e)
	case begins("its server reached the deadline of its drain"):
		ok = l.deadline[server]
	case begins("server " + server + " was deleted by token/admin"):
		ok = l.forced[server]
	case begins("its place was given to session "), begins("its server is drained; it is made anew elsewhere"), begins("staging "):
		ok = s.staged
	}
	l.ended[reasonID.ReplaceAllString(e.Message, "…")]++
	if !ok {
		w.Fail("sessions", "session %s on server %s ends, and this is not true: %s (last sign of life %s ago, ttl %s)", e.ID, s.server, e.Message, w.clock.Since(s.renewed), s.ttl)
	}
}

func (l *ledger) nameOf(e fleet.Event) string {
	name, _ := e.Data["server"].(string)
	return name
}

// settle looks at what the last step said about the cloud.
func (l *ledger) settle() {
	if len(l.suspect) == 0 {
		return
	}
	w := l.w
	running := map[string]bool{}
	for _, m := range w.cloud.Instances() {
		running[machineOf(m.ID, m.Tags.Server)] = m.State == provider.StateRunning
	}
	w.read(func(tx *store.Tx) error {
		for _, e := range l.suspect {
			id, _ := e.Data["server_id"].(string)
			s, err := tx.Server(id)
			if err != nil {
				return err
			}
			if running[machineOf(s.ProviderID, s.ID)] {
				w.Fail("live", "session %s ends because %q, and machine %s runs", e.ID, e.Message, s.ProviderID)
			}
		}
		return nil
	})
	l.suspect = l.suspect[:0]
}

// deleted checks that no machine is deleted under somebody's session.
func (l *ledger) deleted(call sim.Call) {
	for id, s := range l.sessions {
		if s.server == call.Server && !l.duplicate(call) {
			l.w.Fail("live", "machine %s of server %s is deleted under session %s", call.ID, call.Server, id)
		}
	}
}

// duplicate says that the server has another machine: the sessions are there.
func (l *ledger) duplicate(call sim.Call) bool {
	return l.w.checks.machine[call.Server] != "" && l.w.checks.machine[call.Server] != call.ID
}
