package control

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// offerMemory is how long an offer that had no capacity is passed over.
const offerMemory = 2 * time.Minute

// quotaMemory is how long a provider whose quota is used up is passed over.
const quotaMemory = 2 * time.Minute

// untilCircuit is how long a create waits that was refused for good, as long as
// the circuit is closed: it opens with the third refusal in a row.
const untilCircuit = time.Second

// stepCreate makes the machine of a planned server. The intent is committed
// before the cloud is called; a server found in creating was interrupted there
// and is looked for in the cloud before the call is repeated.
//
// What is only planned is made with the settings as they are now.
func (c *Controller) stepCreate(ctx context.Context, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	revision := s.ProviderRevision
	if s.Phase == fleet.PhasePlanned {
		now, err := c.fleet.Revision(ctx, s.VMProvider, c.now())
		if err != nil {
			return 0, fmt.Errorf("reading the settings of server %s: %w", s.Name, err)
		}
		revision = fleet.Or(now, revision)
	}
	r, err := c.clouds.get(ctx, s.VMProvider, revision)
	if err != nil {
		return c.createFailed(ctx, nil, s, provider.Errorf(provider.Invalid, "%w", err))
	}
	limit := fleet.Or(spec.ProvisionTimeout.D(), fleet.DefaultProvisionTimeout)
	if !c.now().Before(startOf(s).Add(limit)) {
		_, err := c.moveTo(ctx, s, fleet.PhaseFailed, "not made within provision_timeout %s: %s", fleet.Duration(limit), s.Reason)
		return 0, err
	}
	if s.Phase == fleet.PhaseCreating {
		return c.resumeCreate(ctx, r, s, spec)
	}
	if gone, err := c.cancelBlocked(ctx, s); gone || err != nil {
		return never, err
	}
	// Its own way to planned wakes it at once, too.
	if wait := r.pause(s.ID, c.now()); wait > 0 {
		return wait, nil
	}
	offer, ok := c.pickOffer(r)
	if !ok {
		return c.createFailed(ctx, r, s, provider.Errorf(provider.NoCapacity, "none of the provider's sizes and places has capacity"))
	}
	s, err = c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if s.Phase != fleet.PhasePlanned {
			return false, nil
		}
		now := c.now()
		s.Attempts++
		s.Offer, s.ProviderRevision = offer, revision
		if s.CallAt == nil {
			s.CallAt = &now
		}
		s.AskedAt = &now
		return true, c.move(tx, s, fleet.PhaseCreating, "the cloud is asked for the machine")
	})
	if err != nil || s.Phase != fleet.PhaseCreating {
		return 0, err
	}
	return c.callCreate(ctx, r, s, spec)
}

// resumeCreate goes on where a create call was interrupted or unanswered: only
// after two complete listings that began late enough to show the machine did
// not show it is the call repeated, with the same token.
func (c *Controller) resumeCreate(ctx context.Context, r *realm, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	if wait := r.pause(s.ID, c.now()); wait > 0 {
		return wait, nil
	}
	if inst, seen := r.find(s); seen {
		return c.created(ctx, r, s, spec, inst, "found in the cloud after an interrupted create call")
	}
	if s.ProviderID != "" {
		return c.created(ctx, r, s, spec, provider.Instance{ID: s.ProviderID}, "the cloud accepted")
	}
	if s.Unseen < 2 && !r.surelyUnmade(s) {
		return max(r.settled(s).Sub(c.now()), r.busy()), nil // listings count meanwhile
	}
	why, err := c.fleet.Halted(ctx, s, c.now())
	if err != nil {
		return 0, fmt.Errorf("reading the settings of server %s: %w", s.Name, err)
	}
	if why != "" { // what a listing may still hide is removed
		_, err := c.moveTo(ctx, s, fleet.PhaseDeleting, "not made: %s", why)
		return 0, err
	}
	s, err = c.change(ctx, s.ID, func(_ *store.Tx, s *fleet.Server) (bool, error) {
		if s.Phase != fleet.PhaseCreating {
			return false, nil
		}
		now := c.now()
		s.AskedAt, s.Unseen = &now, 0
		return true, nil
	})
	if err != nil || s.Phase != fleet.PhaseCreating {
		return 0, err
	}
	return c.callCreate(ctx, r, s, spec)
}

// settled is the moment from which a listing must show what came of the last
// create call: the call itself may have gone on for its whole deadline.
func (r *realm) settled(s *fleet.Server) time.Time {
	return fleet.Value(s.AskedAt, s.CreatedAt).Add(provider.MaxCallTimeout + r.grace())
}

