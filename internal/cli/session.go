package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func (a *app) sessionCommand() *cobra.Command {
	return group("session", "Take, renew and end sessions", `A session is a claim on capacity of a pool: cores, memory and GPUs of an agent, or
a place on a server.`, groupUse,
		a.sessionCreate(), a.sessionRenew(), a.sessionEnd(),
		a.listCommand(sessionKind(), "  headroom session list --pool desktops\n  headroom session list --state queued -o wide"),
		a.oneCommand(sessionKind(), "ID", "  headroom session get 01k2m7c0e8q4t5v6w7x8y9zabc -o json"))
}

// oneCommand is get for named objects of one kind.
func (a *app) oneCommand(k kind, arg, example string) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use: "get " + arg + "...", Short: "Show a " + k.singular, Example: example, Args: atLeast(arg),
		Long:              "Show a " + k.singular + ". The same as `headroom get " + k.singular + "`.",
		ValidArgsFunction: a.completeNames(k),
	}
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "print no header")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "then print what changes until interrupted")
	outputFlag(cmd, &o.output, formatTable, formatWide, formatJSON, formatYAML, formatName)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error { return a.get(ctx, c, k, args, o) })
	return cmd
}

func (a *app) sessionCreate() *cobra.Command {
	var in client.SessionRequest
	var wait fleet.Duration
	var output string
	cmd := &cobra.Command{
		Use: "create --pool POOL", Args: exactly(),
		Short: "Ask for capacity",
		Long: `Ask for capacity of a pool. When there is room the session is active at once and
its server and address are printed. Otherwise it is queued, first come first
served, and the exit code is 4; with --wait the command waits that long for the
session to become active. A session that still waits then stays queued.

A request that is repeated with the same idempotency key gives the same session.
Without one a key is made, so that a lost answer never leads to two sessions.`,
		Example: `  headroom session create --pool desktops --cores 2 --memory 2Gi --wait 60s
  headroom session create --pool desktops --user ann --ttl 1h -o json
  headroom session create --pool gpu --gpus 1 --no-queue`,
	}
	f := cmd.Flags()
	f.StringVar(&in.Pool, "pool", "", "pool to take from (required)")
	f.StringVar(&in.Zone, "zone", "", "zone to prefer")
	f.Var(coresValue(&in.Cores), "cores", "CPU cores, for example 2 or 0.5")
	f.Var(memoryValue(&in.Memory), "memory", "memory, for example 512Mi or 4Gi")
	f.Int64Var(&in.GPUs, "gpus", 0, "number of GPUs")
	f.StringVar(&in.User, "user", "", "who uses the session")
	f.Var(durationValue(&in.TTL), "ttl", "life time, started anew by renew; without it the session lives until it is ended")
	f.Var(durationValue(&wait), "wait", "longest time to wait for capacity")
	f.Var(durationValue(&in.QueueTimeout), "queue-timeout", "longest time in the queue; the session is given up after it")
	f.BoolVar(&in.NoQueue, "no-queue", false, "fail at once when there is no room")
	f.StringVar(&in.IdempotencyKey, "idempotency-key", "", "same key, same session")
	outputFlag(cmd, &output, formatTable, formatWide, formatJSON, formatYAML, formatName)
	a.completeFlag(cmd, "pool", poolKind())
	a.completeFlag(cmd, "zone", zoneKind())
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		switch {
		case in.Pool == "":
			return usagef("--pool is missing: name the pool to take from")
		case in.GPUs < 0:
			return usagef("--gpus %d is negative", in.GPUs)
		case in.NoQueue && (wait > 0 || in.QueueTimeout > 0):
			return usagef("--no-queue does not go together with --wait or --queue-timeout")
		}
		if in.IdempotencyKey == "" {
			in.IdempotencyKey = rand.Text()
		}
		// The answer is asked for at once and waited for afterwards, so that the
		// id is known when the user interrupts.
		end := a.clock.Now().Add(wait.D())
		s, err := c.CreateSession(ctx, in)
		if err != nil {
			return err
		}
		waitErr := error(nil)
		if wait > 0 {
			s, waitErr = a.awaitSession(ctx, c, s, end)
		}
		if err := a.printItems(sessionKind(), []item{sessionItem(s)}, getOptions{output: output}, true); err != nil {
			return err
		}
		return a.sessionOutcome(ctx, s, wait, waitErr)
	})
	return cmd
}

func sessionItem(s *client.Session) item {
	return item{key: s.ID, name: s.ID, pool: s.Pool, value: s, cells: func(now time.Time) []string { return sessionCells(s, now) }}
}

