package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// safetyPoll is how often a waiting call looks at the database without being
// woken: on PostgreSQL another node may have served its session.
const safetyPoll = 2 * time.Second

// AcquireRequest asks for capacity of a pool.
type AcquireRequest struct {
	Pool           string         `json:"pool" doc:"The pool to take capacity from." example:"desktops"`
	Zone           string         `json:"zone,omitempty" doc:"Preferred zone; the zone says whether another one will do."`
	Cores          fleet.Cores    `json:"cores,omitempty" doc:"CPU cores (docker_agent pools)." example:"1"`
	Memory         fleet.Memory   `json:"memory,omitempty" doc:"Memory with its unit (docker_agent pools)." example:"512Mi"`
	GPUs           int64          `json:"gpus,omitempty" minimum:"0" maximum:"1000" doc:"GPUs (docker_agent pools)."`
	User           string         `json:"user,omitempty" maxLength:"255" doc:"Whom the session is for."`
	TTL            fleet.Duration `json:"ttl,omitempty" doc:"Life time; each renewal starts it anew. 0: until ended." example:"1h"`
	Wait           fleet.Duration `json:"wait,omitempty" doc:"How long the answer is held back while the session is queued; at most 60s." example:"30s"`
	QueueTimeout   fleet.Duration `json:"queue_timeout,omitempty" doc:"How long the session may stay queued before it is given up. 0: 10m." example:"10m"`
	NoQueue        bool           `json:"no_queue,omitempty" doc:"Fail instead of waiting in the queue."`
	IdempotencyKey string         `json:"idempotency_key,omitempty" maxLength:"255" doc:"A repeated request with the same key answers the session that the first one made."`
}

// SessionView is a session with what is known of its waiting.
type SessionView struct {
	fleet.Session
	QueuePosition int64  `json:"queue_position,omitempty" doc:"1 is next; absent unless queued."`
	Explanation   string `json:"explanation,omitempty" doc:"Why the session still waits."`
}

// Acquire takes capacity: at once when there is room and nobody waits, through
// the pool's queue otherwise. The session is active or queued then. Errors:
// invalid (also for a need that exceeds every machine), conflict (the
// idempotency key was used for something else, or no room and no_queue) and
// queue_full.
func (s *Service) Acquire(ctx context.Context, p auth.Principal, r AcquireRequest) (SessionView, error) {
	if err := p.Need(auth.Sessions); err != nil {
		return SessionView{}, err
	}
	if err := r.check(); err != nil {
		return SessionView{}, err
	}
	if err := p.NeedIn(auth.Sessions, r.Pool); err != nil {
		return SessionView{}, err
	}
	if err := s.couldFit(ctx, r); err != nil {
		// Machines come and go: a request that is repeated because its answer was
		// lost learns of its session although it would be refused by now.
		if made, e := s.madeBefore(ctx, p, r); e != nil || made != nil {
			if e != nil {
				return SessionView{}, e
			}
			return s.viewSession(ctx, made)
		}
		return SessionView{}, err
	}
	var out *fleet.Session
	err := s.Store.WriteSession(ctx, func(tx *store.Tx) error {
		var err error
		out, err = s.acquire(tx, p, r)
		if errors.Is(err, store.ErrExists) { // a rival on another node has used the key: look again
			return store.ErrStale
		}
		return err
	})
	if err != nil {
		return SessionView{}, err
	}
	if r.Wait > 0 && out.State == fleet.SessionQueued {
		return s.await(ctx, out.ID, r.Wait.D())
	}
	return s.viewSession(ctx, out)
}

// madeBefore finds the session that an earlier request with the same idempotency
// key made; nil if there is none.
func (s *Service) madeBefore(ctx context.Context, p auth.Principal, r AcquireRequest) (*fleet.Session, error) {
	if r.IdempotencyKey == "" {
		return nil, nil
	}
	var old *fleet.Session
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		in, err := tx.Entrance(r.Pool)
		if err != nil {
			return err
		}
		need, err := demand(in, r)
		if err != nil {
			return err
		}
		if old, err = tx.SessionByKey(p.TokenID, r.IdempotencyKey); err != nil {
			return err
		}
		return sameRequest(old, r, need)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return old, err
}

// check reports what is wrong with a request whatever the database holds.
func (r AcquireRequest) check() error {
	var fields []fleet.FieldError
	bad := func(path string, value any, message string) {
		fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: message})
	}
	if r.Pool == "" {
		bad("pool", nil, "is required: name the pool to take capacity from")
	}
	if r.GPUs < 0 {
		bad("gpus", r.GPUs, "must not be negative")
	}
	if r.Wait.D() > MaxWait {
		bad("wait", r.Wait.String(), "is longer than "+fleet.Duration(MaxWait).String()+": wait again with GET /api/v1/sessions/{id}?wait=")
	}
	if r.QueueTimeout.D() > MaxQueueTimeout {
		bad("queue_timeout", r.QueueTimeout.String(), "is longer than "+fleet.Duration(MaxQueueTimeout).String())
	}
	if len(r.User) > 255 {
		bad("user", nil, "is longer than 255 bytes")
	}
	if len(r.IdempotencyKey) > 255 {
		bad("idempotency_key", nil, "is longer than 255 bytes")
	}
	return fleet.Invalid("session request", fields)
}

