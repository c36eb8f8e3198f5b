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

// orphan is a machine in the cloud that bears our marks and that no living
// row explains.
type orphan struct {
	inst  provider.Instance
	known bool // a row says that it was given up: there is no doubt about it
}

// key tells an orphan from all others, also where a cloud gives the id of a
// machine that is gone to another one, or where two realms use the same ids.
func (o orphan) key() sightKey {
	return sightKey{store.SightingMachine, o.inst.ID + "@" + o.inst.Tags.Server}
}

// sweep removes machines that no server explains. An orphan has been seen in
// two complete listings, is older than the grace period and is looked up once
// more in the database. When the database has never heard of more than a set
// share of what the cloud shows, the database is more likely wrong than the
// cloud: nothing of that share is removed and an alert is raised.
func (c *Controller) sweep(ctx context.Context, r *realm, l *provider.Listing, p *sweepPass) error {
	orphans, err := c.orphans(ctx, r, l, p)
	if err != nil {
		return err
	}
	unknown := 0
	for _, o := range orphans {
		if !o.known {
			unknown++
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	spec, err := c.sweepRules(ctx, r.provider)
	if err != nil {
		return err
	}
	if unknown > fleet.MaxOrphans(spec.MaxOrphanShare, l.Len()) {
		p.stop("%d of %d machines are not in the database; none of them is removed and no machine is made, since the database may be the one that is wrong: delete them in the cloud, or bring back the database that knows them; %s",
			unknown, l.Len(), raiseShare(spec.MaxOrphanShare, fleet.KindVMProvider))
		orphans = slices.DeleteFunc(orphans, func(o orphan) bool { return !o.known })
	}
	if spec.CleanupOrphans == fleet.CleanupReport {
		return nil
	}
	for _, o := range orphans {
		if err := c.removeOrphan(ctx, r, o); err != nil {
			return err
		}
	}
	return nil
}

// orphans records what the listing shows without a row, and returns what has
// been seen often and long enough.
func (c *Controller) orphans(ctx context.Context, r *realm, l *provider.Listing, p *sweepPass) (due []orphan, err error) {
	suspects, err := c.suspects(ctx, r, l)
	if err != nil || len(suspects) == 0 {
		return nil, err
	}
	err = c.write(ctx, func(tx *store.Tx) error {
		due = due[:0]
		before, err := sightings(tx, r.provider, isMachine)
		if err != nil {
			return err
		}
		for _, o := range suspects {
			key := o.key()
			p.confirm(key)
			s, again := before[key]
			if !again {
				s = store.Sighting{
					Provider: r.provider, Kind: store.SightingMachine, CloudID: key.id, Name: o.inst.Name,
					ServerID: o.inst.Tags.Server, FirstSeen: l.At,
				}
			}
			if s.LastSeen.After(l.At.Add(clockSkew)) { // by a clock that has been set back since
				s.Count, s.FirstSeen, s.LastSeen = 0, l.At, time.Time{}
			}
			if again && !l.At.After(s.LastSeen) {
				continue
			}
			earlier := s
			s.Count, s.LastSeen = s.Count+1, l.At
			if err := tx.SaveSighting(s); err != nil {
				return err
			}
			if !proven(s, o.inst, r.grace()) {
				continue
			}
			due = append(due, o)
			if !proven(earlier, o.inst, r.grace()) { // a deleted machine may be listed for a while: only now is it news
				c.emitProvider(tx, r.provider, fleet.EventOrphanFound, fmt.Sprintf("machine %s (%s) bears our mark and no server explains it", o.inst.Name, o.inst.ID))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("recording sightings of provider %s: %w", r.provider, err)
	}
	return due, nil
}

// proven says that a machine without a server has been seen often and long
// enough. What the cloud says of its age counts unless the clocks disagree.
func proven(s store.Sighting, inst provider.Instance, grace time.Duration) bool {
	age := s.LastSeen.Sub(inst.CreatedAt)
	return s.Count >= 2 && s.LastSeen.Sub(s.FirstSeen) >= grace && (age >= grace || age < -clockSkew)
}

// suspects lists machines that no living row explains: none has their server's
// id, or the row names another machine (a create that was carried out twice).
func (c *Controller) suspects(ctx context.Context, r *realm, l *provider.Listing) ([]orphan, error) {
	if all, err := c.explained(ctx, r, l); err != nil || all {
		return nil, err
	}
	var out []orphan
	err := c.Store.Read(ctx, func(tx *store.Tx) error {
		out = out[:0]
		living, err := tx.Servers(store.ServerFilter{VMProvider: r.provider})
		if err != nil {
			return err
		}
		ids := make(map[string]*fleet.Server, len(living))
		for _, s := range living {
			ids[s.ID] = s
		}
		for _, inst := range l.All() {
			if s := ids[inst.Tags.Server]; s != nil {
				if s.ProviderID != "" && s.ProviderID != inst.ID {
					out = append(out, orphan{inst: inst, known: true})
				}
				continue
			}
			_, err := tx.Server(inst.Tags.Server)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			out = append(out, orphan{inst: inst, known: err == nil})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for orphans of provider %s: %w", r.provider, err)
	}
	return out, nil
}

// explained says that a living row explains every machine of a listing. It
// spares most sweeps the reading of all rows.
func (c *Controller) explained(ctx context.Context, r *realm, l *provider.Listing) (bool, error) {
	living, _, err := c.fleet.Servers(ctx, r.provider, c.now())
	if err != nil {
		return false, fmt.Errorf("looking for orphans of provider %s: %w", r.provider, err)
	}
	machine := make(map[string]string, len(living)) // by server
	for _, s := range living {
		machine[s.ID] = s.ProviderID
	}
	for _, inst := range l.All() {
		if id, known := machine[inst.Tags.Server]; !known || (id != "" && id != inst.ID) {
			return false, nil
		}
	}
	return true, nil
}

// removeOrphan deletes one orphan after a last look at the database.
func (c *Controller) removeOrphan(ctx context.Context, r *realm, o orphan) error {
	explained := false
	err := c.Store.Read(ctx, func(tx *store.Tx) error {
		s, err := tx.Server(o.inst.Tags.Server)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		explained = err == nil && s.Phase.MayExist() && (s.ProviderID == "" || s.ProviderID == o.inst.ID)
		return err
	})
	if err != nil || explained {
		return err
	}
	switch err := r.client.Delete(ctx, o.inst.ID, o.inst.Tags.Server); {
	case err == nil, provider.ClassOf(err) == provider.NotFound:
	default:
		c.sweepTrouble(ctx, r, o.inst.ID, err)
		return nil
	}
	// A deleted machine may be listed for a while: its end is told once.
	if _, again := r.deleteSent(o.key().id); again {
		return nil
	}
	err = c.write(ctx, func(tx *store.Tx) error {
		c.emitProvider(tx, r.provider, fleet.EventOrphanRemoved, fmt.Sprintf("machine %s (%s) was deleted: no server explains it", o.inst.Name, o.inst.ID))
		return nil
	})
	if err == nil {
		r.markDeleted(o.key().id, c.now())
	}
	return err
}

// sweepTrouble reports what a sweep could not do; the next one tries again.
func (c *Controller) sweepTrouble(ctx context.Context, r *realm, object string, err error) {
	c.Metrics.failed(r.provider, "sweep", provider.ClassOf(err))
	c.Log.WarnContext(ctx, "a sweep could not do its work, the next one tries again", "vm_provider", r.provider, "object", object, "error", err)
}

// raiseShare says what to do about a stopped sweep when all that it found may go.
func raiseShare(share int64, kind fleet.Kind) string {
	return fmt.Sprintf("if they may all be removed, raise max_orphan_share of the %s, now %d %%", kind, fleet.Or(share, fleet.DefaultOrphanShare))
}

// sweepRules are the present settings of a provider config, which say what its
// sweeps may remove; of one that has been deleted, the defaults.
func (c *Controller) sweepRules(ctx context.Context, name string) (spec fleet.VMProviderSpec, err error) {
	err = c.Store.Read(ctx, func(tx *store.Tx) error {
		o, err := tx.Object(fleet.KindVMProvider, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		spec, err = store.Spec[fleet.VMProviderSpec](o)
		return err
	})
	return spec, err
}
