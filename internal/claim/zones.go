package claim

import (
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// strategy is how one zone lays sessions onto its servers.
type strategy struct {
	spread      bool
	preferFixed bool
}

// attempt is one search for room: in one zone, or everywhere when zone is
// empty.
type attempt struct {
	zone string
	strategy
}

// zone is a zone with its rules.
type zone struct {
	name     string
	fallOver bool
	strategy
}

// zones are all zones in order of name.
type zones []zone

func loadZones(tx *store.Tx) (zones, error) {
	objects, err := tx.Objects(fleet.KindZone)
	if err != nil {
		return nil, fmt.Errorf("reading zones: %w", err)
	}
	named := make([]store.NamedZone, 0, len(objects))
	for _, o := range objects {
		spec, err := store.Spec[fleet.ZoneSpec](o)
		if err != nil {
			return nil, fmt.Errorf("reading zone %s: %w", o.Name, err)
		}
		named = append(named, store.NamedZone{Name: o.Name, Spec: &spec})
	}
	return zonesOf(named), nil
}

func zonesOf(named []store.NamedZone) zones {
	all := make(zones, 0, len(named))
	for _, z := range named {
		all = append(all, zone{
			name:     z.Name,
			fallOver: fleet.Value(z.Spec.FallOver, true),
			strategy: strategy{
				spread:      z.Spec.Placement == fleet.PlacementSpread,
				preferFixed: fleet.Value(z.Spec.PreferFixed, true),
			},
		})
	}
	return all
}

// confines says that a session that asks for the named zone can run nowhere
// else. A zone that no longer exists confines nobody.
func (zs zones) confines(name string) bool {
	for _, z := range zs {
		if z.name == name {
			return !z.fallOver
		}
	}
	return false
}

// attempts lists where a session that asks for the named zone is looked for
// room, in order: its own zone and then, unless that confines it, the others.
// Zones in closed are left out.
func (zs zones) attempts(name string, closed map[string]bool) []attempt {
	var list []attempt
	for _, z := range zs {
		if z.name == name && !closed[name] {
			list = append(list, attempt{name, z.strategy})
		}
	}
	if zs.confines(name) {
		return list
	}
	if len(closed) == 0 && zs.alike() {
		rest := strategy{preferFixed: true}
		if len(zs) > 0 {
			rest = zs[0].strategy
		}
		return append(list, attempt{"", rest})
	}
	for _, z := range zs {
		if z.name != name && !closed[z.name] {
			list = append(list, attempt{z.name, z.strategy})
		}
	}
	return list
}

// alike says that one search over all zones obeys the rules of each.
func (zs zones) alike() bool {
	for _, z := range zs {
		if z.strategy != zs[0].strategy {
			return false
		}
	}
	return true
}
