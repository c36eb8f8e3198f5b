package sim

import (
	"context"
	"crypto/subtle"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/headroom-dev/headroom/internal/provider"
)

// refusedToken is a credential that every simulated cloud refuses, so that the
// effect of a wrong credential can be tried out.
const refusedToken = "invalid"

// driver is the view of one provider config onto a cloud.
type driver struct {
	cloud *Cloud
	b     Behaviour
}

var (
	_ provider.Driver        = (*driver)(nil)
	_ provider.Offerer       = (*driver)(nil)
	_ provider.Remnants      = (*driver)(nil)
	_ provider.ConsoleReader = (*driver)(nil)
	_ provider.Catalog       = (*driver)(nil)
)

// Driver opens the cloud for a caller that it treats as b says.
func (c *Cloud) Driver(b Behaviour) provider.Driver {
	b.Offers = slices.Clone(b.Offers)
	return &driver{cloud: c, b: b}
}

// do makes one call: the request travels for half of the latency, takes effect
// with the cloud locked, and the answer travels for the other half, so that a
// caller who gives up may have had its effect. The effect is not run for calls
// that the cloud refuses.
func (d *driver) do(ctx context.Context, call Call, effect func(now time.Time, f Fault) error) error {
	c := d.cloud
	c.mu.Lock()
	key := string(call.Op) + "\x00" + call.Owner.Installation + "\x00" + call.Owner.Provider + "\x00" + call.Server + "\x00" + call.ID
	c.calls[call.Op]++
	c.keyCalls[key]++
	call.N, call.At = c.calls[call.Op], c.clock.Now()
	rnd := random(c.seed, call.Op, key, c.keyCalls[key])
	latency := d.b.latency(call.Op).draw(rnd)
	var f Fault
	if c.script != nil {
		f = c.script(call)
	}
	if f == (Fault{}) {
		f = d.b.Rates.draw(call.Op, rnd)
	}
	c.mu.Unlock()

	latency += f.Delay
	if err := c.wait(ctx, latency/2); err != nil {
		return err
	}
	if f.Hang {
		<-ctx.Done()
		return ended(ctx.Err())
	}
	err := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := c.clock.Now()
		c.settle(now)
		if err := d.refuses(now); err != nil {
			return err
		}
		if f.Err != nil {
			if f.LeaveDisk && call.Op == OpCreate {
				return effect(now, f)
			}
			refusal := *f.Err
			return &refusal
		}
		return effect(now, f)
	}()
	if errWait := c.wait(ctx, latency-latency/2); errWait != nil {
		return errWait
	}
	if err == nil && f.Lost {
		return provider.Errorf(provider.Unavailable, "the connection to the simulated cloud broke before its answer arrived")
	}
	return err
}

// refuses says why the cloud answers no call of this driver now. The caller
// holds the lock.
func (d *driver) refuses(now time.Time) error {
	c := d.cloud
	for _, o := range c.outages {
		if !now.Before(o.from) && now.Before(o.to) {
			return provider.Errorf(o.class, "the simulated cloud has an outage until %s", o.to.UTC().Format(time.RFC3339))
		}
	}
	if d.b.Token == refusedToken || c.token != "" && subtle.ConstantTimeCompare([]byte(c.token), []byte(d.b.Token)) == 0 {
		return provider.Errorf(provider.Unauthenticated, "the simulated cloud does not accept the api_token")
	}
	if d.b.RequestRate <= 0 {
		return nil
	}
	// The limit is one of the account: drivers that name the same rate share it.
	l := c.limiters[d.b.RequestRate]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(d.b.RequestRate), max(1, int(math.Ceil(d.b.RequestRate))))
		c.limiters[d.b.RequestRate] = l
	}
	if !l.AllowN(now, 1) {
		return Throttle(time.Duration(float64(time.Second) / d.b.RequestRate)).Err
	}
	return nil
}

