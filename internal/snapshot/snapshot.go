// Package snapshot reads from the store what the planner decides on. The
// control loop, the dry run and explain all use it, so that they see the same
// pool.
package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/store"
)

// MaxQueued bounds how many waiting sessions one pass of the planner looks at;
// the rest of a longer queue is looked at when these have been served.
const MaxQueued = 5000

// ShapeFunc tells what a machine made with the settings of a provider config
// offers; zero when the settings do not tell.
type ShapeFunc func(spec fleet.VMProviderSpec) fleet.Resources

// Circuit states of a provider config. An open circuit whose time is over lets
// one machine at a time be tried.
const (
	CircuitClosed = "closed"
	CircuitOpen   = "open"
)

// Load reads a pool for the planner. A pool that does not exist is
// store.ErrNotFound.
func Load(tx *store.Tx, pool string, now time.Time, shape ShapeFunc) (plan.Input, error) {
	in := plan.Input{Now: now, Pool: pool, Providers: map[string]plan.Provider{}}
	obj, err := tx.Object(fleet.KindPool, pool)
	if err != nil {
		return in, fmt.Errorf("reading pool %s: %w", pool, err)
	}
	if in.Spec, err = store.Spec[fleet.PoolSpec](obj); err != nil {
		return in, err
	}
	if in.Servers, err = tx.Servers(store.ServerFilter{Pool: pool}); err != nil {
		return in, fmt.Errorf("reading servers of pool %s: %w", pool, err)
	}
	if err := loadConfigs(tx, &in, shape); err != nil {
		return in, err
	}
	if err := loadQueue(tx, &in); err != nil {
		return in, err
	}
	return in, loadStagings(tx, &in)
}

func loadConfigs(tx *store.Tx, in *plan.Input, shape ShapeFunc) error {
	objects, err := tx.Objects(fleet.KindAutoscaleConfig)
	if err != nil {
		return fmt.Errorf("reading autoscale configs: %w", err)
	}
	schedules, err := loadSchedules(tx)
	if err != nil {
		return err
	}
	for _, o := range objects {
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
		if err != nil {
			return err
		}
		if spec.Pool != in.Pool {
			continue
		}
		state, err := tx.AutoscaleState(o.Name)
		if err != nil {
			return fmt.Errorf("reading what is remembered of autoscale config %s: %w", o.Name, err)
		}
		cfg := plan.Config{
			Name: o.Name, Spec: spec, Schedules: schedules[o.Name],
			SurplusSince: state.SurplusSince, Shapes: map[string]fleet.Resources{},
		}
		for _, name := range spec.VMProviders {
			provider, err := loadProvider(tx, in, name)
			if err != nil {
				return err
			}
			cfg.Shapes[name] = Capacity(in.Spec.Type, spec, learned(in.Servers, name, shape(provider)))
		}
		in.Configs = append(in.Configs, cfg)
	}
	return nil
}

// Capacity is what a machine counts for under a config: the overrides, else
// what is known of its shape.
func Capacity(t fleet.PoolType, spec fleet.AutoscaleConfigSpec, shape fleet.Resources) fleet.Resources {
	out := fleet.Resources{
		Cores:     fleet.Or(spec.AgentCoresOverride, shape.Cores),
		MemoryMiB: fleet.Or(int64(spec.AgentMemoryOverride), shape.MemoryMiB),
		GPUs:      fleet.Or(spec.AgentGPUsOverride, shape.GPUs),
	}
	if t == fleet.PoolServer {
		out.Places = fleet.Or(spec.MaxSimultaneousSessions, 1)
	}
	return out
}

// learned is the shape that the settings tell, else what the youngest machine
// of the provider has reported.
func learned(servers []*fleet.Server, provider string, shape fleet.Resources) fleet.Resources {
	if !shape.IsZero() {
		return shape
	}
	for _, s := range slices.Backward(servers) {
		if s.VMProvider == provider && s.CapacitySource == fleet.CapacityReported {
			c := s.Capacity
			c.Places = 0
			return c
		}
	}
	return shape
}

func loadProvider(tx *store.Tx, in *plan.Input, name string) (fleet.VMProviderSpec, error) {
	obj, err := tx.Object(fleet.KindVMProvider, name)
	if errors.Is(err, store.ErrNotFound) {
		in.Providers[name] = plan.Provider{Name: name, MissingSetting: "it does not exist"}
		return fleet.VMProviderSpec{}, nil
	}
	if err != nil {
		return fleet.VMProviderSpec{}, fmt.Errorf("reading provider %s: %w", name, err)
	}
	spec, err := store.Spec[fleet.VMProviderSpec](obj)
	if err != nil {
		return spec, err
	}
	if _, done := in.Providers[name]; done {
		return spec, nil
	}
	state, err := tx.ProviderState(name)
	if err != nil {
		return spec, fmt.Errorf("reading the state of provider %s: %w", name, err)
	}
	exists, err := tx.CountServers(store.ServerFilter{VMProvider: name})
	if err != nil {
		return spec, fmt.Errorf("counting machines of provider %s: %w", name, err)
	}
	p := plan.Provider{
		Name: name, Revision: obj.Revision, Exists: exists, Max: spec.MaxInstances, Frozen: spec.Frozen,
		Tokens:     Tokens(spec, state, in.Now),
		TokenEvery: time.Duration(float64(time.Second) / fleet.Or(spec.CreateRate, fleet.DefaultCreateRate)),
	}
	orphans, err := Orphans(tx, name)
	if err != nil {
		return spec, err
	}
	p.Exists += orphans
	p.Overshoot = state.SweepError
	p.BlockedUntil, p.BlockedReason = Blocked(state, in.Now)
	if state.Circuit != "" && state.Circuit != CircuitClosed {
		p.Trial, p.Trying = true, trying(in.Servers, name)
	}
	in.Providers[name] = p
	return spec, nil
}

