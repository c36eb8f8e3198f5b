package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// retire decides which machines are given up. unmet > 0 says that the config
// wants machines that it may not make. The answer is how many machines could be
// spared after that, and since when without a break.
func (p *pass) retire(c *configPass, unmet int64) []Spare {
	gone := map[string]bool{}
	let := func(s *fleet.Server, cause CauseCode, format string, args ...any) {
		if len(c.retires) >= maxBatch || gone[s.ID] {
			return
		}
		gone[s.ID] = true
		c.retires = append(c.retires, Retire{Server: s.ID, Name: s.Name, Cause: cause, Reason: fmt.Sprintf(format, args...)})
	}
	p.retireUnfit(c, unmet, let)
	p.retireOverMax(c, gone, let)

	spare := p.spare(c, gone, unmet)
	planned, ready := split(spare)
	for _, s := range planned {
		let(s, CauseSurplus, "no longer needed before it was made: free capacity covers the need (%s)", c.demand.Total)
	}
	if len(ready) == 0 {
		p.explainKept(c, gone, unmet)
		return nil
	}
	levels := stillSpare(c.Spare, int64(len(ready)), p.in.Now)
	backoff := fleet.Or(c.Spec.DownscaleBackoff.D(), fleet.DefaultDownscaleBackoff)
	retired := len(c.retires)
	for _, l := range levels {
		if due := l.Since.Add(backoff); p.in.Now.Before(due) {
			p.wake(due)
			c.because(ReasonBackoff, due, "%d machines could be spared; they are kept until the surplus has lasted downscale_backoff %s", len(ready)-len(c.retires)+retired, fleet.Duration(backoff))
			break
		}
		for _, s := range ready[len(c.retires)-retired : l.Machines] {
			let(s, CauseSurplus, "in surplus for %s: the rest covers the need (%s)", fleet.Duration(p.in.Now.Sub(l.Since).Round(time.Second)), c.demand.Total)
		}
		if len(c.retires) >= maxBatch {
			p.nextAt = p.in.Now
			break
		}
	}
	return without(levels, int64(len(c.retires)-retired))
}

type letGo func(s *fleet.Server, cause CauseCode, format string, args ...any)

// retireUnfit lets go of machines that are used up, dead, too old or outdated.
func (p *pass) retireUnfit(c *configPass, unmet int64, let letGo) {
	dead := fleet.Or(c.Spec.DeadAfter.D(), fleet.DefaultDeadAfter)
	rotate := c.Spec.RotateAfter.D()
	waiting := 0
	for _, s := range c.own {
		if s.Phase != fleet.PhaseReady {
			continue
		}
		switch {
		case s.Spent():
			let(s, CauseOneShot, "its only use is over")
		case s.Missing && s.LastSeenAt != nil && s.Sessions == 0:
			silent := *s.LastSeenAt
			if p.in.HearingSince.After(silent) {
				silent = p.in.HearingSince
			}
			if at := silent.Add(dead); p.in.Now.Before(at) {
				p.wake(at)
			} else {
				let(s, CauseDead, "its agent has been silent for %s, longer than dead_after %s", fleet.Duration(p.in.Now.Sub(silent).Round(time.Second)), fleet.Duration(dead))
			}
		case !c.leaving[s.ID]:
		case rotate > 0 && !p.in.Now.Before(s.CreatedAt.Add(rotate)):
			if !p.replaced(c) && !p.makesWay(c, s, unmet) {
				waiting++
				continue
			}
			let(s, CauseRotation, "older than rotate_after %s", c.Spec.RotateAfter)
		case c.Spec.ReplaceOnDrift && p.drifted(s):
			lacks := len(c.waiting) > 0 || !c.demand.Standby.Fits(c.free.Add(c.leavingFree))
			if !p.replaced(c) && (lacks || !p.makesWay(c, s, unmet)) {
				waiting++
				continue
			}
			let(s, CauseDrift, "made with revision %d of provider %s, which is at revision %d", s.ProviderRevision, s.VMProvider, p.in.Providers[s.VMProvider].Revision)
		}
	}
	if waiting > 0 {
		c.because(ReasonReplacing, time.Time{}, "%d machines to be replaced are kept until what takes their place is ready", waiting)
	}
}

// replaced says that machines which are to be replaced can go: those that are
// ready cover the need without them.
func (p *pass) replaced(c *configPass) bool {
	return len(c.waiting) == 0 && c.demand.Total.Fits(c.readyFree) && c.readyStay >= c.eff.minServers
}

// makesWay says that no room is left to make another machine first, and that one
// could be made in the place of s.
func (p *pass) makesWay(c *configPass, s *fleet.Server, unmet int64) bool {
	pr, ok := p.in.Providers[s.VMProvider]
	full := pr.Exists+p.made[s.VMProvider] >= pr.Max || c.eff.maxServers > 0 && c.supply.Servers >= c.eff.maxServers
	works := ok && pr.MissingSetting == "" && !pr.Frozen && !pr.Trial && pr.Overshoot == "" && !p.in.Now.Before(pr.BlockedUntil)
	return unmet > 0 && full && works && len(c.creates) == 0 && c.supply.ComingUp == 0
}