func (c *Controller) callCreate(ctx context.Context, r *realm, s *fleet.Server, spec fleet.AutoscaleConfigSpec) (time.Duration, error) {
	boot, err := c.Bootstrap(ctx, s)
	if fleet.CodeOf(err) == fleet.CodeInvalid && err != nil {
		return c.createFailed(ctx, r, s, provider.Errorf(provider.Invalid, "%w", err))
	}
	if err != nil {
		return 0, fmt.Errorf("preparing server %s: %w", s.Name, err)
	}
	inst, err := r.client.Create(ctx, provider.Request{
		Token: fmt.Sprintf("%s-%d", s.ID, s.Attempts), Name: s.Name, Offer: s.Offer, Bootstrap: boot,
		Tags: provider.Tags{
			Installation: c.Store.Installation(), Server: s.ID,
			AutoscaleConfig: s.AutoscaleConfig, Provider: s.VMProvider,
		},
		Shape: fleet.Resources{
			Cores: spec.AgentCoresOverride, MemoryMiB: int64(spec.AgentMemoryOverride), GPUs: spec.AgentGPUsOverride,
		},
	})
	if err != nil {
		return c.createFailed(ctx, r, s, err)
	}
	return c.created(ctx, r, s, spec, inst, "the cloud accepted")
}

// created writes down the identity of the machine as soon as it is known.
func (c *Controller) created(ctx context.Context, r *realm, s *fleet.Server, spec fleet.AutoscaleConfigSpec, inst provider.Instance, how string) (time.Duration, error) {
	_, err := c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		s.ProviderID = inst.ID
		adoptAddresses(s, inst)
		if err := c.closeCircuit(tx, s.VMProvider); err != nil {
			return false, err
		}
		switch {
		case s.Phase != fleet.PhaseCreating: // its agent was faster, or it is no longer wanted
			return true, nil
		case inst.State == provider.StateRunning:
			return true, c.move(tx, s, fleet.PhaseConfiguring, "%s", waitsFor(spec))
		}
		return true, c.move(tx, s, fleet.PhaseBooting, "%s", how)
	})
	r.resume(s.ID)
	c.listSoon(s.VMProvider)
	return 0, err
}

// createFailed draws the one consequence that the class of the error has.
func (c *Controller) createFailed(ctx context.Context, r *realm, s *fleet.Server, cause error) (time.Duration, error) {
	class := provider.ClassOf(cause)
	c.Metrics.createFailed(s.VMProvider, class)
	switch {
	case class == provider.NoCapacity && r != nil && s.Offer != "":
		r.avoid(s.Offer, c.now().Add(offerMemory))
		return 0, c.replan(ctx, s, "no capacity for "+s.Offer+": "+cause.Error())
	case class.FallsThrough():
		return never, c.fallThrough(ctx, s, cause)
	case class == provider.RateLimited:
		wait := fleet.Or(provider.RetryAfter(cause), provider.Backoff(class, s.Attempts))
		if r != nil {
			r.hold(s.ID, c.now().Add(wait))
		}
		return wait, c.replan(ctx, s, cause.Error())
	case class == provider.Unauthenticated || class == provider.Forbidden:
		// Nothing was made. The next step asks again, until the circuit is open; then
		// the machine is given up, so that the next provider of the list has its turn.
		if err := c.tripCircuit(ctx, s.VMProvider, cause); err != nil {
			return 0, err
		}
		return untilCircuit, c.replan(ctx, s, cause.Error())
	case class.TripsCircuit():
		if err := c.tripCircuit(ctx, s.VMProvider, cause); err != nil {
			return 0, err
		}
		_, err := c.moveTo(ctx, s, fleet.PhaseFailed, "%s", cause.Error())
		return 0, err
	case class == provider.Conflict && provider.RetryAfter(cause) > 0 && r != nil:
		// What the machine needs is being made; the driver knows that the machine
		// itself is not there, so that it need not be looked for.
		wait := provider.RetryAfter(cause)
		r.goesOn(s, c.now().Add(wait))
		return wait, c.noteReason(ctx, s, cause.Error())
	}
	// The machine may exist: creating it stays, and it is looked for first.
	wait := provider.Backoff(class, s.Attempts)
	if r != nil {
		r.hold(s.ID, c.now().Add(wait))
	}
	c.listSoon(s.VMProvider)
	return wait, c.noteReason(ctx, s, "no clear answer to the create call; the machine is looked for: "+cause.Error())
}

// replan takes a server back to planned after a call that made nothing.
func (c *Controller) replan(ctx context.Context, s *fleet.Server, why string) error {
	_, err := c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if s.Phase != fleet.PhaseCreating {
			return false, nil
		}
		s.Offer = ""
		return true, c.move(tx, s, fleet.PhasePlanned, "%s", why)
	})
	return err
}

// noteReason keeps why a server does not get on.
func (c *Controller) noteReason(ctx context.Context, s *fleet.Server, why string) error {
	if s.Reason == why {
		return nil
	}
	_, err := c.change(ctx, s.ID, func(tx *store.Tx, now *fleet.Server) (bool, error) {
		if now.Phase != s.Phase || now.Reason == why {
			return false, nil
		}
		now.Reason = why
		c.emitServer(tx, now, fleet.EventServerUpdated, why, nil)
		return true, nil
	})
	return err
}

