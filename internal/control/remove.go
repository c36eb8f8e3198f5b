package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// evidenceLimit bounds what is kept of a failed machine's console, in bytes.
const evidenceLimit = 64 << 10

// Delays of a repeated delete call.
const (
	firstDeleteRepeat = 6 * time.Second
	lastDeleteRepeat  = 5 * time.Minute
)

// stepFailed keeps what the console of the machine says and goes on to delete
// it.
func (c *Controller) stepFailed(ctx context.Context, s *fleet.Server) (time.Duration, error) {
	var console []byte
	short := false // the cloud gave it up for lack of room, which is no fault of the machine
	if s.ProviderID != "" {
		if r, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision); err == nil {
			short = s.Offer != "" && r.avoided(s.Offer, c.now())
			// Evidence is worth one try and no more: a console that cannot be
			// read must not keep the machine alive. That of a machine which is not
			// listed may be another's by now.
			own := true
			if _, listed := r.find(s); !listed {
				inst, err := r.client.Get(ctx, s.ProviderID)
				own = err == nil && !r.another(inst, s)
			}
			if own {
				console, _ = r.client.Console(ctx, s.ProviderID, evidenceLimit)
			}
		}
	}
	id := s.ID
	err := c.write(ctx, func(tx *store.Tx) error {
		s, err := tx.Server(id)
		if err != nil || s.Phase != fleet.PhaseFailed {
			return err
		}
		if len(console) > 0 {
			if err := tx.AppendServerLog(id, []store.LogLine{{At: c.now(), Stream: "console", Text: string(console)}}); err != nil {
				return err
			}
		}
		if s.Sessions > 0 {
			if _, err := claim.EndOnServer(tx, s, "its server has failed: "+s.Reason, Actor, c.now()); err != nil {
				return err
			}
			if s, err = tx.Server(id); err != nil {
				return err
			}
		}
		if !short {
			if err := c.countStillborn(tx, s); err != nil {
				return err
			}
		}
		if err := c.move(tx, s, fleet.PhaseDeleting, "%s", s.Reason); err != nil {
			return err
		}
		return tx.SaveServer(s)
	})
	c.lookAgain(s.VMProvider)
	if err != nil {
		return 0, fmt.Errorf("keeping evidence of server %s: %w", s.Name, err)
	}
	return 0, nil
}

// stepDeleting repeats the delete call until the cloud says that nothing is
// left.
func (c *Controller) stepDeleting(ctx context.Context, s *fleet.Server) (time.Duration, error) {
	if s.ProviderID == "" && s.Attempts == 0 {
		_, err := c.moveTo(ctx, s, fleet.PhaseGone, "%s", s.Reason)
		return never, err
	}
	r, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision)
	if err != nil {
		return lastDeleteRepeat, c.noteReason(ctx, s, "cannot be deleted: "+safe(err))
	}
	if wait := r.pause(s.ID, c.now()); wait > 0 {
		return wait, nil
	}
	if s.ProviderID == "" {
		return c.findForDelete(ctx, r, s)
	}
	sent, again := r.deleteSent(s.ID)
	_, listed := r.find(s)
	pause := min(max(c.now().Sub(s.PhaseSince)/2, firstDeleteRepeat), lastDeleteRepeat)
	repeat := sent.Add(pause)
	if again && (listed || !r.listedSince(sent)) && c.now().Before(repeat) {
		return repeat.Sub(c.now()), nil
	}
	err = r.client.Delete(ctx, s.ProviderID, s.ID)
	if provider.ClassOf(err) == provider.Conflict && err != nil {
		over, why, stepErr := c.stepTaken(ctx, r, s)
		if over || stepErr != nil {
			return never, stepErr
		}
		if why != "" {
			err = provider.Errorf(provider.Conflict, "%s", why)
		}
	}
	switch class := provider.ClassOf(err); {
	case err == nil:
		r.markDeleted(s.ID, c.now())
		if again && !listed { // a listing may leave out what is on its way out: one look after it is enough
			r.hold(s.ID, c.now().Add(pause))
			return pause, nil
		}
		c.listSoon(s.VMProvider)
		return firstDeleteRepeat, nil // sooner when a listing no longer shows it
	case class == provider.NotFound && !again && c.mayAppear(s, err):
		r.hold(s.ID, c.now().Add(firstDeleteRepeat))
		return firstDeleteRepeat, c.noteReason(ctx, s, "the cloud does not show the machine yet; it is asked again until it must")
	case class == provider.NotFound:
		r.resume(s.ID)
		r.unmarkDeleted(s.ID)
		_, err := c.moveTo(ctx, s, fleet.PhaseGone, "%s", after("deleted", s.Reason))
		return never, err
	default:
		c.Metrics.deleteFailed(s.VMProvider, class)
		wait := min(max(provider.Backoff(class, 1), c.now().Sub(s.PhaseSince)/4, time.Second), lastDeleteRepeat)
		r.hold(s.ID, c.now().Add(wait))
		return wait, c.noteDeleteTrouble(ctx, s, err)
	}
}

