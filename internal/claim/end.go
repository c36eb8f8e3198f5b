package claim

import (
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// End ends a session, gives its claim back and serves the pool's queue from
// what became free. Ending a session that has ended changes nothing and
// returns false. s is brought up to date.
func End(tx *store.Tx, s *fleet.Session, reason, actor string, now time.Time) (bool, error) {
	if !s.Live() {
		return false, nil
	}
	// The queue is locked first: whoever enters it meanwhile on another node
	// sees what is given back here.
	if err := tx.LockPool(s.Pool); err != nil {
		return false, fmt.Errorf("locking the queue of pool %s: %w", s.Pool, err)
	}
	held, err := end(tx, s, reason, actor, now)
	if err != nil {
		return false, err
	}
	if !held { // a waiting session may have held up those behind it
		held = s.QueueOrder > 0
	}
	if held {
		if _, err := AssignQueued(tx, s.Pool, now); err != nil {
			return false, err
		}
	}
	return true, nil
}

// EndOnServer ends every session that sits on a server, with one reason, and
// serves the pool's queue afterwards. The caller has closed the server (or it
// is gone), so that the queue is not served from it. It returns the sessions
// that it ended. Version and claims of the server's row change: read it again
// before saving it.
func EndOnServer(tx *store.Tx, server *fleet.Server, reason, actor string, now time.Time) ([]*fleet.Session, error) {
	if err := tx.LockPool(server.Pool); err != nil {
		return nil, fmt.Errorf("locking the queue of pool %s: %w", server.Pool, err)
	}
	sessions, err := tx.Sessions(store.SessionFilter{ServerID: server.ID, States: []fleet.SessionState{fleet.SessionActive, fleet.SessionStaged}})
	if err != nil {
		return nil, fmt.Errorf("reading the sessions of server %s: %w", server.Name, err)
	}
	return sessions, EndAll(tx, server.Pool, sessions, func(*fleet.Session) string { return reason }, actor, now)
}

// EndAll ends live sessions of a pool and serves its queue once afterwards, and
// not after each: who is served may take over a staged session, which would be
// one of those that are still to be ended.
func EndAll(tx *store.Tx, pool string, sessions []*fleet.Session, reason func(*fleet.Session) string, actor string, now time.Time) error {
	if len(sessions) == 0 {
		return nil
	}
	if err := tx.LockPool(pool); err != nil {
		return fmt.Errorf("locking the queue of pool %s: %w", pool, err)
	}
	for _, s := range sessions {
		if _, err := end(tx, s, reason(s), actor, now); err != nil {
			return err
		}
	}
	_, err := AssignQueued(tx, pool, now)
	return err
}

// end ends one live session and gives back its claim, if it held one.
func end(tx *store.Tx, s *fleet.Session, reason, actor string, now time.Time) (held bool, err error) {
	held = s.State.HoldsCapacity() && s.ServerID != ""
	s.State, s.Reason, s.EndedAt, s.WaitUntil = fleet.SessionEnded, reason, &now, nil
	if err := tx.SaveSession(s); err != nil {
		return false, fmt.Errorf("ending session %s: %w", s.ID, err)
	}
	emit(tx, s, fleet.EventSessionEnded, actor, reason)
	if !held {
		return false, nil
	}
	server, err := tx.Release(s.ServerID, s.Need, s.User)
	if err != nil {
		return false, fmt.Errorf("giving back the claim of session %s: %w", s.ID, err)
	}
	if server.Spent() { // saved so that it is closed before the queue is served
		if err := tx.SaveServer(server); err != nil {
			return false, fmt.Errorf("closing the one-shot server %s: %w", server.Name, err)
		}
	}
	return true, nil
}
