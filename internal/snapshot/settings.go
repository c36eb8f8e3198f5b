package snapshot

import (
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/store"
)

// settings are the configured objects that the planner needs, decoded. They
// are never changed once they have been read.
type settings struct {
	pools     map[string]fleet.PoolSpec
	configs   map[string][]named[fleet.AutoscaleConfigSpec] // by pool, in order of name
	config    map[string]fleet.AutoscaleConfigSpec          // by name
	schedules map[string][]plan.Schedule                    // by config, in order of name
	stagings  map[string][]named[fleet.StagingSpec]         // by pool, in order of name
	zones     map[string]fleet.ZoneSpec
	providers map[string]revised[fleet.VMProviderSpec]
}

type named[S any] struct {
	name string
	spec S
}

type revised[S any] struct {
	spec     S
	revision int64
	alike    []int64 // other revisions whose machines are as those of this one
}

func loadSettings(tx *store.Tx, access fleet.AccessFunc) (*settings, error) {
	s := &settings{
		pools: map[string]fleet.PoolSpec{}, configs: map[string][]named[fleet.AutoscaleConfigSpec]{}, config: map[string]fleet.AutoscaleConfigSpec{},
		schedules: map[string][]plan.Schedule{}, stagings: map[string][]named[fleet.StagingSpec]{},
		zones: map[string]fleet.ZoneSpec{}, providers: map[string]revised[fleet.VMProviderSpec]{},
	}
	for _, load := range []func(*store.Tx, *settings) error{
		each(fleet.KindPool, func(s *settings, o *store.Object, spec fleet.PoolSpec) { s.pools[o.Name] = spec }),
		each(fleet.KindAutoscaleConfig, func(s *settings, o *store.Object, spec fleet.AutoscaleConfigSpec) {
			s.config[o.Name] = spec
			s.configs[spec.Pool] = append(s.configs[spec.Pool], named[fleet.AutoscaleConfigSpec]{o.Name, spec})
		}),
		each(fleet.KindSchedule, func(s *settings, o *store.Object, spec fleet.ScheduleSpec) {
			s.schedules[spec.AutoscaleConfig] = append(s.schedules[spec.AutoscaleConfig], plan.Schedule{Name: o.Name, Spec: spec})
		}),
		each(fleet.KindStaging, func(s *settings, o *store.Object, spec fleet.StagingSpec) {
			s.stagings[spec.Pool] = append(s.stagings[spec.Pool], named[fleet.StagingSpec]{o.Name, spec})
		}),
		each(fleet.KindZone, func(s *settings, o *store.Object, spec fleet.ZoneSpec) { s.zones[o.Name] = spec }),
		each(fleet.KindVMProvider, func(s *settings, o *store.Object, spec fleet.VMProviderSpec) {
			s.providers[o.Name] = revised[fleet.VMProviderSpec]{spec: spec, revision: o.Revision}
		}),
	} {
		if err := load(tx, s); err != nil {
			return nil, err
		}
	}
	for name, p := range s.providers {
		all, err := tx.ProviderRevisions(name)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			before, err := store.Spec[fleet.VMProviderSpec](o)
			if err != nil {
				return nil, err
			}
			if o.Revision != p.revision && before.SameMachines(p.spec, access) {
				p.alike = append(p.alike, o.Revision)
			}
		}
		s.providers[name] = p
	}
	return s, nil
}

// each reads all objects of a kind in order of name.
func each[S any](kind fleet.Kind, keep func(*settings, *store.Object, S)) func(*store.Tx, *settings) error {
	return func(tx *store.Tx, s *settings) error {
		objects, err := tx.Objects(kind)
		if err != nil {
			return fmt.Errorf("reading objects of kind %s: %w", kind, err)
		}
		for _, o := range objects {
			spec, err := store.Spec[S](o)
			if err != nil {
				return err
			}
			keep(s, o, spec)
		}
		return nil
	}
}

// confines says that sessions which ask for the zone must run in it. A zone
// that does not exist confines nobody.
func (s *settings) confines(zone string) bool {
	z, ok := s.zones[zone]
	return ok && !fleet.Value(z.FallOver, true)
}
