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
	lastSeq int64
	creates int64 // calls that reached the cloud
	deletes int64
	seen    int64 // number of the last event that a full check has covered
	runs    int64
	orphans int64 // removed
	types   map[fleet.EventType]int
}

func newChecks(w *World) *checks {
	return &checks{w: w, phase: map[string]fleet.Phase{}, types: map[fleet.EventType]int{}}
}

// event checks that the history that the operator can read has no gap: the
// numbers grow, and every phase begins where the last one ended.
func (c *checks) event(e fleet.Event) {
	if e.Seq <= c.lastSeq {
		c.w.Fail("event %d comes after event %d", e.Seq, c.lastSeq)
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
			c.w.Fail("server %s goes from %s to %s, but the last event said %s", e.Name, from, to, c.phase[e.ID])
		}
		if e.Message == "" {
			c.w.Fail("server %s goes from %s to %s without a reason", e.Name, from, to)
		}
		c.phase[e.ID] = fleet.Phase(to)
	}
}

// script watches the calls that reach the cloud and lets the faults of the
// history happen.
func (w *World) script(call sim.Call) sim.Fault {
	switch call.Op {
	case sim.OpCreate:
		w.checks.creates++
	case sim.OpDelete:
		w.checks.deletes++
		w.killed[call.Server] = true
	}
	f := w.fault(call)
	w.note("cloud %s %s%s%s", call.Op, call.Server, call.ID, describe(f))
	return f
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
// write nothing cannot break a promise about what is written, and every write
// of interest has an event; every so often all is looked at anyway.
func (c *checks) due() bool {
	c.runs++
	if c.lastSeq == c.seen && c.runs%200 != 0 {
		return false
	}
	c.seen = c.lastSeq
	return true
}

// run checks what must hold between any two steps.
func (c *checks) run() {
	w := c.w
	w.must(w.store.Read(w.t.Context(), func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		if err != nil {
			return err
		}
		byID := make(map[string]*fleet.Server, len(servers))
		for _, s := range servers {
			byID[s.ID] = s
			c.server(s)
		}
		if err := c.sessions(tx, byID); err != nil {
			return err
		}
		for _, m := range w.cloud.Instances() {
			if c.phase[m.Tags.Server] == "" {
				w.Fail("machine %s exists and no row explains it", m.ID)
			}
		}
		return c.ceilings(tx)
	}), "checking")
}

func (c *checks) server(s *fleet.Server) {
	w := c.w
	if told := c.phase[s.ID]; told != s.Phase {
		w.Fail("server %s is %s, but its events say %s", s.Name, s.Phase, told)
	}
	if !s.Claimed.Fits(s.Capacity) {
		w.Fail("server %s holds %s of %s", s.Name, s.Claimed, s.Capacity)
	}
	if s.Sessions > 0 && (s.Phase == fleet.PhaseDeleting || s.Phase == fleet.PhaseGone) {
		w.Fail("server %s is %s with %d sessions", s.Name, s.Phase, s.Sessions)
	}
	if w.killed[s.ID] && s.Phase != fleet.PhaseDeleting && s.Phase != fleet.PhaseGone {
		w.Fail("machine of server %s was deleted in phase %s", s.Name, s.Phase)
	}
}

// sessions checks that every claim belongs to exactly one live session.
func (c *checks) sessions(tx *store.Tx, byID map[string]*fleet.Server) error {
	live, err := tx.Sessions(store.SessionFilter{States: []fleet.SessionState{fleet.SessionActive, fleet.SessionStaged}})
	if err != nil {
		return err
	}
	claimed, count := map[string]fleet.Resources{}, map[string]int64{}
	for _, s := range live {
		if byID[s.ServerID] == nil {
			c.w.Fail("session %s sits on server %q, which does not exist", s.ID, s.ServerID)
		}
		claimed[s.ServerID] = claimed[s.ServerID].Add(s.Need)
		count[s.ServerID]++
	}
	for id, s := range byID {
		if s.Claimed != claimed[id] || s.Sessions != count[id] {
			c.w.Fail("server %s counts %d sessions with %s; the sessions say %d with %s", s.Name, s.Sessions, s.Claimed, count[id], claimed[id])
		}
	}
	return nil
}

// ceilings checks that the cloud never holds more machines than the provider
// config allows.
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
			c.w.Fail("%d machines of provider %s existed at once; max_instances is %d", most, o.Name, spec.MaxInstances)
		}
	}
	return nil
}
