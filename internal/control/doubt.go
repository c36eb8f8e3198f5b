package control

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// maxProbes bounds the machines that are asked for one by one when a listing
	// leaves them out.
	maxProbes = 3
	// maxWitness is how many listings in a row one machine can put in doubt: a
	// single machine that the cloud forgets to list must not stop the rest.
	maxWitness = 20
	// unanswered is how long the cloud must not have shown a machine whose create
	// call got no answer before it is given up unseen. There is no id to ask for,
	// so that only time can tell.
	unanswered = 5 * time.Minute
	// unlisted is the same for a machine that has spoken: it surely exists, or
	// somebody has removed it.
	unlisted = 3 * time.Hour
)

// doubts says what is wrong with a listing that came without an error: it
// leaves out a machine that exists. Clouds under load answer with a part of the
// machines or with none. Such a listing shows what it shows and proves no
// absence. Machines that somebody has really removed are not found when they
// are asked for, and put nothing in doubt.
func (c *Controller) doubts(ctx context.Context, r *realm, l *provider.Listing, servers []*fleet.Server) error {
	probes := 0
	for _, s := range servers {
		if own, err := c.clouds.get(ctx, s.VMProvider, s.ProviderRevision); err != nil || own != r {
			continue
		}
		if inst, shown := l.ByID(s.ProviderID); shown && inst.Tags.Server == s.ID {
			r.listed(s.ID)
			continue
		}
		if !c.expected(r, l, s) || r.omissions(s.ID) >= maxWitness {
			continue
		}
		if probes++; probes > maxProbes {
			return nil
		}
		inst, err := r.client.Get(ctx, s.ProviderID)
		switch {
		case provider.ClassOf(err) == provider.NotFound && err != nil:
			continue
		case err != nil:
			return &provider.Error{
				Class: provider.ClassOf(err), After: provider.RetryAfter(err), Cause: err,
				Message: fmt.Sprintf("the listing leaves out machine %s of server %s, and the machine cannot be asked for: %s", s.ProviderID, s.Name, safe(err)),
			}
		case inst.Tags.Owner() != r.client.Owner() || inst.Tags.Server != s.ID || inst.State == provider.StateDeleting:
			continue
		}
		r.omitted(s.ID)
		return provider.Errorf(provider.Unavailable, "the listing leaves out machine %s of server %s, which exists: it is taken for incomplete", s.ProviderID, s.Name)
	}
	return nil
}

// expected says that a complete listing shows the server's machine.
func (c *Controller) expected(r *realm, l *provider.Listing, s *fleet.Server) bool {
	lives := s.Phase == fleet.PhaseBooting || s.Phase == fleet.PhaseConfiguring || s.Phase == fleet.PhaseReady || s.Phase == fleet.PhaseDraining
	return lives && s.ProviderID != "" && !l.At.Before(s.PhaseSince.Add(r.grace())) && !l.At.Before(r.settled(s))
}

func (r *realm) omissions(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.omits[id]
}

func (r *realm) omitted(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.omits[id]++
}

func (r *realm) listed(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.omits, id)
}
