package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// maxStagedPerPass bounds how many staged sessions one pass makes.
const maxStagedPerPass = 100

// ReconcilePool serves the pool's queue, makes staged sessions, asks the
// planner and carries out what it decides. It returns when the passing of time
// alone makes another pass worthwhile; zero: never.
func (c *Controller) ReconcilePool(ctx context.Context, pool string) (time.Time, error) {
	load := func() (in plan.Input, err error) {
		if in, err = c.fleet.Load(ctx, pool, c.now(), c.Shape); err == nil {
			in.HearingSince = c.hearingSince() // not when the database failed: nobody could be heard
		}
		return in, err
	}
	in, err := load()
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return time.Time{}, nil // deleted meanwhile
		}
		return time.Time{}, err
	}
	served, err := c.serve(ctx, in)
	if err != nil {
		return time.Time{}, err
	}
	if served {
		if in, err = load(); err != nil {
			return time.Time{}, err
		}
	}
	d := plan.For(in)
	if err := c.carryOut(ctx, in, d); err != nil {
		return time.Time{}, err
	}
	return d.NextAt, nil
}

// serve gives waiting sessions the capacity that is there and makes staged
// sessions from what is left. It says whether it changed anything.
func (c *Controller) serve(ctx context.Context, in plan.Input) (bool, error) {
	if in.Excess > 0 {
		if err := c.trimStaged(ctx, in.Pool); err != nil {
			return false, err
		}
		return true, nil
	}
	open := false
	for _, s := range in.Servers {
		open = open || (s.Open() && !s.Free().IsZero())
	}
	if !open {
		return false, nil
	}
	changed := false
	if len(in.Queued) > 0 {
		err := c.write(ctx, func(tx *store.Tx) error {
			served, err := claim.AssignQueued(tx, in.Pool, c.now())
			changed = len(served) > 0
			return err
		})
		if err != nil {
			return false, fmt.Errorf("serving the queue of pool %s: %w", in.Pool, err)
		}
	}
	for _, st := range in.Stagings {
		made, err := c.stage(ctx, in, st)
		if err != nil {
			return false, fmt.Errorf("making sessions of staging %s: %w", st.Name, err)
		}
		changed = changed || made
	}
	return changed, nil
}

// trimStaged ends staged sessions that no staging wishes for any more, the
// youngest first.
func (c *Controller) trimStaged(ctx context.Context, pool string) error {
	err := c.write(ctx, func(tx *store.Tx) error {
		objects, err := tx.Objects(fleet.KindStaging)
		if err != nil {
			return err
		}
		wished := map[string]int64{}
		for _, o := range objects {
			spec, err := store.Spec[fleet.StagingSpec](o)
			if err != nil {
				return err
			}
			if spec.Pool == pool {
				wished[o.Name] = spec.Count
			}
		}
		staged, err := tx.Sessions(store.SessionFilter{Pool: pool, States: []fleet.SessionState{fleet.SessionStaged}})
		if err != nil {
			return err
		}
		staged = slices.DeleteFunc(staged, func(s *fleet.Session) bool { // oldest first
			wished[s.Staging]--
			return wished[s.Staging] >= 0
		})
		return claim.EndAll(tx, pool, staged, func(s *fleet.Session) string { return "staging " + s.Staging + " no longer wishes for it" }, Actor, c.now())
	})
	if err != nil {
		return fmt.Errorf("ending staged sessions of pool %s: %w", pool, err)
	}
	return nil
}

func (c *Controller) stage(ctx context.Context, in plan.Input, st plan.Staging) (made bool, err error) {
	for range min(st.Missing, maxStagedPerPass) {
		id, done := c.Store.NewID(), false
		err := c.write(ctx, func(tx *store.Tx) error {
			o, err := tx.Object(fleet.KindStaging, st.Name)
			if err != nil {
				return err
			}
			spec, err := store.Spec[fleet.StagingSpec](o)
			if err != nil {
				return err
			}
			s, err := claim.MakeStaged(tx, id, st.Name, in.Spec.Type, spec, Actor, c.now())
			done = s != nil
			return err
		})
		switch {
		case errors.Is(err, store.ErrNotFound): // no room: the planner makes some
			return made, nil
		case err != nil || !done:
			return made, err
		}
		made = true
	}
	return made, nil
}

