package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// Refreshed is what a look at a provider's clouds came to.
type Refreshed struct {
	Step []string      // servers for which the listing holds news
	Next time.Duration // until the next listing is due
}

// RefreshProvider lists every realm of a provider config once, compares the
// listings with the servers that the database has, and sweeps what no server
// explains. However many machines wait, it is one listing for all.
func (c *Controller) RefreshProvider(ctx context.Context, name string) (Refreshed, error) {
	servers, revisions, err := c.serversOf(ctx, name)
	if err != nil || len(revisions) == 0 {
		return Refreshed{Next: time.Minute}, err
	}
	var realms []*realm
	p := newSweepPass()
	for _, revision := range revisions {
		r, err := c.clouds.get(ctx, name, revision)
		if err != nil {
			return Refreshed{Next: time.Minute}, c.noteListing(ctx, name, err)
		}
		if !slices.Contains(realms, r) {
			realms = append(realms, r)
		}
	}
	out := Refreshed{Next: realms[0].rest()}
	var trouble error // of the first realm that has any
	for i, r := range realms {
		if i > 0 && revisions[0] == 0 && c.samePlace(ctx, r, realms[0], servers) {
			c.clouds.handOver(r, realms[0])
			continue
		}
		step, changing, listErr, err := c.refreshRealm(ctx, r, servers, p)
		if err != nil {
			return out, err
		}
		out.Step = append(out.Step, step...)
		if listErr != nil {
			out.Next = min(max(provider.Backoff(provider.ClassOf(listErr), 1), provider.RetryAfter(listErr), r.busy()), r.rest())
			if trouble == nil {
				trouble = listErr
			}
			continue
		}
		if changing {
			out.Next = min(out.Next, r.busy())
		}
	}
	state, err := c.endSweep(ctx, name, p, sweepOfMachines())
	if err != nil {
		return out, err
	}
	if c.passing(name, trouble) || trouble == nil && !c.newsOfListing(state, "") {
		return out, nil
	}
	return out, c.noteListing(ctx, name, trouble)
}

// samePlace says that the listing of the current realm shows a machine of an
// older one that names the same place.
func (c *Controller) samePlace(ctx context.Context, old, current *realm, servers []*fleet.Server) bool {
	if old.place != current.place {
		return false
	}
	for _, s := range servers {
		if own, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision); err != nil || own != old {
			continue
		}
		if _, shown := current.find(s); shown {
			return true
		}
	}
	return false
}

// listTolerance is how many listings in a row may fail before an operator is
// told, when the next one may well succeed.
const listTolerance = 3

// passing counts failed listings and says whether one more is not worth
// telling yet.
func (c *Controller) passing(name string, trouble error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if trouble == nil {
		delete(c.listFailures, name)
		return false
	}
	c.listFailures[name]++
	class := provider.ClassOf(trouble)
	c.Metrics.listFailed(name, class)
	return !class.TripsCircuit() && c.listFailures[name] < listTolerance
}

// serversOf reads the servers of a provider that may exist, and the revisions
// whose realms have to be looked at: the current one and those of the servers.
func (c *Controller) serversOf(ctx context.Context, name string) (servers []*fleet.Server, revisions []int64, err error) {
	servers, configured, err := c.fleet.Servers(ctx, name, c.now())
	if err != nil {
		return nil, nil, fmt.Errorf("reading servers of provider %s: %w", name, err)
	}
	if configured {
		revisions = append(revisions, 0)
	}
	for _, s := range servers {
		if !slices.Contains(revisions, s.ProviderRevision) {
			revisions = append(revisions, s.ProviderRevision)
		}
	}
	return servers, revisions, nil
}

