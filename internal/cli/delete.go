package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// waitForGone is how long delete --wait waits when no time is given.
const waitForGone = "10m"

func (a *app) deleteCommand() *cobra.Command {
	var files []string
	var recursive, ignoreMissing bool
	var o removal
	var wait fleet.Duration
	cmd := &cobra.Command{
		Use: "delete KIND NAME... | -f FILE|DIR|-", GroupID: groupConfig,
		Short: "Delete objects",
		Long: `Delete objects by name, or those that manifests name. Several configured objects
are one set: they may refer to one another, and either all are deleted or none;
what is in the way is listed at once. Objects that others still
depend on are refused with a count of them; --drain lets the machines of such
an object run empty first. Deleting a session ends it, deleting a token revokes
it.

` + kindTable(),
		Example: `  headroom delete pool desktops --drain --wait
  headroom delete -f pools.yaml
  headroom delete session 01k2m7c0e8q4t5v6w7x8y9zabc`,
		ValidArgsFunction: a.completeKinds,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(files) > 0 && len(args) > 0:
				return usagef("name objects either with -f or with KIND NAME")
			case len(files) == 0 && len(args) < 2:
				return usagef("say what to delete: KIND NAME... or -f FILE")
			}
			return nonEmpty(args)
		},
	}
	manifestFlags(cmd, &files, &recursive)
	cmd.Flags().BoolVar(&o.drain, "drain", false, "let the machines that depend on the object run empty, then delete it")
	cmd.Flags().BoolVar(&o.force, "force", false, "delete a server although sessions live on it: they end")
	cmd.Flags().BoolVar(&ignoreMissing, "ignore-not-found", false, "objects that do not exist are no error")
	waitFlag(cmd, &wait, "wait until nothing is left, at most this long ("+waitForGone+" when no time is given)")
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		var what []target
		if len(files) > 0 {
			docs, err := a.documents(files, recursive)
			if err != nil {
				return err
			}
			if what, err = targets(docs); err != nil {
				return err
			}
		} else {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			if k.remove == nil {
				return usagef("%s cannot be deleted: retention removes them", k.plural)
			}
			for _, name := range args[1:] {
				what = append(what, target{kind: k, name: name})
			}
		}
		if o.force && slices.ContainsFunc(what, func(t target) bool { return t.kind.plural != "servers" }) {
			return usagef("--force applies to servers only")
		}
		if len(what) > 0 && what[0].kind.configured != "" && (len(what) > 1 || len(files) > 0) {
			return a.deleteSet(ctx, c, what, o.drain, ignoreMissing, wait.D())
		}
		return a.deleteAll(ctx, c, what, o, wait, ignoreMissing)
	})
	return cmd
}

// waitFlag adds --wait, which may stand without a time.
func waitFlag(cmd *cobra.Command, wait *fleet.Duration, usage string) {
	cmd.Flags().Var(durationValue(wait), "wait", usage)
	cmd.Flags().Lookup("wait").NoOptDefVal = waitForGone
}