// Check implements provider.Driver.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	var r provider.Report
	err := d.do(ctx, Call{Op: OpCheck}, func(now time.Time, _ Fault) error {
		r.Findings = append(r.Findings, provider.Finding{Subject: "api_token", Verdict: provider.VerdictOK, Message: "accepted"})
		quota := provider.Finding{Subject: "quota", Verdict: provider.VerdictOK, Message: "another machine can be made"}
		if d.full(provider.Owner{}) {
			quota = provider.Finding{
				Subject: "quota", Verdict: provider.VerdictWarning, Message: "the quota of the account is used up",
				Remedy: "Raise the quota of the simulated cloud or delete machines.",
			}
		}
		r.Findings = append(r.Findings, quota)
		return nil
	})
	if provider.ClassOf(err) == provider.Unauthenticated && err != nil {
		return provider.Report{Findings: []provider.Finding{{ //nolint:nilerr // a refused credential is a finding, not a failed check
			Subject: "api_token", Verdict: provider.VerdictFailed, Message: "refused",
			Remedy: "Set api_token to the credential of the simulated cloud; \"invalid\" always stands for a wrong one.",
		}}}, nil
	}
	return r, err
}

// full says that no further machine of the owner may be made. The caller holds
// the lock.
func (d *driver) full(o provider.Owner) bool {
	c := d.cloud
	return c.quota > 0 && c.existAll >= c.quota || d.b.Quota > 0 && c.exist[o] >= d.b.Quota
}

// Create implements provider.Driver.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	var out provider.Instance
	if n := len(req.Bootstrap.UserData); n > userDataLimit {
		return out, provider.Errorf(provider.Invalid, "the user data have %d bytes, machines of the simulated cloud can be given %d", n, userDataLimit)
	}
	call := Call{Op: OpCreate, Owner: req.Tags.Owner(), Server: req.Tags.Server, Offer: req.Offer}
	err := d.do(ctx, call, func(now time.Time, f Fault) error {
		c := d.cloud
		if m := c.byToken[req.Token]; m != nil && !d.b.NoTokens {
			if m.gone(now) {
				return provider.Errorf(provider.Conflict, "machine %s of this token is gone already", m.id)
			}
			out = m.instance(now)
			return nil
		}
		if len(d.b.Offers) > 0 && req.Offer != "" && !slices.Contains(d.b.Offers, req.Offer) {
			return provider.Errorf(provider.Invalid, "offer %q does not exist: there are %s", req.Offer, strings.Join(d.b.Offers, ", "))
		}
		if d.full(req.Tags.Owner()) {
			return provider.Errorf(provider.Quota, "the quota of the simulated cloud is used up")
		}
		if n, limited := c.stock[req.Offer]; limited {
			if n <= 0 {
				return provider.Errorf(provider.NoCapacity, "offer %q is out of stock", req.Offer)
			}
			c.stock[req.Offer]--
		}
		if f.Err != nil {
			c.addDisk(req.Tags, now)
			refusal := *f.Err
			return &refusal
		}
		out = c.add(d.build(req, f, now, req.Token)).instance(now)
		if f.Twice {
			c.add(d.build(req, f, now, ""))
		}
		return nil
	})
	if err != nil {
		return provider.Instance{}, err
	}
	return out, nil
}

// build draws the life of a new machine.
func (d *driver) build(req provider.Request, f Fault, now time.Time, token string) *machine {
	rnd := random(d.cloud.seed, "life", req.Token+token, 0)
	boot := d.b.Boot.draw(rnd)
	m := &machine{
		name: req.Name, token: token, tags: req.Tags, offer: req.Offer, createdAt: now, runningAt: now.Add(boot),
		listLag: d.b.ListLag.draw(rnd), getLag: d.b.GetLag.draw(rnd), mute: f.Mute,
		capacity: d.b.Shape, bootstrap: req.Bootstrap,
	}
	if d.b.ReuseIDs {
		m.id = d.cloud.freeID(now)
		m.listLag, m.getLag = 0, 0 // whoever chooses ids must see those that are taken
	}
	m.bootstrap.UserData = slices.Clone(req.Bootstrap.UserData)
	if req.Shape.Cores > 0 {
		m.capacity.Cores = req.Shape.Cores
	}
	if req.Shape.MemoryMiB > 0 {
		m.capacity.MemoryMiB = req.Shape.MemoryMiB
	}
	if req.Shape.GPUs > 0 {
		m.capacity.GPUs = req.Shape.GPUs
	}
	switch {
	case f.FailAfter > 0:
		m.runningAt, m.failsAt, m.failClass = time.Time{}, now.Add(f.FailAfter), f.FailClass
	case f.NeverBoot:
		m.runningAt = time.Time{}
	case f.DieAfter > 0:
		m.diesAt, m.fault = m.runningAt.Add(f.DieAfter), "the kernel panicked"
	}
	return m
}

