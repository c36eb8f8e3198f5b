package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/control"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// errCrash ends the step of a controller that has died.
var errCrash = errors.New("simulated crash of the controller")

// Options are the parts of an Engine. Begin, Kinds, Cloud, Shape and KeyFile
// are required.
type Options struct {
	Seed    uint64
	Begin   time.Time
	Kinds   []provider.Kind // that manifests may name
	KeyFile string          // for secrets in manifests; made if it does not exist
	// Cloud says as what kind and how the simulated cloud stands in for a
	// provider config. Latencies are not possible: a call takes no virtual time.
	Cloud     func(o *store.Object, spec fleet.VMProviderSpec) (provider.Kind, sim.Behaviour, error)
	Shape     snapshot.ShapeFunc
	Pace      Pace
	Retention control.Retention

	// Crash is asked wherever a crash of the controller would make a difference:
	// before and after each of its commits and each call to the cloud. true: it
	// dies there, all that it knew is lost, and its next life begins.
	Crash func(point string) bool
	// Faults fails transactions, of the controller or of what people and agents ask for.
	Faults    func(controller bool, stage store.Stage) error
	Between   func()                        // stands before each write of the controller: others may be faster
	Script    func(call sim.Call) sim.Fault // decides about each call that reaches the cloud
	Deliver   func(m Message) []Delivery    // decides about each message of a machine; nil: each arrives once and at once
	Committed func(events []fleet.Event)
	Stepped   func(what, key string) error      // after each step, with what was done
	Failed    func(what, key string, err error) // a step of the controller has failed; it is repeated
	Crashed   func(what, key string)
	Note      func(format string, args ...any)
}

// Pace is how often the engine does what nothing wakes. 0 means never, for
// Resync and Sessions an hour.
type Pace struct {
	Resync   time.Duration // every pool is looked at again
	Sessions time.Duration // expired sessions are looked for
	Remnants time.Duration // clouds are swept for what is left of machines
	Beat     time.Duration // agents report
	Retain   time.Duration // what is past its retention is removed
	Look     time.Duration // from a change in the cloud until it is listed; 0: the kind's intervals alone decide
}

// Engine is an installation on virtual time. It is not safe for concurrent use.
type Engine struct {
	Clock   *clocktesting.FakeClock // of the world
	Wall    *Wall                   // of the controller, as wrong as Jump has made it
	Rand    *rand.Rand
	Store   *store.Store
	Cloud   *sim.Cloud
	Service *service.Service

	opt      Options
	keeper   *secret.Keeper
	deriver  *secret.Deriver
	control  *control.Controller
	agenda   *agenda
	calls    map[string]func(ctx context.Context) error
	ids      int
	ready    bool                 // the installation has been made
	acting   bool                 // the controller is at work
	dying    bool                 // it has crashed within this step: nothing that it does has an effect any more
	touched  bool                 // a call that changes machines has reached the cloud
	beatAt   time.Time            // next round of signs of life
	tryAt    map[string]time.Time // machine → when it tries again to make itself known
	mails    int
	changeAt time.Time // when the cloud changes by itself
	provider []string  // names
}

// New makes an engine with an empty installation.
func New(ctx context.Context, o Options) (_ *Engine, err error) {
	o.defaults()
	e := &Engine{
		opt: o, Rand: rand.New(rand.NewPCG(o.Seed, 1)), //nolint:gosec // a history must be repeatable
		Clock: clocktesting.NewFakeClock(o.Begin), agenda: newAgenda(), calls: map[string]func(context.Context) error{},
		tryAt: map[string]time.Time{},
	}
	e.Wall = &Wall{FakeClock: e.Clock}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	e.Cloud = sim.NewCloud(sim.Options{Clock: e.Clock, Seed: o.Seed})
	quiet := slog.New(slog.DiscardHandler)
	if e.Store, err = store.Open(ctx, store.Options{URL: "sqlite://:memory:", Clock: e.Wall, NewID: e.newID, Log: quiet, Faults: e.fault}); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if e.keeper, err = secret.OpenKeeper(ctx, "file://"+o.KeyFile); err != nil {
		return nil, fmt.Errorf("opening the key: %w", err)
	}
	if e.deriver, err = service.OpenDeriver(ctx, e.Store, e.keeper); err != nil {
		return nil, fmt.Errorf("deriving tokens: %w", err)
	}
	e.Service, err = service.New(service.Deps{
		Store: e.Store, Clock: e.Wall, Kinds: o.Kinds, Keeper: e.keeper, Deriver: e.deriver, Log: quiet, Shape: o.Shape,
	})
	if err != nil {
		return nil, fmt.Errorf("making the service: %w", err)
	}
	e.Store.OnCommit(e.committed)
	e.Cloud.Script(e.script)
	return e, e.start(ctx)
}

