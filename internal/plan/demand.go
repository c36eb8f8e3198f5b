package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// anybody is the number of different users that a machine without a limit takes.
const anybody = math.MaxInt64

// bin is room on a machine that exists, is coming up, or is about to be made.
type bin struct {
	config *configPass // nil: a machine that belongs to no config of the pool
	zone   string
	free   fleet.Resources
	users  int64 // how many users may come who are not there yet
}

// open is what the bin offers to people who are not there yet.
func (b *bin) open() fleet.Resources { return openTo(b.free, b.users) }

// full says that the bin takes nothing more.
func (b *bin) full() bool { return b.users <= 0 || b.free.IsZero() }

// openTo is what is free for users who are not there yet: each takes a place at
// least.
func openTo(free fleet.Resources, users int64) fleet.Resources {
	free.Places = min(free.Places, users)
	return free
}

// usersLeft is how many users a server takes who are not there yet.
func usersLeft(s *fleet.Server) int64 {
	if s.MaxUsers <= 0 {
		return anybody
	}
	return max(s.MaxUsers-s.Users, 0)
}

// roomOf is what a server that takes sessions offers to people who are not
// there yet.
func roomOf(s *fleet.Server) fleet.Resources { return openTo(s.Free(), usersLeft(s)) }

// wholeOf is the same for a server that holds nothing.
func wholeOf(s *fleet.Server) fleet.Resources {
	if s.MaxUsers <= 0 {
		return s.Capacity
	}
	return openTo(s.Capacity, s.MaxUsers)
}

// newBin is a machine of the config that holds nothing yet.
func (c *configPass) newBin(shape fleet.Resources) bin {
	b := bin{config: c, zone: c.Spec.Zone, free: shape, users: anybody}
	if c.Spec.MaxSimultaneousUsers > 0 && shape.Places > 0 {
		b.users = c.Spec.MaxSimultaneousUsers
	}
	return b
}

// group is a number of equal demands.
type group struct {
	zone      string
	fallsOver bool
	user      string // of all of them; empty: somebody unknown each
	need      fleet.Resources
	count     int64
	what      string // "queued" or "staging"
}

// may says that the group can run in a zone, first of those that it prefers, or
// else of the others.
func (g *group) may(zone string, first bool) bool {
	switch {
	case g.zone == "":
		return first
	case first:
		return zone == g.zone
	}
	return g.fallsOver && zone != g.zone
}

// into takes as much of the group into a bin as there is room for.
func (g *group) into(b *bin) (n int64) {
	n = min(timesFits(g.need, b.free), g.count)
	switch {
	case b.users == anybody:
	case g.user == "":
		n = min(n, b.users)
		b.users -= n
	case n > 0:
		b.users--
	}
	b.free = b.free.Sub(g.need.Scale(n))
	return n
}

// groups gathers equal demands, queued sessions before staging. Users matter
// only where something limits their number.
func (p *pass) groups() []group {
	limited := p.limitsUsers()
	var out []group
	index := map[group]int{}
	for _, q := range p.in.Queued {
		k := group{zone: q.Zone, fallsOver: q.FallsOver && q.Zone != "", need: q.Need, what: "queued"}
		if limited {
			k.user = q.User
		}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, k)
		}
		out[i].count++
	}
	for _, s := range p.in.Stagings {
		if s.Missing > 0 {
			out = append(out, group{zone: s.Zone, need: s.Need, count: s.Missing, what: "staging"})
		}
	}
	return out
}

func (p *pass) limitsUsers() bool {
	if p.in.Spec.Type != fleet.PoolServer {
		return false
	}
	for _, c := range p.configs {
		if c.Spec.MaxSimultaneousUsers > 0 {
			return true
		}
	}
	for _, s := range p.in.Servers {
		if s.MaxUsers > 0 {
			return true
		}
	}
	return false
}

