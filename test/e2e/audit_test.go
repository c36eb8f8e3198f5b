package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// An agent that could not reach any node for a while waits up to 45 s before it
// tries again.
const balanceTime = 90 * time.Second

// What a killed maker of a machine has left is removed when it is a minute old,
// with the next listing.
const draftTime = 3 * time.Minute

// balance waits until cloud, database and sessions agree, at every node, and
// checks the history that led there.
func (c *cluster) balance() {
	c.t.Helper()
	var wrong []string
	began, slow, deadline := time.Now(), time.After(balanceTime/20), time.After(balanceTime)
	tick := time.NewTicker(4 * pollEvery)
	defer tick.Stop()
	for over := false; ; {
		var err error
		if wrong, err = c.imbalance(); err != nil {
			wrong = append(wrong, err.Error())
		}
		if len(wrong) == 0 || over {
			break
		}
		select {
		case <-tick.C:
		case <-slow:
			c.t.Log("not yet:", strings.Join(wrong, "; "))
			c.story("SELECT id FROM servers WHERE phase NOT IN ('gone', 'ready')")
		case <-deadline:
			over = true
		}
	}
	c.load.note(func() { wrong = append(wrong, c.load.wrong...); c.load.wrong = nil })
	wrong = append(wrong, c.checkHistory()...)
	for _, w := range wrong {
		c.t.Error(w)
	}
	if len(wrong) > 0 {
		c.histories()
		c.t.FailNow()
	}
	c.t.Logf("all agrees after %s; sessions: %s", time.Since(began).Round(10*time.Millisecond), c.load)
}

// story shows what the events tell of the objects that a query names.
func (c *cluster) story(ids string) {
	rows, err := c.db.Query("SELECT at, name, type, message FROM events WHERE id IN (" + ids + ") ORDER BY seq")
	if err != nil {
		return
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var name, kind, message string
		if rows.Scan(&at, &name, &kind, &message) == nil {
			c.t.Log(time.UnixMicro(at).Format("15:04:05.000"), name, kind, message)
		}
	}
}

// row is a server as the database has it.
type row struct {
	id, name, machine, phase, reason string
	claimed, capacity                fleet.Resources
	sessions                         int64
}

func (c *cluster) rows(ctx context.Context) (map[string]row, error) {
	rows, err := c.db.QueryContext(ctx, `SELECT id, name, provider_id, phase, reason, claimed_cores, claimed_memory, claimed_gpus,
		capacity_cores, capacity_memory, capacity_gpus, sessions FROM servers WHERE phase <> 'gone'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]row{}
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.name, &r.machine, &r.phase, &r.reason, &r.claimed.Cores, &r.claimed.MemoryMiB, &r.claimed.GPUs,
			&r.capacity.Cores, &r.capacity.MemoryMiB, &r.capacity.GPUs, &r.sessions); err != nil {
			return nil, err
		}
		out[r.id] = r
	}
	return out, rows.Err()
}

// seat is a session as the database has it.
type seat struct {
	key, state, server string
	need               fleet.Resources
}

func (c *cluster) seats(ctx context.Context) (map[string]seat, error) {
	rows, err := c.db.QueryContext(ctx, `SELECT id, idempotency_key, state, server_id, need_cores, need_memory, need_gpus FROM sessions WHERE state <> 'ended'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]seat{}
	for rows.Next() {
		var id string
		var s seat
		if err := rows.Scan(&id, &s.key, &s.state, &s.server, &s.need.Cores, &s.need.MemoryMiB, &s.need.GPUs); err != nil {
			return nil, err
		}
		out[id] = s
	}
	return out, rows.Err()
}

// machineDirs lists the machines that exist, dead or alive, and what is left of
// others. drafts are directories that were never made machines of, since their
// maker was killed; they are removed when they are a minute old.
func (c *cluster) machineDirs() (names map[string]bool, rest, drafts []string) {
	entries, _ := os.ReadDir(c.machines)
	names = map[string]bool{}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), ".new-"):
			drafts = append(drafts, e.Name())
		case strings.HasPrefix(e.Name(), "."):
			rest = append(rest, e.Name())
		default:
			names[e.Name()] = true
		}
	}
	return names, rest, drafts
}

// machineOf is the machine that the command line of an agent names, as in
// "headroom agent --config DIRECTORY/NAME/agent.json".
func machineOf(args string) string {
	fields := strings.Fields(args)
	return filepath.Base(filepath.Dir(fields[len(fields)-1]))
}

