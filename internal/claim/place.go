package claim

import (
	"errors"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// queueBatch bounds how many waiting sessions are read at once.
const queueBatch = 64

// ActorQueue is the actor of events about sessions that the queue served.
const ActorQueue = "queue"

// Need is what a session of the given shape claims in a pool of the given
// type: the shape itself from agents, one place from servers.
func Need(pool fleet.PoolType, shape fleet.Shape) fleet.Resources {
	if pool == fleet.PoolServer {
		return fleet.Resources{Places: 1}
	}
	return shape.Resources()
}

// Place finds room for a session and claims it. in is the entrance of its pool,
// read in the same transaction. The session must be new (not in the database;
// ID, Pool, Zone, Need, User, Owner, TTL filled) or waiting in the queue. A staged session of exactly the wanted shape is taken over before
// free capacity is used: its claim passes to s and the staged session ends.
//
// It returns false when nothing has room; nothing is changed then and the
// session is as before. After true the session is active, written to the
// database, and its event is emitted. Whose turn it is must be known to the
// caller: Place does not look at the queue.
func Place(tx *store.Tx, s *fleet.Session, in store.Entrance, actor string, now time.Time) (bool, error) {
	return place(tx, s, zonesOf(in.Zones).attempts(s.Zone, nil), in.Staged, actor, now)
}

// place looks for room in order; staged: there may be sessions made ahead.
func place(tx *store.Tx, s *fleet.Session, where []attempt, staged bool, actor string, now time.Time) (bool, error) {
	for _, a := range where {
		if staged {
			done, err := takeStaged(tx, s, a, actor, now)
			if err != nil || done {
				return done, err
			}
		}
		server, err := tx.Claim(store.ClaimQuery{
			Pool: s.Pool, Zone: a.zone, Need: s.Need, User: s.User,
			Spread: a.spread, PreferFixed: a.preferFixed,
		})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("claiming room for session %s: %w", s.ID, err)
		}
		return true, activate(tx, s, server, actor, "", now)
	}
	return false, nil
}

// takeStaged gives s the claim of a staged session of the same shape, if there
// is one. The claim is given back and taken again for the user of s, because a
// limit of users on the server counts that user and not the staging.
func takeStaged(tx *store.Tx, s *fleet.Session, a attempt, actor string, now time.Time) (bool, error) {
	staged, err := tx.StagedSession(s.Pool, a.zone, s.Need)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a staged session: %w", err)
	}
	old := *staged
	staged.State, staged.Reason, staged.EndedAt = fleet.SessionEnded, "its place was given to session "+s.ID, &now
	if err := tx.SaveSession(staged); err != nil {
		return false, fmt.Errorf("taking over staged session %s: %w", staged.ID, err)
	}
	if _, err := tx.Release(old.ServerID, old.Need, ""); err != nil {
		return false, fmt.Errorf("taking over staged session %s: %w", staged.ID, err)
	}
	server, err := tx.Claim(store.ClaimQuery{Pool: s.Pool, ServerID: old.ServerID, Need: s.Need, User: s.User})
	if errors.Is(err, store.ErrNotFound) { // the user limit of the server: the staged session stays
		if _, err := tx.Claim(store.ClaimQuery{Pool: s.Pool, ServerID: old.ServerID, Need: old.Need}); err != nil {
			return false, fmt.Errorf("giving back staged session %s: %w", old.ID, err)
		}
		old.Version = staged.Version
		if err := tx.SaveSession(&old); err != nil {
			return false, fmt.Errorf("giving back staged session %s: %w", old.ID, err)
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claiming the room of staged session %s: %w", old.ID, err)
	}
	emit(tx, staged, fleet.EventSessionEnded, actor, staged.Reason)
	s.Staging = old.Staging
	return true, activate(tx, s, server, actor, "made ahead by staging "+old.Staging, now)
}

// activate makes s active on the server and writes it.
func activate(tx *store.Tx, s *fleet.Session, server *fleet.Server, actor, how string, now time.Time) error {
	waited := s.State == fleet.SessionQueued
	s.State, s.ServerID, s.Server, s.Addresses = fleet.SessionActive, server.ID, server.Name, server.Addresses
	s.AssignedAt, s.WaitUntil = &now, nil
	if s.TTL > 0 {
		until := now.Add(s.TTL.D())
		s.ExpiresAt = &until
	}
	s.Reason = "placed on " + server.Name
	if waited {
		s.Reason += " after " + fleet.Duration(now.Sub(s.CreatedAt).Round(time.Millisecond)).String() + " in the queue"
	}
	if how != "" {
		s.Reason += ", " + how
	}
	write := tx.InsertSession
	if waited {
		write = tx.SaveSession
	}
	if err := write(s); err != nil {
		return fmt.Errorf("writing session %s: %w", s.ID, err)
	}
	emit(tx, s, fleet.EventSessionActive, actor, s.Reason)
	return nil
}

