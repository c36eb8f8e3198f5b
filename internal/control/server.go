package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// never says that only an event makes another step worthwhile.
const never = time.Duration(-1)

// StepServer takes a server one step further, with at most one short call to
// its cloud. It returns after which time another step is worthwhile, negative
// for none before something happens.
func (c *Controller) StepServer(ctx context.Context, id string) (time.Duration, error) {
	shared, spec, err := c.fleet.Server(ctx, id, c.now())
	if errors.Is(err, store.ErrNotFound) {
		return never, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading server %s: %w", id, err)
	}
	own := *shared
	s := &own
	if fromFuture(s, c.now()) {
		s, err = c.change(ctx, id, func(_ *store.Tx, s *fleet.Server) (bool, error) {
			bringBack(s, c.now())
			return true, nil
		})
		if err != nil {
			return 0, err
		}
	}
	if s.Origin == fleet.OriginFixed {
		return c.stepFixed(ctx, s, spec)
	}
	switch s.Phase {
	case fleet.PhasePlanned, fleet.PhaseCreating:
		return c.stepCreate(ctx, s, spec)
	case fleet.PhaseBooting, fleet.PhaseConfiguring:
		return c.stepComingUp(ctx, s, spec)
	case fleet.PhaseReady:
		return c.stepReady(ctx, s, spec)
	case fleet.PhaseDraining:
		return c.stepDraining(ctx, s)
	case fleet.PhaseFailed:
		return c.stepFailed(ctx, s)
	case fleet.PhaseDeleting:
		return c.stepDeleting(ctx, s)
	case fleet.PhaseGone:
	}
	return never, nil
}

// stepComingUp follows a machine from the accepted create call to ready.
func (c *Controller) stepComingUp(ctx context.Context, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	r, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision)
	if err != nil {
		return 0, err
	}
	deadline := startOf(s).Add(fleet.Or(spec.ProvisionTimeout.D(), fleet.DefaultProvisionTimeout))
	if !c.now().Before(deadline) {
		_, err := c.moveTo(ctx, s, fleet.PhaseFailed, "not ready within provision_timeout %s of the create call", fleet.Duration(deadline.Sub(startOf(s))))
		return 0, err
	}
	untilDeadline := deadline.Sub(c.now())
	inst, seen := r.find(s)
	if done, next, err := c.checkAlive(ctx, r, s, inst, seen); done || err != nil {
		return next, err
	}
	if seen && inst.State == provider.StatePending && inst.Fault != "" {
		return untilDeadline, c.noteReason(ctx, s, "not running yet: "+inst.Fault)
	}
	if !seen || inst.State != provider.StateRunning {
		return untilDeadline, nil
	}
	if s.Phase == fleet.PhaseBooting {
		nothingElse := !fleet.Value(spec.RequireCheckin, true) && spec.ConnectionPort == 0 && !c.runsScript(r)
		s, err = c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
			if s.Phase != fleet.PhaseBooting {
				return false, nil
			}
			adoptAddresses(s, inst)
			if err := c.move(tx, s, fleet.PhaseConfiguring, "%s", waitsFor(spec)); err != nil || !nothingElse {
				return true, err
			}
			return true, c.move(tx, s, fleet.PhaseReady, noCheckIn)
		})
		if err != nil || s.Phase != fleet.PhaseConfiguring {
			return 0, err
		}
	}
	if next, err := c.stepScript(ctx, r, s); next != 0 || err != nil {
		return min(next, untilDeadline), err
	}
	if fleet.Value(spec.RequireCheckin, true) {
		return untilDeadline, nil // its agent or script moves it on
	}
	if port := spec.ConnectionPort; port > 0 {
		if len(s.Addresses) == 0 {
			return r.busy(), nil
		}
		dctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if err := c.Dial(dctx, net.JoinHostPort(s.Addresses[0], strconv.FormatInt(port, 10))); err != nil {
			return min(r.busy(), untilDeadline), nil
		}
	}
	_, err = c.moveTo(ctx, s, fleet.PhaseReady, noCheckIn)
	return 0, err
}

const noCheckIn = "runs in the cloud; no check-in is required"

// startOf is the moment from which the provision timeout counts.
func startOf(s *fleet.Server) time.Time { return fleet.Value(s.CallAt, s.CreatedAt) }

func waitsFor(spec fleet.AutoscaleConfigSpec) string {
	switch {
	case fleet.Value(spec.RequireCheckin, true):
		return "runs in the cloud; its check-in is awaited"
	case spec.ConnectionPort > 0:
		return fmt.Sprintf("runs in the cloud; port %d is awaited", spec.ConnectionPort)
	}
	return "runs in the cloud"
}

func adoptAddresses(s *fleet.Server, inst provider.Instance) {
	if len(inst.Addresses) > 0 && s.RegisteredAt == nil {
		s.Addresses = inst.Addresses
	}
	s.Offer = fleet.Or(s.Offer, inst.Offer)
}

