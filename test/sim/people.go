package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// Demand is how people behave.
type Demand struct {
	PerHour float64       // sessions that are asked for
	Length  time.Duration // mean length of one
	Most    int           // sessions that people hold at once
	Pools   []string
	Zones   []string
}

// tryAgain is how long somebody waits whose request had no clear answer.
const tryAgain = 5 * time.Second

// after has something done later.
func (w *World) after(name string, d time.Duration, f func()) {
	w.engine.Call(name, w.clock.Now().Add(d), func(context.Context) error {
		f()
		return nil
	})
}

// unclear says that a request may or may not have had its effect.
func unclear(err error) bool {
	return err != nil && (fleet.CodeOf(err) == fleet.CodeUnavailable || fleet.CodeOf(err) == fleet.CodeInternal)
}

// people lets sessions be asked for until the moment.
func (w *World) people(demand Demand, until time.Time) {
	d := w.luck.roll("gap")
	gap := time.Duration(-logOf(1-d.float()) / demand.PerHour * float64(time.Hour))
	if !w.clock.Now().Add(gap).Before(until) {
		return
	}
	w.after("people", gap, func() {
		if d, hit := w.luck.hit("session", 1); hit && len(w.ledger.sessions) < demand.Most {
			w.person(d, demand)
		}
		w.people(demand, until)
	})
}

// person asks for a session, keeps it alive and ends it, or forgets it.
func (w *World) person(d dice, demand Demand) {
	w.persons++
	n := w.persons
	pool := pick(&d, demand.Pools...)
	r := service.AcquireRequest{Pool: pool, User: fmt.Sprint("user", d.n(20)), IdempotencyKey: fmt.Sprint("key", n)}
	agents, known := w.poolType(pool)
	if !known {
		return
	}
	if agents == fleet.PoolDockerAgent {
		r.Cores, r.Memory = fleet.Cores(1+d.n(2))*fleet.Core, 1024
	}
	if len(demand.Zones) > 0 && d.n(4) == 0 {
		r.Zone = pick(&d, demand.Zones...)
	}
	if d.n(3) == 0 {
		r.TTL = fleet.Duration(time.Duration(1+d.n(60)) * time.Minute)
	}
	r.NoQueue = d.n(10) == 0
	stay := time.Duration(-logOf(1-d.float()) * float64(demand.Length))
	forgets := r.TTL > 0 && d.n(3) == 0
	w.ask(r, fmt.Sprint("person", n), stay, forgets)
}

func (w *World) ask(r service.AcquireRequest, who string, stay time.Duration, forgets bool) {
	v, err := w.service.Acquire(w.t.Context(), Admin(), r)
	if unclear(err) {
		w.after(who, tryAgain, func() { w.ask(r, who, stay, forgets) })
		return
	}
	if err != nil {
		w.note("%s asks in pool %s: %v", who, r.Pool, err)
		return
	}
	w.ledger.asked(v.ID, r.TTL.D())
	if r.TTL > 0 {
		w.keepAlive(v.ID, who, r.TTL.D()/3, w.clock.Now().Add(stay))
	}
	if !forgets {
		w.after(who, stay, func() { w.leave(v.ID, who) })
	}
}

// between lets somebody be faster than the controller that is about to write.
func (w *World) between() {
	if w.opt.Between != nil {
		w.opt.Between(w)
		return
	}
	d, hit := w.luck.hit("between", w.chaos.Between)
	if !hit {
		return
	}
	if ids := slices.Sorted(maps.Keys(w.ledger.sessions)); len(ids) > 0 && d.n(2) == 0 {
		if id := ids[d.n(len(ids))]; !w.ledger.sessions[id].staged {
			w.note("meanwhile session %s is ended", id)
			w.leave(id, "whoever ends "+id)
		}
		return
	}
	w.note("meanwhile somebody asks for a session")
	w.person(d, w.demand)
}

// keepAlive renews a session until its person goes.
func (w *World) keepAlive(id, who string, every time.Duration, until time.Time) {
	w.after(who+" renews", every, func() {
		if w.clock.Now().After(until) || w.ledger.over[id] != "" {
			return
		}
		_, err := w.service.Renew(w.t.Context(), Admin(), id, 0)
		if unclear(err) {
			w.keepAlive(id, who, tryAgain, until)
			return
		}
		w.keepAlive(id, who, every, until)
	})
}

// leave ends a session, however often it must be asked for.
func (w *World) leave(id, who string) {
	w.ledger.ending[id] = true
	_, err := w.service.EndSession(w.t.Context(), Admin(), id)
	switch {
	case unclear(err):
		w.after(who, tryAgain, func() { w.leave(id, who) })
	case err != nil && fleet.CodeOf(err) != fleet.CodeNotFound: // not found: ended and forgotten long ago
		w.must(err, "ending a session")
	}
}

func (w *World) poolType(name string) (t fleet.PoolType, known bool) {
	w.read(func(tx *store.Tx) error {
		o, err := tx.Object(fleet.KindPool, name)
		if err != nil {
			return nil //nolint:nilerr // an operator has deleted it
		}
		spec, err := store.Spec[fleet.PoolSpec](o)
		t, known = spec.Type, true
		return err
	})
	return t, known
}

// operators let an operator do something about once in an hour.
func (w *World) operators(until time.Time, do func(d dice)) {
	if !w.clock.Now().Before(until) {
		return
	}
	w.after("operator", 20*time.Minute, func() {
		if d, hit := w.luck.hit("operator", 0.3); hit {
			do(d)
		}
		w.operators(until, do)
	})
}

// weatherman lets the weather change every hour.
func (w *World) weatherman(until time.Time) {
	if !w.clock.Now().Before(until) {
		return
	}
	w.after("weather", time.Hour, func() {
		w.hour()
		w.weatherman(until)
	})
}

// meddle drains, deletes or retries a server as an operator might.
func (w *World) meddle(d dice) {
	var servers []*fleet.Server
	w.read(func(tx *store.Tx) (err error) {
		servers, err = tx.Servers(store.ServerFilter{})
		return err
	})
	if len(servers) == 0 {
		return
	}
	s := servers[d.n(len(servers))]
	ctx, admin := w.t.Context(), Admin()
	var err error
	switch what := d.n(4); what {
	case 0:
		deadline := d.upTo(time.Hour)
		w.ledger.deadline[s.Name] = true
		_, err = w.service.Drain(ctx, admin, s.Name, deadline)
		w.note("the operator drains %s within %s: %v", s.Name, deadline, err)
	case 1:
		force := d.n(3) == 0
		if force {
			w.ledger.forced[s.Name] = true
		}
		_, err = w.service.DeleteServer(ctx, admin, s.Name, force)
		w.note("the operator deletes %s (force %v): %v", s.Name, force, err)
	case 2:
		_, err = w.service.Retry(ctx, admin, s.Name)
		w.note("the operator retries %s: %v", s.Name, err)
	case 3:
		_, err = w.service.Undrain(ctx, admin, s.Name)
		w.note("the operator takes back %s: %v", s.Name, err)
	}
}

// remove deletes a configured object with its machines, as far as it goes.
func (w *World) remove(kind fleet.Kind, name string) {
	err := w.service.DeleteObject(w.t.Context(), Admin(), kind, name, service.Condition{}, true)
	w.note("the operator deletes %s %s: %v", kind, name, err)
}