// placeDemand lays queued sessions and missing staged sessions onto the room
// that exists or is coming up, and has machines made for what finds none. Equal
// demands are handled together, so that the work is proportional to machines ×
// different shapes.
func (p *pass) placeDemand() {
	for _, g := range p.groups() {
		for len(p.bins) > 0 && p.bins[0].full() {
			p.bins = p.bins[1:]
		}
		p.place(&g, true)
		if g.count > 0 && g.zone != "" && g.fallsOver {
			p.place(&g, false)
		}
		if g.count > 0 {
			p.wantNew(g)
		}
	}
	for _, c := range p.configs {
		c.demand.Standby = c.standbyNow(p.in.Spec.Type)
		c.demand.Total = c.demand.Standby.Add(c.demand.Queued).Add(c.demand.Staging)
	}
}

// place lays a group onto the room in the zones that it prefers, or else in the
// others.
func (p *pass) place(g *group, first bool) {
	for i := range p.bins {
		b := &p.bins[i]
		if g.count == 0 {
			return
		}
		if !g.may(b.zone, first) {
			continue
		}
		before := b.open()
		n := g.into(b)
		g.count -= n
		if n > 0 && b.config != nil && b.config.demands(g.what) {
			b.config.free = b.config.free.Sub(before.Sub(b.open()))
			b.config.charge(g.what, g.need.Scale(n))
		}
	}
}

// wantNew has machines made for demand that found no room: by the configs of
// the zone that was asked for, in order of name, and then, for those who may
// run elsewhere, by the others. What nobody may make machines for now is charged
// to the first that could.
func (p *pass) wantNew(g group) {
	var first *configPass
	var gradual []*configPass
	anywhere, tooLarge := false, false
	for _, own := range []bool{true, false} {
		for _, c := range p.configs {
			if !g.may(c.Spec.Zone, own) {
				continue
			}
			anywhere = true
			switch {
			case !c.active:
				continue
			case !c.demands(g.what):
				gradual = append(gradual, c)
				continue
			case !p.canEverHold(c, g.need):
				tooLarge = true
				continue
			}
			if first == nil {
				first = c
			}
			wanted := g.count
			waits := p.createFor(c, &g)
			c.charge(g.what, g.need.Scale(wanted-g.count))
			if g.count == 0 {
				return
			}
			if waits { // it has its turn in a moment
				c.wait(g)
				return
			}
		}
	}
	for _, c := range gradual {
		c.gradual += g.count
	}
	switch {
	case first != nil:
		first.wait(g)
	case tooLarge:
		p.reasons = append(p.reasons, Reason{Code: ReasonTooLarge, Message: fmt.Sprintf("%d %s for %s exceed every machine of the pool", g.count, sessions(g.count, g.what), g.need)})
	case !anywhere && len(p.configs) > 0:
		p.reasons = append(p.reasons, Reason{Code: ReasonNoConfig, Message: fmt.Sprintf("%d %s can run in zone %s alone, where no autoscale config makes machines for the pool", g.count, sessions(g.count, g.what), g.zone)})
	}
}

// wait keeps demand for which the config would make machines if it could.
func (c *configPass) wait(g group) {
	c.waiting = append(c.waiting, g)
	c.charge(g.what, g.need.Scale(g.count))
}

// explainGradual tells of those who wait although nothing is made for them.
func (c *configPass) explainGradual() {
	if c.gradual > 0 {
		c.because(ReasonGradual, time.Time{}, "%d %s found no room and are served from standby alone: aggressive_scaling is off", c.gradual, sessions(c.gradual, "queued"))
	}
}

func sessions(n int64, what string) string {
	if n == 1 {
		return what + " session"
	}
	return what + " sessions"
}

// canEverHold says whether a machine of one of the config's providers can hold
// need. A provider whose machines are not known yet is given the benefit of
// the doubt.
func (p *pass) canEverHold(c *configPass, need fleet.Resources) bool {
	for _, name := range c.Spec.VMProviders {
		if _, ok := p.in.Providers[name]; !ok {
			continue
		}
		if shape := c.Shapes[name]; shape.IsZero() || need.Fits(shape) {
			return true
		}
	}
	return false
}

// demands says that a demand counts for the config: people who wait do not
// where they are to be served from standby alone.
func (c *configPass) demands(what string) bool {
	return what != "queued" || fleet.Value(c.Spec.AggressiveScaling, true)
}

func (c *configPass) charge(what string, r fleet.Resources) {
	if what == "staging" {
		c.demand.Staging = c.demand.Staging.Add(r)
	} else {
		c.demand.Queued = c.demand.Queued.Add(r)
	}
}
