package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// serverColumns are the columns that make a fleet.Server, in the order of
// scanServer.
const serverColumns = "id, name, origin, pool, zone, autoscale_config, vm_provider, provider_revision," +
	" phase, phase_since, reason, missing, provider_id, offer, addresses," +
	" capacity_cores, capacity_memory, capacity_gpus, capacity_places, capacity_source," +
	" claimed_cores, claimed_memory, claimed_gpus, claimed_places, sessions, users, max_users," +
	" one_shot, used, drain_deadline, attempts, unseen, agent_version," +
	" created_at, call_at, ready_at, last_seen_at, registered_at, gone_at, version, asked_at"

func scanServer(r row) (*fleet.Server, error) {
	var s fleet.Server
	var phaseSince, created int64
	var addresses string
	var drain, call, ready, seen, registered, gone, asked sql.NullInt64
	// As plain types, which both databases store without a look at the type.
	err := r.Scan(&s.ID, &s.Name, (*string)(&s.Origin), &s.Pool, &s.Zone, &s.AutoscaleConfig, &s.VMProvider, &s.ProviderRevision,
		(*string)(&s.Phase), &phaseSince, &s.Reason, &s.Missing, &s.ProviderID, &s.Offer, &addresses,
		(*int64)(&s.Capacity.Cores), &s.Capacity.MemoryMiB, &s.Capacity.GPUs, &s.Capacity.Places, (*string)(&s.CapacitySource),
		(*int64)(&s.Claimed.Cores), &s.Claimed.MemoryMiB, &s.Claimed.GPUs, &s.Claimed.Places, &s.Sessions, &s.Users, &s.MaxUsers,
		&s.OneShot, &s.Used, &drain, &s.Attempts, &s.Unseen, &s.AgentVersion,
		&created, &call, &ready, &seen, &registered, &gone, &s.Version, &asked)
	if err != nil {
		return nil, err
	}
	if s.Addresses, err = decodeAddresses(addresses); err != nil {
		return nil, err
	}
	s.PhaseSince, s.CreatedAt = moment(phaseSince), moment(created)
	s.DrainDeadline, s.CallAt, s.ReadyAt = momentp(drain), momentp(call), momentp(ready)
	s.LastSeenAt, s.RegisteredAt, s.GoneAt, s.AskedAt = momentp(seen), momentp(registered), momentp(gone), momentp(asked)
	return &s, nil
}

