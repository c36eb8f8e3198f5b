package control

import (
	"sync"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	// deafAfter is a pause in the controller's own work after which it was
	// suspended, or its clock was set. Something is looked at every minute.
	deafAfter = 2 * time.Minute
	// queueGrace is for sessions that wait: one pass over their pool comes first.
	queueGrace = time.Minute
	// clockSkew is how far in the future a stored moment may lie before it
	// counts as written by a clock that has been set back since.
	clockSkew = time.Minute
)

// hearing knows since when the controller could have heard others. A silence
// that began before proves nothing: after a restart, a suspension of the host or
// a jump of its clock, all agents look silent and all sessions look expired at
// once.
type hearing struct {
	mu    sync.Mutex
	last  time.Time
	since time.Time
}

// at notes that the controller is at work, and returns since when it has been
// without a break.
func (h *hearing) at(now time.Time) time.Time {
	now = now.Round(0) // the wall clock: the other one does not jump
	h.mu.Lock()
	defer h.mu.Unlock()
	if gap := now.Sub(h.last); h.last.IsZero() || gap > deafAfter || gap < -time.Second {
		h.since = now
	}
	h.last = now
	return h.since
}

// hearingSince is since when silence counts. It is asked when the database has
// just worked: without it nobody's sign of life could have been kept.
func (c *Controller) hearingSince() time.Time { return c.hearing.at(c.now()) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// expiry is when a session's time is over: not before its people have had time
// to be heard.
func expiry(s *fleet.Session, since time.Time) time.Time {
	switch {
	case s.State == fleet.SessionActive && s.ExpiresAt != nil:
		// Less than a whole ttl would end the session of somebody who renews at
		// the last moment, by a clock that was put forward or stood still.
		return later(*s.ExpiresAt, since.Add(s.TTL.D()))
	case s.State == fleet.SessionQueued && s.WaitUntil != nil:
		return later(*s.WaitUntil, since.Add(min(s.WaitUntil.Sub(s.CreatedAt), queueGrace)))
	}
	return time.Time{}
}

// moments are those of a server that deadlines count from and that can be
// changed; the moment of its creation cannot.
func moments(s *fleet.Server) []*time.Time {
	all := []*time.Time{&s.PhaseSince}
	for _, t := range []*time.Time{s.CallAt, s.AskedAt, s.LastSeenAt, s.RegisteredAt} {
		if t != nil {
			all = append(all, t)
		}
	}
	return all
}

// fromFuture says that a clock which has been set back since has written a
// moment of the server.
func fromFuture(s *fleet.Server, now time.Time) bool {
	for _, t := range moments(s) {
		if t.After(now.Add(clockSkew)) {
			return true
		}
	}
	return false
}

// bringBack lets deadlines count from now that would otherwise stand still
// until the clock has caught up.
func bringBack(s *fleet.Server, now time.Time) {
	for _, t := range moments(s) {
		if t.After(now) {
			*t = now
		}
	}
}