// mayAppear says that a machine which the cloud does not find is so new that the
// cloud may show it yet.
func (c *Controller) mayAppear(s *fleet.Server, err error) bool {
	late := provider.RetryAfter(err)
	return late > 0 && c.now().Before(fleet.Value(s.AskedAt, s.CreatedAt).Add(provider.MaxCallTimeout+late))
}

// after says what has been done and why, without repeating what the reason
// begins with.
func after(done, reason string) string {
	if trouble, ok := strings.CutPrefix(reason, deleteTrouble); ok {
		return done + " at last; before that: " + trouble
	}
	if strings.HasPrefix(reason, done) {
		return reason
	}
	return done + ": " + reason
}

const deleteTrouble = "cannot be deleted yet, it is tried again: "

// noteDeleteTrouble tells the operator of a delete that does not get through,
// once for each new error.
func (c *Controller) noteDeleteTrouble(ctx context.Context, s *fleet.Server, cause error) error {
	why := deleteTrouble + safe(cause)
	if s.Reason == why {
		return nil
	}
	return c.noteReason(ctx, s, why)
}

// findForDelete looks for a machine that a create call without an answer may
// have made. At least two complete listings that began late enough must not show
// it, and some time must have gone by: a long one when the machine has been heard
// of, since then it is the listings that must be wrong.
func (c *Controller) findForDelete(ctx context.Context, r *realm, s *fleet.Server) (time.Duration, error) {
	if inst, ok := r.find(s); ok {
		_, err := c.change(ctx, s.ID, func(_ *store.Tx, s *fleet.Server) (bool, error) {
			s.ProviderID = inst.ID
			return true, nil
		})
		return 0, err
	}
	until, what := r.settled(s).Add(unanswered), "no machine was made"
	if s.LastSeenAt != nil { // it has spoken: it was made
		until, what = later(until, s.LastSeenAt.Add(unlisted)), "the cloud does not show its machine"
	}
	if wait := until.Sub(c.now()); s.Unseen >= 2 && wait > 0 {
		return wait, nil
	}
	if s.Unseen >= 2 {
		_, err := c.moveTo(ctx, s, fleet.PhaseGone, "%s: %s", what, s.Reason)
		return never, err
	}
	c.listSoon(s.VMProvider)
	return never, nil // the next listing counts
}

func (r *realm) deleteSent(id string) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.deleted[id]
	return at, ok
}

func (r *realm) markDeleted(id string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deleted[id] = at
}

func (r *realm) unmarkDeleted(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.deleted, id)
	delete(r.leftOut, id)
}

// listedSince says that a complete listing began after t.
func (r *realm) listedSince(t time.Time) bool {
	l := r.lastListing()
	return l != nil && l.At.After(t)
}