// imbalance lists where the cloud (directories and processes), the database,
// the clients' own records and the answers of the nodes differ.
func (c *cluster) imbalance() (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	servers, err := c.rows(ctx)
	if err != nil {
		return nil, err
	}
	seats, err := c.seats(ctx)
	if err != nil {
		return nil, err
	}
	claimed, number := map[string]fleet.Resources{}, map[string]int64{}
	live := map[string]string{}
	for id, s := range seats {
		live[id] = s.key
		claimed[s.server] = claimed[s.server].Add(s.need)
		number[s.server]++
		if s.state != string(fleet.SessionActive) {
			say("session %s is %s", id, s.state)
		}
		if _, ok := servers[s.server]; !ok {
			say("session %s is on server %q, which is gone", id, s.server)
		}
	}
	c.load.settle(live)
	if err := c.settleLost(ctx, live); err != nil {
		return nil, err
	}
	if diff := cmp.Diff(c.load.held, live); diff != "" {
		say("the sessions that clients hold (-) are not those that live (+):\n%s", diff)
	}
	dirs, rest, _ := c.machineDirs()
	agents := map[string]int{}
	for _, args := range c.site.agents() {
		agents[machineOf(args)]++
	}
	machines := map[string]bool{}
	for _, r := range servers {
		machines[r.machine] = true
		if r.phase != string(fleet.PhaseReady) {
			say("server %s is %s: %s", r.name, r.phase, r.reason)
		}
		if claimed[r.id] != r.claimed || number[r.id] != r.sessions || !r.claimed.Fits(r.capacity) {
			say("server %s of %s says that %d sessions claim %s; its %d sessions claim %s", r.name, r.capacity, r.sessions, r.claimed, number[r.id], claimed[r.id])
		}
		if agents[r.machine] != 1 {
			say("%d processes are machine %s", agents[r.machine], r.machine)
		}
	}
	if diff := cmp.Diff(machines, dirs); diff != "" {
		say("the machines of the database (-) are not those that exist (+):\n%s", diff)
	}
	if len(agents) != len(servers) || len(servers) > limit || len(rest) > 0 {
		say("%d agents run, %d servers are known, max_instances is %d; left over: %v", len(agents), len(servers), limit, rest)
	}
	for _, n := range c.nodes {
		if err := c.answers(ctx, n, servers, live); err != nil {
			say("%s: %v", n.name, err)
		}
	}
	return wrong, nil
}

// settleLost forgets sessions that ended with their machine after their
// clients had last asked.
func (c *cluster) settleLost(ctx context.Context, live map[string]string) error {
	for id := range maps.Clone(c.load.held) {
		if _, ok := live[id]; ok {
			continue
		}
		var state, reason string
		if err := c.db.QueryRowContext(ctx, "SELECT state, reason FROM sessions WHERE id = $1", id).Scan(&state, &reason); err != nil {
			return fmt.Errorf("session %s: %w", id, err)
		}
		if state == string(fleet.SessionEnded) && strings.HasPrefix(reason, lostReason) {
			c.load.lose(id, reason)
		}
	}
	return nil
}

// answers compares what a node says with the database.
func (c *cluster) answers(ctx context.Context, n *controller, servers map[string]row, live map[string]string) error {
	if !n.running() {
		return nil
	}
	api, err := remote(n.url(), c.token)
	if err != nil {
		return err
	}
	defer api.Close()
	list, err := api.Servers(ctx, client.ServerFilter{})
	if err != nil {
		return err
	}
	sessions, err := api.Sessions(ctx, client.SessionFilter{})
	if err != nil {
		return err
	}
	for _, s := range list {
		if r, ok := servers[s.ID]; !ok || r.phase != string(s.Phase) {
			return fmt.Errorf("server %s is %s here and %q in the database", s.Name, s.Phase, r.phase)
		}
	}
	for _, s := range sessions {
		if _, ok := live[s.ID]; !ok {
			return fmt.Errorf("session %s is %s here and not in the database", s.ID, s.State)
		}
	}
	if len(list) != len(servers) || len(sessions) != len(live) {
		return fmt.Errorf("%d servers and %d sessions here, %d and %d in the database", len(list), len(sessions), len(servers), len(live))
	}
	return nil
}

// event is an event as the database has it.
type event struct {
	seq            int64
	kind, id, name string
	data           struct {
		From     string `json:"from"`
		Phase    string `json:"phase"`
		ServerID string `json:"server_id"`
	}
}