// find looks a server up in the last complete listing.
func (r *realm) find(s *fleet.Server) (provider.Instance, bool) {
	l := r.lastListing()
	if l == nil {
		return provider.Instance{}, false
	}
	if s.ProviderID != "" {
		inst, ok := l.ByID(s.ProviderID)
		return inst, ok && inst.Tags.Server == s.ID
	}
	if found := l.Find(s.ID); len(found) > 0 {
		return found[0], true
	}
	return provider.Instance{}, false
}

// checkAlive ends the life of a machine that the cloud no longer has or has
// given up. done says that the step is over.
func (c *Controller) checkAlive(ctx context.Context, r *realm, s *fleet.Server, inst provider.Instance, seen bool) (done bool, next time.Duration, err error) {
	switch {
	case !seen && (s.Unseen < 2 || s.ProviderID == ""):
		return false, 0, nil
	case !seen:
		// Two listings can lie alike; the machine itself is asked before
		// anybody's session is ended.
		got, err := r.client.Get(ctx, s.ProviderID)
		switch {
		case provider.ClassOf(err) == provider.NotFound:
			return true, 0, c.lose(ctx, s, "the cloud no longer has the machine: "+safe(err))
		case err != nil:
			return true, provider.Backoff(provider.ClassOf(err), s.Unseen), nil
		case r.another(got, s):
			return true, 0, c.lose(ctx, s, "the cloud no longer has the machine: "+taken(got, s))
		}
		inst = got
	}
	switch inst.State {
	case provider.StateFailed:
		why := fleet.Or(inst.Fault, "the cloud gives no reason")
		if err := c.noRoom(ctx, r, s, inst.FaultClass, why); err != nil {
			return true, 0, err
		}
		return true, 0, c.lose(ctx, s, "the machine has failed: "+why)
	case provider.StateDeleting:
		return true, 0, c.lose(ctx, s, "somebody else is deleting the machine")
	case provider.StateStopped:
		if s.Sessions == 0 {
			return true, 0, c.lose(ctx, s, "the machine has stopped: "+fleet.Or(inst.Fault, "the cloud gives no reason"))
		}
		return true, never, c.miss(ctx, s, "the machine has stopped; it is kept while it holds sessions")
	case provider.StatePending, provider.StateRunning:
	}
	return false, 0, nil
}

// lose gives up a machine that cannot serve its sessions any more: they end
// with the reason, in the commit that closes the server.
func (c *Controller) lose(ctx context.Context, s *fleet.Server, why string) error {
	from, id := s.Phase, s.ID
	return c.write(ctx, func(tx *store.Tx) error {
		s, err := tx.Server(id)
		if err != nil || s.Phase != from {
			return err
		}
		c.emitServer(tx, s, fleet.EventServerLost, why, nil)
		if err := c.move(tx, s, fleet.PhaseFailed, "%s", why); err != nil {
			return err
		}
		if err := tx.SaveServer(s); err != nil {
			return err
		}
		_, err = claim.EndOnServer(tx, s, "its server was lost: "+why, Actor, c.now())
		return err
	})
}

// endSessions ends what sits on a server that takes no new session.
func (c *Controller) endSessions(ctx context.Context, id, why string) error {
	return c.write(ctx, func(tx *store.Tx) error {
		s, err := tx.Server(id)
		if err != nil || s.Sessions == 0 {
			return err
		}
		_, err = claim.EndOnServer(tx, s, why, Actor, c.now())
		return err
	})
}

// miss marks a server that must not get new sessions for now.
func (c *Controller) miss(ctx context.Context, s *fleet.Server, why string) error {
	if s.Missing {
		return nil
	}
	_, err := c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if s.Missing || s.Phase != fleet.PhaseReady {
			return false, nil
		}
		s.Missing, s.Reason = true, why
		c.emitServer(tx, s, fleet.EventServerMissing, why, nil)
		return true, nil
	})
	return err
}

// stepReady watches a machine that serves sessions.
func (c *Controller) stepReady(ctx context.Context, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	r, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision)
	if err != nil {
		return 0, err
	}
	inst, seen := r.find(s)
	if seen && s.ProviderID == "" {
		return 0, c.identify(ctx, s, inst)
	}
	if done, next, err := c.checkAlive(ctx, r, s, inst, seen); done || err != nil {
		return next, err
	}
	if seen && inst.Interruption != "" {
		// Its sessions keep it for as long as the cloud lets them; its successor is
		// made at once.
		_, err := c.moveTo(ctx, s, fleet.PhaseDraining, "the cloud takes the machine back: %s", inst.Interruption)
		return 0, err
	}
	if s.Missing && s.RegisteredAt == nil && seen && inst.State == provider.StateRunning {
		return 0, c.unmiss(ctx, s.ID)
	}
	if err := c.born(ctx, s); err != nil {
		return 0, err
	}
	if s.ReadyAt != nil && c.now().Sub(*s.ReadyAt) < scriptAfterReady {
		if next, err := c.stepScript(ctx, r, s); next != 0 || err != nil {
			return next, err
		}
	}
	return c.watchSilence(ctx, s, spec)
}

