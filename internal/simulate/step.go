package simulate

import (
	"context"
	"fmt"
	"time"
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
	e.acting = next.what != taskCall && next.what != taskAgents && next.what != taskMail
	after, err := e.do(ctx, next)
	died := e.dying
	e.acting, e.dying = false, false
	switch {
	case died:
		e.opt.Crashed(next.what, next.key)
		if err := e.start(ctx); err != nil {
			return err
		}
	case err != nil && (next.what == taskCall || next.what == taskMail || ctx.Err() != nil):
		return err
	case err != nil:
		e.opt.Note("%s %s failed: %v", next.what, next.key, err)
		e.opt.Failed(next.what, next.key, err)
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
	case taskCall, taskMail:
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
	return min(max(t.Sub(e.Wall.Now()), time.Millisecond), most)
}
