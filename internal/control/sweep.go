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

// maxSweepShare is the share of a listing that one sweep may remove when the
// database knows nothing of the objects; at least one.
const maxSweepShare = 0.2

// orphan is a machine in the cloud that bears our marks and that no living
// row explains.
type orphan struct {
	inst  provider.Instance
	known bool // a row says that it was given up: there is no doubt about it
}

// sweep removes machines that no server explains. An orphan has been seen in
// two complete listings, is older than the grace period and is looked up once
// more in the database. When the database has never heard of more than a set
// share of what the cloud shows, the database is more likely wrong than the
// cloud: nothing of that share is removed and an alert is raised.
func (c *Controller) sweep(ctx context.Context, r *realm, l *provider.Listing) error {
	orphans, err := c.orphans(ctx, r, l)
	if err != nil {
		return err
	}
	unknown := 0
	for _, o := range orphans {
		if !o.known {
			unknown++
		}
	}
	if limit := max(1, int(float64(l.Len())*maxSweepShare)); unknown > limit {
		if err := c.stopSweep(ctx, r, unknown, l.Len()); err != nil {
			return err
		}
		known := orphans[:0]
		for _, o := range orphans {
			if o.known {
				known = append(known, o)
			}
		}
		orphans = known
	} else if err := c.setSweepError(ctx, r, ""); err != nil {
		return err
	}
	if len(orphans) == 0 {
		return nil
	}
	report, err := c.reportsOnly(ctx, r.provider)
	if err != nil || report {
		return err
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
func (c *Controller) orphans(ctx context.Context, r *realm, l *provider.Listing) (due []orphan, err error) {
	suspects, err := c.suspects(ctx, r, l)
	if err != nil {
		return nil, err
	}
	var before map[string]store.Sighting
	err = c.Store.Read(ctx, func(tx *store.Tx) error {
		list, err := tx.Sightings(r.provider)
		before = make(map[string]store.Sighting, len(list))
		for _, s := range list {
			if s.Kind == store.SightingMachine {
				before[s.CloudID] = s
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading sightings of provider %s: %w", r.provider, err)
	}
	if len(suspects) == 0 && len(before) == 0 {
		return nil, nil
	}
	err = c.write(ctx, func(tx *store.Tx) error {
		due = due[:0]
		for _, o := range suspects {
			s, again := before[o.inst.ID]
			if !again {
				s = store.Sighting{
					Provider: r.provider, Kind: store.SightingMachine, CloudID: o.inst.ID, Name: o.inst.Name,
					ServerID: o.inst.Tags.Server, FirstSeen: l.At,
				}
			}
			delete(before, o.inst.ID)
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
		for id := range before { // explained or gone meanwhile
			if _, still := l.ByID(id); !still || !isSuspect(suspects, id) {
				if err := tx.DeleteSighting(r.provider, store.SightingMachine, id); err != nil {
					return err
				}
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

func isSuspect(suspects []orphan, id string) bool {
	for _, o := range suspects {
		if o.inst.ID == id {
			return true
		}
	}
	return false
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
	return c.write(ctx, func(tx *store.Tx) error {
		c.emitProvider(tx, r.provider, fleet.EventOrphanRemoved, fmt.Sprintf("machine %s (%s) was deleted: no server explains it", o.inst.Name, o.inst.ID))
		return nil
	})
}

// sweepTrouble reports what a sweep could not do; the next one tries again.
func (c *Controller) sweepTrouble(ctx context.Context, r *realm, object string, err error) {
	c.Metrics.failed(r.provider, "sweep", provider.ClassOf(err))
	c.Log.WarnContext(ctx, "a sweep could not do its work, the next one tries again", "vm_provider", r.provider, "object", object, "error", err)
}

func (c *Controller) reportsOnly(ctx context.Context, name string) (report bool, err error) {
	err = c.Store.Read(ctx, func(tx *store.Tx) error {
		o, err := tx.Object(fleet.KindVMProvider, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		spec, err := store.Spec[fleet.VMProviderSpec](o)
		report = spec.CleanupOrphans == fleet.CleanupReport
		return err
	})
	return report, err
}

func (c *Controller) stopSweep(ctx context.Context, r *realm, unknown, all int) error {
	return c.setSweepError(ctx, r, fmt.Sprintf("%d of %d machines are not in the database; none of them is removed and no machine is made, since the database may be the one that is wrong: delete them in the cloud, or bring back the database that knows them", unknown, all))
}

// setSweepError raises or clears the alert of a provider's sweep.
func (c *Controller) setSweepError(ctx context.Context, r *realm, text string) error {
	if last := r.alert.Swap(&text); last != nil && *last == text {
		return nil
	}
	err := c.write(ctx, func(tx *store.Tx) error {
		state, err := providerState(tx, r.provider)
		if err != nil || state.SweepError == text {
			return err
		}
		state.Provider, state.SweepError = r.provider, text
		c.emitProvider(tx, r.provider, fleet.EventSweepStopped, fleet.Or(text, "the sweep goes on"))
		return tx.SaveProviderState(state)
	})
	if err != nil {
		r.alert.Store(nil)
		return fmt.Errorf("recording the sweep of provider %s: %w", r.provider, err)
	}
	return nil
}

// SweepRemnants removes disks, addresses and other objects that were left
// without their machine, under the same rules as machines.
func (c *Controller) SweepRemnants(ctx context.Context, name string) error {
	_, revisions, err := c.serversOf(ctx, name)
	if err != nil {
		return err
	}
	seen := map[*realm]bool{}
	for _, revision := range revisions {
		r, err := c.clouds.get(ctx, name, revision)
		if err != nil || seen[r] {
			continue
		}
		seen[r] = true
		if err := c.sweepRemnants(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) sweepRemnants(ctx context.Context, r *realm) error {
	at := c.now()
	list, err := r.client.Remnants(ctx)
	if provider.ClassOf(err) == provider.Unsupported {
		return nil
	}
	if err != nil {
		c.sweepTrouble(ctx, r, "remnants", err)
		return nil
	}
	report, err := c.reportsOnly(ctx, r.provider)
	if err != nil {
		return err
	}
	type sighted struct {
		provider.Remnant
		known bool
	}
	var ripe []sighted
	unknown := 0
	for _, rem := range list {
		due, known, err := c.sightRemnant(ctx, r, rem, at)
		if err != nil {
			return err
		}
		if due {
			ripe = append(ripe, sighted{rem, known})
		}
		if due && !known {
			unknown++
		}
	}
	// As with machines: when the database has never heard of most of them, it is
	// more likely wrong than the cloud.
	if limit := max(1, int(float64(len(list))*maxSweepShare)); unknown > limit {
		c.Log.WarnContext(ctx, "the sweep leaves remnants alone: too many of them are not in the database", "vm_provider", r.provider, "unknown", unknown, "all", len(list))
		ripe = slices.DeleteFunc(ripe, func(s sighted) bool { return !s.known })
	}
	for _, s := range ripe {
		rem := s.Remnant
		if report {
			continue
		}
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

// sightRemnant counts a remnant and says whether it may go: seen twice, old
// enough, and its server is gone or given up. known says that the database has
// heard of that server.
func (c *Controller) sightRemnant(ctx context.Context, r *realm, rem provider.Remnant, at time.Time) (due, known bool, err error) {
	err = c.write(ctx, func(tx *store.Tx) error {
		due = false
		s, err := tx.Server(rem.Tags.Server)
		known = err == nil
		if err == nil && s.Phase.MayExist() && s.Phase != fleet.PhaseDeleting {
			return nil // its machine may still come, or come back
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		list, err := tx.Sightings(r.provider)
		if err != nil {
			return err
		}
		sight := store.Sighting{Provider: r.provider, Kind: rem.Kind, CloudID: rem.ID, Name: rem.Name, ServerID: rem.Tags.Server, FirstSeen: at}
		for _, before := range list {
			if before.Kind == rem.Kind && before.CloudID == rem.ID {
				sight = before
			}
		}
		if sight.LastSeen.After(at.Add(clockSkew)) { // by a clock that has been set back since
			sight.Count, sight.FirstSeen = 0, at
		}
		if sight.Count == 0 {
			c.emitProvider(tx, r.provider, fleet.EventOrphanFound, fmt.Sprintf("%s %s (%s) bears our mark and its machine is gone", rem.Kind, rem.Name, rem.ID))
		}
		sight.Count, sight.LastSeen = sight.Count+1, at
		due = sight.Count >= 2 && at.Sub(sight.FirstSeen) >= r.grace()
		return tx.SaveSighting(sight)
	})
	return due, known, err
}