// AssignQueued serves the waiting sessions of a pool, first come first served,
// from capacity that is free, and returns those that it served. It stops at the
// first session that has no room and may run anywhere; one that is confined to
// a zone closes only that zone to those behind it.
func AssignQueued(tx *store.Tx, pool string, now time.Time) ([]*fleet.Session, error) {
	if err := tx.LockPool(pool); err != nil {
		return nil, fmt.Errorf("locking the queue of pool %s: %w", pool, err)
	}
	var (
		served []*fleet.Session
		zs     zones
		closed = map[string]bool{}
	)
	for limit := queueBatch; ; {
		queued, err := tx.QueuedSessions(pool, limit)
		if err != nil {
			return nil, fmt.Errorf("reading the queue of pool %s: %w", pool, err)
		}
		if len(queued) == 0 {
			return served, nil
		}
		if zs == nil {
			if zs, err = loadZones(tx); err != nil {
				return nil, err
			}
		}
		before := len(served)
		for _, s := range queued {
			where := zs.attempts(s.Zone, closed)
			if len(where) == 0 {
				continue
			}
			done, err := place(tx, s, where, true, ActorQueue, now)
			if err != nil {
				return nil, err
			}
			switch {
			case done:
				served = append(served, s)
			case zs.confines(s.Zone):
				closed[s.Zone] = true
			default:
				return served, nil
			}
		}
		if len(queued) < limit {
			return served, nil
		}
		if len(served) == before { // all of them wait for closed zones: look behind them
			limit *= 2
		}
	}
}

// MakeStaged makes one session ahead for a staging. It returns
// store.ErrNotFound when nothing has room or when the pool's queue is not
// empty, since whoever waits comes before anybody who may come.
func MakeStaged(tx *store.Tx, id, staging string, pool fleet.PoolType, spec fleet.StagingSpec, actor string, now time.Time) (*fleet.Session, error) {
	queued, err := tx.QueuedSessions(spec.Pool, 1)
	if err != nil {
		return nil, err
	}
	if len(queued) > 0 {
		return nil, store.ErrNotFound
	}
	zs, err := loadZones(tx)
	if err != nil {
		return nil, err
	}
	where := []attempt{}
	for _, a := range zs.attempts(spec.Zone, nil) { // a staging never falls over
		if spec.Zone == "" || a.zone == spec.Zone {
			where = append(where, a)
		}
	}
	for _, a := range where {
		need := Need(pool, spec.Shape)
		server, err := tx.Claim(store.ClaimQuery{Pool: spec.Pool, Zone: a.zone, Need: need, Spread: a.spread, PreferFixed: a.preferFixed})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("claiming room for staging %s: %w", staging, err)
		}
		s := &fleet.Session{
			ID: id, Pool: spec.Pool, Zone: spec.Zone, State: fleet.SessionStaged, Need: need, Staging: staging,
			Reason: "made ahead on " + server.Name + " by staging " + staging, ServerID: server.ID, Server: server.Name, Addresses: server.Addresses,
			CreatedAt: now, AssignedAt: &now, Owner: "staging/" + staging,
		}
		if err := tx.InsertSession(s); err != nil {
			return nil, fmt.Errorf("writing staged session %s: %w", id, err)
		}
		emit(tx, s, fleet.EventSessionStaged, actor, s.Reason)
		return s, nil
	}
	return nil, store.ErrNotFound
}

func emit(tx *store.Tx, s *fleet.Session, t fleet.EventType, actor, message string) {
	data := map[string]any{"state": string(s.State)}
	if s.ServerID != "" {
		data["server_id"] = s.ServerID
	}
	if s.Server != "" {
		data["server"] = s.Server
	}
	if s.User != "" {
		data["user"] = s.User
	}
	tx.Emit(fleet.Event{
		Type: t, Kind: fleet.EventKindSession, Name: s.ID, ID: s.ID, Pool: s.Pool,
		Actor: actor, Message: message, Data: data,
	})
}