func decodeAddresses(text string) ([]string, error) {
	list := []string{}
	if text == "[]" {
		return list, nil
	}
	// As a rule there are one or two, without anything that is escaped.
	if inner, ok := strings.CutPrefix(text, `["`); ok && !strings.Contains(text, `\`) {
		if inner, ok = strings.CutSuffix(inner, `"]`); ok && strings.Count(inner, `"`) == 2*strings.Count(inner, `","`) {
			return strings.Split(inner, `","`), nil
		}
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("decoding addresses: %w", err)
	}
	return list, nil
}

// normaliseServer makes s what a later read will return.
func normaliseServer(s *fleet.Server) {
	if s.Addresses == nil {
		s.Addresses = []string{}
	}
	s.PhaseSince, s.CreatedAt = exact(s.PhaseSince), exact(s.CreatedAt)
	for _, p := range []**time.Time{&s.DrainDeadline, &s.CallAt, &s.ReadyAt, &s.LastSeenAt, &s.RegisteredAt, &s.GoneAt, &s.AskedAt} {
		*p = exactp(*p)
	}
}

// InsertServer adds a server with Version 1, an id and a name if it has none,
// and times to the microsecond. ErrExists: the id or the name is taken.
func (tx *Tx) InsertServer(s *fleet.Server) error {
	n := *s
	if n.ID == "" {
		n.ID = tx.s.newID()
	}
	if n.Name == "" {
		n.Name = fleet.ServerName(n.ID)
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = tx.s.clock.Now()
	}
	if n.PhaseSince.IsZero() {
		n.PhaseSince = n.CreatedAt
	}
	n.Version = 1
	normaliseServer(&n)
	addresses, err := jsonText(n.Addresses)
	if err != nil {
		return fmt.Errorf("adding server %s: %w", n.Name, err)
	}
	fixed := n.Origin == fleet.OriginFixed
	open := n.Open()
	allowed := n.MaxUsers == 0 || n.Users < n.MaxUsers
	free := n.Capacity.Sub(n.Claimed).Floor()
	rows, err := tx.exec("INSERT INTO servers ("+serverColumns+", live, open, room, crowded, fixed, free_cores, free_memory, free_gpus, free_places)"+
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,"+
		" $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50) ON CONFLICT DO NOTHING",
		n.ID, n.Name, string(n.Origin), n.Pool, n.Zone, n.AutoscaleConfig, n.VMProvider, n.ProviderRevision,
		string(n.Phase), n.PhaseSince.UnixMicro(), n.Reason, n.Missing, n.ProviderID, n.Offer, addresses,
		int64(n.Capacity.Cores), n.Capacity.MemoryMiB, n.Capacity.GPUs, n.Capacity.Places, string(n.CapacitySource),
		int64(n.Claimed.Cores), n.Claimed.MemoryMiB, n.Claimed.GPUs, n.Claimed.Places, n.Sessions, n.Users, n.MaxUsers,
		n.OneShot, n.Used, micros(n.DrainDeadline), n.Attempts, n.Unseen, n.AgentVersion,
		n.CreatedAt.UnixMicro(), micros(n.CallAt), micros(n.ReadyAt), micros(n.LastSeenAt), micros(n.RegisteredAt), micros(n.GoneAt), n.Version, micros(n.AskedAt),
		n.Phase != fleet.PhaseGone, open, open && allowed, open && !allowed, fixed, int64(free.Cores), free.MemoryMiB, free.GPUs, free.Places)
	if err == nil && rows == 0 {
		err = ErrExists
	}
	if err == nil {
		err = tx.noteBay(n.Pool, n.Zone, fixed)
	}
	if err != nil {
		return fmt.Errorf("adding server %s: %w", n.Name, err)
	}
	tx.changed.server(n.ID, &n)
	*s = n
	return nil
}

func (tx *Tx) noteBay(pool, zone string, fixed bool) error {
	b := bay{pool, zone, fixed}
	if tx.s.changes.known(b) {
		return nil
	}
	tx.changed.bays = append(tx.changed.bays, b)
	return tx.do("INSERT INTO bays (pool, zone, fixed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", pool, zone, fixed)
}

// SaveServer writes everything of a server except its identity (id, name,
// origin, creation) and what claims change (Claimed, Sessions, Users). Version
// must be the stored one, else ErrStale; it grows by one.
func (tx *Tx) SaveServer(s *fleet.Server) error {
	n := *s
	normaliseServer(&n)
	addresses, err := jsonText(n.Addresses)
	if err != nil {
		return fmt.Errorf("saving server %s: %w", n.Name, err)
	}
	open := n.Open()
	// The claims of the row, not of s, decide what is free: a server cannot be
	// given out by being saved.
	row := n // as it will be stored
	var created int64
	dest := []any{&row.Claimed.Cores, &row.Claimed.MemoryMiB, &row.Claimed.GPUs, &row.Claimed.Places, &row.Sessions, &row.Users, &row.Version, &created}
	found := false
	if !tx.s.db.postgres && n.Phase != fleet.PhaseGone && n.GoneAt == nil {
		if found, err = tx.change(saveInPlaceText, saveInPlaceArgs(&n, addresses), dest...); err != nil {
			return fmt.Errorf("saving server %s: %w", n.Name, err)
		}
	}
	if !found {
		found, err = tx.change(saveText, []any{
			n.ID, n.Version, n.Pool, n.Zone, n.AutoscaleConfig, n.VMProvider, n.ProviderRevision,
			string(n.Phase), n.PhaseSince.UnixMicro(), n.Reason, n.Missing, n.ProviderID, n.Offer, addresses,
			int64(n.Capacity.Cores), n.Capacity.MemoryMiB, n.Capacity.GPUs, n.Capacity.Places, string(n.CapacitySource),
			n.MaxUsers, n.OneShot, n.Used, micros(n.DrainDeadline), n.Attempts, n.Unseen, n.AgentVersion,
			micros(n.CallAt), micros(n.ReadyAt), micros(n.LastSeenAt), micros(n.RegisteredAt), micros(n.GoneAt),
			n.Phase != fleet.PhaseGone, open, micros(n.AskedAt),
		}, dest...)
	}
	if err == nil && !found {
		err = ErrStale
	}
	if err == nil && open {
		err = tx.noteBay(n.Pool, n.Zone, n.Origin == fleet.OriginFixed)
	}
	if err != nil {
		return fmt.Errorf("saving server %s: %w", n.Name, err)
	}
	row.CreatedAt = moment(created)
	tx.changed.server(n.ID, &row)
	n.Version = row.Version
	*s = n
	return nil
}

const saveText = `UPDATE servers SET version = version + 1,
		pool = $3, zone = $4, autoscale_config = $5, vm_provider = $6, provider_revision = $7,
		phase = $8, phase_since = $9, reason = $10, missing = $11, provider_id = $12, offer = $13, addresses = $14,
		capacity_cores = $15, capacity_memory = $16, capacity_gpus = $17, capacity_places = $18, capacity_source = $19,
		max_users = $20, one_shot = $21, used = $22, drain_deadline = $23, attempts = $24, unseen = $25, agent_version = $26,
		call_at = $27, ready_at = $28, last_seen_at = $29, registered_at = $30, gone_at = $31,
		live = $32, open = $33, asked_at = $34,
		room = (CAST($33 AS BOOLEAN) AND (CAST($20 AS BIGINT) = 0 OR users < $20)),
		crowded = (CAST($33 AS BOOLEAN) AND CAST($20 AS BIGINT) > 0 AND users >= $20),
		free_cores = CASE WHEN CAST($15 AS BIGINT) > claimed_cores THEN $15 - claimed_cores ELSE 0 END,
		free_memory = CASE WHEN CAST($16 AS BIGINT) > claimed_memory THEN $16 - claimed_memory ELSE 0 END,
		free_gpus = CASE WHEN CAST($17 AS BIGINT) > claimed_gpus THEN $17 - claimed_gpus ELSE 0 END,
		free_places = CASE WHEN CAST($18 AS BIGINT) > claimed_places THEN $18 - claimed_places ELSE 0 END
		WHERE id = $1 AND version = $2
		RETURNING claimed_cores, claimed_memory, claimed_gpus, claimed_places, sessions, users, version, created_at`

// saveInPlaceText is saveText for a server that stays in its pool, with its
// config and its provider, and is not gone, as nearly all do. SQLite takes a
// server out of every index of which a column is set and puts it back, also when
// the value is the same; PostgreSQL looks at the values. No number occurs twice.
const saveInPlaceText = `UPDATE servers SET version = version + 1,
		provider_revision = $1,
		phase = $2, phase_since = $3, reason = $4, missing = $5, provider_id = $6, offer = $7, addresses = $8,
		capacity_cores = $9, capacity_memory = $10, capacity_gpus = $11, capacity_places = $12, capacity_source = $13,
		max_users = $14, one_shot = $15, used = $16, drain_deadline = $17, attempts = $18, unseen = $19, agent_version = $20,
		call_at = $21, ready_at = $22, last_seen_at = $23, registered_at = $24, asked_at = $25,
		open = $26, room = ($27 AND users < $28), crowded = ($29 AND users >= $30),
		free_cores = MAX($31 - claimed_cores, 0), free_memory = MAX($32 - claimed_memory, 0),
		free_gpus = MAX($33 - claimed_gpus, 0), free_places = MAX($34 - claimed_places, 0)
		WHERE id = $35 AND version = $36 AND pool = $37 AND zone = $38 AND autoscale_config = $39 AND vm_provider = $40 AND live
		RETURNING claimed_cores, claimed_memory, claimed_gpus, claimed_places, sessions, users, version, created_at`

func saveInPlaceArgs(n *fleet.Server, addresses string) []any {
	open, most := n.Open(), n.MaxUsers
	if most == 0 {
		most = math.MaxInt64
	}
	return []any{
		n.ProviderRevision,
		string(n.Phase), n.PhaseSince.UnixMicro(), n.Reason, n.Missing, n.ProviderID, n.Offer, addresses,
		int64(n.Capacity.Cores), n.Capacity.MemoryMiB, n.Capacity.GPUs, n.Capacity.Places, string(n.CapacitySource),
		n.MaxUsers, n.OneShot, n.Used, micros(n.DrainDeadline), n.Attempts, n.Unseen, n.AgentVersion,
		micros(n.CallAt), micros(n.ReadyAt), micros(n.LastSeenAt), micros(n.RegisteredAt), micros(n.AskedAt),
		open, open, most, open && n.MaxUsers > 0, most,
		int64(n.Capacity.Cores), n.Capacity.MemoryMiB, n.Capacity.GPUs, n.Capacity.Places,
		n.ID, n.Version, n.Pool, n.Zone, n.AutoscaleConfig, n.VMProvider,
	}
}

// Server reads one server by its id; ErrNotFound.
func (tx *Tx) Server(id string) (*fleet.Server, error) {
	return tx.server(id, "SELECT "+serverColumns+" FROM servers WHERE id = $1", id)
}

// ServerByName reads one server by its name or its id; ErrNotFound.
func (tx *Tx) ServerByName(name string) (*fleet.Server, error) {
	return tx.server(name, "SELECT "+serverColumns+" FROM servers WHERE name = $1 OR id = $1 ORDER BY name = $1 DESC LIMIT 1", name)
}

func (tx *Tx) server(what, query string, args ...any) (*fleet.Server, error) {
	s, err := tx.oneServer(query, args...)
	if err == nil && s == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading server %s: %w", what, err)
	}
	return s, nil
}

// oneServer is nil when there is no row.
func (tx *Tx) oneServer(query string, args ...any) (s *fleet.Server, err error) {
	err = tx.each(query, args, func(r row) (err error) {
		s, err = scanServer(r)
		return err
	})
	return s, err
}

func (f ServerFilter) condition() *condition {
	var c condition
	c.equal("pool", f.Pool)
	c.equal("zone", f.Zone)
	c.equal("autoscale_config", f.AutoscaleConfig)
	c.equal("vm_provider", f.VMProvider)
	if len(f.Phases) > 0 {
		oneOf(&c, "phase", f.Phases)
	}
	if !f.IncludeGone && !slices.Contains(f.Phases, fleet.PhaseGone) {
		c.add("live")
	}
	return &c
}

// Servers lists servers by the time of their creation.
func (tx *Tx) Servers(f ServerFilter) ([]*fleet.Server, error) {
	c := f.condition()
	if f.After != "" {
		var created int64
		found, err := tx.get("SELECT created_at FROM servers WHERE id = $1", []any{f.After}, &created)
		if err == nil && !found {
			err = cursorGone("server", f.After)
		}
		if err != nil {
			return nil, fmt.Errorf("listing servers: %w", err)
		}
		c.add("(created_at, id) > (?, ?)", created, f.After)
	}
	query := c.limit("SELECT "+serverColumns+" FROM servers"+c.where()+" ORDER BY created_at, id", f.Limit)
	list := []*fleet.Server{}
	err := tx.each(query, c.args, func(r row) error {
		s, err := scanServer(r)
		list = append(list, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing servers: %w", err)
	}
	return list, nil
}

// CountServers counts what Servers would list without After and Limit.
func (tx *Tx) CountServers(f ServerFilter) (int64, error) {
	c := f.condition()
	var n int64
	if _, err := tx.get("SELECT COUNT(*) FROM servers"+c.where(), c.args, &n); err != nil {
		return 0, fmt.Errorf("counting servers: %w", err)
	}
	return n, nil
}

// CountServersByPhase is like CountServers for each phase that occurs.
func (tx *Tx) CountServersByPhase(f ServerFilter) (map[fleet.Phase]int64, error) {
	c := f.condition()
	counts := map[fleet.Phase]int64{}
	err := tx.each("SELECT phase, COUNT(*) FROM servers"+c.where()+" GROUP BY phase", c.args, func(r row) error {
		var phase fleet.Phase
		var n int64
		err := r.Scan(&phase, &n)
		counts[phase] = n
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting servers: %w", err)
	}
	return counts, nil
}

// DeleteGoneServers forgets at most limit servers that were gone before that
// moment, with their logs and credentials, and returns how many.
func (tx *Tx) DeleteGoneServers(before time.Time, limit int) (int64, error) {
	ids, err := tx.texts("SELECT id FROM servers WHERE gone_at IS NOT NULL AND gone_at < $1 AND NOT live ORDER BY gone_at LIMIT $2", before.UnixMicro(), limit)
	for i := 0; i < len(ids) && err == nil; i++ {
		for _, query := range []string{
			"DELETE FROM server_logs WHERE server_id = $1",
			"DELETE FROM server_log_ends WHERE server_id = $1",
			"DELETE FROM server_scripts WHERE server_id = $1",
			"DELETE FROM agent_credentials WHERE server_id = $1",
			"DELETE FROM servers WHERE id = $1",
		} {
			if _, err = tx.exec(query, ids[i]); err != nil {
				break
			}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("deleting servers that are gone: %w", err)
	}
	return int64(len(ids)), nil
}

// texts reads one column of text.
func (tx *Tx) texts(query string, args ...any) ([]string, error) {
	var list []string
	err := tx.each(query, args, func(r row) error {
		var t string
		err := r.Scan(&t)
		list = append(list, t)
		return err
	})
	return list, err
}