// identify writes down the identity of a machine whose agent registered before
// the answer to the create call was recorded.
func (c *Controller) identify(ctx context.Context, s *fleet.Server, inst provider.Instance) error {
	_, err := c.change(ctx, s.ID, func(_ *store.Tx, s *fleet.Server) (bool, error) {
		if s.ProviderID != "" {
			return false, nil
		}
		s.ProviderID = inst.ID
		adoptAddresses(s, inst)
		return true, nil
	})
	return err
}

// learnAddresses writes down addresses that the cloud got to know after the
// machine ran, as from an agent in its guest.
func (c *Controller) learnAddresses(ctx context.Context, s *fleet.Server, inst provider.Instance) error {
	_, err := c.change(ctx, s.ID, func(_ *store.Tx, s *fleet.Server) (bool, error) {
		if len(s.Addresses) > 0 || s.RegisteredAt != nil || !s.Phase.MayExist() {
			return false, nil
		}
		adoptAddresses(s, inst)
		return true, nil
	})
	return err
}

// unmiss opens a server again that has no agent to speak for it.
func (c *Controller) unmiss(ctx context.Context, id string) error {
	_, err := c.change(ctx, id, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if !s.Missing {
			return false, nil
		}
		s.Missing, s.Reason = false, "the machine runs again"
		c.emitServer(tx, s, fleet.EventServerUpdated, s.Reason, nil)
		return true, nil
	})
	return err
}

// watchSilence marks a server whose agent has been silent for too long. Only
// agents that have registered are expected to speak.
func (c *Controller) watchSilence(ctx context.Context, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	if s.RegisteredAt == nil || s.LastSeenAt == nil || s.Missing {
		return never, nil
	}
	limit := fleet.Or(spec.MissingAfter.D(), fleet.DefaultMissingAfter)
	silent := later(*s.LastSeenAt, c.hearingSince())
	if left := silent.Add(limit).Sub(c.now()); left > 0 {
		return left, nil
	}
	return never, c.miss(ctx, s, fmt.Sprintf("its agent has been silent for longer than missing_after %s", fleet.Duration(limit)))
}

// stepFixed watches a server that was registered by hand; only people remove
// it.
func (c *Controller) stepFixed(ctx context.Context, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	switch s.Phase {
	case fleet.PhaseReady:
		return c.watchSilence(ctx, s, spec)
	case fleet.PhaseDraining:
		if next, empty, err := c.drain(ctx, s); !empty || err != nil {
			return next, err
		}
		_, err := c.moveTo(ctx, s, fleet.PhaseDeleting, "drained")
		return 0, err
	case fleet.PhaseDeleting:
		_, err := c.moveTo(ctx, s, fleet.PhaseGone, "removed from the pool; the machine itself is not ours")
		return never, err
	case fleet.PhaseFailed:
		_, err := c.moveTo(ctx, s, fleet.PhaseDeleting, "%s", s.Reason)
		return 0, err
	case fleet.PhasePlanned, fleet.PhaseCreating, fleet.PhaseBooting, fleet.PhaseConfiguring, fleet.PhaseGone:
	}
	return never, nil
}

// stepDraining waits until the last session has ended, or ends them at the
// deadline.
func (c *Controller) stepDraining(ctx context.Context, s *fleet.Server) (time.Duration, error) {
	r, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision)
	if err != nil {
		return 0, err
	}
	inst, seen := r.find(s)
	if done, next, err := c.checkAlive(ctx, r, s, inst, seen); done || err != nil {
		return next, err
	}
	if next, empty, err := c.drain(ctx, s); !empty || err != nil {
		return next, err
	}
	_, err = c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if s.Phase != fleet.PhaseDraining || s.Sessions > 0 {
			return false, nil
		}
		return true, c.move(tx, s, fleet.PhaseDeleting, "%s", after("drained", s.Reason))
	})
	return 0, err
}

// drain ends staged sessions at once, since nobody uses them, and all others
// at the deadline.
func (c *Controller) drain(ctx context.Context, s *fleet.Server) (next time.Duration, empty bool, err error) {
	if s.Sessions == 0 {
		return 0, true, nil
	}
	if s.DrainDeadline != nil && !c.now().Before(*s.DrainDeadline) {
		return 0, false, c.endSessions(ctx, s.ID, "its server reached the deadline of its drain")
	}
	staged := 0
	err = c.write(ctx, func(tx *store.Tx) error {
		sessions, err := tx.Sessions(store.SessionFilter{ServerID: s.ID, States: []fleet.SessionState{fleet.SessionStaged}})
		if err != nil {
			return err
		}
		staged = len(sessions)
		return claim.EndAll(tx, s.Pool, sessions, func(*fleet.Session) string { return "its server is drained; it is made anew elsewhere" }, Actor, c.now())
	})
	switch {
	case err != nil:
		return 0, false, fmt.Errorf("ending staged sessions of server %s: %w", s.Name, err)
	case staged > 0:
		return 0, false, nil
	case s.DrainDeadline != nil:
		return s.DrainDeadline.Sub(c.now()), false, nil
	}
	return never, false, nil
}
