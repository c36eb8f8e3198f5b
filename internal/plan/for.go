package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// maxBatch bounds the creations and the retirements of one pass over a pool,
// so that the first machines of a large step are on their way while the rest
// is still being recorded.
const maxBatch = 1000

// For decides what the pool needs at in.Now. It changes nothing in in.
func For(in Input) Decision {
	if !slices.IsSortedFunc(in.Servers, byID) { // the store gives them in order
		in.Servers = slices.SortedFunc(slices.Values(in.Servers), byID)
	}
	p := &pass{in: in, made: map[string]int64{}}
	d := Decision{Pool: in.Pool, At: in.Now, Configs: make([]ConfigDecision, 0, len(in.Configs))}
	for i := range in.Configs {
		p.configs = append(p.configs, p.newConfigPass(&in.Configs[i]))
	}
	p.collectSupply()
	p.placeDemand()
	for _, c := range p.configs {
		d.Configs = append(d.Configs, p.decide(c))
	}
	d.Reasons = p.reasons
	if len(in.Configs) == 0 {
		d.Reasons = append(d.Reasons, Reason{Code: ReasonNoConfig, Message: "no autoscale config makes machines for this pool"})
	}
	d.NextAt = p.nextAt
	return d
}

func byID(a, b *fleet.Server) int { return cmp.Compare(a.ID, b.ID) }

// pass is the work space of one decision.
type pass struct {
	in      Input
	configs []*configPass
	bins    []bin            // room on machines of the pool, ready ones first; none when nobody waits; new ones last
	made    map[string]int64 // creations decided in this pass, by provider
	reasons []Reason
	nextAt  time.Time
}

// configPass is the work space of one autoscale config.
type configPass struct {
	*Config
	window string
	eff    effective
	active bool // enabled, and the pool is not frozen

	own      []*fleet.Server // machines that it made
	supply   Supply
	demand   Need
	free     fleet.Resources // what is left of supply after queue and staging have been placed
	waiting  []group         // demand that found no room, and for which no machine may be made now
	gradual  int64           // queued sessions that found no room, and for which none is made
	learning bool            // a machine of unknown capacity is coming up
	leaving  map[string]bool // machines that rotation or drift takes out of the supply

	leavingFree fleet.Resources // what is free on those
	readyFree   fleet.Resources // what is free on ready machines that stay
	readyStay   int64           // how many of its own those are

	creates []Create
	retires []Retire
	reasons []Reason
}

// wake remembers that the passing of time alone can change the decision at t.
func (p *pass) wake(t time.Time) {
	if t.After(p.in.Now) && (p.nextAt.IsZero() || t.Before(p.nextAt)) {
		p.nextAt = t
	}
}

func (c *configPass) because(code ReasonCode, until time.Time, format string, args ...any) {
	r := Reason{Code: code, Message: fmt.Sprintf(format, args...), Until: until}
	if !slices.Contains(c.reasons, r) {
		c.reasons = append(c.reasons, r)
	}
}

func (p *pass) decide(c *configPass) ConfigDecision {
	var spare []Spare // nobody looks whether a surplus lasts while the config is inactive
	if c.active {
		spare = p.retire(c, p.create(c))
	}
	d := ConfigDecision{
		Config: c.Name, Zone: c.Spec.Zone, Window: c.window,
		Supply: c.supply, Demand: c.demand,
		Creates: nonNil(c.creates), Retires: nonNil(c.retires), Reasons: nonNil(c.reasons),
		Spare: spare,
	}
	if len(spare) > 0 {
		d.Surplus = spare[0].Since
	}
	return d
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// effective are the numbers of a config that hold at the present moment.
type effective struct {
	standby    fleet.Resources
	minServers int64
	maxServers int64
}

func (p *pass) newConfigPass(cfg *Config) *configPass {
	c := &configPass{Config: cfg, leaving: map[string]bool{}}
	switch {
	case p.in.Spec.Frozen:
		c.because(ReasonFrozen, time.Time{}, "pool %s is frozen", p.in.Pool)
	case !fleet.Value(cfg.Spec.Enabled, true):
		c.because(ReasonDisabled, time.Time{}, "autoscale config %s is disabled", cfg.Name)
	default:
		c.active = true
	}
	s := cfg.Spec
	standby, places := s.Standby, s.MinAvailableSessions
	c.eff.minServers, c.eff.maxServers = s.MinServers, s.MaxServers
	if w, ok := p.window(c); ok {
		standby = fleet.Value(w.Standby, standby)
		places = fleet.Value(w.MinAvailableSessions, places)
		c.eff.minServers = fleet.Value(w.MinServers, c.eff.minServers)
		c.eff.maxServers = fleet.Value(w.MaxServers, c.eff.maxServers)
	}
	if p.in.Spec.Type == fleet.PoolServer {
		c.eff.standby = fleet.Resources{Places: places}
	} else {
		c.eff.standby = standby.Resources()
	}
	return c
}

// window is the first window in force over the config's schedules in order of
// name.
func (p *pass) window(c *configPass) (fleet.Window, bool) {
	var (
		found fleet.Window
		ok    bool
	)
	for _, s := range c.Schedules {
		w, i, active, err := s.Spec.Active(p.in.Now)
		if err != nil {
			c.because(ReasonSchedule, time.Time{}, "schedule %s is not followed: %v", s.Name, err)
			continue
		}
		if next, err := s.Spec.NextChange(p.in.Now); err == nil {
			p.wake(next)
		}
		if active && !ok {
			found, ok = w, true
			c.window = fmt.Sprintf("%s[%d] %s-%s %s", s.Name, i, w.Start, w.End, s.Spec.TimeZone)
		}
	}
	if !ok && len(c.Schedules) > 0 {
		c.because(ReasonSchedule, time.Time{}, "outside of every schedule window: the config's own numbers hold")
	}
	return found, ok
}
