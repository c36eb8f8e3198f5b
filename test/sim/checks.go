package sim

import (
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// checks hold the promises of the system.
type checks struct {
	w       *World
	phase   map[string]fleet.Phase // by server id, as the events tell
	oneShot map[string]bool        // by server id, as of the last full check
	machine map[string]string      // cloud id by server id, as of the last full check
	lastSeq int64
	creates int64 // calls that reached the cloud
	deletes int64
	seen    int64 // number of the last event that a full check has covered
	calls   int64 // changes in the cloud that a full check has covered
	runs    int64
	orphans int64 // removed
	most    int   // machines at once
	types   map[fleet.EventType]int
}

func newChecks(w *World) *checks {
	return &checks{w: w, phase: map[string]fleet.Phase{}, machine: map[string]string{}, oneShot: map[string]bool{}, types: map[fleet.EventType]int{}}
}

// event checks that the history that the operator can read has no gap: the
// numbers grow, and every phase begins where the last one ended.
func (c *checks) event(e fleet.Event) {
	if e.Seq <= c.lastSeq {
		c.w.Fail("events", "event %d comes after event %d", e.Seq, c.lastSeq)
	}
	c.lastSeq = e.Seq
	c.types[e.Type]++
	if e.Type == fleet.EventOrphanRemoved {
		c.orphans++
	}
	switch e.Type {
	case fleet.EventServerPlanned:
		c.phase[e.ID] = fleet.PhasePlanned
	case fleet.EventServerPhase:
		from, _ := e.Data["from"].(string)
		to, _ := e.Data["phase"].(string)
		if c.phase[e.ID] != fleet.Phase(from) {
			c.w.Fail("events", "server %s goes from %s to %s, but the last event said %s", e.Name, from, to, c.phase[e.ID])
		}
		if e.Message == "" {
			c.w.Fail("events", "server %s goes from %s to %s without a reason", e.Name, from, to)
		}
		c.phase[e.ID] = fleet.Phase(to)
	}
}

func describe(f sim.Fault) string {
	if f == (sim.Fault{}) {
		return ""
	}
	if f.Err != nil {
		return " -> " + f.Err.Error()
	}
	return fmt.Sprintf(" with fault %+v", f)
}

// due says that something has happened since the last full check. Steps that
// write nothing and call for no change cannot break a promise; every so often
// all is looked at anyway.
func (c *checks) due() bool {
	c.runs++
	if calls := c.creates + c.deletes; c.lastSeq == c.seen && calls == c.calls && c.runs%200 != 0 {
		return false
	}
	c.seen, c.calls = c.lastSeq, c.creates+c.deletes
	return true
}

// run checks what must hold between any two steps.
func (c *checks) run() {
	w := c.w
	machines := w.cloud.Instances()
	c.most = max(c.most, len(machines))
	w.read(func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		if err != nil {
			return err
		}
		byID := make(map[string]*fleet.Server, len(servers))
		for _, s := range servers {
			byID[s.ID] = s
			c.machine[s.ID], c.oneShot[s.ID] = s.ProviderID, s.OneShot
			c.server(s)
		}
		if err := c.sessions(tx, byID); err != nil {
			return err
		}
		for _, m := range machines {
			if m.Tags.Installation == w.store.Installation() && c.phase[m.Tags.Server] == "" {
				w.Fail("explained", "machine %s exists and no row explains it", m.ID)
			}
		}
		return c.ceilings(tx)
	})
}

// machineOf tells the machines of servers apart where ids come back.
func machineOf(id, server string) string { return id + " of " + server }

func (c *checks) server(s *fleet.Server) {
	w := c.w
	if told := c.phase[s.ID]; told != s.Phase {
		w.Fail("events", "server %s is %s, but its events say %s", s.Name, s.Phase, told)
	}
	if !s.Claimed.Fits(s.Capacity) {
		w.Fail("capacity", "server %s holds %s of %s", s.Name, s.Claimed, s.Capacity)
	}
	if s.MaxUsers > 0 && s.Users > s.MaxUsers {
		w.Fail("capacity", "server %s has %d users, at most %d are allowed", s.Name, s.Users, s.MaxUsers)
	}
	if s.Sessions > 0 && (s.Phase == fleet.PhaseDeleting || s.Phase == fleet.PhaseGone) {
		w.Fail("live", "server %s is %s with %d sessions", s.Name, s.Phase, s.Sessions)
	}
	gone := s.Phase == fleet.PhaseDeleting || s.Phase == fleet.PhaseGone
	if !gone && (w.killed[machineOf(s.ProviderID, s.ID)] || s.ProviderID == "" && w.killed[s.ID]) {
		w.Fail("live", "machine %s of server %s was deleted in phase %s", s.ProviderID, s.Name, s.Phase)
	}
}

// sessions checks that every claim belongs to exactly one live session, and
// that people and the database know the same ones.
func (c *checks) sessions(tx *store.Tx, byID map[string]*fleet.Server) error {
	// Pool by pool, since a list over all of them walks those that have ended,
	// too. One that belonged to no pool would be missed by the people who hold it.
	pools, err := tx.Objects(fleet.KindPool)
	if err != nil {
		return err
	}
	var live []*fleet.Session
	for _, o := range pools {
		list, err := tx.Sessions(store.SessionFilter{Pool: o.Name, States: []fleet.SessionState{fleet.SessionActive, fleet.SessionStaged}})
		if err != nil {
			return err
		}
		live = append(live, list...)
	}
	claimed, count := map[string]fleet.Resources{}, map[string]int64{}
	users := map[string]map[string]bool{}
	for _, s := range live {
		if byID[s.ServerID] == nil {
			c.w.Fail("sessions", "session %s sits on server %q, which does not exist", s.ID, s.ServerID)
		}
		if known := c.w.ledger.sessions[s.ID]; known == nil || known.server != s.ServerID {
			c.w.Fail("sessions", "session %s sits on server %s in the database; its events say %+v", s.ID, s.ServerID, known)
		}
		claimed[s.ServerID] = claimed[s.ServerID].Add(s.Need)
		count[s.ServerID]++
		if s.User != "" {
			if users[s.ServerID] == nil {
				users[s.ServerID] = map[string]bool{}
			}
			users[s.ServerID][s.User] = true
		}
	}
	holding := 0
	for _, s := range c.w.ledger.sessions {
		if s.server != "" {
			holding++
		}
	}
	if holding != len(live) {
		c.w.Fail("sessions", "people hold %d sessions, the database knows %d", holding, len(live))
	}
	for id, s := range byID {
		if s.Claimed != claimed[id] || s.Sessions != count[id] || s.MaxUsers > 0 && s.Users < int64(len(users[id])) {
			c.w.Fail("capacity", "server %s counts %d sessions of %d users with %s; the sessions say %d of %d with %s", s.Name, s.Sessions, s.Users, s.Claimed, count[id], len(users[id]), claimed[id])
		}
	}
	return nil
}

// ceilings checks that the cloud never holds more machines than the provider
// config allows, or has allowed while they were made.
func (c *checks) ceilings(tx *store.Tx) error {
	objects, err := tx.Objects(fleet.KindVMProvider)
	if err != nil {
		return err
	}
	for _, o := range objects {
		spec, err := store.Spec[fleet.VMProviderSpec](o)
		if err != nil {
			return err
		}
		most := c.w.cloud.MaxExisted(provider.Owner{Installation: c.w.store.Installation(), Provider: o.Name})
		if int64(most) > spec.MaxInstances {
			c.w.Fail("ceiling", "%d machines of provider %s existed at once; max_instances is %d", most, o.Name, spec.MaxInstances)
		}
	}
	return nil
}