func (o *Options) defaults() {
	if o.Crash == nil {
		o.Crash = func(string) bool { return false }
	}
	if o.Faults == nil {
		o.Faults = func(bool, store.Stage) error { return nil }
	}
	if o.Script == nil {
		o.Script = func(sim.Call) sim.Fault { return sim.Fault{} }
	}
	if o.Committed == nil {
		o.Committed = func([]fleet.Event) {}
	}
	if o.Stepped == nil {
		o.Stepped = func(string, string) error { return nil }
	}
	if o.Crashed == nil {
		o.Crashed = func(string, string) {}
	}
	if o.Failed == nil {
		o.Failed = func(string, string, error) {}
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	o.Pace.Resync = fleet.Or(o.Pace.Resync, time.Hour)
	o.Pace.Sessions = fleet.Or(o.Pace.Sessions, time.Hour)
}

// Close releases the database.
func (e *Engine) Close() error {
	var errs []error
	if e.Service != nil {
		e.Service.Close()
	}
	if e.Store != nil {
		errs = append(errs, e.Store.Close())
	}
	if e.keeper != nil {
		errs = append(errs, e.keeper.Close())
	}
	return errors.Join(errs...)
}

func (e *Engine) newID() string {
	e.ids++
	return fmt.Sprintf("id%010d", e.ids)
}

// Admin is who acts on the installation from outside.
func Admin() auth.Principal {
	return auth.Principal{TokenID: "admin", Name: "admin", Role: fleet.RoleAdmin}
}

// start begins a life of the controller, as after a restart of its process.
func (e *Engine) start(ctx context.Context) error {
	e.ready = false // what the engine itself reads works
	defer func() { e.ready = true }()
	e.control = control.New(control.Deps{
		Store: e.Store, Clock: e.Wall, Log: slog.New(slog.DiscardHandler), Shape: e.opt.Shape, Access: provider.Access(e.opt.Kinds),
		Open: e.open, Fence: e.fence, Retention: e.opt.Retention,
		Dial:      func(context.Context, string) error { return nil }, // simulated machines have no network
		Bootstrap: e.bootstrap,
	})
	e.control.OnListSoon(func(name string) { e.schedule(task{taskProvider, name}, 50*time.Millisecond) })
	e.agenda.forget(func(t task) bool { return t.what == taskCall || t.what == taskMail })
	e.schedule(task{taskSessions, ""}, 0)
	e.schedule(task{taskAgents, ""}, 0)
	if e.opt.Pace.Retain > 0 {
		e.schedule(task{taskRetain, ""}, e.opt.Pace.Retain)
	}
	if err := e.wakeAll(ctx); err != nil {
		return err
	}
	err := e.Store.Read(ctx, func(tx *store.Tx) error {
		servers, err := tx.Servers(store.ServerFilter{})
		for _, s := range servers {
			e.schedule(task{taskServer, s.ID}, 0)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading servers: %w", err)
	}
	return nil
}

// wakeAll makes every pool due, and every provider that is not due at all.
func (e *Engine) wakeAll(ctx context.Context) error {
	err := e.Store.Read(ctx, func(tx *store.Tx) error {
		pools, err := tx.Objects(fleet.KindPool)
		if err != nil {
			return err
		}
		for _, o := range pools {
			e.schedule(task{taskPool, o.Name}, 0)
		}
		providers, err := tx.Objects(fleet.KindVMProvider)
		if err != nil {
			return err
		}
		e.provider = e.provider[:0]
		for _, o := range providers {
			e.provider = append(e.provider, o.Name)
			if t := (task{taskProvider, o.Name}); !e.agenda.has(t) {
				e.schedule(t, 0)
			}
			if t := (task{taskRemnants, o.Name}); e.opt.Pace.Remnants > 0 && !e.agenda.has(t) {
				e.schedule(t, min(e.opt.Pace.Remnants, time.Minute)) // as the running system does
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading objects: %w", err)
	}
	return nil
}

func (e *Engine) open(_ context.Context, o *store.Object) (*provider.Client, error) {
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return nil, err
	}
	kind, behaviour, err := e.opt.Cloud(o, spec)
	if err != nil {
		return nil, err
	}
	return provider.NewClient(provider.ClientOptions{
		Kind: kind, Driver: e.Cloud.Driver(behaviour), Clock: e.Wall,
		Owner: provider.Owner{Installation: e.Store.Installation(), Provider: o.Name}, RateLimit: spec.RateLimit,
	}), nil
}

// schedule makes a task due after a delay, unless it is due before.
func (e *Engine) schedule(t task, after time.Duration) {
	e.agenda.add(t, e.Clock.Now().Add(max(after, 0)))
}

// Call has a function called at a moment. A second one of the same name takes
// the place of the first, and is called at the earlier of both moments. An
// error ends the run.
func (e *Engine) Call(name string, at time.Time, f func(ctx context.Context) error) {
	e.calls[name] = f
	e.schedule(task{taskCall, name}, at.Sub(e.Clock.Now()))
}

// committed turns events into work by the rules of the running system.
func (e *Engine) committed(events []fleet.Event) {
	e.opt.Committed(events)
	for _, ev := range events {
		k := control.WakeFor(ev)
		if k.Pool != "" {
			e.schedule(task{taskPool, k.Pool}, 0)
		}
		if k.Server != "" {
			e.schedule(task{taskServer, k.Server}, 0)
		}
		if k.Sessions {
			e.schedule(task{taskSessions, ""}, 0)
		}
		if k.Settings {
			e.schedule(task{taskReset, k.Provider}, 0)
		}
		if k.Configured {
			e.schedule(task{taskReset, ""}, 0)
		}
	}
}
