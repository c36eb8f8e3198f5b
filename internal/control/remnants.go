package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// SweepRemnants removes disks, addresses and other objects that were left
// without their machine, under the same rules as machines.
func (c *Controller) SweepRemnants(ctx context.Context, name string) error {
	_, revisions, err := c.serversOf(ctx, name)
	if err != nil {
		return err
	}
	p := newSweepPass()
	seen := map[*realm]bool{}
	for _, revision := range revisions {
		r, err := c.clouds.get(ctx, name, revision)
		if err != nil {
			p.blind = true
			continue
		}
		if seen[r] {
			continue
		}
		seen[r] = true
		if err := c.sweepRemnants(ctx, r, p); err != nil {
			return err
		}
	}
	_, err = c.endSweep(ctx, name, p, sweepOfRemnants())
	return err
}

// sightedRemnant is a remnant that may go.
type sightedRemnant struct {
	provider.Remnant
	known bool // the database has heard of its server
}

func (c *Controller) sweepRemnants(ctx context.Context, r *realm, p *sweepPass) error {
	at := c.now()
	list, err := r.client.Remnants(ctx)
	if provider.ClassOf(err) == provider.Unsupported {
		return nil
	}
	if err != nil {
		p.blind = true
		c.sweepTrouble(ctx, r, "remnants", err)
		return nil
	}
	spec, err := c.sweepRules(ctx, r.provider)
	if err != nil {
		return err
	}
	ripe, err := c.sightRemnants(ctx, r, list, at, p)
	if err != nil {
		return err
	}
	unknown := 0
	for _, s := range ripe {
		if !s.known {
			unknown++
		}
	}
	// As with machines: when the database has never heard of most of them, it is
	// more likely wrong than the cloud.
	if unknown > fleet.MaxOrphans(spec.MaxOrphanShare, len(list)) {
		p.stop("%d of %d disks, addresses and other objects without a machine are not in the database; none of them is removed, since the database may be the one that is wrong: delete them in the cloud, or bring back the database that knows them; %s",
			unknown, len(list), raiseShare(spec.MaxOrphanShare, fleet.KindVMProvider))
		ripe = slices.DeleteFunc(ripe, func(s sightedRemnant) bool { return !s.known })
	}
	if spec.CleanupOrphans == fleet.CleanupReport {
		return nil
	}
	for _, s := range ripe {
		rem := s.Remnant
		if err := r.client.DeleteRemnant(ctx, rem); err != nil && provider.ClassOf(err) != provider.NotFound {
			c.sweepTrouble(ctx, r, rem.ID, err)
			continue
		}
		err = c.write(ctx, func(tx *store.Tx) error {
			c.emitProvider(tx, r.provider, fleet.EventOrphanRemoved, fmt.Sprintf("%s %s (%s) was deleted: its machine is gone", rem.Kind, rem.Name, rem.ID))
			return tx.DeleteSighting(r.provider, rem.Kind, rem.ID)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sightRemnants counts remnants and says which may go: seen twice, old enough,
// and their servers are gone or given up.
func (c *Controller) sightRemnants(ctx context.Context, r *realm, list []provider.Remnant, at time.Time, p *sweepPass) (ripe []sightedRemnant, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	err = c.write(ctx, func(tx *store.Tx) error {
		ripe = ripe[:0]
		before, err := sightings(tx, r.provider, isRemnant)
		if err != nil {
			return err
		}
		for _, rem := range list {
			s, err := tx.Server(rem.Tags.Server)
			known := err == nil
			if known && s.Phase.MayExist() && s.Phase != fleet.PhaseDeleting {
				continue // its machine may still come, or come back
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			key := sightKey{rem.Kind, rem.ID}
			p.confirm(key)
			sight, again := before[key]
			if !again {
				sight = store.Sighting{Provider: r.provider, Kind: rem.Kind, CloudID: rem.ID, Name: rem.Name, ServerID: rem.Tags.Server, FirstSeen: at}
				c.emitProvider(tx, r.provider, fleet.EventOrphanFound, fmt.Sprintf("%s %s (%s) bears our mark and its machine is gone", rem.Kind, rem.Name, rem.ID))
			}
			if sight.LastSeen.After(at.Add(clockSkew)) { // by a clock that has been set back since
				sight.Count, sight.FirstSeen = 0, at
			}
			sight.Count, sight.LastSeen = sight.Count+1, at
			if sight.Count >= 2 && at.Sub(sight.FirstSeen) >= r.grace() {
				ripe = append(ripe, sightedRemnant{rem, known})
			}
			if err := tx.SaveSighting(sight); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("recording remnants of provider %s: %w", r.provider, err)
	}
	return ripe, nil
}
