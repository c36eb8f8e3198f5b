package simulate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Run lets time pass until the given moment. Errors are those of Stepped, of
// calls, and of a database that cannot be used; what fails in the controller
// itself is repeated, as in the running system.
func (e *Engine) Run(ctx context.Context, until time.Time) error {
	for {
		at, ok := e.agenda.next()
		if !ok || at.After(until) {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.step(ctx, at); err != nil {
			return err
		}
	}
	e.setTime(until)
	return nil
}

func (e *Engine) setTime(t time.Time) {
	if t.After(e.Clock.Now()) {
		e.Clock.SetTime(t)
	}
}

// step does one of the pieces of work that are due at the moment.
func (e *Engine) step(ctx context.Context, at time.Time) error {
	e.setTime(at)
	next, _ := e.agenda.take(e.Rand)
	after, err := e.do(ctx, next)
	switch {
	case errors.Is(err, ErrCrash):
		e.opt.Crashed(next.what, next.key)
		if err := e.start(ctx); err != nil {
			return err
		}
	case err != nil && (next.what == taskCall || ctx.Err() != nil):
		return err
	case err != nil:
		e.opt.Note("%s %s failed: %v", next.what, next.key, err)
		e.schedule(next, time.Second)
	case after >= 0:
		e.schedule(next, after)
	}
	if e.touched { // the cloud was called: a machine may come up sooner than expected
		e.touched = false
		e.schedule(task{taskAgents, ""}, time.Millisecond)
	}
	return e.opt.Stepped(next.what, next.key)
}

const never = time.Duration(-1)

func (e *Engine) do(ctx context.Context, t task) (time.Duration, error) {
	switch t.what {
	case taskPool:
		next, err := e.control.ReconcilePool(ctx, t.key)
		return e.until(next, e.opt.Pace.Resync), err
	case taskServer:
		return e.control.StepServer(ctx, t.key)
	case taskProvider:
		out, err := e.control.RefreshProvider(ctx, t.key)
		for _, id := range out.Step {
			e.schedule(task{taskServer, id}, 0)
		}
		return max(out.Next, 10*time.Millisecond), err
	case taskRemnants:
		return e.opt.Pace.Remnants, e.control.SweepRemnants(ctx, t.key)
	case taskSessions:
		next, err := e.control.ExpireSessions(ctx)
		return e.until(next, e.opt.Pace.Sessions), err
	case taskRetain:
		return e.opt.Pace.Retain, e.control.Retain(ctx)
	case taskReset:
		if t.key != "" {
			if err := e.control.ProviderChanged(ctx, t.key); err != nil {
				return 0, err
			}
		}
		return never, e.wakeAll(ctx)
	case taskAgents:
		return e.agents(ctx), nil
	case taskCall:
		f := e.calls[t.key]
		delete(e.calls, t.key)
		return never, f(ctx)
	}
	return never, fmt.Errorf("no such task %q", t.what)
}

// until turns a moment into a delay, at most the given one.
func (e *Engine) until(t time.Time, most time.Duration) time.Duration {
	if t.IsZero() {
		return most
	}
	return min(max(t.Sub(e.Clock.Now()), time.Millisecond), most)
}

// agents lets machines that run check in and report. It returns when a machine
// will have news.
func (e *Engine) agents(ctx context.Context) time.Duration {
	now := e.Clock.Now()
	for _, c := range e.Cloud.DueCheckins(now) {
		_, err := e.Service.Register(ctx, fleet.AgentRegistration{
			Token: c.Bootstrap.RegistrationToken, Credential: credentialOf(c.Instance.ID),
			Addresses: []string{"10.0.0.1"}, Capacity: c.Instance.Capacity,
		})
		if err != nil {
			e.opt.Note("machine %s cannot register: %v", c.Instance.ID, err)
		}
		e.Cloud.CheckedIn(c.Instance.ID)
	}
	next := now.Add(24 * time.Hour)
	if beat := e.opt.Pace.Beat; beat > 0 {
		if !now.Before(e.beatAt) {
			e.beatAt = now.Add(beat)
			e.report(ctx, now)
		}
		next = e.beatAt
	}
	if look := e.opt.Pace.Look; look > 0 && !e.changeAt.IsZero() && !now.Before(e.changeAt) {
		for _, name := range e.provider {
			e.schedule(task{taskProvider, name}, look)
		}
	}
	e.changeAt = time.Time{}
	if at, ok := e.Cloud.NextChange(now); ok {
		e.changeAt = at
		if at.Before(next) {
			next = at
		}
	}
	return max(next.Sub(now), time.Millisecond)
}

// report is a round of signs of life.
func (e *Engine) report(ctx context.Context, now time.Time) {
	for _, c := range e.Cloud.Beating(now) {
		if _, err := e.Service.Report(ctx, credentialOf(c.Instance.ID), fleet.AgentReport{Capacity: c.Instance.Capacity}); err != nil {
			e.opt.Note("machine %s cannot report: %v", c.Instance.ID, err)
		}
	}
}

func credentialOf(machine string) string {
	return "credential-of-" + machine + strings.Repeat("x", 32)
}
