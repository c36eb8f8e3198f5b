package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// scriptAfterReady is how long the end of a script is still waited for after
// the script itself has reported that the machine is ready.
const scriptAfterReady = 4 * time.Hour

// stepScript takes the startup script of a machine one step further where it
// is run through the guest. next is 0 when there is nothing, or nothing more,
// to do: the script has ended well, or none is run this way.
func (c *Controller) stepScript(ctx context.Context, r *realm, s *fleet.Server) (next time.Duration, err error) {
	if !c.runsScript(r) || s.ProviderID == "" {
		return 0, nil
	}
	if wait := r.pause(s.ID, c.now()); wait > 0 {
		return wait, nil
	}
	run := &store.ServerScript{ServerID: s.ID, StartedAt: c.now()}
	err = c.Store.Read(ctx, func(tx *store.Tx) error {
		have, err := tx.ServerScript(s.ID)
		if err == nil {
			run = have
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil || run.EndedAt != nil {
		return 0, err
	}
	text, secrets, err := c.Script(ctx, s)
	if err != nil {
		return 0, fmt.Errorf("preparing the startup script of server %s: %w", s.Name, err)
	}
	if len(text) == 0 {
		return 0, nil
	}
	got, err := r.client.RunScript(ctx, s.ProviderID, text, run.Progress, secrets)
	if err != nil {
		return c.scriptFailed(ctx, r, s, err)
	}
	r.resume(s.ID)
	if !got.Done {
		if got.Progress != run.Progress || got.Note != run.Note {
			run.Progress, run.Note = got.Progress, got.Note
			if err := c.write(ctx, func(tx *store.Tx) error { return tx.SaveServerScript(run) }); err != nil {
				return 0, err
			}
		}
		if got.Note != "" && s.Phase.ComingUp() {
			err = c.noteReason(ctx, s, "startup script: "+got.Note)
		}
		return r.busy(), err
	}
	return c.scriptEnded(ctx, s, run, got)
}

// runsScript says that scripts of the provider's machines are run through the
// guest, if there are any.
func (c *Controller) runsScript(r *realm) bool { return c.Script != nil && r.client.RunsScripts() }

// scriptFailed draws the consequence of a step that failed. What can pass is
// tried again until the machine's own deadline.
func (c *Controller) scriptFailed(ctx context.Context, r *realm, s *fleet.Server, cause error) (time.Duration, error) {
	class := provider.ClassOf(cause)
	why := "startup script: " + cause.Error()
	switch {
	case !s.Phase.ComingUp():
	case class == provider.Invalid || class == provider.Unsupported:
		_, err := c.moveTo(ctx, s, fleet.PhaseFailed, "%s", why)
		return r.busy(), err
	default:
		if err := c.noteReason(ctx, s, why); err != nil {
			return 0, err
		}
	}
	wait := max(provider.RetryAfter(cause), provider.Backoff(class, 1), r.busy())
	r.hold(s.ID, c.now().Add(wait))
	return wait, nil
}

// scriptEnded keeps what came of the script, in the commit that draws the
// consequence: a script that failed has failed its machine, unless the machine
// serves already.
func (c *Controller) scriptEnded(ctx context.Context, s *fleet.Server, run *store.ServerScript, got provider.ScriptRun) (time.Duration, error) {
	outcome := fmt.Sprintf("startup script exited %d", got.ExitCode)
	failed := false
	err := c.write(ctx, func(tx *store.Tx) error {
		failed = false
		s, err := tx.Server(s.ID)
		if err != nil {
			return err
		}
		now := c.now()
		run.Progress, run.Note, run.EndedAt, run.ExitCode = got.Progress, "", &now, &got.ExitCode
		if err := tx.SaveServerScript(run); err != nil {
			return err
		}
		var lines []store.LogLine
		for line := range strings.Lines(strings.ToValidUTF8(string(got.Output), "?")) {
			lines = append(lines, store.LogLine{At: now, Stream: "script", Text: strings.TrimRight(strings.ReplaceAll(line, "\x00", ""), "\r\n")})
		}
		lines = append(lines, store.LogLine{At: now, Stream: "script", Text: outcome})
		if err := tx.AppendServerLog(s.ID, lines); err != nil {
			return err
		}
		if got.ExitCode == 0 || !s.Phase.ComingUp() {
			c.emitServer(tx, s, fleet.EventServerUpdated, outcome, nil)
			return nil
		}
		failed = true
		if err := c.move(tx, s, fleet.PhaseFailed, "%s", outcome); err != nil {
			return err
		}
		return tx.SaveServer(s)
	})
	if err != nil || !failed {
		return 0, err
	}
	return time.Nanosecond, nil // look again at once: the machine is to be deleted
}