// deleteSet deletes configured objects in one call, all or none of them.
func (a *app) deleteSet(ctx context.Context, c *client.Client, what []target, drain, ignoreMissing bool, wait time.Duration) error {
	in := client.DeleteRequest{Drain: drain, IgnoreMissing: ignoreMissing}
	for _, t := range what {
		in.Objects = append(in.Objects, client.ObjectRef{Kind: t.kind.configured, Name: t.name})
	}
	var result *client.DeleteResult
	err := a.untilDrained(ctx, wait, func() (err error) {
		result, err = c.Delete(ctx, in)
		return err
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, ch := range result.Changes { // they are gone: there is nothing to wait for
		fmt.Fprintf(&b, "%s deleted\n", objectName(ch))
	}
	_, err = fmt.Fprint(a.out, b.String())
	return err
}

// deleteAll goes on after an error, so that one object does not hold up the
// others, and reports every error.
func (a *app) deleteAll(ctx context.Context, c *client.Client, what []target, o removal, wait fleet.Duration, ignoreMissing bool) error {
	var failed []error
	var deleted []target
	for _, t := range what {
		err := a.untilDrained(ctx, wait.D(), func() error { return t.kind.remove(ctx, c, t.name, o) })
		label := t.kind.singular + "/" + t.name
		switch {
		case err == nil:
			deleted = append(deleted, t)
			if _, err := fmt.Fprintf(a.out, "%s %s\n", label, removedWord(t.kind, o)); err != nil {
				return err
			}
		case ignoreMissing && fleet.CodeOf(err) == fleet.CodeNotFound:
		case ctx.Err() != nil || fleet.CodeOf(err) == fleet.CodeUnauthenticated || isUnreachable(err):
			return err
		default:
			failed = append(failed, err)
		}
	}
	if wait > 0 {
		if err := a.awaitGone(ctx, c, deleted, wait.D()); err != nil {
			failed = append(failed, err)
		}
	}
	return a.several(failed)
}

// untilDrained repeats a deletion, at most for the given time, while the machines
// of what is to be deleted are leaving.
func (a *app) untilDrained(ctx context.Context, limit time.Duration, remove func() error) error {
	const pause = time.Second
	end := a.clock.Now().Add(limit)
	p := a.progress()
	defer p.clear()
	asked := false
	for {
		err := remove()
		leaving := fleet.CodeOf(err) == fleet.CodeInUse && strings.Contains(err.Error(), fleet.NotDeletedYet)
		switch {
		case asked && fleet.CodeOf(err) == fleet.CodeNotFound:
			return nil // an answer was lost, or somebody else was faster
		case limit <= 0 || !leaving && (!asked || !transient(err)):
			return err
		case !a.clock.Now().Before(end):
			return &exitError{code: ExitQueued, err: fmt.Errorf("after %s: %w", fleet.Duration(limit), err)}
		}
		asked = true
		p.show("%v", err)
		if !a.sleep(ctx, pause) {
			return fmt.Errorf("waiting: %w", ctx.Err())
		}
	}
}

// several reports errors in their order. The first one gives the exit code.
func (a *app) several(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	last := len(errs) - 1
	for _, err := range errs[:last] {
		a.say("%s", a.explainError(err))
	}
	return &exitError{code: a.exitCode(errs[0]), err: errs[last]}
}

func isUnreachable(err error) bool {
	var gone *client.UnreachableError
	return errors.As(err, &gone)
}

func removedWord(k kind, o removal) string {
	switch {
	case k.plural == "sessions":
		return "ended"
	case k.plural == "tokens":
		return "revoked"
	case k.plural == "servers" && o.drain:
		return "draining"
	case k.plural == "servers":
		return "deleting"
	case o.drain:
		return "deleted when its machines are drained"
	}
	return "deleted"
}

// awaitGone polls until none of the objects is left.
func (a *app) awaitGone(ctx context.Context, c *client.Client, what []target, limit time.Duration) error {
	const pause = 500 * time.Millisecond
	end := a.clock.Now().Add(limit)
	for _, t := range what {
		p := a.progress()
		for {
			state, err := stillThere(ctx, c, t)
			if err != nil && !transient(err) {
				p.clear()
				return err
			}
			if err == nil && state == "" {
				p.clear()
				break
			}
			if !a.clock.Now().Before(end) {
				p.clear()
				return &exitError{code: ExitQueued, err: fmt.Errorf("%s %s is still there after %s%s", t.kind.singular, t.name, fleet.Duration(limit), state)}
			}
			p.show("waiting for %s %s to go%s", t.kind.singular, t.name, state)
			if !a.sleep(ctx, pause) {
				p.clear()
				return fmt.Errorf("waiting: %w", ctx.Err())
			}
		}
	}
	return nil
}

// stillThere describes what is left of an object; empty: nothing.
func stillThere(ctx context.Context, c *client.Client, t target) (string, error) {
	it, err := t.kind.one(ctx, c, t.name)
	if fleet.CodeOf(err) == fleet.CodeNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	switch v := it.value.(type) {
	case *fleet.Server:
		if v.Phase == fleet.PhaseGone {
			return "", nil
		}
		return fmt.Sprintf(": %s, %s, %s", v.Phase, count(int(v.Sessions), "session"), oneLine(v.Reason)), nil
	case *client.Session:
		if v.State == fleet.SessionEnded {
			return "", nil
		}
	}
	return ": it exists", nil
}
