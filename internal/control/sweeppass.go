package control

import (
	"context"
	"fmt"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// sweepPass is one pass of a sweep over all realms of a provider. Only together
// can they say what is no longer there, and whether the sweep has stopped.
type sweepPass struct {
	confirmed map[sightKey]bool // sightings that a listing has shown again
	stopped   []string          // why, by realm
	blind     bool              // a realm could not be listed: what was not seen proves nothing
}

func newSweepPass() *sweepPass { return &sweepPass{confirmed: map[sightKey]bool{}} }

func (p *sweepPass) confirm(k sightKey) { p.confirmed[k] = true }

func (p *sweepPass) stop(format string, args ...any) {
	p.stopped = append(p.stopped, fmt.Sprintf(format, args...))
}

// sightKey tells the sightings of a provider apart.
type sightKey struct{ kind, id string }

func isMachine(s store.Sighting) bool { return s.Kind == store.SightingMachine }
func isRemnant(s store.Sighting) bool { return s.Kind != store.SightingMachine }

// sightings are those of a provider, of some kinds.
func sightings(tx *store.Tx, name string, of func(store.Sighting) bool) (map[sightKey]store.Sighting, error) {
	list, err := tx.Sightings(name)
	if err != nil {
		return nil, err
	}
	out := make(map[sightKey]store.Sighting, len(list))
	for _, s := range list {
		if of(s) {
			out[sightKey{s.Kind, s.CloudID}] = s
		}
	}
	return out, nil
}

// sweepOf is a sweep with a memory and an alert of its own.
type sweepOf struct {
	of     func(store.Sighting) bool
	alert  func(*store.ProviderState) *string
	object fleet.Kind // whose sweep it is
	goesOn string     // what the event says when the alert is over
}

func sweepOfMachines() sweepOf {
	return sweepOf{isMachine, func(s *store.ProviderState) *string { return &s.SweepError }, fleet.KindVMProvider, "the sweep of machines goes on"}
}

func sweepOfRemnants() sweepOf {
	return sweepOf{isRemnant, func(s *store.ProviderState) *string { return &s.RemnantError }, fleet.KindVMProvider, "the sweep of disks, addresses and other objects goes on"}
}

// endSweep forgets what no realm shows any more, and raises or clears the alert
// of the sweep: a state that operators and metrics see, and an event for each
// change. It returns what was remembered of the provider before.
func (c *Controller) endSweep(ctx context.Context, name string, p *sweepPass, kind sweepOf) (before store.ProviderState, err error) {
	text := strings.Join(p.stopped, "; ")
	var unseen map[sightKey]store.Sighting
	var changes bool
	err = c.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if unseen, err = sightings(tx, name, kind.of); err != nil {
			return err
		}
		for k := range p.confirmed {
			delete(unseen, k)
		}
		before, err = tx.ProviderState(name)
		changes = *kind.alert(&before) != text
		return err
	})
	if err != nil {
		return before, fmt.Errorf("reading what the sweep of provider %s has seen: %w", name, err)
	}
	if p.blind { // it may still be there, and what stopped the sweep, too
		clear(unseen)
		changes = changes && text != ""
	}
	if len(unseen) == 0 && !changes {
		return before, nil
	}
	err = c.write(ctx, func(tx *store.Tx) error {
		for k := range unseen {
			if err := tx.DeleteSighting(name, k.kind, k.id); err != nil {
				return err
			}
		}
		if !changes {
			return nil
		}
		state, err := providerState(tx, name)
		if err != nil || *kind.alert(&state) == text {
			return err
		}
		state.Provider = name
		*kind.alert(&state) = text
		tx.Emit(fleet.Event{
			At: c.now(), Type: fleet.EventSweepStopped, Kind: string(kind.object), Name: strings.TrimPrefix(name, store.StateOfDNS("")),
			Actor: Actor, Message: fleet.Or(text, kind.goesOn),
		})
		return tx.SaveProviderState(state)
	})
	if err != nil {
		return before, fmt.Errorf("recording the sweep of provider %s: %w", name, err)
	}
	return before, nil
}
