package control

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// ageDoubt is by how much the time at which a machine was made, as its cloud
// tells it, may differ from ours.
const ageDoubt = time.Hour

// another says that a machine with the id of the server's is surely somebody
// else's. Only the whole marks of another server prove that at any time: one that
// bears none, or a part of them, is ours as far as anybody knows, for marks can
// lag behind the machine and can be removed by hand. Where ids come back, the
// time at which it was made proves it too: before the server's row, or after the
// server's machine was there.
func (r *realm) another(inst provider.Instance, s *fleet.Server) bool {
	switch {
	case inst.Tags.Installation != "" && inst.Tags.Server != "":
		return inst.Tags.Server != s.ID
	case inst.Tags != (provider.Tags{}), !r.client.Kind().IDsComeBack, inst.CreatedAt.IsZero():
		return false
	}
	there := fleet.Value(s.AskedAt, s.CreatedAt).Add(provider.MaxCallTimeout)
	for _, sign := range []*time.Time{s.RegisteredAt, s.ReadyAt} {
		if sign != nil {
			there = *sign
			break
		}
	}
	return inst.CreatedAt.Before(s.CreatedAt.Add(-ageDoubt)) || inst.CreatedAt.After(there.Add(ageDoubt))
}

// taken says whose machine has the server's id.
func taken(inst provider.Instance, s *fleet.Server) string {
	whose := fmt.Sprintf("of server %s of installation %s", inst.Tags.Server, inst.Tags.Installation)
	if inst.Tags == (provider.Tags{}) {
		whose = "without our marks, made at " + inst.CreatedAt.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("id %s is that of another machine now (%s, %s), which is left alone", s.ProviderID, fleet.Or(inst.Name, "without a name"), whose)
}

// stepTaken goes on when the machine that has the server's id may not be
// deleted, since it does not bear the server's marks. Another's ends the server
// once two listings have left out its own; over is true then. Else why is what
// operators should know.
func (c *Controller) stepTaken(ctx context.Context, r *realm, s *fleet.Server) (over bool, why string, err error) {
	inst, err := r.client.Get(ctx, s.ProviderID)
	if err != nil || inst.Tags.Owner() == r.client.Owner() && inst.Tags.Server == s.ID {
		return false, "", nil //nolint:nilerr // the next delete call meets the same, or gets through
	}
	if !r.another(inst, s) {
		return false, fmt.Sprintf("machine %s (%s) does not bear the marks of this server any more, so that it may be ours or somebody else's: give it its marks back and it is deleted, or let go of it with `headroom server forget %s`",
			s.ProviderID, fleet.Or(inst.Name, "without a name"), s.Name), nil
	}
	if !r.leftOutTwice(s) {
		c.listSoon(s.VMProvider)
		return false, taken(inst, s) + "; another listing has to confirm it", nil
	}
	r.resume(s.ID)
	r.unmarkDeleted(s.ID)
	_, err = c.moveTo(ctx, s, fleet.PhaseGone, "the cloud no longer has its machine: %s", taken(inst, s))
	return true, "", err
}

// leftOutTwice says that two listings have not shown the server's machine since
// it is asked.
func (r *realm) leftOutTwice(s *fleet.Server) bool {
	l := r.lastListing()
	if _, listed := r.find(s); listed || l == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	first, asked := r.leftOut[s.ID]
	if !asked {
		r.leftOut[s.ID] = l.At
	}
	return asked && l.At.After(first)
}
