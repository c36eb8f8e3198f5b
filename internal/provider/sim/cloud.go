package sim

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/provider"
)

// forgetAfter is how long a machine that is gone is remembered, so that a late
// repetition of its create is recognised.
const forgetAfter = 24 * time.Hour

// Options are the parts of a cloud. Clock is required.
type Options struct {
	Clock clock.WithTicker
	Seed  uint64
	Quota int    // machines that may exist at once, of all owners; 0: no limit
	Token string // credential that drivers must show; empty: any
}

// Cloud is one account of a simulated cloud. It is safe for concurrent use.
type Cloud struct {
	clock clock.WithTicker
	seed  uint64

	mu       sync.Mutex
	token    string
	quota    int
	stock    map[string]int // machines that an offer still has; absent: any number
	outages  []outage
	script   func(Call) Fault
	limiters map[float64]*rate.Limiter

	calls    map[Operation]int64
	keyCalls map[string]int64 // per operation and object, for the draws
	serial   int64
	machines []*machine // in order of creation
	byID     map[string]*machine
	byToken  map[string]*machine
	disks    []*disk
	spent    []*machine // gone and out of sight; their tokens are remembered
	left     int        // machines that are gone and still in machines
	leaving  departures
	exist    map[provider.Owner]int
	existAll int
	most     map[provider.Owner]int
	mostAll  int
}

type outage struct {
	from, to time.Time
	class    provider.Class
}

// NewCloud makes an empty cloud. It panics without a clock.
func NewCloud(o Options) *Cloud {
	if o.Clock == nil {
		panic("sim.NewCloud: a clock is required")
	}
	return &Cloud{
		clock: o.Clock, seed: o.Seed, quota: o.Quota, token: o.Token,
		stock: map[string]int{}, limiters: map[float64]*rate.Limiter{},
		calls: map[Operation]int64{}, keyCalls: map[string]int64{},
		byID: map[string]*machine{}, byToken: map[string]*machine{},
		exist: map[provider.Owner]int{}, most: map[provider.Owner]int{},
	}
}

// Script sets the function that decides about each call; nil removes it. It is
// called with the cloud locked and must not call the cloud.
func (c *Cloud) Script(f func(Call) Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script = f
}

// SetQuota limits the machines that may exist at once; 0: no limit.
func (c *Cloud) SetQuota(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quota = n
}

// SetToken changes the credential that drivers must show; empty: any.
func (c *Cloud) SetToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// SetStock says how many further machines of the offer can be made; a negative
// number means any.
func (c *Cloud) SetStock(offer string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stock, offer)
	if n >= 0 {
		c.stock[offer] = n
	}
}

// Outage makes every call of that time fail with the class; empty:
// Unavailable.
func (c *Cloud) Outage(from, to time.Time, class provider.Class) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outages = append(c.outages, outage{from, to, cmp.Or(class, provider.Unavailable)})
}

// Kill stops a machine as a crash would; false when there is none.
func (c *Cloud) Kill(id, fault string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.byID[id]
	now := c.clock.Now()
	if m == nil || m.gone(now) {
		return false
	}
	m.diesAt, m.fault = now, fault
	return true
}

// Vanish removes a machine without anybody's request, at once and without a
// trace; false when there is none.
func (c *Cloud) Vanish(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.byID[id]
	now := c.clock.Now()
	if m == nil || m.gone(now) {
		return false
	}
	c.remove(m, now, now)
	return true
}

// Mute stops the sign of life of a machine while it goes on running; false
// when there is none.
func (c *Cloud) Mute(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.byID[id]
	if m == nil {
		return false
	}
	m.mute = true
	return true
}

// Interrupt gives notice that the cloud will take a machine back, which goes on
// running until it is killed or vanishes; false when there is none.
func (c *Cloud) Interrupt(id, notice string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.byID[id]
	if m == nil {
		return false
	}
	m.notice = notice
	return true
}

// SetPassword lets a machine make the password of its administrator; false
// when there is none.
func (c *Cloud) SetPassword(id, password string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.byID[id]
	if m == nil {
		return false
	}
	m.password = password
	return true
}

// Plant puts a running machine there that nobody asked for, with these tags or
// none, and returns its id.
func (c *Cloud) Plant(name string, tags provider.Tags) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	c.settle(now)
	m := c.add(&machine{name: name, tags: tags, createdAt: now, runningAt: now})
	return m.id
}

// PlantAs puts a machine there that bears no marks, under an id of its own
// choice, as made by somebody else at that time. It takes the place of one with
// the id.
func (c *Cloud) PlantAs(id, name string, made time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if m := c.byID[id]; m != nil && !m.gone(now) {
		c.remove(m, now, now)
	}
	c.settle(now)
	c.add(&machine{id: id, name: name, createdAt: made, runningAt: made})
}

// Remark changes the marks of a machine, as somebody may by hand; false when
// there is none.
func (c *Cloud) Remark(id string, change func(*provider.Tags)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	c.settle(now)
	m := c.byID[id]
	if m == nil || m.gone(now) {
		return false
	}
	c.exist[m.tags.Owner()]--
	change(&m.tags)
	c.exist[m.tags.Owner()]++
	return true
}

