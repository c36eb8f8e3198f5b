package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// collectSupply sorts the servers of the pool to the configs that made them.
// Fixed machines count for the first config of their zone.
func (p *pass) collectSupply() {
	byName := make(map[string]*configPass, len(p.configs))
	byZone := map[string]*configPass{}
	for _, c := range p.configs {
		byName[c.Name] = c
		if _, taken := byZone[c.Spec.Zone]; !taken {
			byZone[c.Spec.Zone] = c
		}
	}
	home := func(s *fleet.Server) *configPass {
		if s.Origin == fleet.OriginFixed {
			return byZone[s.Zone]
		}
		return byName[s.AutoscaleConfig]
	}
	for _, s := range p.in.Servers {
		if c := byName[s.AutoscaleConfig]; c != nil && s.Origin != fleet.OriginFixed && s.Phase.MayExist() {
			c.own = append(c.own, s)
		}
	}
	for _, c := range p.configs {
		p.markLeaving(c)
	}
	// A pool of many machines in which nobody waits is looked at often.
	waiting := len(p.in.Queued) > 0 || slices.ContainsFunc(p.in.Stagings, func(s Staging) bool { return s.Missing > 0 })
	var coming []bin
	for _, s := range p.in.Servers {
		if !s.Phase.MayExist() {
			continue
		}
		c := home(s)
		var free fleet.Resources
		list := (*[]bin)(nil)
		switch {
		case s.Phase.ComingUp():
			free, list = wholeOf(s), &coming
			if c != nil && s.Capacity.IsZero() {
				c.learning = true
			}
		case s.Open() && (c == nil || !c.leaving[s.ID]):
			free, list = roomOf(s), &p.bins
			if c != nil {
				c.readyFree = c.readyFree.Add(free)
				if s.Origin != fleet.OriginFixed {
					c.readyStay++
				}
			}
		case s.Open():
			c.leavingFree = c.leavingFree.Add(roomOf(s))
		}
		if c != nil {
			c.count(s, free)
		}
		if waiting && list != nil {
			*list = append(*list, bin{config: c, zone: s.Zone, free: s.Free(), users: usersLeft(s)})
		}
	}
	p.bins = append(p.bins, coming...)
}

// count adds a server to the supply of its config.
func (c *configPass) count(s *fleet.Server, free fleet.Resources) {
	u := &c.supply
	if s.Origin != fleet.OriginFixed {
		u.Servers++
	}
	switch {
	case s.Phase == fleet.PhaseReady:
		u.Ready++
	case s.Phase.ComingUp():
		u.ComingUp++
	default:
		u.Leaving++
	}
	if s.Phase.Leaving() {
		return
	}
	u.Capacity = u.Capacity.Add(s.Capacity)
	u.Claimed = u.Claimed.Add(s.Claimed)
	u.Free = u.Free.Add(free)
	c.free = c.free.Add(free)
}

// markLeaving picks the machines that rotation and drift replace next, oldest
// first and no more at once than max_unavailable. They no longer count as
// supply, which starts their replacements; retire lets them go.
func (p *pass) markLeaving(c *configPass) {
	if !c.active {
		return
	}
	budget := max(fleet.Or(c.Spec.MaxUnavailable, 1), 1)
	rotate, prewarm := c.Spec.RotateAfter.D(), fleet.Or(c.Spec.RotatePrewarm.D(), fleet.DefaultRotatePrewarm)
	var due []ranked
	for _, s := range c.own {
		switch {
		case s.Phase == fleet.PhaseDraining:
			budget--
		case s.Phase != fleet.PhaseReady:
		case rotate > 0 && !p.in.Now.Before(s.CreatedAt.Add(rotate-prewarm)):
			due = append(due, rankOf(s))
			p.wake(s.CreatedAt.Add(rotate))
		case c.Spec.ReplaceOnDrift && p.drifted(s):
			due = append(due, rankOf(s))
		case rotate > 0:
			p.wake(s.CreatedAt.Add(rotate - prewarm))
		}
	}
	slices.SortFunc(due, byRank)
	for i, d := range due {
		if int64(i) >= budget {
			c.because(ReasonUnavailable, time.Time{}, "%d more machines wait to be replaced: max_unavailable is %d", len(due)-i, max(fleet.Or(c.Spec.MaxUnavailable, 1), 1))
			return
		}
		c.leaving[d.server.ID] = true
	}
}

func (p *pass) drifted(s *fleet.Server) bool {
	pr, ok := p.in.Providers[s.VMProvider]
	return ok && pr.Revision > 0 && s.ProviderRevision > 0 && s.ProviderRevision != pr.Revision && !slices.Contains(pr.Alike, s.ProviderRevision)
}

// standbyNow is the standby with max_total_standby observed: it shrinks as
// users arrive, never below zero.
func (c *configPass) standbyNow(t fleet.PoolType) fleet.Resources {
	want := c.eff.standby
	ceiling := c.Spec.MaxTotalStandby.Resources()
	if t == fleet.PoolServer {
		ceiling = fleet.Resources{Places: c.Spec.MaxTotalSessions}
	}
	if ceiling.IsZero() {
		return want
	}
	room := ceiling.Sub(c.supply.Claimed).Sub(c.demand.Queued).Floor()
	shrunk := fleet.Resources{
		Cores:     limited(want.Cores, ceiling.Cores, room.Cores),
		MemoryMiB: limited(want.MemoryMiB, ceiling.MemoryMiB, room.MemoryMiB),
		GPUs:      limited(want.GPUs, ceiling.GPUs, room.GPUs),
		Places:    limited(want.Places, ceiling.Places, room.Places),
	}
	if shrunk != want {
		c.because(ReasonMaxStandby, time.Time{}, "standby shrinks from %s to %s: the total of claimed and free capacity is kept at %s", want, shrunk, ceiling)
	}
	return shrunk
}

func limited[T cmp.Ordered](want, ceiling, room T) T {
	var zero T
	if ceiling == zero {
		return want
	}
	return min(want, room)
}

// timesFits is how often need fits into free.
func timesFits(need, free fleet.Resources) int64 {
	n := int64(1 << 40)
	for _, d := range dimensions(need, free) {
		if d.need > 0 {
			n = min(n, d.have/d.need)
		}
	}
	if n == 1<<40 {
		return 0
	}
	return max(n, 0)
}

type dimension struct{ need, have int64 }

func dimensions(need, have fleet.Resources) [4]dimension {
	return [4]dimension{
		{int64(need.Cores), int64(have.Cores)},
		{need.MemoryMiB, have.MemoryMiB},
		{need.GPUs, have.GPUs},
		{need.Places, have.Places},
	}
}