// refreshRealm lists one realm. changing says that machines are on their way
// up or down, so that the next listing is wanted soon; listErr is the cloud's
// trouble, err that of the database. What a listing shows is used even when what
// it leaves out cannot be believed.
func (c *Controller) refreshRealm(ctx context.Context, r *realm, servers []*fleet.Server, p *sweepPass) (step []string, changing bool, listErr, err error) {
	l, listErr := r.client.List(ctx)
	if listErr != nil {
		p.blind = true
		return nil, false, listErr, nil
	}
	trouble := c.doubts(ctx, r, l, servers)
	for _, s := range servers {
		own, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision)
		if err != nil || own != r {
			continue
		}
		news, err := c.compare(ctx, r, l, s, trouble == nil)
		if err != nil {
			return nil, false, nil, err
		}
		if news {
			step = append(step, s.ID)
		}
		changing = changing || (s.Phase != fleet.PhaseReady && s.Phase != fleet.PhaseDraining) || s.Unseen > 0
	}
	p.blind = p.blind || trouble != nil
	return step, changing, trouble, c.sweep(ctx, r, l, p)
}

// compare keeps count of complete listings that do not show a server, and says
// whether the server should be stepped.
func (c *Controller) compare(ctx context.Context, r *realm, l *provider.Listing, s *fleet.Server, complete bool) (news bool, err error) {
	if fromFuture(s, c.now()) {
		return true, nil // the step mends it
	}
	if s.Phase == fleet.PhasePlanned || s.Phase == fleet.PhaseFailed {
		return false, nil
	}
	inst, seen := r.find(s)
	if seen {
		if s.Unseen > 0 {
			if err := c.setUnseen(ctx, s, 0); err != nil {
				return false, err
			}
		}
		// A machine that boots gets them with the step that finds it running.
		if len(s.Addresses) == 0 && len(inst.Addresses) > 0 && s.RegisteredAt == nil && s.ProviderID == inst.ID && s.Phase != fleet.PhaseBooting {
			if err := c.learnAddresses(ctx, s, inst); err != nil {
				return false, err
			}
		}
		steady := (s.Phase == fleet.PhaseReady || s.Phase == fleet.PhaseDraining) && inst.State == provider.StateRunning && !s.Missing && s.ProviderID != "" &&
			(s.Phase == fleet.PhaseDraining || inst.Interruption == "")
		return !steady, nil
	}
	if s.Phase == fleet.PhaseDeleting && s.ProviderID != "" {
		return true, nil // the step looks at the listing itself
	}
	if !complete {
		return false, nil
	}
	// A listing that began too early, or while the cloud may not show the
	// machine yet, proves nothing.
	if l.At.Before(s.PhaseSince.Add(r.grace())) || l.At.Before(r.settled(s)) {
		return false, nil
	}
	return true, c.setUnseen(ctx, s, s.Unseen+1)
}

func (c *Controller) setUnseen(ctx context.Context, s *fleet.Server, n int64) error {
	_, err := c.change(ctx, s.ID, func(_ *store.Tx, now *fleet.Server) (bool, error) {
		if now.Phase != s.Phase || now.Unseen == n {
			return false, nil
		}
		now.Unseen = n
		return true, nil
	})
	return err
}

// newsOfListing says whether the outcome of a listing is worth a write: another
// one than before, or a minute later.
func (c *Controller) newsOfListing(state store.ProviderState, text string) bool {
	return state.ListError != text || text == "" && c.now().Sub(state.ListedAt) >= time.Minute
}

// noteListing keeps the outcome of a listing where operators look, once for
// each change.
func (c *Controller) noteListing(ctx context.Context, name string, cause error) error {
	text := ""
	if cause != nil {
		text = safe(cause)
	}
	err := c.write(ctx, func(tx *store.Tx) error {
		state, err := providerState(tx, name)
		if err != nil {
			return err
		}
		if !c.newsOfListing(state, text) {
			return nil
		}
		if state.ListError != text && text != "" {
			c.emitProvider(tx, name, fleet.EventProviderError, "its machines cannot be listed: "+text)
		}
		if state.ListError != "" && text == "" {
			c.emitProvider(tx, name, fleet.EventProviderError, "its machines can be listed again")
		}
		state.Provider, state.ListError = name, text
		if text == "" {
			state.ListedAt = c.now()
		}
		return tx.SaveProviderState(state)
	})
	if err != nil {
		return fmt.Errorf("recording the listing of provider %s: %w", name, err)
	}
	return nil
}