// List implements provider.Driver.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	size := d.b.Page
	if size <= 0 {
		size = 100
	}
	return func(yield func(provider.Instance, error) bool) {
		var after int64 // serial of the last machine shown
		for shown := 0; ; {
			var page []*machine
			var all []provider.Instance
			var fault Fault
			err := d.do(ctx, Call{Op: OpList, Owner: owner}, func(now time.Time, f Fault) error {
				fault = f
				page = d.cloud.page(owner, after, size, now)
				for _, m := range page {
					all = append(all, m.instance(now))
				}
				return nil
			})
			if err != nil {
				yield(provider.Instance{}, err)
				return
			}
			for i, in := range all {
				if (fault.FailList || fault.CutList) && shown >= fault.After {
					break
				}
				if !yield(in, nil) || fault.Repeat && !yield(in, nil) {
					return
				}
				after = page[i].serial
				shown++
			}
			switch {
			case fault.FailList:
				yield(provider.Instance{}, provider.Errorf(provider.Unavailable, "the simulated cloud broke off the listing"))
				return
			case fault.CutList, len(page) < size:
				return
			}
		}
	}
}

// page shows the machines of the owner that come after the serial. The caller
// holds the lock.
func (c *Cloud) page(owner provider.Owner, after int64, size int, now time.Time) []*machine {
	from, _ := slices.BinarySearchFunc(c.machines, after+1, func(m *machine, n int64) int { return int(m.serial - n) })
	var page []*machine
	for _, m := range c.machines[from:] {
		if m.tags.Owner() == owner && m.seen(now, m.listLag) {
			page = append(page, m)
			if len(page) == size {
				break
			}
		}
	}
	return page
}

// Get implements provider.Driver.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	var out provider.Instance
	err := d.do(ctx, d.about(OpGet, id), func(now time.Time, _ Fault) error {
		m := d.cloud.byID[id]
		switch {
		case m != nil && m.unborn(now):
			return notYet(m)
		case m == nil || !m.seen(now, m.getLag):
			return provider.Errorf(provider.NotFound, "there is no machine %q", id)
		}
		out = m.instance(now)
		return nil
	})
	if err != nil {
		return provider.Instance{}, err
	}
	return out, nil
}

// notYet is what a cloud says that cannot tell a machine which it does not show
// yet from one that is gone.
func notYet(m *machine) error {
	return &provider.Error{Class: provider.NotFound, Message: fmt.Sprintf("there is no machine %q", m.id), After: m.getLag}
}

// about fills in what the cloud knows of the machine.
func (d *driver) about(op Operation, id string) Call {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	call := Call{Op: op, ID: id}
	if m := d.cloud.byID[id]; m != nil {
		call.Owner, call.Server, call.Offer = m.tags.Owner(), m.tags.Server, m.offer
	}
	return call
}

// Delete implements provider.Driver.
func (d *driver) Delete(ctx context.Context, id string) error {
	return d.do(ctx, d.about(OpDelete, id), func(now time.Time, f Fault) error {
		c := d.cloud
		m := c.byID[id]
		switch {
		case m != nil && m.unborn(now):
			return notYet(m)
		case m == nil || m.gone(now):
			return provider.Errorf(provider.NotFound, "there is no machine %q", id)
		case !m.goneAt.IsZero():
			return nil
		}
		c.remove(m, now, now.Add(d.b.DeleteTime.draw(random(c.seed, "end", m.id, 0))))
		if f.LeaveDisk {
			c.addDisk(m.tags, now)
		}
		if n, limited := c.stock[m.offer]; limited {
			c.stock[m.offer] = n + 1
		}
		return nil
	})
}