func (c *cluster) events(after int64) (list []event, err error) {
	rows, err := c.db.QueryContext(c.t.Context(), "SELECT seq, type, id, name, COALESCE(data, '{}') FROM events WHERE seq > $1 ORDER BY seq LIMIT 5000", after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e event
		var data []byte
		if err := rows.Scan(&e.seq, &e.kind, &e.id, &e.name, &data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &e.data); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// history is what the events tell, as far as it has been read.
type history struct {
	last            int64
	phase           map[string]string          // of servers
	seats           map[string]map[string]bool // server id → session ids
	state           map[string]string          // of sessions
	machines, most  int                        // that may exist
	changes, placed int
}

// checkHistory replays the events: they are numbered without a gap, each phase
// follows from the one before, no moment had more machines than may be or more
// sessions on a machine than it has room for, no session began or ended twice,
// and no machine was deleted under one.
func (c *cluster) checkHistory() (wrong []string) {
	if c.past == nil {
		c.past = &history{phase: map[string]string{}, seats: map[string]map[string]bool{}, state: map[string]string{}}
	}
	for {
		events, err := c.events(c.past.last)
		if err != nil {
			return append(wrong, "reading events: "+err.Error())
		}
		for _, e := range events {
			if err := c.past.add(e); err != nil {
				wrong = append(wrong, fmt.Sprintf("event %d: %v", e.seq, err))
			}
			// One that its maker did not come to start, being killed, is replaced.
			served := c.past.phase[e.id] == string(fleet.PhaseReady) || c.past.phase[e.id] == string(fleet.PhaseDraining)
			if fleet.EventType(e.kind) == fleet.EventServerLost && served && !c.load.killedMachine(e.name) {
				wrong = append(wrong, fmt.Sprintf("event %d: server %s was given up for lost, and nobody had killed it", e.seq, e.name))
				c.story("'" + e.id + "'")
			}
		}
		if len(events) == 0 {
			return wrong
		}
	}
}

func (h *history) add(e event) error {
	gap := e.seq != h.last+1
	h.last = e.seq
	if gap {
		return errors.New("some events before it are missing")
	}
	switch fleet.EventType(e.kind) {
	case fleet.EventOrphanFound:
		return fmt.Errorf("an orphan: %s", e.id)
	case fleet.EventServerPlanned:
		h.phase[e.id], h.seats[e.id] = string(fleet.PhasePlanned), map[string]bool{}
		h.machines++
		h.most = max(h.most, h.machines)
		if h.machines > limit {
			return fmt.Errorf("%d machines, max_instances is %d", h.machines, limit)
		}
	case fleet.EventServerPhase:
		return h.move(e)
	case fleet.EventSessionQueued, fleet.EventSessionActive, fleet.EventSessionEnded:
		return h.session(e)
	}
	return nil
}

func (h *history) move(e event) error {
	before := h.phase[e.id]
	h.phase[e.id] = e.data.Phase
	h.changes++
	if e.data.From != before {
		return fmt.Errorf("server %s went from %q to %q and was %q", e.id, e.data.From, e.data.Phase, before)
	}
	phase := fleet.Phase(e.data.Phase)
	if (phase == fleet.PhaseDeleting || phase == fleet.PhaseGone) && len(h.seats[e.id]) > 0 {
		return fmt.Errorf("server %s is %s under its sessions %v", e.id, phase, h.seats[e.id])
	}
	if phase == fleet.PhaseGone {
		h.machines--
	}
	return nil
}

func (h *history) session(e event) error {
	before := h.state[e.id]
	h.state[e.id] = e.kind
	switch fleet.EventType(e.kind) {
	case fleet.EventSessionQueued:
		if before != "" {
			return fmt.Errorf("session %s is queued after %s", e.id, before)
		}
	case fleet.EventSessionActive:
		h.placed++
		if before != "" && before != string(fleet.EventSessionQueued) {
			return fmt.Errorf("session %s is active after %s", e.id, before)
		}
		if p := h.phase[e.data.ServerID]; p != string(fleet.PhaseReady) {
			return fmt.Errorf("session %s was placed on server %s, which is %q", e.id, e.data.ServerID, p)
		}
		h.seats[e.data.ServerID][e.id] = true
		if n := len(h.seats[e.data.ServerID]); n > pair {
			return fmt.Errorf("server %s has %d sessions and room for %d", e.data.ServerID, n, pair)
		}
	case fleet.EventSessionEnded:
		if before == "" || before == e.kind {
			return fmt.Errorf("session %s ended after %q", e.id, before)
		}
		delete(h.seats[e.data.ServerID], e.id)
	}
	return nil
}

// leaveNothing ends all sessions, takes the pools out of use and waits until
// nothing is left of what was made.
func (c *cluster) leaveNothing() {
	c.t.Helper()
	api := c.api(c.nodes[0])
	for id := range c.load.held {
		if _, err := api.EndSession(c.t.Context(), id); err != nil {
			c.t.Fatal(err)
		}
	}
	clear(c.load.held)
	c.apply(c.nodes[0], strings.ReplaceAll(clusterManifest, "standby: {cores: 1, memory: 1Gi}", "standby: {}")+fmt.Sprintf(probeManifest, 0))
	c.until("nothing is left", resumeTime, func() bool {
		servers, err := c.rows(c.t.Context())
		dirs, rest, _ := c.machineDirs()
		return err == nil && len(servers)+len(dirs)+len(rest)+len(c.site.agents()) == 0
	})
	c.until("no draft of a machine is left", draftTime, func() bool {
		_, _, drafts := c.machineDirs()
		return len(drafts) == 0
	})
	c.balance()
}
