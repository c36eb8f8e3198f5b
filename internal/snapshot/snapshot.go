// Package snapshot reads from the store what the planner decides on. The
// control loop, the dry run and explain all use it, so that they see the same
// pool.
package snapshot

import (
	"encoding/json"
	"fmt"
	"math"
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
// one machine at a time be tried; people are told that it is half open.
const (
	CircuitClosed   = "closed"
	CircuitOpen     = "open"
	CircuitHalfOpen = "half_open"
)

// Load reads a pool for the planner. A pool that does not exist is
// store.ErrNotFound. access may be nil. A [Cache] does the same for less.
func Load(tx *store.Tx, pool string, now time.Time, shape ShapeFunc, access fleet.AccessFunc) (plan.Input, error) {
	set, err := loadSettings(tx, access)
	if err != nil {
		return plan.Input{}, err
	}
	servers, err := tx.Servers(store.ServerFilter{Pool: pool})
	if err != nil {
		return plan.Input{}, fmt.Errorf("reading servers of pool %s: %w", pool, err)
	}
	exists := func(provider string) (int64, error) { return tx.CountServers(store.ServerFilter{VMProvider: provider}) }
	l := loading{tx: tx, settings: set, shape: shape, exists: exists}
	return l.load(pool, servers, now)
}

// loading puts the input of the planner together.
type loading struct {
	tx       *store.Tx
	settings *settings
	shape    ShapeFunc
	exists   func(provider string) (int64, error) // servers of a provider

	in plan.Input
}

func (l *loading) load(pool string, servers []*fleet.Server, now time.Time) (plan.Input, error) {
	l.in = plan.Input{Now: now, Pool: pool, Servers: servers, Providers: map[string]plan.Provider{}}
	var ok bool
	if l.in.Spec, ok = l.settings.pools[pool]; !ok {
		return l.in, fmt.Errorf("reading pool %s: %w", pool, store.ErrNotFound)
	}
	if err := l.configs(); err != nil {
		return l.in, err
	}
	if err := l.queue(); err != nil {
		return l.in, err
	}
	return l.in, l.stagings()
}

func (l *loading) configs() error {
	for _, c := range l.settings.configs[l.in.Pool] {
		state, err := l.tx.AutoscaleState(c.name)
		if err != nil {
			return fmt.Errorf("reading what is remembered of autoscale config %s: %w", c.name, err)
		}
		cfg := plan.Config{
			Name: c.name, Spec: c.spec, Schedules: l.settings.schedules[c.name],
			Spare: spareOf(state), Shapes: map[string]fleet.Resources{},
		}
		for _, name := range c.spec.VMProviders {
			spec, err := l.provider(name)
			if err != nil {
				return err
			}
			cfg.Shapes[name] = Capacity(l.in.Spec.Type, c.spec, learned(l.in.Servers, name, l.shape(spec)))
		}
		l.in.Configs = append(l.in.Configs, cfg)
	}
	return nil
}

// spareOf is what is remembered of a surplus. A node of an older version knows
// only since when there is one, and writes only that.
func spareOf(state store.AutoscaleState) []plan.Spare {
	if state.SurplusSince.IsZero() {
		return nil
	}
	var list []plan.Spare
	if err := json.Unmarshal(state.Spare, &list); err == nil && len(list) > 0 && list[0].Since.Truncate(time.Microsecond).Equal(state.SurplusSince.Truncate(time.Microsecond)) {
		return list
	}
	return []plan.Spare{{Machines: math.MaxInt64, Since: state.SurplusSince}}
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

func (l *loading) provider(name string) (fleet.VMProviderSpec, error) {
	set, ok := l.settings.providers[name]
	if !ok {
		l.in.Providers[name] = plan.Provider{Name: name, MissingSetting: "it does not exist"}
		return fleet.VMProviderSpec{}, nil
	}
	spec := set.spec
	if _, done := l.in.Providers[name]; done {
		return spec, nil
	}
	state, err := l.tx.ProviderState(name)
	if err != nil {
		return spec, fmt.Errorf("reading the state of provider %s: %w", name, err)
	}
	exists, err := l.exists(name)
	if err != nil {
		return spec, fmt.Errorf("counting machines of provider %s: %w", name, err)
	}
	p := plan.Provider{
		Name: name, Revision: set.revision, Alike: set.alike, Exists: exists, Max: spec.MaxInstances, Frozen: spec.Frozen,
		Tokens:     Tokens(spec, state, l.in.Now),
		TokenEvery: time.Duration(float64(time.Second) / fleet.Or(spec.CreateRate, fleet.DefaultCreateRate)),
	}
	orphans, err := Orphans(l.tx, name)
	if err != nil {
		return spec, err
	}
	p.Exists += orphans
	p.Overshoot = state.SweepError
	p.BlockedUntil, p.BlockedReason = Blocked(state, l.in.Now)
	if state.Circuit != "" && state.Circuit != CircuitClosed {
		p.Trial, p.Trying = true, trying(l.in.Servers, name)
	}
	l.in.Providers[name] = p
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
		until, reason = s.OpenUntil, fmt.Sprintf("its circuit is open after %d failures in a row: %s", max(s.Failures, s.Stillborn), s.Error)
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

func (l *loading) queue() error {
	queued, err := l.tx.QueuedSessions(l.in.Pool, MaxQueued)
	if err != nil {
		return fmt.Errorf("reading the queue of pool %s: %w", l.in.Pool, err)
	}
	for _, s := range queued {
		zone := s.Zone
		if _, ok := l.settings.zones[zone]; !ok {
			zone = "" // one that no longer exists confines nobody
		}
		l.in.Queued = append(l.in.Queued, plan.Demand{Session: s.ID, User: s.User, Zone: zone, FallsOver: !l.settings.confines(zone), Need: s.Need})
	}
	return nil
}

func (l *loading) stagings() error {
	in := &l.in
	all, err := l.tx.CountSessions(store.SessionFilter{Pool: in.Pool, States: []fleet.SessionState{fleet.SessionStaged}})
	if err != nil {
		return fmt.Errorf("counting staged sessions of pool %s: %w", in.Pool, err)
	}
	in.Excess = all[fleet.SessionStaged]
	for _, st := range l.settings.stagings[in.Pool] {
		have, err := l.tx.CountSessions(store.SessionFilter{Pool: in.Pool, Staging: st.name, States: []fleet.SessionState{fleet.SessionStaged}})
		if err != nil {
			return fmt.Errorf("counting sessions of staging %s: %w", st.name, err)
		}
		in.Excess -= min(have[fleet.SessionStaged], st.spec.Count)
		need := st.spec.Shape.Resources()
		if in.Spec.Type == fleet.PoolServer {
			need = fleet.Resources{Places: 1}
		}
		in.Stagings = append(in.Stagings, plan.Staging{Name: st.name, Zone: st.spec.Zone, Need: need, Missing: max(st.spec.Count-have[fleet.SessionStaged], 0)})
	}
	return nil
}
