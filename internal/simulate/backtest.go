package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/control"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// Policy is a set of manifests with a name.
type Policy struct {
	Name      string
	Documents []service.ApplyDocument
}

// The defaults of a Setting.
const (
	DefaultBoot     = 90 * time.Second
	DefaultPatience = service.DefaultQueueTimeout
	DefaultWarmUp   = time.Hour
	silenceForever  = "3660d"
)

// pace is that of a back-test: what nothing wakes is rare, so that two weeks
// take seconds. Agents need not report, since silence is never taken amiss.
func pace() Pace {
	return Pace{Resync: 30 * time.Minute, Sessions: 6 * time.Hour, Retain: 6 * time.Hour, Look: time.Second}
}

// BackTest lets the demand meet the policy. The time before the first ask, as
// long as the setting's WarmUp, is not measured.
func BackTest(ctx context.Context, p Policy, t *Trace, s Setting) (_ *Result, err error) {
	s.defaults()
	dir, err := os.MkdirTemp("", "headroom-simulate-")
	if err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	from, to := t.Span()
	b := &backTest{setting: s, meter: newMeter(from, to), pools: map[string]*pool{}}
	soon := control.Retention{Events: time.Minute, Servers: time.Minute, Sessions: time.Minute}
	b.engine, err = New(ctx, Options{
		Seed: s.Seed, Begin: from.Add(-s.WarmUp), Kinds: s.Kinds, KeyFile: filepath.Join(dir, "key"),
		Cloud: s.cloud, Shape: s.shape, Pace: pace(), Retention: soon,
		Committed: b.committed, Stepped: b.stepped,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.engine.Close()) }()
	if _, err := b.engine.Service.Apply(ctx, Admin(), service.ApplyRequest{Documents: p.Documents}); err != nil {
		return nil, err
	}
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	if b.asks, err = b.resolve(t); err != nil {
		return nil, err
	}
	b.expect(0)
	if err := b.engine.Run(ctx, to); err != nil {
		return nil, err
	}
	for patience := to.Add(s.Patience + time.Minute); len(b.asked) > 0 && b.engine.Clock.Now().Before(patience); {
		if err := b.engine.Run(ctx, b.engine.Clock.Now().Add(time.Minute)); err != nil {
			return nil, err
		}
	}
	return b.result(p.Name), nil
}

type backTest struct {
	engine  *Engine
	asks    []Ask
	setting Setting
	meter   *meter

	pools     map[string]*pool
	zones     []string
	configs   []string
	providers []providerInUse
	assumed   []string

	asked    map[string]*visit // waiting sessions, by id
	active   map[string]*visit
	refusals map[string]int64
	decided  map[string]time.Time // config → when its decision was last read
	capped   map[string]bool      // config → it wants more than it may have
}

// pool is what the back-test must know of a pool.
type pool struct {
	spec    fleet.PoolSpec
	machine fleet.Resources // what one of its machines offers
	configs []string
}

type providerInUse struct {
	name  string
	owner provider.Owner
	count *gauge
	quote price.Quote
}

// visit is one session.
type visit struct {
	ask  Ask
	size float64 // share of a machine
}

// load learns what was applied, and lets agents be silent for ever.
func (b *backTest) load(ctx context.Context) error {
	b.asked, b.active, b.refusals = map[string]*visit{}, map[string]*visit{}, map[string]int64{}
	b.decided, b.capped = map[string]time.Time{}, map[string]bool{}
	specs := map[string]fleet.VMProviderSpec{}
	err := b.engine.Store.Write(ctx, func(tx *store.Tx) error {
		b.zones, b.configs, b.providers, b.assumed = nil, nil, nil, nil
		pools, err := tx.Objects(fleet.KindPool)
		if err != nil {
			return err
		}
		for _, o := range pools {
			spec, err := store.Spec[fleet.PoolSpec](o)
			if err != nil {
				return err
			}
			b.pools[o.Name] = &pool{spec: spec}
		}
		zones, err := tx.Objects(fleet.KindZone)
		if err != nil {
			return err
		}
		for _, o := range zones {
			b.zones = append(b.zones, o.Name)
		}
		providers, err := tx.Objects(fleet.KindVMProvider)
		if err != nil {
			return err
		}
		for _, o := range providers {
			spec, err := store.Spec[fleet.VMProviderSpec](o)
			if err != nil {
				return err
			}
			specs[o.Name] = spec
			b.providers = append(b.providers, providerInUse{
				o.Name, provider.Owner{Installation: b.engine.Store.Installation(), Provider: o.Name}, newGauge(b.meter.window), b.setting.quote(o.Name, spec),
			})
			line, err := b.setting.describe(o.Name, spec)
			if err != nil {
				return err
			}
			b.assumed = append(b.assumed, line)
			err = b.rewrite(tx, o, func(raw map[string]any) {
				marked, _ := raw["settings"].(map[string]any)
				if marked == nil {
					marked = map[string]any{}
				}
				marked[nameMark] = o.Name
				raw["settings"] = marked
			})
			if err != nil {
				return err
			}
		}
		return b.loadConfigs(tx, specs)
	})
	if err != nil {
		return err
	}
	return b.setting.check(specs)
}

