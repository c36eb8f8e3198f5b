package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// create decides on new machines for standby and for min_servers; those for
// people who wait have been decided on. It returns how many more the config
// would want if nothing bounded it.
func (p *pass) create(c *configPass) (unmet int64) {
	c.explainGradual()
	unmet = int64(len(c.waiting))
	unmet += p.createStandby(c)
	unmet += p.createFloor(c)
	if len(c.creates) == 0 && unmet == 0 {
		c.because(ReasonSatisfied, time.Time{}, "free capacity (%s) covers the need (%s)", c.supply.Free, c.demand.Total)
	}
	return unmet
}

// createFor makes machines until the demands of the group have room. What a new
// machine holds beyond them is free capacity, and room for those who come next.
// waits says that what is left of the group has its turn at this config in a
// moment.
func (p *pass) createFor(c *configPass, g *group) (waits bool) {
	why := fmt.Sprintf("%d %s for %s found no room", g.count, sessions(g.count, g.what), g.need)
	for g.count > 0 {
		pr, allowed, waits := p.pick(c, func(shape fleet.Resources) bool { return shape.IsZero() || g.need.Fits(shape) })
		if allowed <= 0 {
			return waits
		}
		if pr.shape.IsZero() {
			p.createUnknown(c, pr, why)
			return true
		}
		for ; allowed > 0 && g.count > 0; allowed-- {
			p.add(c, pr, 1, why)
			b := c.newBin(pr.shape)
			g.count -= max(g.into(&b), 1)
			c.free = c.free.Add(b.open())
			if !b.full() {
				p.bins = append(p.bins, b)
			}
		}
	}
	return false
}

// createStandby makes machines until free capacity covers the standby on every
// dimension: of a provider whose machines offer all that lacks, else of those
// that offer a part of it.
func (p *pass) createStandby(c *configPass) (unmet int64) {
	for {
		deficit := c.demand.Standby.Sub(c.free).Floor()
		if deficit.IsZero() {
			return 0
		}
		pr, allowed, waits := p.pick(c, func(shape fleet.Resources) bool { return shape.IsZero() || helps(deficit, shape) })
		wanted := deficit
		for _, part := range parts(deficit) {
			if allowed > 0 || waits {
				break
			}
			wanted = part
			pr, allowed, waits = p.pick(c, func(shape fleet.Resources) bool { return shape.IsZero() || helps(part, shape) })
		}
		if allowed <= 0 {
			return 1
		}
		why := fmt.Sprintf("standby %s needs %s more free", c.demand.Standby, deficit)
		if pr.shape.IsZero() {
			return p.createUnknown(c, pr, why)
		}
		b := c.newBin(pr.shape)
		n := min(machinesFor(wanted, b.open()), allowed)
		p.add(c, pr, n, why)
		c.free = c.free.Add(b.open().Scale(n))
	}
}

// parts are the dimensions of a deficit, each for itself, if there are several.
func parts(r fleet.Resources) (out []fleet.Resources) {
	for _, one := range []fleet.Resources{{Cores: r.Cores}, {MemoryMiB: r.MemoryMiB}, {GPUs: r.GPUs}, {Places: r.Places}} {
		if !one.IsZero() && one != r {
			out = append(out, one)
		}
	}
	return out
}

// createFloor makes machines up to min_servers.
func (p *pass) createFloor(c *configPass) (unmet int64) {
	for {
		missing := c.eff.minServers - (c.supply.Servers - c.leavingOwn()) - int64(len(c.creates))
		if missing <= 0 {
			return 0
		}
		pr, allowed, _ := p.pick(c, func(fleet.Resources) bool { return true })
		if allowed <= 0 {
			return 1
		}
		n := min(missing, allowed)
		p.add(c, pr, n, fmt.Sprintf("min_servers is %d", c.eff.minServers))
		b := c.newBin(pr.shape)
		c.free = c.free.Add(b.open().Scale(n))
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
// now, and how many. Reasons say why others may not; waits says that it is a
// matter of moments.
func (p *pass) pick(c *configPass, suits func(shape fleet.Resources) bool) (pick offer, n int64, waits bool) {
	room := int64(math.MaxInt64)
	if c.eff.maxServers > 0 {
		room = c.eff.maxServers - c.supply.Servers - int64(len(c.creates))
		if room <= 0 {
			c.because(ReasonMaxServers, time.Time{}, "at max_servers %d", c.eff.maxServers)
			return offer{}, 0, false
		}
	}
	if batch := int64(maxBatch - len(c.creates)); batch <= 0 {
		c.because(ReasonBatch, p.in.Now, "%d machines at most are recorded in one pass; the rest follows at once", maxBatch)
		p.nextAt = p.in.Now
		return offer{}, 0, true
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
			return offer{}, 0, true
		default:
			allowed := min(room, pr.Max-pr.Exists-p.made[name])
			if pr.Trial {
				allowed = 1
			}
			return offer{name, c.Shapes[name]}, min(allowed, int64(min(pr.Tokens-float64(p.made[name]), 1e12))), false
		}
	}
	return offer{}, 0, false
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
