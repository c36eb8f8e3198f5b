package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// usageError is a mistake in the command line.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// UsageError is a mistake in the command line, for commands of other packages.
func UsageError(message string) error { return &usageError{message: message} }

func usagef(format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...)}
}

// exitError ends the program with a code. Without an error everything that is
// to be said has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// ExitCode lets commands of other packages choose their code in the same way.
func (e *exitError) ExitCode() int { return e.code }

// report prints an error for people and returns the exit code.
func (a *app) report(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return ExitOK
	}
	code := a.exitCode(err)
	var silent *exitError
	if errors.As(err, &silent) && silent.err == nil {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		a.say("Error: interrupted\n")
		return code
	}
	a.say("%s", a.explainError(err))
	if code == ExitUsage {
		path := "headroom"
		if cmd != nil {
			path = cmd.CommandPath()
		}
		a.say("Run '%s --help' for usage.\n", path)
	}
	return code
}

// exitCode maps an error to the contract of Main.
func (a *app) exitCode(err error) int {
	var coded interface{ ExitCode() int }
	var usage *usageError
	var gone *client.UnreachableError
	var e *fleet.Error
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.As(err, &usage) || !a.started:
		return ExitUsage
	case errors.As(err, &gone):
		return ExitUnreachable
	case errors.As(err, &e):
		return codeExit(e.Code)
	}
	return ExitFailed
}

func codeExit(code fleet.Code) int {
	switch code {
	case fleet.CodeInvalid, fleet.CodeTooLarge:
		return ExitInvalid
	case fleet.CodeNotFound:
		return ExitNotFound
	case fleet.CodeConflict, fleet.CodeVersionMismatch, fleet.CodeInUse, fleet.CodeQueueFull, fleet.CodeForbidden:
		return ExitRefused
	case fleet.CodeUnauthenticated:
		return ExitUnreachable
	}
	return ExitFailed
}

// explainError is the text for people: what happened, every field that is
// wrong, and what can be done.
func (a *app) explainError(err error) string {
	var b strings.Builder
	var e *fleet.Error
	var gone *client.UnreachableError
	switch {
	case errors.As(err, &gone):
		fmt.Fprintf(&b, "Error: %s\n%s", gone.Error(), a.conn.unreachableHint(gone.Reason))
	case errors.As(err, &e) && len(e.Fields) > 0:
		for _, f := range e.Fields {
			b.WriteString(printable(f.String()) + "\n")
		}
		message := e.Message
		if !strings.Contains(message, "problem") {
			message += fmt.Sprintf(" (%s)", count(len(e.Fields), "problem"))
		}
		b.WriteString("Error: " + printable(message) + "\n")
	case errors.As(err, &e):
		// The wrapping names what was being done; the message is the API's.
		b.WriteString("Error: " + printable(err.Error()) + "\n")
		if e.Code == fleet.CodeUnauthenticated && a.conn.url != "" { // not what the agent was told
			b.WriteString(a.conn.tokenHint())
		}
	default:
		b.WriteString("Error: " + printable(strings.TrimSpace(err.Error())) + "\n")
	}
	return b.String()
}

// say writes to standard error. There is nowhere to report a failure of that.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format, args...) }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