func (b *backTest) loadConfigs(tx *store.Tx, specs map[string]fleet.VMProviderSpec) error {
	configs, err := tx.Objects(fleet.KindAutoscaleConfig)
	if err != nil {
		return err
	}
	for _, o := range configs {
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
		if err != nil {
			return err
		}
		b.configs = append(b.configs, o.Name)
		p := b.pools[spec.Pool]
		p.configs = append(p.configs, o.Name)
		for _, name := range spec.VMProviders {
			machine, err := b.setting.machine(p.spec.Type, spec, name, specs[name])
			if err != nil {
				return err
			}
			if p.machine.IsZero() {
				p.machine = machine
			}
		}
		err = b.rewrite(tx, o, func(raw map[string]any) {
			raw["missing_after"], raw["dead_after"] = silenceForever, silenceForever
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rewrite changes the spec of an object before the history begins.
func (b *backTest) rewrite(tx *store.Tx, o *store.Object, change func(raw map[string]any)) error {
	raw := map[string]any{}
	err := json.Unmarshal(o.Spec, &raw)
	if err == nil {
		change(raw)
		o.Spec, err = json.Marshal(raw)
	}
	if err != nil {
		return fmt.Errorf("preparing %s %s: %w", o.Kind, o.Name, err)
	}
	_, _, err = tx.PutObject(o, b.engine.Clock.Now())
	return err
}

// resolve fits the trace to the policy: each ask gets its pool, and what the
// policy does not know is an error for each row.
func (b *backTest) resolve(t *Trace) ([]Ask, error) {
	var only string
	if len(b.pools) == 1 {
		for name := range b.pools {
			only = name
		}
	}
	known := strings.Join(slices.Sorted(maps.Keys(b.pools)), ", ")
	asks := slices.Clone(t.Asks)
	var wrong []fleet.FieldError
	for i := range asks {
		a := &asks[i]
		bad := func(column string, value any, message string) {
			source := t.Name
			if a.Line > 0 {
				source += ":" + strconv.Itoa(a.Line)
			}
			e := fleet.FieldError{Source: source, Path: column, Value: value, Message: message}
			if a.Line > 0 || !slices.Contains(wrong, e) { // without lines they are all alike
				wrong = append(wrong, e)
			}
		}
		a.Pool = fleet.Or(a.Pool, only)
		p := b.pools[a.Pool]
		switch {
		case a.Pool == "":
			bad("pool", nil, "is missing: the policy has several pools: "+known)
		case p == nil:
			bad("pool", a.Pool, fmt.Sprintf("the policy has no pool %q: it has %s", a.Pool, fleet.Or(known, "none")))
		case p.spec.Type == fleet.PoolDockerAgent && a.Need.Cores == 0 && a.Need.Memory == 0:
			bad("cores", nil, fmt.Sprintf("pool %s is of type %s: say how many cores or how much memory the session takes", a.Pool, p.spec.Type))
		case a.Zone != "" && !slices.Contains(b.zones, a.Zone):
			bad("zone", a.Zone, fmt.Sprintf("the policy has no zone %q: it has %s", a.Zone, fleet.Or(strings.Join(b.zones, ", "), "none")))
		}
		if len(wrong) == maxRowErrors {
			wrong = append(wrong, fleet.FieldError{Source: t.Name, Message: "the rest of the rows was not looked at"})
			break
		}
	}
	return asks, fleet.Invalid("demand trace", wrong)
}

// expect has the asks of one moment, beginning with the given one, come in.
func (b *backTest) expect(i int) {
	if i >= len(b.asks) {
		return
	}
	b.engine.Call("arrival", b.asks[i].At, func(ctx context.Context) error {
		now := b.engine.Clock.Now()
		for ; i < len(b.asks) && !b.asks[i].At.After(now); i++ {
			if err := b.arrive(ctx, b.asks[i]); err != nil {
				return err
			}
		}
		b.expect(i)
		return nil
	})
}

// arrive lets one person ask for a session.
func (b *backTest) arrive(ctx context.Context, a Ask) error {
	p := b.pools[a.Pool]
	r := service.AcquireRequest{Pool: a.Pool, Zone: a.Zone, User: a.User, QueueTimeout: fleet.Duration(b.setting.Patience)}
	if p.spec.Type == fleet.PoolDockerAgent {
		r.Cores, r.Memory, r.GPUs = a.Need.Cores, a.Need.Memory, a.Need.GPUs
	}
	b.meter.figures.Asked++
	s, err := b.engine.Service.Acquire(ctx, Admin(), r)
	if err != nil {
		var e *fleet.Error
		if !errors.As(err, &e) || e.Code == fleet.CodeInternal || ctx.Err() != nil {
			return err
		}
		b.meter.figures.Refused++
		b.refusals[e.Error()]++
		return nil
	}
	v := &visit{a, sizeIn(s.Need, p.machine)}
	now := b.engine.Clock.Now()
	if s.State == fleet.SessionActive {
		b.meter.figures.Warm++
		b.serve(now, s.ID, v)
		return nil
	}
	b.asked[s.ID] = v
	b.meter.waiting.add(now, v.size)
	return nil
}

// serve begins the use of a session.
func (b *backTest) serve(now time.Time, id string, v *visit) {
	b.active[id] = v
	b.meter.figures.Served++
	b.meter.waits = append(b.meter.waits, now.Sub(v.ask.At))
	b.meter.active.add(now, v.size)
	b.meter.inUse.add(now, 1)
	b.engine.Call("end "+id, now.Add(v.ask.Duration), func(ctx context.Context) error {
		if b.active[id] == nil {
			return nil // lost with its machine
		}
		b.leave(b.engine.Clock.Now(), id)
		_, err := b.engine.Service.EndSession(ctx, Admin(), id)
		return err
	})
}

func (b *backTest) leave(now time.Time, id string) {
	v := b.active[id]
	delete(b.active, id)
	b.meter.active.add(now, -v.size)
	b.meter.inUse.add(now, -1)
}

// committed follows what happens to sessions and machines.
func (b *backTest) committed(events []fleet.Event) {
	now := b.engine.Clock.Now()
	for _, e := range events {
		switch e.Kind {
		case fleet.EventKindSession:
			b.session(now, e)
		case fleet.EventKindServer:
			if phase, ok := e.Data["phase"].(string); ok && (e.Type == fleet.EventServerPhase || e.Type == fleet.EventServerPlanned) {
				b.meter.server(now, e.ID, fleet.Phase(phase))
			}
		}
	}
}

func (b *backTest) session(now time.Time, e fleet.Event) {
	v := b.asked[e.ID]
	switch {
	case e.Type == fleet.EventSessionEnded && b.active[e.ID] != nil:
		b.meter.figures.Short++
		b.leave(now, e.ID)
	case v != nil && e.Type == fleet.EventSessionActive:
		delete(b.asked, e.ID)
		b.meter.waiting.add(now, -v.size)
		b.serve(now, e.ID, v)
	case v != nil && e.Type == fleet.EventSessionEnded:
		delete(b.asked, e.ID)
		b.meter.waiting.add(now, -v.size)
		b.meter.figures.GaveUp++
		b.meter.waits = append(b.meter.waits, now.Sub(v.ask.At))
	}
}

// stepped counts machines, and reads whether the planner was held back.
func (b *backTest) stepped(what, key string) error {
	now := b.engine.Clock.Now()
	for _, p := range b.providers {
		p.count.set(now, float64(b.engine.Cloud.Exist(p.owner)))
	}
	total := 0.0
	for _, p := range b.providers {
		total += p.count.value
	}
	b.meter.machines.set(now, total)
	p := b.pools[key]
	if what != taskPool || p == nil {
		return nil
	}
	err := b.engine.Store.Read(context.Background(), func(tx *store.Tx) error {
		for _, name := range p.configs {
			state, err := tx.AutoscaleState(name)
			if err != nil {
				return err
			}
			if state.DecidedAt.Equal(b.decided[name]) {
				continue
			}
			b.decided[name] = state.DecidedAt
			var d plan.ConfigDecision
			if err := json.Unmarshal(state.Decision, &d); err != nil {
				return fmt.Errorf("reading the decision for %s: %w", name, err)
			}
			b.capped[name] = slices.ContainsFunc(d.Reasons, func(r plan.Reason) bool {
				return r.Code == plan.ReasonMax || r.Code == plan.ReasonMaxServers
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	held := 0.0
	for _, name := range b.configs {
		if b.capped[name] {
			held = 1
		}
	}
	b.meter.ceiling.set(now, held)
	return nil
}

// sizeIn is the part of a machine that a session fills.
func sizeIn(need, machine fleet.Resources) float64 {
	size := 0.0
	for _, d := range [][2]int64{
		{int64(need.Cores), int64(machine.Cores)}, {need.MemoryMiB, machine.MemoryMiB}, {need.GPUs, machine.GPUs}, {need.Places, machine.Places},
	} {
		if d[1] > 0 {
			size = max(size, float64(d[0])/float64(d[1]))
		}
	}
	return size
}