// awaitSession waits until the session is not queued any more or end has come.
// It answers the newest state of the session together with an error.
func (a *app) awaitSession(ctx context.Context, c *client.Client, s *client.Session, end time.Time) (*client.Session, error) {
	p := a.progress()
	defer p.clear()
	longest := client.MaxWait - 5*time.Second
	if a.streams.ErrTTY {
		longest = 5 * time.Second // position and reason are shown, and go stale
	}
	for s.State == fleet.SessionQueued {
		left := end.Sub(a.clock.Now())
		if left <= 0 {
			return s, nil
		}
		p.show("queued%s: %s (%s left; ctrl-C stops waiting)", position(s), first(s.Explanation, s.Reason), age(left))
		asked := a.clock.Now()
		next, err := c.Session(ctx, s.ID, min(left, longest))
		switch {
		case ctx.Err() != nil:
			return s, fmt.Errorf("waiting: %w", ctx.Err())
		case err != nil && transient(err):
			p.show("queued%s: %v; trying again (%s left)", position(s), err, age(left))
		case err != nil:
			return s, err
		default:
			s = next
		}
		// An answer that comes early must not make a busy loop.
		if s.State == fleet.SessionQueued && a.clock.Since(asked) < 500*time.Millisecond {
			a.sleep(ctx, min(left, 500*time.Millisecond))
		}
	}
	return s, nil
}

// position is the place in the queue, unless the explanation tells it.
func position(s *client.Session) string {
	if s.QueuePosition == 0 || strings.Contains(s.Explanation, "position") {
		return ""
	}
	return fmt.Sprintf(" (position %d)", s.QueuePosition)
}

// sessionOutcome says on standard error what the state of a session means and
// gives the exit code.
func (a *app) sessionOutcome(ctx context.Context, s *client.Session, wait fleet.Duration, waitErr error) error {
	switch {
	case s.State == fleet.SessionEnded:
		a.say("session %s has ended while it was queued: %s\n", s.ID, oneLine(s.Reason))
		return &exitError{code: ExitQueued}
	case s.State != fleet.SessionQueued:
		return waitErr
	}
	why := strings.TrimRight(oneLine(first(s.Explanation, s.Reason)), ".")
	a.say("session %s is queued%s: %s. %s; `headroom session end %s` withdraws it\n", s.ID, position(s), why, a.staysQueued(s), s.ID)
	switch {
	case ctx.Err() != nil:
		return &exitError{code: ExitQueued}
	case waitErr != nil:
		return waitErr
	case wait == 0:
		a.say("`headroom session get %s -w` shows when it is served; create --wait 60s waits for it\n", s.ID)
	}
	return &exitError{code: ExitQueued}
}

func (a *app) staysQueued(s *client.Session) string {
	if s.WaitUntil == nil {
		return "It stays queued until there is room"
	}
	return "It stays queued until " + moment(a.clock.Now(), *s.WaitUntil)
}

func (a *app) sessionRenew() *cobra.Command {
	var ttl fleet.Duration
	var output string
	cmd := &cobra.Command{
		Use: "renew ID", Args: exactly("ID"), Short: "Let the life time of a session start anew",
		Long:    "Let the life time of a session start anew, as long as before or with --ttl.",
		Example: "  headroom session renew 01k2m7c0e8q4t5v6w7x8y9zabc --ttl 2h", ValidArgsFunction: a.completeNames(sessionKind()),
	}
	cmd.Flags().Var(durationValue(&ttl), "ttl", "new life time; without it the length stays")
	outputFlag(cmd, &output, formatTable, formatWide, formatJSON, formatYAML, formatName)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.RenewSession(ctx, args[0], ttl.D())
		if err != nil {
			return err
		}
		return a.printItems(sessionKind(), []item{sessionItem(s)}, getOptions{output: output}, true)
	})
	return cmd
}

func (a *app) sessionEnd() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "end ID...", Args: atLeast("ID"), Short: "End sessions, or withdraw queued ones",
		Long:    "End sessions, or withdraw queued ones. A session that has ended stays as it is.",
		Example: "  headroom session end 01k2m7c0e8q4t5v6w7x8y9zabc\n  headroom session end $(headroom session list --user ann -o name)", ValidArgsFunction: a.completeNames(sessionKind()),
	}
	outputFlag(cmd, &output, formatTable, formatWide, formatJSON, formatYAML, formatName)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		var items []item
		failed := a.each(ctx, args, func(id string) error {
			s, err := c.EndSession(ctx, id)
			if err == nil {
				items = append(items, sessionItem(s))
			}
			return err
		})
		if len(items) > 0 {
			if err := a.printItems(sessionKind(), items, getOptions{output: output}, len(args) == 1); err != nil {
				return err
			}
		}
		return failed
	})
	return cmd
}

// each calls fn for each name and goes on after an error that is about one of
// them only.
func (a *app) each(ctx context.Context, names []string, fn func(string) error) error {
	var failed []error
	for _, name := range names {
		err := fn(name)
		switch {
		case err == nil:
		case ctx.Err() != nil, isUnreachable(err), fleet.CodeOf(err) == fleet.CodeUnauthenticated:
			return err
		default:
			failed = append(failed, err)
		}
	}
	return a.several(failed)
}
