package simulate

import (
	"context"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// Wall is the clock of the controller. It runs as fast as that of the world and
// may be wrong.
type Wall struct {
	*clocktesting.FakeClock

	off time.Duration
}

// Now is the time that the controller believes.
func (w *Wall) Now() time.Time { return w.FakeClock.Now().Add(w.off) }

// Since is the time since t by this clock.
func (w *Wall) Since(t time.Time) time.Duration { return w.Now().Sub(t) }

// Off is by how much the clock is ahead of the world.
func (w *Wall) Off() time.Duration { return w.off }

// Jump sets the controller's clock ahead, or back for a negative duration. Real
// processes measure durations with a clock that does not jump; this one has no
// such clock, so that it begins a new life when the time goes back.
func (e *Engine) Jump(ctx context.Context, d time.Duration) error {
	e.Wall.off += d
	if d >= 0 {
		return nil
	}
	e.opt.Crashed("clock", d.String())
	return e.start(ctx)
}

// Away lets time pass in which the controller is not there, and starts it again.
func (e *Engine) Away(ctx context.Context, d time.Duration) error {
	e.Clock.Step(d)
	e.opt.Crashed("absence", d.String())
	return e.start(ctx)
}

// dies says that the controller dies at this point, or has died before within
// the step: whatever it does afterwards has no effect.
func (e *Engine) dies(point string) bool {
	if !e.acting {
		return false
	}
	e.dying = e.dying || e.opt.Crash(point)
	return e.dying
}

// fence stands at the begin of every write of the controller.
func (e *Engine) fence(context.Context, *store.Tx) error {
	if e.dies("write") {
		return errCrash
	}
	return nil
}

// fault stands at the stages of each transaction.
func (e *Engine) fault(stage store.Stage) error {
	if !e.ready {
		return nil
	}
	if stage == store.BeforeWrite && e.acting && !e.dying && e.opt.Between != nil {
		e.acting = false
		e.opt.Between()
		e.acting = true
	}
	if stage == store.AfterCommit && e.dies("commit") {
		return errCrash
	}
	return e.opt.Faults(e.acting, stage)
}

// script stands before each call that reaches the cloud, and says what becomes
// of it.
func (e *Engine) script(call sim.Call) sim.Fault {
	if e.dies("call " + string(call.Op)) {
		return sim.Refuse(provider.Unavailable) // the call was never made
	}
	// With signs of life agents are looked at often enough for deletions.
	if call.Op == sim.OpCreate || (call.Op == sim.OpDelete && e.opt.Pace.Beat == 0) {
		e.touched = true
	}
	f := e.opt.Script(call)
	if f.Err == nil && e.dies("answer "+string(call.Op)) {
		f.Lost = true // the call has its effect, and nobody is left to hear of it
	}
	return f
}
