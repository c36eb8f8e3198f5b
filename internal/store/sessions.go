package store

import (
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// sessionQuery selects sessions with what the server they are on says of
// itself, in the order of scanSession.
const sessionQuery = "SELECT e.id, e.pool, e.zone, e.user_name, e.state, e.reason," +
	" e.need_cores, e.need_memory, e.need_gpus, e.need_places, e.staging, e.server_id, v.name, v.addresses," +
	" e.ttl, e.created_at, e.queue_order, e.assigned_at, e.expires_at, e.wait_until, e.ended_at," +
	" e.owner, e.idempotency_key, e.version FROM sessions AS e LEFT JOIN servers AS v ON v.id = e.server_id"

func scanSession(r row) (*fleet.Session, error) {
	var s fleet.Session
	var server, addresses sql.NullString
	var created int64
	var assigned, expires, wait, ended sql.NullInt64
	err := r.Scan(&s.ID, &s.Pool, &s.Zone, &s.User, (*string)(&s.State), &s.Reason,
		(*int64)(&s.Need.Cores), &s.Need.MemoryMiB, &s.Need.GPUs, &s.Need.Places, &s.Staging, &s.ServerID, &server, &addresses,
		(*int64)(&s.TTL), &created, &s.QueueOrder, &assigned, &expires, &wait, &ended,
		&s.Owner, &s.IdempotencyKey, &s.Version)
	if err != nil {
		return nil, err
	}
	s.Server = server.String
	if addresses.Valid && addresses.String != "[]" {
		if s.Addresses, err = decodeAddresses(addresses.String); err != nil {
			return nil, err
		}
	}
	s.CreatedAt = moment(created)
	s.AssignedAt, s.ExpiresAt, s.WaitUntil, s.EndedAt = momentp(assigned), momentp(expires), momentp(wait), momentp(ended)
	return &s, nil
}

func normaliseSession(s *fleet.Session) {
	s.CreatedAt = exact(s.CreatedAt)
	for _, p := range []**time.Time{&s.AssignedAt, &s.ExpiresAt, &s.WaitUntil, &s.EndedAt} {
		*p = exactp(*p)
	}
}

// dueAt is when something must be done about the session: nil for never.
func dueAt(s *fleet.Session) any {
	switch s.State {
	case fleet.SessionActive:
		return micros(s.ExpiresAt)
	case fleet.SessionQueued:
		return micros(s.WaitUntil)
	}
	return nil
}

const insertSessionText = `INSERT INTO sessions (id, pool, zone, user_name, prior_user, state, reason,
			need_cores, need_memory, need_gpus, need_places, staging, server_id, ttl, created_at, queue_order,
			assigned_at, expires_at, wait_until, ended_at, owner, idempotency_key, version, live, holds, due_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
			ON CONFLICT DO NOTHING`

// InsertSession adds a session with Version 1, an id if it has none, and times
// to the microsecond. A queued one without QueueOrder goes to the end of its
// pool's queue. ErrExists: the id or the pair of owner and idempotency key is
// taken; the transaction can go on.
func (tx *Tx) InsertSession(s *fleet.Session) error {
	n := *s
	if n.ID == "" {
		n.ID = tx.NewID()
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = tx.s.clock.Now()
	}
	n.Version = 1
	normaliseSession(&n)
	tx.s.entrances.note(&n)
	err := tx.enqueue(&n)
	if err == nil {
		args := []any{
			n.ID, n.Pool, n.Zone, n.User, n.User, string(n.State), n.Reason,
			int64(n.Need.Cores), n.Need.MemoryMiB, n.Need.GPUs, n.Need.Places, n.Staging, n.ServerID, int64(n.TTL), n.CreatedAt.UnixMicro(), n.QueueOrder,
			micros(n.AssignedAt), micros(n.ExpiresAt), micros(n.WaitUntil), micros(n.EndedAt), n.Owner, n.IdempotencyKey, n.Version,
			n.Live(), n.State.HoldsCapacity(), dueAt(&n),
		}
		if n.ID == tx.made && n.IdempotencyKey == "" { // nothing can be in its way
			err = tx.doOr(ErrExists, insertSessionText, args...)
		} else {
			var rows int64
			rows, err = tx.exec(insertSessionText, args...)
			if err == nil && rows == 0 {
				err = ErrExists
			}
		}
	}
	if err != nil {
		return fmt.Errorf("adding session %s: %w", n.ID, err)
	}
	*s = n
	return nil
}

// enqueue gives a queued session the next place in its pool's queue, unless it
// has one. The counter's row is locked until the commit, so that the order of
// places is the order of commits.
func (tx *Tx) enqueue(s *fleet.Session) error {
	if s.State != fleet.SessionQueued || s.QueueOrder != 0 {
		return nil
	}
	_, err := tx.change(`INSERT INTO counters (name, value) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`, []any{"queue/" + s.Pool}, &s.QueueOrder)
	return err
}

// SaveSession writes everything of a session except its identity (id, pool,
// creation, owner, key). Version must be the stored one, else ErrStale; it
// grows by one. When a session that holds capacity changes hands, the users of
// its server are counted anew.
func (tx *Tx) SaveSession(s *fleet.Session) error {
	n := *s
	normaliseSession(&n)
	tx.s.entrances.note(&n)
	err := tx.enqueue(&n)
	var prior string
	var found bool
	if err == nil {
		found, err = tx.change(`UPDATE sessions SET version = version + 1, prior_user = user_name,
			zone = $3, user_name = $4, state = $5, reason = $6,
			need_cores = $7, need_memory = $8, need_gpus = $9, need_places = $10,
			staging = $11, server_id = $12, ttl = $13, queue_order = $14,
			assigned_at = $15, expires_at = $16, wait_until = $17, ended_at = $18,
			live = $19, holds = $20, due_at = $21
			WHERE id = $1 AND version = $2 RETURNING prior_user`, []any{
			n.ID, n.Version, n.Zone, n.User, string(n.State), n.Reason,
			int64(n.Need.Cores), n.Need.MemoryMiB, n.Need.GPUs, n.Need.Places,
			n.Staging, n.ServerID, int64(n.TTL), n.QueueOrder,
			micros(n.AssignedAt), micros(n.ExpiresAt), micros(n.WaitUntil), micros(n.EndedAt),
			n.Live(), n.State.HoldsCapacity(), dueAt(&n),
		}, &prior)
	}
	if err == nil && !found {
		err = ErrStale
	}
	if err == nil && prior != n.User && n.State.HoldsCapacity() {
		err = tx.recountUsers(n.ServerID)
	}
	if err != nil {
		return fmt.Errorf("saving session %s: %w", n.ID, err)
	}
	n.Version++
	*s = n
	return nil
}

// Session reads one session; ErrNotFound.
func (tx *Tx) Session(id string) (*fleet.Session, error) {
	return tx.session("session "+id, sessionQuery+" WHERE e.id = $1", id)
}

// SessionByKey reads the session that owner made with that idempotency key;
// ErrNotFound. Ended sessions count until they are forgotten.
func (tx *Tx) SessionByKey(owner, key string) (*fleet.Session, error) {
	return tx.session("session with idempotency key "+key,
		sessionQuery+" WHERE e.owner = $1 AND e.idempotency_key = $2 AND e.idempotency_key <> ''", owner, key)
}

func (tx *Tx) session(what, query string, args ...any) (*fleet.Session, error) {
	list, err := tx.sessions(query, args...)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return list[0], nil
}

func (tx *Tx) sessions(query string, args ...any) ([]*fleet.Session, error) {
	list := []*fleet.Session{}
	err := tx.each(query, args, func(r row) error {
		s, err := scanSession(r)
		list = append(list, s)
		return err
	})
	return list, err
}

func (f SessionFilter) condition() *condition {
	var c condition
	c.equal("e.pool", f.Pool)
	c.equal("e.user_name", f.User)
	c.equal("e.server_id", f.ServerID)
	c.equal("e.owner", f.Owner)
	c.equal("e.staging", f.Staging)
	switch {
	case len(f.States) == 1 && knownState(f.States[0]):
		// Spelled out, so that the indexes of a single state can serve.
		c.add("e.state = '" + string(f.States[0]) + "'")
	case len(f.States) > 0:
		oneOf(&c, "e.state", f.States)
	}
	// Queued and staged sessions are live. To say so would lead to the index of
	// all live sessions of the pool.
	few := len(f.States) == 1 && (f.States[0] == fleet.SessionQueued || f.States[0] == fleet.SessionStaged) && f.ServerID == "" && f.User == ""
	if !few && !f.IncludeEnded && !slices.Contains(f.States, fleet.SessionEnded) {
		c.add("e.live")
	}
	return &c
}

func knownState(s fleet.SessionState) bool {
	switch s {
	case fleet.SessionQueued, fleet.SessionStaged, fleet.SessionActive, fleet.SessionEnded:
		return true
	}
	return false
}

// Sessions lists sessions by the time of their creation.
func (tx *Tx) Sessions(f SessionFilter) ([]*fleet.Session, error) {
	c := f.condition()
	if f.After != "" {
		var created int64
		found, err := tx.get("SELECT created_at FROM sessions WHERE id = $1", []any{f.After}, &created)
		if err == nil && !found {
			err = cursorGone("session", f.After)
		}
		if err != nil {
			return nil, fmt.Errorf("listing sessions: %w", err)
		}
		c.add("(e.created_at, e.id) > (?, ?)", created, f.After)
	}
	list, err := tx.sessions(c.limit(sessionQuery+c.where()+" ORDER BY e.created_at, e.id", f.Limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return list, nil
}

// SessionsOn lists the ids of the live sessions on a server, in the order of
// their creation.
func (tx *Tx) SessionsOn(serverID string) ([]string, error) {
	list, err := tx.texts("SELECT id FROM sessions WHERE server_id = $1 AND live ORDER BY created_at, id", serverID)
	if err != nil {
		return nil, fmt.Errorf("listing sessions of server %s: %w", serverID, err)
	}
	return list, nil
}

// CountSessions counts what Sessions would list without After and Limit, by
// state.
func (tx *Tx) CountSessions(f SessionFilter) (map[fleet.SessionState]int64, error) {
	c := f.condition()
	counts := map[fleet.SessionState]int64{}
	err := tx.each("SELECT e.state, COUNT(*) FROM sessions AS e"+c.where()+" GROUP BY e.state", c.args, func(r row) error {
		var state fleet.SessionState
		var n int64
		err := r.Scan(&state, &n)
		counts[state] = n
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting sessions: %w", err)
	}
	return counts, nil
}

// QueuedSessions lists the head of a pool's queue, first come first. limit 0:
// all of it.
func (tx *Tx) QueuedSessions(pool string, limit int) ([]*fleet.Session, error) {
	var c condition
	c.add("e.pool = ?", pool)
	c.add("e.state = 'queued'")
	list, err := tx.sessions(c.limit(sessionQuery+c.where()+" ORDER BY e.queue_order, e.id", limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("reading the queue of pool %s: %w", pool, err)
	}
	return list, nil
}

// QueuePosition is the place of a queued session in its pool's queue, 1 for
// the next to be served; 0 for a session that is not queued.
func (tx *Tx) QueuePosition(s *fleet.Session) (int64, error) {
	if s.State != fleet.SessionQueued {
		return 0, nil
	}
	var n int64
	_, err := tx.get("SELECT COUNT(*) FROM sessions WHERE pool = $1 AND state = 'queued' AND (queue_order, id) < ($2, $3)",
		[]any{s.Pool, s.QueueOrder, s.ID}, &n)
	if err != nil {
		return 0, fmt.Errorf("finding session %s in the queue of pool %s: %w", s.ID, s.Pool, err)
	}
	return n + 1, nil
}

// StagedSession reads the oldest staged session of exactly this shape on an
// open server; ErrNotFound. Its user, once set, takes the place that the
// session has held for somebody unknown: max_users is kept.
func (tx *Tx) StagedSession(pool, zone string, need fleet.Resources) (*fleet.Session, error) {
	var c condition
	c.add("e.pool = ?", pool)
	c.add("e.state = 'staged'")
	c.add("e.need_cores = ?", int64(need.Cores))
	c.add("e.need_memory = ?", need.MemoryMiB)
	c.add("e.need_gpus = ?", need.GPUs)
	c.add("e.need_places = ?", need.Places)
	c.equal("v.zone", zone)
	c.add("v.open")
	return tx.session("staged session", sessionQuery+c.where()+" ORDER BY e.created_at, e.id LIMIT 1", c.args...)
}

// SessionsDue lists active sessions that have expired and queued ones that
// have waited long enough, the longest overdue first. limit 0: all.
func (tx *Tx) SessionsDue(now time.Time, limit int) ([]*fleet.Session, error) {
	var c condition
	c.add("e.due_at IS NOT NULL")
	c.add("e.due_at <= ?", now.UnixMicro())
	list, err := tx.sessions(c.limit(sessionQuery+c.where()+" ORDER BY e.due_at, e.id", limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("listing sessions that are due: %w", err)
	}
	return list, nil
}

// NextSessionDue is when SessionsDue will next find one that it does not find
// at the given moment; zero: never.
func (tx *Tx) NextSessionDue(now time.Time) (time.Time, error) {
	var us sql.NullInt64
	if _, err := tx.get("SELECT due_at FROM sessions WHERE due_at > $1 ORDER BY due_at LIMIT 1", []any{now.UnixMicro()}, &us); err != nil {
		return time.Time{}, fmt.Errorf("looking for the next session that is due: %w", err)
	}
	return momentOrZero(us), nil
}

// DeleteEndedSessions forgets at most limit sessions that ended before that
// moment, and returns how many.
func (tx *Tx) DeleteEndedSessions(before time.Time, limit int) (int64, error) {
	n, err := tx.exec(`DELETE FROM sessions WHERE id IN (
		SELECT id FROM sessions WHERE ended_at IS NOT NULL AND ended_at < $1 AND NOT live ORDER BY ended_at LIMIT $2)`, before.UnixMicro(), limit)
	if err != nil {
		return 0, fmt.Errorf("deleting ended sessions: %w", err)
	}
	return n, nil
}