// fallThrough gives a server up whose provider has no room for it and passes
// the provider over for a while; the planner takes the next of the list.
func (c *Controller) fallThrough(ctx context.Context, s *fleet.Server, cause error) error {
	return c.write(ctx, func(tx *store.Tx) error {
		if err := c.passOver(tx, s.VMProvider, cause.Error()); err != nil {
			return err
		}
		s, err := tx.Server(s.ID)
		if err != nil || (s.Phase != fleet.PhaseCreating && s.Phase != fleet.PhasePlanned) {
			return err
		}
		if s.Phase == fleet.PhaseCreating {
			if err := c.move(tx, s, fleet.PhasePlanned, "%s", cause.Error()); err != nil {
				return err
			}
		}
		if err := c.move(tx, s, fleet.PhaseGone, "not made: %s", cause.Error()); err != nil {
			return err
		}
		return tx.SaveServer(s)
	})
}

// noRoom draws the consequence of a machine that the cloud accepted and then
// had no room for: the one that the refusal of the create would have had.
func (c *Controller) noRoom(ctx context.Context, r *realm, s *fleet.Server, class provider.Class, why string) error {
	switch {
	case !class.FallsThrough():
		return nil
	case class == provider.NoCapacity && s.Offer != "":
		r.avoid(s.Offer, c.now().Add(offerMemory))
		return nil
	}
	c.Metrics.createFailed(s.VMProvider, class)
	return c.write(ctx, func(tx *store.Tx) error { return c.passOver(tx, s.VMProvider, why) })
}

// passOver leaves a provider that has no room alone for a while.
func (c *Controller) passOver(tx *store.Tx, name, why string) error {
	until := c.now().Add(quotaMemory)
	state, err := providerState(tx, name)
	if err != nil {
		return err
	}
	state.Provider, state.BlockedUntil, state.BlockedReason = name, until, why
	if err := tx.SaveProviderState(state); err != nil {
		return err
	}
	c.emitProvider(tx, name, fleet.EventProviderCapacity, fmt.Sprintf("passed over until %s: %s", until.UTC().Format(time.TimeOnly), why))
	return nil
}

// cancelBlocked gives up a planned server that must not be made any more: its
// provider has been taken out of use, so that another provider can have its
// turn, or somebody has stopped what wanted it.
func (c *Controller) cancelBlocked(ctx context.Context, s *fleet.Server) (gone bool, err error) {
	why, err := c.fleet.Halted(ctx, s, c.now())
	if err != nil {
		return false, fmt.Errorf("reading the settings of server %s: %w", s.Name, err)
	}
	if why == "" {
		// As a rule it is in use: a look takes no turn from those who write.
		err := c.Store.Read(ctx, func(tx *store.Tx) error {
			why = ""
			state, err := tx.ProviderState(s.VMProvider)
			if until, reason := snapshot.Blocked(state, c.now()); c.now().Before(until) {
				why = fmt.Sprintf("the provider is not used until %s: %s", until.UTC().Format(time.TimeOnly), reason)
			}
			return err
		})
		if err != nil || why == "" {
			return false, err
		}
	}
	s, err = c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if s.Phase != fleet.PhasePlanned {
			return false, nil
		}
		return true, c.move(tx, s, fleet.PhaseGone, "not made: %s", why)
	})
	return err == nil && s.Phase == fleet.PhaseGone, err
}

// pickOffer is the first offer of the provider that is not short of capacity;
// the empty offer of a provider that has no choice.
func (c *Controller) pickOffer(r *realm) (offer string, ok bool) {
	offers := r.client.Offers()
	if len(offers) == 0 {
		return "", true
	}
	for _, o := range offers {
		if !r.avoided(o, c.now()) {
			return o, true
		}
	}
	return "", false
}

func (r *realm) avoid(offer string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.short[offer] = until
}

func (r *realm) avoided(offer string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, ok := r.short[offer]
	if ok && !now.Before(until) {
		delete(r.short, offer)
		ok = false
	}
	return ok
}

// hold keeps a server from being stepped before a moment.
func (r *realm) hold(id string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pausedBy[id] = until
}

func (r *realm) resume(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pausedBy, id)
	delete(r.unmade, id)
}

// goesOn holds a server whose last create call made no machine, for certain.
func (r *realm) goesOn(s *fleet.Server, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pausedBy[s.ID] = until
	r.unmade[s.ID] = fleet.Value(s.AskedAt, s.CreatedAt)
}

// surelyUnmade says that the server's last create call is known to have made no
// machine. A call that this process does not know of is another matter.
func (r *realm) surelyUnmade(s *fleet.Server) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.unmade[s.ID]
	return ok && at.Equal(fleet.Value(s.AskedAt, s.CreatedAt))
}

func (r *realm) pause(id string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pausedBy[id].Sub(now)
}

func (r *realm) busy() time.Duration {
	return fleet.Or(r.client.Kind().Defaults.BusyInterval, 5*time.Second)
}

func (r *realm) rest() time.Duration {
	return fleet.Or(r.client.Kind().Defaults.RestInterval, time.Minute)
}

func (r *realm) grace() time.Duration { return r.client.Kind().Defaults.Grace }
