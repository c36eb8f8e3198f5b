package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// wantNew charges demand that found no room to the first config that may make
// machines for it.
func (p *pass) wantNew(g group) {
	tooLarge := false
	for _, c := range p.configs {
		if g.zone != "" && c.Spec.Zone != g.zone {
			continue
		}
		if !c.active || !c.demands(g.what) {
			continue
		}
		if !p.canEverHold(c, g.need) {
			tooLarge = true
			continue
		}
		c.waiting = append(c.waiting, g)
		c.charge(g.what, g.need.Scale(g.count))
		return
	}
	if tooLarge {
		p.reasons = append(p.reasons, Reason{Code: ReasonTooLarge, Message: fmt.Sprintf("%d %s for %s exceed every machine of the pool", g.count, sessions(g.count, g.what), g.need)})
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

// create decides on new machines. It returns how many more than those decided
// the config would want if nothing bounded it.
func (p *pass) create(c *configPass) (unmet int64) {
	for _, g := range c.waiting {
		if left := p.createFor(c, g.need, g.count, fmt.Sprintf("%d %s for %s found no room", g.count, sessions(g.count, g.what), g.need)); left > 0 {
			unmet += left
		}
	}
	unmet += p.createStandby(c)
	unmet += p.createFloor(c)
	if len(c.creates) == 0 && unmet == 0 {
		c.because(ReasonSatisfied, time.Time{}, "free capacity (%s) covers the need (%s)", c.supply.Free, c.demand.Total)
	}
	return unmet
}

// createFor makes machines until count demands of the given need have room.
// What a new machine holds beyond its demands is free capacity.
func (p *pass) createFor(c *configPass, need fleet.Resources, count int64, why string) (unmet int64) {
	for count > 0 {
		pr, allowed := p.pick(c, func(shape fleet.Resources) bool { return shape.IsZero() || need.Fits(shape) })
		if allowed <= 0 {
			return 1
		}
		if pr.shape.IsZero() {
			return p.createUnknown(c, pr, why)
		}
		per := max(timesFits(need, pr.shape), 1)
		n := min(ceilDiv(count, per), allowed)
		p.add(c, pr, n, why)
		held := min(n*per, count)
		c.free = c.free.Add(pr.shape.Scale(n)).Sub(need.Scale(held))
		count -= held
	}
	return 0
}

// createStandby makes machines until free capacity covers the standby on every
// dimension.
func (p *pass) createStandby(c *configPass) (unmet int64) {
	for {
		deficit := c.demand.Standby.Sub(c.free).Floor()
		if deficit.IsZero() {
			return 0
		}
		pr, allowed := p.pick(c, func(shape fleet.Resources) bool { return shape.IsZero() || helps(deficit, shape) })
		if allowed <= 0 {
			return 1
		}
		why := fmt.Sprintf("standby %s needs %s more free", c.demand.Standby, deficit)
		if pr.shape.IsZero() {
			return p.createUnknown(c, pr, why)
		}
		n := min(machinesFor(deficit, pr.shape), allowed)
		p.add(c, pr, n, why)
		c.free = c.free.Add(pr.shape.Scale(n))
	}
}

// createFloor makes machines up to min_servers.
func (p *pass) createFloor(c *configPass) (unmet int64) {
	for {
		missing := c.eff.minServers - (c.supply.Servers - c.leavingOwn()) - int64(len(c.creates))
		if missing <= 0 {
			return 0
		}
		pr, allowed := p.pick(c, func(fleet.Resources) bool { return true })
		if allowed <= 0 {
			return 1
		}
		n := min(missing, allowed)
		p.add(c, pr, n, fmt.Sprintf("min_servers is %d", c.eff.minServers))
		c.free = c.free.Add(pr.shape.Scale(n))
	}
}

// leavingOwn counts the config's machines that are on their way out.
func (c *configPass) leavingOwn() (n int64) {
	for _, s := range c.own {
		if s.Phase.Leaving() {
			n++
		}
	}
	return n
}

// createUnknown makes one machine of a provider whose machines have never
// reported, and waits for what it turns out to offer.
func (p *pass) createUnknown(c *configPass, pr offer, why string) (unmet int64) {
	if !c.learning {
		p.add(c, pr, 1, why)
		c.learning = true
	}
	c.because(ReasonNoShape, time.Time{}, "what a machine of provider %s offers is not known until the first one has reported; set agent_cores_override and agent_memory_override to make several at once", pr.provider)
	return 1
}

func (p *pass) add(c *configPass, pr offer, n int64, why string) {
	for range n {
		c.creates = append(c.creates, Create{Provider: pr.provider, Capacity: pr.shape, Reason: why})
	}
	p.made[pr.provider] += n
}

// offer is a provider that may make machines now.
type offer struct {
	provider string
	shape    fleet.Resources // of one machine; zero: unknown
}

// pick finds the first provider in the config's order that may make a machine
// now, and how many. Reasons say why others may not.
func (p *pass) pick(c *configPass, suits func(shape fleet.Resources) bool) (offer, int64) {
	room := int64(math.MaxInt64)
	if c.eff.maxServers > 0 {
		room = c.eff.maxServers - c.supply.Servers - int64(len(c.creates))
		if room <= 0 {
			c.because(ReasonMaxServers, time.Time{}, "at max_servers %d", c.eff.maxServers)
			return offer{}, 0
		}
	}
	if batch := int64(maxBatch - len(c.creates)); batch <= 0 {
		c.because(ReasonBatch, p.in.Now, "%d machines at most are recorded in one pass; the rest follows at once", maxBatch)
		p.nextAt = p.in.Now
		return offer{}, 0
	} else if batch < room {
		room = batch
	}
	for _, name := range c.Spec.VMProviders {
		pr, ok := p.in.Providers[name]
		switch {
		case !ok || pr.MissingSetting != "":
			c.because(ReasonProvider, time.Time{}, "provider %s cannot be used: %s", name, fleet.Or(pr.MissingSetting, "it does not exist"))
		case pr.Frozen:
			c.because(ReasonFrozen, time.Time{}, "provider %s is frozen", name)
		case p.in.Now.Before(pr.BlockedUntil):
			p.wake(pr.BlockedUntil)
			c.because(ReasonBlocked, pr.BlockedUntil, "provider %s is not used until %s: %s", name, pr.BlockedUntil.UTC().Format(time.TimeOnly), pr.BlockedReason)
		case pr.Trial && (pr.Trying || p.made[name] > 0):
			// Its outcome is an event: nothing needs to wait for a moment.
			c.because(ReasonBlocked, time.Time{}, "provider %s is tried with one machine after its failures", name)
		case pr.Overshoot != "":
			c.because(ReasonOvershoot, time.Time{}, "provider %s makes no further machine: %s", name, pr.Overshoot)
		case !suits(c.Shapes[name]):
			c.because(ReasonTooLarge, time.Time{}, "machines of provider %s (%s) do not offer what is needed", name, c.Shapes[name])
		case pr.Exists+p.made[name] >= pr.Max:
			c.because(ReasonMax, time.Time{}, "provider %s is at max_instances %d", name, pr.Max)
		case pr.Tokens-float64(p.made[name]) < 1:
			// Out of rate is not out of capacity: falling through would buy
			// from a less preferred provider what the first has in a moment.
			wait := time.Duration((1 - (pr.Tokens - float64(p.made[name]))) * float64(pr.TokenEvery))
			until := p.in.Now.Add(max(wait, time.Millisecond))
			p.wake(until)
			c.because(ReasonRate, until, "provider %s makes one machine each %s after its burst", name, pr.TokenEvery)
			return offer{}, 0
		default:
			allowed := min(room, pr.Max-pr.Exists-p.made[name])
			if pr.Trial {
				allowed = 1
			}
			return offer{name, c.Shapes[name]}, min(allowed, int64(min(pr.Tokens-float64(p.made[name]), 1e12)))
		}
	}
	return offer{}, 0
}

// machinesFor is the number of machines that offer at least the deficit on
// each dimension that they have.
func machinesFor(deficit, shape fleet.Resources) int64 {
	n := int64(1)
	for _, d := range dimensions(deficit, shape) {
		if d.need > 0 && d.have > 0 {
			n = max(n, ceilDiv(d.need, d.have))
		}
	}
	return n
}

// helps says that a machine offers something on every dimension that lacks.
func helps(deficit, shape fleet.Resources) bool {
	for _, d := range dimensions(deficit, shape) {
		if d.need > 0 && d.have <= 0 {
			return false
		}
	}
	return true
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