// retireOverMax lets go of idle machines above max_servers at once.
func (p *pass) retireOverMax(c *configPass, gone map[string]bool, let letGo) {
	if c.eff.maxServers <= 0 {
		return
	}
	over := c.supply.Servers - c.leavingOwn() - int64(len(gone)) - c.eff.maxServers
	if over <= 0 {
		return
	}
	for _, s := range p.idle(c, gone) {
		if over <= 0 {
			return
		}
		over--
		let(s, CauseOverMax, "max_servers is %d", c.eff.maxServers)
	}
}

// mayGo says that a machine holds nothing and is not on its way out.
func (c *configPass) mayGo(s *fleet.Server, gone map[string]bool) bool {
	if gone[s.ID] || s.Sessions > 0 || !s.Claimed.IsZero() {
		return false
	}
	return s.Phase == fleet.PhasePlanned || (s.Open() && !c.leaving[s.ID])
}

// idle lists the config's machines that hold nothing, in the order in which
// they would be given up: not yet made, outdated, of the least preferred
// provider, oldest.
func (p *pass) idle(c *configPass, gone map[string]bool) []*fleet.Server {
	var out []*fleet.Server
	for _, s := range c.own {
		if c.mayGo(s, gone) {
			out = append(out, s)
		}
	}
	ranks := make([]ranked, len(out))
	for i, s := range out {
		ranks[i] = rankOf(s)
		ranks[i].preference = -slices.Index(c.Spec.VMProviders, s.VMProvider)
		if s.Phase != fleet.PhasePlanned {
			ranks[i].group += 2
		}
		if !p.drifted(s) {
			ranks[i].group++
		}
	}
	slices.SortFunc(ranks, byRank)
	for i := range ranks {
		out[i] = ranks[i].server
	}
	return out
}

// ranked is a server with what it is sorted by. Looking that up for each
// comparison costs ten times as much in a large pool.
type ranked struct {
	group      int
	preference int
	created    int64
	server     *fleet.Server
}

func rankOf(s *fleet.Server) ranked { return ranked{created: s.CreatedAt.UnixMicro(), server: s} }

func byRank(a, b ranked) int {
	return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.preference, b.preference), cmp.Compare(a.created, b.created), cmp.Compare(a.server.ID, b.server.ID))
}

// spare lists idle machines without which the need is still covered. While
// demand waits for room nothing can be spared.
func (p *pass) spare(c *configPass, gone map[string]bool, unmet int64) []*fleet.Server {
	if unmet > 0 || len(c.creates) > 0 || !c.demand.Queued.IsZero() || !c.demand.Staging.IsZero() {
		return nil
	}
	free := c.free
	keep := c.supply.Servers - c.leavingOwn() - int64(len(gone)) - c.eff.minServers
	for _, s := range c.own {
		if gone[s.ID] && s.Open() && !c.leaving[s.ID] {
			free = free.Sub(roomOf(s))
		}
	}
	if keep <= 0 || !p.anySpare(c, gone, free) {
		return nil
	}
	var out []*fleet.Server
	for _, s := range p.idle(c, gone) {
		if keep <= 0 {
			break
		}
		rest := free.Sub(wholeOf(s))
		if c.demand.Standby.Fits(rest) {
			out = append(out, s)
			free = rest
			keep--
		}
	}
	return out
}

// anySpare says that there is a machine at all without which the need is still
// covered: as a rule there is none, and nothing needs to be sorted.
func (p *pass) anySpare(c *configPass, gone map[string]bool, free fleet.Resources) bool {
	for _, s := range c.own {
		if c.mayGo(s, gone) && c.demand.Standby.Fits(free.Sub(wholeOf(s))) {
			return true
		}
	}
	return false
}

func split(spare []*fleet.Server) (planned, ready []*fleet.Server) {
	for _, s := range spare {
		if s.Phase == fleet.PhasePlanned {
			planned = append(planned, s)
		} else {
			ready = append(ready, s)
		}
	}
	return planned, ready
}

// explainKept says why machines stay although there is more free capacity than
// needed.
func (p *pass) explainKept(c *configPass, gone map[string]bool, unmet int64) {
	if unmet > 0 || len(c.creates) > 0 || len(gone) > 0 {
		return
	}
	busy := int64(0)
	for _, s := range c.own {
		if s.Phase == fleet.PhaseReady && s.Sessions > 0 && c.demand.Standby.Fits(c.free.Sub(roomOf(s))) && !roomOf(s).IsZero() {
			busy++
		}
	}
	live := c.supply.Servers - c.leavingOwn()
	switch {
	case c.eff.minServers > 0 && live <= c.eff.minServers:
		c.because(ReasonMinServers, time.Time{}, "at min_servers %d", c.eff.minServers)
	case busy > 0:
		c.because(ReasonInUse, time.Time{}, "%d machines have capacity to spare and hold sessions; a machine in use is never retired", busy)
	}
}