// acquire is the transaction of Acquire.
func (s *Service) acquire(tx *store.Tx, p auth.Principal, r AcquireRequest) (*fleet.Session, error) {
	now := s.now()
	in, err := tx.Entrance(r.Pool)
	if err != nil {
		return nil, err
	}
	need, err := demand(in, r)
	if err != nil {
		return nil, err
	}
	if r.IdempotencyKey != "" {
		old, err := tx.SessionByKey(p.TokenID, r.IdempotencyKey)
		if err == nil {
			return old, sameRequest(old, r, need)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("looking up idempotency key: %w", err)
		}
	}
	session := &fleet.Session{
		ID: tx.NewID(), Pool: r.Pool, Zone: r.Zone, User: r.User, Need: need, TTL: r.TTL,
		CreatedAt: now, Owner: p.TokenID, IdempotencyKey: r.IdempotencyKey,
	}
	if !in.Queued {
		placed, err := claim.Place(tx, session, in, p.Actor(), now)
		if err != nil || placed {
			return session, err
		}
		if r.NoQueue {
			return nil, noRoom(r.Pool, need)
		}
	}
	return s.enqueue(tx, p, r, session, fleet.Value(in.Pool.QueueLimit, fleet.DefaultQueueLimit))
}

// demand is what the request claims in the pool that it names.
func demand(in store.Entrance, r AcquireRequest) (fleet.Resources, error) {
	var fields []fleet.FieldError
	bad := func(path string, value any, format string, args ...any) {
		fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	if in.Pool == nil {
		bad("pool", r.Pool, "there is no pool %q: headroom get pools lists those that exist", r.Pool)
		return fleet.Resources{}, fleet.Invalid("session request", fields)
	}
	if r.Zone != "" && !slices.ContainsFunc(in.Zones, func(z store.NamedZone) bool { return z.Name == r.Zone }) {
		bad("zone", r.Zone, "there is no zone %q: headroom get zones lists those that exist", r.Zone)
	}
	need := claim.Need(in.Pool.Type, fleet.Shape{Cores: r.Cores, Memory: r.Memory, GPUs: r.GPUs})
	switch {
	case in.Pool.Type == fleet.PoolDockerAgent && r.Cores == 0 && r.Memory == 0:
		bad("cores", nil, "pool %s is of type docker_agent: ask for cores or memory or both", r.Pool)
	case in.Pool.Type == fleet.PoolServer && (r.Cores != 0 || r.Memory != 0 || r.GPUs != 0):
		bad("cores", nil, "pool %s is of type server, where a session takes one place: leave cores, memory and gpus out", r.Pool)
	}
	return need, fleet.Invalid("session request", fields)
}

// enqueue lets the session wait, and serves the queue once, since those ahead
// may wait for zones that this one does not need.
func (s *Service) enqueue(tx *store.Tx, p auth.Principal, r AcquireRequest, session *fleet.Session, most int64) (*fleet.Session, error) {
	now := session.CreatedAt
	// Whoever gives capacity back on another node meanwhile waits for this
	// commit and then sees the session.
	if err := tx.LockPool(r.Pool); err != nil {
		return nil, fmt.Errorf("locking the queue of pool %s: %w", r.Pool, err)
	}
	counts, err := tx.CountSessions(store.SessionFilter{Pool: r.Pool, States: []fleet.SessionState{fleet.SessionQueued}})
	if err != nil {
		return nil, fmt.Errorf("counting the queue of pool %s: %w", r.Pool, err)
	}
	full := counts[fleet.SessionQueued] >= most
	if full && !r.NoQueue {
		return nil, fleet.Errorf(fleet.CodeQueueFull, "the queue of pool %s is full: %s wait already, its queue_limit is %d; try again later", r.Pool, count(counts[fleet.SessionQueued], "session"), most)
	}
	until := now.Add(fleet.Or(r.QueueTimeout.D(), DefaultQueueTimeout))
	session.State, session.WaitUntil = fleet.SessionQueued, &until
	session.Reason = "waits for " + session.Need.String() + " in pool " + r.Pool
	if err := tx.InsertSession(session); err != nil {
		return nil, fmt.Errorf("writing session %s: %w", session.ID, err)
	}
	tx.Emit(fleet.Event{
		Type: fleet.EventSessionQueued, Kind: fleet.EventKindSession, Name: session.ID, ID: session.ID, Pool: session.Pool,
		Actor: p.Actor(), Message: session.Reason, Data: map[string]any{"state": string(session.State), "user": session.User},
	})
	served, err := claim.AssignQueued(tx, r.Pool, now)
	if err != nil {
		return nil, err
	}
	for _, other := range served {
		if other.ID == session.ID {
			return other, nil
		}
	}
	if r.NoQueue {
		return nil, noRoom(r.Pool, session.Need)
	}
	return session, nil
}

func noRoom(pool string, need fleet.Resources) error {
	return fleet.Errorf(fleet.CodeConflict, "pool %s has no room for %s now, and no_queue forbids to wait; headroom explain pool %s says what it is doing", pool, need, pool)
}

// sameRequest returns a conflict when a request repeats the key of a session
// that was made for something else. The ttl is not compared: a renewal may have
// replaced it, and the repetition must learn of its session all the same.
func sameRequest(old *fleet.Session, r AcquireRequest, need fleet.Resources) error {
	var differ []string
	for _, d := range []struct {
		field string
		same  bool
	}{
		{"pool", old.Pool == r.Pool},
		{"zone", old.Zone == r.Zone},
		{"cores, memory, gpus", old.Need == need},
		{"user", old.User == r.User},
	} {
		if !d.same {
			differ = append(differ, d.field)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return fleet.Errorf(fleet.CodeConflict, "the idempotency key was used for session %s with another value of %s: use a new key for a new session", old.ID, strings.Join(differ, ", "))
}

// Session reads one session. While it is queued the answer is held back for at
// most wait.
func (s *Service) Session(ctx context.Context, p auth.Principal, id string, wait time.Duration) (SessionView, error) {
	session, err := s.mySession(ctx, p, id, auth.Read)
	if err != nil {
		return SessionView{}, err
	}
	if wait > MaxWait {
		return SessionView{}, fleet.Invalid("session request", []fleet.FieldError{{Path: "wait", Value: fleet.Duration(wait).String(), Message: "is longer than " + fleet.Duration(MaxWait).String()}})
	}
	if wait > 0 && session.State == fleet.SessionQueued {
		return s.await(ctx, id, wait)
	}
	return s.viewSession(ctx, session)
}

// await returns the session as soon as it is no longer queued, or as it is
// after the given time or when the service closes.
func (s *Service) await(ctx context.Context, id string, d time.Duration) (SessionView, error) {
	w, leave := s.hub.session(id)
	defer leave()
	deadline := s.Clock.NewTimer(d)
	defer deadline.Stop()
	poll := s.Clock.NewTicker(safetyPoll)
	defer poll.Stop()
	for over := false; ; {
		session, err := s.readSession(ctx, id)
		if err != nil {
			return SessionView{}, err
		}
		if over || session.State != fleet.SessionQueued {
			return s.viewSession(ctx, session)
		}
		select {
		case <-w.wake:
		case <-poll.C():
		case <-deadline.C():
			over = true
		case <-s.hub.done:
			over = true
		case <-ctx.Done():
			return SessionView{}, ctx.Err()
		}
	}
}

// Renew starts the life time of an active session anew. A ttl above 0 replaces
// the session's own.
func (s *Service) Renew(ctx context.Context, p auth.Principal, id string, ttl fleet.Duration) (SessionView, error) {
	if _, err := s.mySession(ctx, p, id, auth.AllSessions); err != nil {
		return SessionView{}, err
	}
	var out *fleet.Session
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		session, err := tx.Session(id)
		if err != nil {
			return notFound(err, "session", id)
		}
		out = session
		switch session.State {
		case fleet.SessionActive:
		case fleet.SessionEnded:
			return fleet.Errorf(fleet.CodeConflict, "session %s has ended (%s): take a new one", id, session.Reason)
		default:
			return fleet.Errorf(fleet.CodeConflict, "session %s is %s: only an active session can be renewed", id, session.State)
		}
		session.TTL = fleet.Or(ttl, session.TTL)
		if session.TTL == 0 {
			return nil // lives until it is ended
		}
		until := s.now().Add(session.TTL.D())
		session.ExpiresAt = &until
		if err := tx.SaveSession(session); err != nil {
			return fmt.Errorf("renewing session %s: %w", id, err)
		}
		tx.Emit(fleet.Event{
			Type: fleet.EventSessionRenewed, Kind: fleet.EventKindSession, Name: id, ID: id, Pool: session.Pool, Actor: p.Actor(),
			Message: "renewed until " + until.Format(time.RFC3339), Data: map[string]any{"expires_at": until},
		})
		return nil
	})
	if err != nil {
		return SessionView{}, err
	}
	return s.viewSession(ctx, out)
}

// EndSession ends a session and serves the queue from what becomes free. A
// session that has ended stays as it is.
func (s *Service) EndSession(ctx context.Context, p auth.Principal, id string) (SessionView, error) {
	if _, err := s.mySession(ctx, p, id, auth.AllSessions); err != nil {
		return SessionView{}, err
	}
	var out *fleet.Session
	err := s.Store.WriteSession(ctx, func(tx *store.Tx) error {
		session, err := tx.Session(id)
		if err != nil {
			return notFound(err, "session", id)
		}
		out = session
		_, err = claim.End(tx, session, "ended by "+p.Actor(), p.Actor(), s.now())
		return err
	})
	if err != nil {
		return SessionView{}, err
	}
	return s.viewSession(ctx, out)
}