// PlantRemnant puts a disk there that belongs to no machine and returns its
// id.
func (c *Cloud) PlantRemnant(tags provider.Tags) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addDisk(tags, c.clock.Now())
}

// add takes the machine in and keeps the counts. The caller holds the lock.
func (c *Cloud) add(m *machine) *machine {
	c.serial++
	m.serial = c.serial
	if m.id == "" {
		m.id = fmt.Sprintf("sim-%06d", c.serial)
	}
	c.machines = append(c.machines, m)
	c.byID[m.id] = m
	if m.token != "" {
		c.byToken[m.token] = m
	}
	o := m.tags.Owner()
	c.exist[o]++
	c.existAll++
	c.most[o] = max(c.most[o], c.exist[o])
	c.mostAll = max(c.mostAll, c.existAll)
	return m
}

// freeID is the lowest number that no machine has. The caller holds the lock.
func (c *Cloud) freeID(now time.Time) string {
	for n := 100; ; n++ {
		id := strconv.Itoa(n)
		if m := c.byID[id]; m == nil || m.gone(now) {
			return id
		}
	}
}

// remove lets the machine be gone at the moment. The caller holds the lock.
func (c *Cloud) remove(m *machine, now, goneAt time.Time) {
	if m.deletedAt.IsZero() {
		m.deletedAt = now
	}
	m.goneAt = goneAt
	heap.Push(&c.leaving, departure{goneAt, m})
}

func (c *Cloud) addDisk(tags provider.Tags, now time.Time) string {
	c.serial++
	d := &disk{serial: c.serial, id: fmt.Sprintf("sim-disk-%06d", c.serial), tags: tags, createdAt: now}
	c.disks = append(c.disks, d)
	return d.id
}

// Machine is a machine as it really is, without lag and with what it was given
// at its creation.
type Machine struct {
	provider.Instance
	Bootstrap provider.Bootstrap
}

// Instances returns the machines that exist now, of all owners, in order of
// creation.
func (c *Cloud) Instances() []Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	var all []Machine
	for _, m := range c.machines {
		if !m.gone(now) {
			all = append(all, Machine{m.instance(now), m.bootstrap})
		}
	}
	return all
}

// Remnants returns the disks that exist and belong to no machine, in order of
// creation.
func (c *Cloud) Remnants() []provider.Remnant {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []provider.Remnant
	for _, d := range c.disks {
		all = append(all, d.remnant())
	}
	return all
}

// Calls returns how many calls of each operation the cloud has had.
func (c *Cloud) Calls() map[Operation]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[Operation]int64, len(c.calls))
	for op, n := range c.calls {
		out[op] = n
	}
	return out
}

// MaxExisted is the largest number of machines of the owner that ever existed
// at once, whatever their state; the zero Owner means those of all owners.
func (c *Cloud) MaxExisted(o provider.Owner) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o == (provider.Owner{}) {
		return c.mostAll
	}
	return c.most[o]
}

// Exist is the number of machines of the owner that exist now, whatever their
// state.
func (c *Cloud) Exist(o provider.Owner) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(c.clock.Now())
	return c.exist[o]
}

// NextChange is the next moment after now at which a machine changes by itself
// or an object appears or vanishes for somebody who looks; false when nothing
// is under way. A simulation moves its clock there.
func (c *Cloud) NextChange(now time.Time) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var next time.Time
	for _, m := range c.machines {
		for _, at := range m.changes() {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next, !next.IsZero()
}

// settle brings the counts up to now and drops what nobody can see any more.
// The caller holds the lock.
func (c *Cloud) settle(now time.Time) {
	for len(c.leaving) > 0 && past(c.leaving[0].at, now) {
		m := c.leaving[0].machine
		heap.Pop(&c.leaving)
		if m.left {
			continue
		}
		m.left = true
		c.left++
		c.exist[m.tags.Owner()]--
		c.existAll--
	}
	if c.left < 64 || c.left < len(c.machines)/2 {
		return
	}
	c.left = 0
	c.machines = slices.DeleteFunc(c.machines, func(m *machine) bool {
		if !m.left {
			return false
		}
		if m.seen(now, max(m.listLag, m.getLag)) {
			c.left++
			return false
		}
		if c.byID[m.id] == m {
			delete(c.byID, m.id)
		}
		c.spent = append(c.spent, m)
		return true
	})
	c.spent = slices.DeleteFunc(c.spent, func(m *machine) bool {
		if now.Sub(m.goneAt) < forgetAfter {
			return false
		}
		if c.byToken[m.token] == m {
			delete(c.byToken, m.token)
		}
		return true
	})
	if len(c.keyCalls) > 1<<18 {
		clear(c.keyCalls)
	}
}

// departure is an entry of the heap of machines that will be gone.
type departure struct {
	at      time.Time
	machine *machine
}

type departures []departure

func (d departures) Len() int           { return len(d) }
func (d departures) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d departures) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

func (d *departures) Push(x any) {
	if v, ok := x.(departure); ok {
		*d = append(*d, v)
	}
}

func (d *departures) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// wait waits on the clock of the cloud.
func (c *Cloud) wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	if d <= 0 {
		return nil
	}
	timer := c.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ended(ctx.Err())
	}
}

func ended(err error) error {
	return &provider.Error{Class: provider.Unavailable, Message: "the simulated cloud was not given the time to answer", Cause: err}
}