// orphanAge is how long a machine that no server explains must have been seen
// before it takes up room: one that has just been deleted may be listed for a
// while.
const orphanAge = 2 * time.Minute

// Orphans counts the machines of a provider that no server explains. They exist
// and count against its max_instances.
func Orphans(tx *store.Tx, provider string) (n int64, err error) {
	list, err := tx.Sightings(provider)
	if err != nil {
		return 0, fmt.Errorf("reading sightings of provider %s: %w", provider, err)
	}
	for _, s := range list {
		if s.Kind == store.SightingMachine && s.Count >= 2 && s.LastSeen.Sub(s.FirstSeen) >= orphanAge {
			n++
		}
	}
	return n, nil
}

// trying says that a machine of the provider is on its way to its first answer.
func trying(servers []*fleet.Server, provider string) bool {
	for _, s := range servers {
		if s.VMProvider == provider && (s.Phase == fleet.PhasePlanned || s.Phase == fleet.PhaseCreating) {
			return true
		}
	}
	return false
}

// Blocked says until when a provider makes no machine, and why. A moment that
// lies too far ahead was written by a clock that has been set back since.
func Blocked(s store.ProviderState, now time.Time) (until time.Time, reason string) {
	until, reason = s.BlockedUntil, s.BlockedReason
	if s.Circuit == CircuitOpen && s.OpenUntil.After(s.BlockedUntil) {
		until, reason = s.OpenUntil, fmt.Sprintf("its circuit is open after %d failures in a row: %s", s.Failures, s.Error)
	}
	if until.After(now.Add(maxBlocked)) {
		return time.Time{}, ""
	}
	return until, reason
}

// clockSkew is how far in the future a stored moment may lie before it counts
// as written by a clock that has been set back since.
const clockSkew = time.Minute

// maxBlocked is longer than any provider is passed over for one failure.
const maxBlocked = time.Hour

// Tokens is how many machines the provider's create rate allows now.
func Tokens(spec fleet.VMProviderSpec, s store.ProviderState, now time.Time) float64 {
	burst := float64(fleet.Or(spec.CreateBurst, fleet.DefaultCreateBurst))
	if s.TokensAt.IsZero() || s.TokensAt.After(now.Add(clockSkew)) {
		return burst
	}
	earned := max(now.Sub(s.TokensAt).Seconds(), 0) * fleet.Or(spec.CreateRate, fleet.DefaultCreateRate)
	return min(burst, s.Tokens+earned)
}

func loadSchedules(tx *store.Tx) (map[string][]plan.Schedule, error) {
	objects, err := tx.Objects(fleet.KindSchedule)
	if err != nil {
		return nil, fmt.Errorf("reading schedules: %w", err)
	}
	out := map[string][]plan.Schedule{}
	for _, o := range objects {
		spec, err := store.Spec[fleet.ScheduleSpec](o)
		if err != nil {
			return nil, err
		}
		out[spec.AutoscaleConfig] = append(out[spec.AutoscaleConfig], plan.Schedule{Name: o.Name, Spec: spec})
	}
	return out, nil
}

func loadQueue(tx *store.Tx, in *plan.Input) error {
	queued, err := tx.QueuedSessions(in.Pool, MaxQueued)
	if err != nil {
		return fmt.Errorf("reading the queue of pool %s: %w", in.Pool, err)
	}
	confined := map[string]bool{}
	for _, s := range queued {
		zone := s.Zone
		if zone != "" {
			only, known := confined[zone]
			if !known {
				if only, err = confines(tx, zone); err != nil {
					return err
				}
				confined[zone] = only
			}
			if !only {
				zone = ""
			}
		}
		in.Queued = append(in.Queued, plan.Demand{Session: s.ID, Zone: zone, Need: s.Need})
	}
	return nil
}

// confines says that sessions which ask for the zone must run in it.
func confines(tx *store.Tx, zone string) (bool, error) {
	obj, err := tx.Object(fleet.KindZone, zone)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading zone %s: %w", zone, err)
	}
	spec, err := store.Spec[fleet.ZoneSpec](obj)
	return !fleet.Value(spec.FallOver, true), err
}

func loadStagings(tx *store.Tx, in *plan.Input) error {
	objects, err := tx.Objects(fleet.KindStaging)
	if err != nil {
		return fmt.Errorf("reading stagings: %w", err)
	}
	all, err := tx.CountSessions(store.SessionFilter{Pool: in.Pool, States: []fleet.SessionState{fleet.SessionStaged}})
	if err != nil {
		return fmt.Errorf("counting staged sessions of pool %s: %w", in.Pool, err)
	}
	in.Excess = all[fleet.SessionStaged]
	for _, o := range objects {
		spec, err := store.Spec[fleet.StagingSpec](o)
		if err != nil {
			return err
		}
		if spec.Pool != in.Pool {
			continue
		}
		have, err := tx.CountSessions(store.SessionFilter{Staging: o.Name, States: []fleet.SessionState{fleet.SessionStaged}})
		if err != nil {
			return fmt.Errorf("counting sessions of staging %s: %w", o.Name, err)
		}
		in.Excess -= min(have[fleet.SessionStaged], spec.Count)
		need := spec.Shape.Resources()
		if in.Spec.Type == fleet.PoolServer {
			need = fleet.Resources{Places: 1}
		}
		in.Stagings = append(in.Stagings, plan.Staging{Name: o.Name, Zone: spec.Zone, Need: need, Missing: max(spec.Count-have[fleet.SessionStaged], 0)})
	}
	return nil
}