// carryOut records what the planner decided. What has changed since the
// decision is looked at again, under the same locks as the claims.
func (c *Controller) carryOut(ctx context.Context, in plan.Input, d plan.Decision) error {
	digest := decisionDigest(d)
	c.mu.Lock()
	last, known := c.decided[d.Pool]
	c.mu.Unlock()
	limits := limitsOf(d)
	// Demand that comes and goes by the second at a ceiling is one piece of
	// news, not hundreds.
	tell := known && limits != last.limits && c.now().Sub(last.toldAt) >= tellEvery
	if last.digest == digest && !acts(d) && !tell {
		return nil
	}
	err := c.write(ctx, func(tx *store.Tx) error {
		if err := tx.LockPool(d.Pool); err != nil {
			return err
		}
		for i := range d.Configs {
			cd := &d.Configs[i]
			if err := c.createAll(tx, in, cd); err != nil {
				return err
			}
			for _, r := range cd.Retires {
				if err := c.retire(tx, r); err != nil {
					return err
				}
			}
			if err := c.remember(tx, cd, d.At); err != nil {
				return err
			}
		}
		if tell {
			tx.Emit(fleet.Event{
				At: c.now(), Type: fleet.EventPoolDecision, Kind: string(fleet.KindPool), Name: d.Pool, Pool: d.Pool,
				Actor: Actor, Message: fleet.Or(limits, "nothing hinders the pool any more"),
			})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("carrying out the decision for pool %s: %w", d.Pool, err)
	}
	c.mu.Lock()
	if tell || !known {
		last.limits = limits
	}
	if tell {
		last.toldAt = c.now()
	}
	last.digest = digest
	c.decided[d.Pool] = last
	c.mu.Unlock()
	c.Metrics.decided(d)
	return nil
}

func acts(d plan.Decision) bool {
	for _, cd := range d.Configs {
		if len(cd.Creates) > 0 || len(cd.Retires) > 0 {
			return true
		}
	}
	return false
}

// limitsOf says what keeps the pool from what it wants, in words that stay the
// same while it does.
func limitsOf(d plan.Decision) string {
	var out []string
	for _, cd := range d.Configs {
		for _, r := range cd.Reasons {
			switch r.Code {
			case plan.ReasonMaxServers, plan.ReasonMax, plan.ReasonFrozen, plan.ReasonDisabled, plan.ReasonTooLarge, plan.ReasonNoShape, plan.ReasonProvider, plan.ReasonOvershoot:
				out = append(out, cd.Config+": "+r.Message)
			case plan.ReasonBlocked:
				// Its end moves with every attempt; the provider's own events tell it.
				out = append(out, cd.Config+": "+strings.SplitN(r.Message, " until ", 2)[0])
			default:
			}
		}
	}
	return strings.Join(out, "; ")
}

// tellEvery is how often at most an event says what hinders a pool.
const tellEvery = time.Minute

// decided is what was last written of a decision.
type decided struct {
	digest string
	limits string    // that the last event told
	toldAt time.Time // of that event
}

// decisionDigest is what makes two decisions differ for a reader.
func decisionDigest(d plan.Decision) string {
	type config struct {
		Config  string
		Reasons []plan.Reason
		Spare   []plan.Spare
		Demand  plan.Need
	}
	configs := make([]config, 0, len(d.Configs))
	for _, cd := range d.Configs {
		configs = append(configs, config{cd.Config, cd.Reasons, cd.Spare, cd.Demand})
	}
	b, err := json.Marshal(configs)
	if err != nil {
		return ""
	}
	return string(b)
}

// remember keeps the decision for explain, and since when there is a surplus.
func (c *Controller) remember(tx *store.Tx, cd *plan.ConfigDecision, at time.Time) error {
	b, err := json.Marshal(cd)
	if err != nil {
		return err
	}
	state := store.AutoscaleState{Config: cd.Config, SurplusSince: cd.Surplus, Decision: b, DecidedAt: at}
	if len(cd.Spare) > 0 {
		if state.Spare, err = json.Marshal(cd.Spare); err != nil {
			return err
		}
	}
	return tx.SaveAutoscaleState(state)
}

// createAll records the machines of one config as planned. The providers'
// ceilings and rates are read again under a lock that other pools share.
func (c *Controller) createAll(tx *store.Tx, in plan.Input, cd *plan.ConfigDecision) error {
	byProvider := map[string]int64{}
	var order []string
	for _, cr := range cd.Creates {
		if byProvider[cr.Provider] == 0 {
			order = append(order, cr.Provider)
		}
		byProvider[cr.Provider]++
	}
	for _, name := range order {
		allowed, revision, err := c.allow(tx, name, byProvider[name])
		if err != nil {
			return err
		}
		for _, cr := range cd.Creates {
			if cr.Provider != name || allowed == 0 {
				continue
			}
			allowed--
			if err := c.insertPlanned(tx, in, cd, cr, revision); err != nil {
				return err
			}
		}
	}
	return nil
}

// allow takes up to n creations from a provider's ceiling and rate.
func (c *Controller) allow(tx *store.Tx, name string, n int64) (allowed, revision int64, err error) {
	if err := tx.LockProvider(name); err != nil {
		return 0, 0, err
	}
	o, err := tx.Object(fleet.KindVMProvider, name)
	if errors.Is(err, store.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return 0, 0, err
	}
	exists, err := tx.CountServers(store.ServerFilter{VMProvider: name})
	if err != nil {
		return 0, 0, err
	}
	state, err := tx.ProviderState(name)
	if err != nil {
		return 0, 0, err
	}
	orphans, err := snapshot.Orphans(tx, name)
	if err != nil {
		return 0, 0, err
	}
	tokens := snapshot.Tokens(spec, state, c.now())
	allowed = max(min(n, spec.MaxInstances-exists-orphans, int64(tokens)), 0)
	if allowed == 0 || spec.Frozen || state.SweepError != "" {
		return 0, 0, nil
	}
	state.Provider, state.Tokens, state.TokensAt = name, tokens-float64(allowed), c.now()
	return allowed, o.Revision, tx.SaveProviderState(state)
}

// refund gives back what a machine took of its provider's create rate that was
// called off before the cloud was asked: demand that flickers must not use up
// what other pools need.
func (c *Controller) refund(tx *store.Tx, name string) error {
	state, err := providerState(tx, name)
	if err != nil || state.TokensAt.IsZero() {
		return err
	}
	state.Tokens++ // the burst bounds it when it is read
	return tx.SaveProviderState(state)
}

func (c *Controller) insertPlanned(tx *store.Tx, in plan.Input, cd *plan.ConfigDecision, cr plan.Create, revision int64) error {
	var spec fleet.AutoscaleConfigSpec
	for _, cfg := range in.Configs {
		if cfg.Name == cd.Config {
			spec = cfg.Spec
		}
	}
	id := c.Store.NewID()
	s := &fleet.Server{
		ID: id, Name: fleet.ServerName(id), Origin: fleet.OriginAutoscaled,
		Pool: in.Pool, Zone: cd.Zone, AutoscaleConfig: cd.Config, VMProvider: cr.Provider, ProviderRevision: revision,
		Phase: fleet.PhasePlanned, PhaseSince: c.now(), Reason: cr.Reason,
		Addresses: []string{}, Capacity: cr.Capacity, CapacitySource: fleet.CapacityAssumed,
		CreatedAt: c.now(),
	}
	if in.Spec.Type == fleet.PoolServer {
		s.MaxUsers = spec.MaxSimultaneousUsers
		s.OneShot = !fleet.Value(spec.Reusable, true)
	}
	if err := tx.InsertServer(s); err != nil {
		return fmt.Errorf("recording server %s: %w", s.Name, err)
	}
	c.emitServer(tx, s, fleet.EventServerPlanned, cr.Reason, map[string]any{"phase": string(s.Phase), "autoscale_config": cd.Config})
	return nil
}

// retire lets one machine go if it is still as the planner saw it.
func (c *Controller) retire(tx *store.Tx, r plan.Retire) error {
	s, err := tx.Server(r.Server)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	replaced := r.Cause == plan.CauseRotation || r.Cause == plan.CauseDrift
	switch {
	case s.Phase == fleet.PhasePlanned && s.Attempts == 0:
		if err := c.refund(tx, s.VMProvider); err != nil {
			return err
		}
		err = c.move(tx, s, fleet.PhaseGone, "%s", r.Reason)
	case s.Phase == fleet.PhasePlanned:
		err = c.move(tx, s, fleet.PhaseDeleting, "%s", r.Reason)
	case s.Phase != fleet.PhaseReady:
		return nil
	case s.Sessions == 0:
		err = c.move(tx, s, fleet.PhaseDeleting, "%s", r.Reason)
	case replaced:
		err = c.move(tx, s, fleet.PhaseDraining, "%s", r.Reason)
	default:
		return nil // a session was faster
	}
	if err != nil {
		return err
	}
	return tx.SaveServer(s)
}
