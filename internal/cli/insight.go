package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/plan"
)

// rawJSON is JSON text that is printed as it is.
type rawJSON = json.RawMessage

func (a *app) planCommand() *cobra.Command {
	var pool, output string
	cmd := &cobra.Command{
		Use: "plan", GroupID: groupLook, Args: exactly(),
		Short: "Show what would be done now, and why",
		Long: `Show what the controller would do now and why, without doing it: for each
autoscale config what is there and what is needed, which machines would be made
or retired, what they cost, and the reasons why nothing else is done.`,
		Example: "  headroom plan\n  headroom plan --pool desktops -o json",
	}
	cmd.Flags().StringVar(&pool, "pool", "", "only this pool")
	outputFlag(cmd, &output)
	a.completeFlag(cmd, "pool", poolKind())
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		decisions, err := c.Plan(ctx, pool)
		if err != nil {
			return err
		}
		if output == formatTable && len(decisions) == 0 {
			a.say("no pools\n")
			return nil
		}
		values := make([]any, len(decisions))
		for i, d := range decisions {
			values[i] = d
		}
		return a.print(output, list{values}, func() error {
			var b strings.Builder
			for i, d := range decisions {
				if i > 0 {
					b.WriteString("\n")
				}
				a.writeDecision(&b, d)
			}
			_, err := fmt.Fprint(a.out, b.String())
			return err
		})
	})
	return cmd
}

func (a *app) writeDecision(b *strings.Builder, d client.PricedPlan) {
	now := a.clock.Now()
	fmt.Fprintf(b, "pool %s\n", a.bold(d.Pool))
	for _, r := range d.Reasons {
		a.writeReason(b, "  because  ", r)
	}
	for _, c := range d.Configs {
		window := ""
		if c.Window != "" {
			window = ", window " + c.Window
		}
		fmt.Fprintf(b, "  config %s (zone %s%s)\n", a.bold(c.Config), c.Zone, window)
		s := c.Supply
		leaving := ""
		if s.Leaving > 0 {
			leaving = fmt.Sprintf(", %d leaving", s.Leaving)
		}
		fmt.Fprintf(b, "    supply   %d ready, %d coming up%s; %s free of %s\n", s.Ready, s.ComingUp, leaving, s.Free, s.Capacity)
		fmt.Fprintf(b, "    demand   %s", c.Demand.Total)
		var parts []string
		for _, p := range []struct {
			name  string
			value interface{ IsZero() bool }
			text  string
		}{
			{"standby", c.Demand.Standby, c.Demand.Standby.String()},
			{"queued", c.Demand.Queued, c.Demand.Queued.String()},
			{"staging", c.Demand.Staging, c.Demand.Staging.String()},
		} {
			if !p.value.IsZero() {
				parts = append(parts, p.name+" "+p.text)
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(b, " (%s)", strings.Join(parts, " + "))
		}
		b.WriteString("\n")
		for _, g := range groupCreates(c.Creates) {
			fmt.Fprintf(b, "    %s   %d × %s of %s%s: %s\n", a.tint("32", "create"), g.n, g.Provider, g.Capacity, planPrice(d.Cost, g.Provider), oneLine(g.Reason))
		}
		for _, r := range c.Retires {
			fmt.Fprintf(b, "    %s   %s (%s): %s\n", a.tint("33", "retire"), r.Name, r.Cause, oneLine(r.Reason))
		}
		if len(c.Creates)+len(c.Retires) == 0 {
			b.WriteString("    nothing to do\n")
		}
		for _, r := range c.Reasons {
			a.writeReason(b, "    because  ", r)
		}
		if !c.Surplus.IsZero() {
			fmt.Fprintf(b, "    surplus  for %s\n", since(now, c.Surplus))
		}
	}
	writePlanCost(b, d.Cost)
	if !d.NextAt.IsZero() {
		fmt.Fprintf(b, "  next change by time alone: %s\n", moment(now, d.NextAt))
	}
}

func (a *app) writeReason(b *strings.Builder, lead string, r plan.Reason) {
	b.WriteString(lead + oneLine(r.Message))
	if !r.Until.IsZero() && !strings.Contains(r.Message, "until") {
		b.WriteString(" (until " + moment(a.clock.Now(), r.Until) + ")")
	}
	fmt.Fprintf(b, " [%s]\n", r.Code)
}

type createGroup struct {
	plan.Create
	n int
}

// groupCreates joins neighbours that are alike.
func groupCreates(creates []plan.Create) []createGroup {
	var out []createGroup
	for _, c := range creates {
		if n := len(out); n > 0 && out[n-1].Create == c {
			out[n-1].n++
			continue
		}
		out = append(out, createGroup{c, 1})
	}
	return out
}

func (a *app) tint(code, s string) string {
	if a.color {
		return paint(code)(s)
	}
	return s
}

func (a *app) bold(s string) string { return a.tint("1", s) }

func (a *app) explainCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "explain pool|server|session NAME", GroupID: groupLook, Args: exactly("KIND", "NAME"),
		Short: "Say why something is as it is",
		Long: `Say why a pool, a server or a session is in the state that it is in, what it
waits for, and why nothing happens when nothing happens.`,
		Example: `  headroom explain pool desktops
  headroom explain session 01k2m7c0e8q4t5v6w7x8y9zabc`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"pool", "server", "session"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeKinds(cmd, args, prefix)
		},
	}
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		k, err := findKind(args[0])
		if err != nil || k.explain == "" {
			return usagef("%q cannot be explained: use pool, server or session", args[0])
		}
		e, err := c.Explain(ctx, k.explain, args[1])
		if err != nil {
			return err
		}
		return a.print(output, e, func() error {
			var b strings.Builder
			state := ""
			if e.State != "" {
				state = " is " + e.State
			}
			fmt.Fprintf(&b, "%s%s\n", a.bold(first(e.Subject, args[0]+" "+args[1])), state)
			a.writeExplanation(&b, e, "")
			a.writeEvents(&b, e.Events)
			_, err := fmt.Fprint(a.out, b.String())
			return err
		})
	})
	return cmd
}

func (a *app) writeExplanation(b *strings.Builder, e *client.Explanation, indent string) {
	if e.Summary != "" {
		fmt.Fprintf(b, "%s%s\n", indent, oneLine(e.Summary))
	}
	for _, l := range e.Lines {
		mark := map[string]string{"warn": a.tint("33", "!"), "error": a.tint("31", "✗")}[l.Level]
		if mark == "" {
			mark = "-"
		}
		fmt.Fprintf(b, "%s%s %s%s\n", indent, mark, oneLine(l.Text), a.untilNote(l.Text, l.Until))
	}
}

func (a *app) untilNote(text string, t time.Time) string {
	if t.IsZero() || strings.Contains(text, "until") {
		return ""
	}
	return " (until " + moment(a.clock.Now(), t) + ")"
}
