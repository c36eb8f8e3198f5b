package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// block is a list of names and values, aligned.
type block struct{ rows [][2]string }

// add leaves out what is empty.
func (b *block) add(name, value string) {
	if value != "" {
		b.rows = append(b.rows, [2]string{name + ":", oneLine(value)})
	}
}

// String is the block with one line for each value.
func (b *block) String() string {
	width := 0
	for _, r := range b.rows {
		width = max(width, len(r[0]))
	}
	var out strings.Builder
	for _, r := range b.rows {
		fmt.Fprintf(&out, "%-*s %s\n", width, r[0], r[1])
	}
	return out.String()
}

func (a *app) describeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe KIND NAME...", GroupID: groupLook,
		Short: "Show everything about objects, for people",
		Long: `Show everything about objects for people to read: settings, state, the reasons
for it and the latest events. Programs use get -o json and explain -o json.

` + kindTable(),
		Example: `  headroom describe server hr-3k5d8f2ahq7c
  headroom describe pool desktops`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("%s is missing: headroom describe KIND NAME...", []string{"KIND", "NAME"}[len(args)])
			}
			return nonEmpty(args)
		},
		ValidArgsFunction: a.completeKinds,
	}
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		k, err := findKind(args[0])
		if err != nil {
			return err
		}
		if k.one == nil {
			return usagef("%s cannot be described: `headroom events` shows all that is known", k.plural)
		}
		begun := false
		return a.each(ctx, args[1:], func(name string) error {
			text, err := a.describe(ctx, c, k, name)
			if err != nil {
				return err
			}
			if begun {
				text = "\n" + text
			}
			begun = true
			_, err = fmt.Fprint(a.out, text)
			return err
		})
	})
	return cmd
}

// recentEvents is how many events describe shows.
const recentEvents = 10

func (a *app) describe(ctx context.Context, c *client.Client, k kind, name string) (string, error) {
	it, err := k.one(ctx, c, name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	switch v := it.value.(type) {
	case *client.Resource:
		err = a.describeResource(&b, v)
	case *fleet.Server:
		a.describeServer(&b, v)
	case *client.Session:
		a.describeSession(&b, v)
	case *fleet.APIToken:
		a.describeToken(&b, v)
	}
	if err != nil {
		return "", err
	}
	if k.explain != "" {
		e, err := c.Explain(ctx, k.explain, it.name)
		if err != nil {
			return "", err
		}
		b.WriteString("\nWhy:\n")
		a.writeExplanation(&b, e, "  ")
	}
	eventName := it.name
	if t, ok := it.value.(*fleet.APIToken); ok {
		eventName = t.Name
	}
	events, err := latestEvents(ctx, c, client.EventFilter{Kind: manifestKind(k.plural), Name: eventName}, recentEvents)
	if err != nil {
		return "", err
	}
	a.writeEvents(&b, events)
	return b.String(), nil
}

func (a *app) writeEvents(b *strings.Builder, events []fleet.Event) {
	b.WriteString("\nEvents:\n")
	if len(events) == 0 {
		b.WriteString("  none are kept\n")
		return
	}
	one := true // all are about the same object, which need not be repeated
	for _, e := range events {
		one = one && e.Kind == events[0].Kind && e.Name == events[0].Name
	}
	rows := make([][]string, len(events))
	now := a.clock.Now()
	for i, e := range events {
		rows[i] = []string{"  " + moment(now, e.At), eventObject(e), string(e.Type), dash(eventMessage(e)), "(" + dash(e.Actor) + ")"}
	}
	columns := []column{{}, {wide: one}, {drop: 2}, {flex: true}, {drop: 1}}
	l := fit(columns, rows, a.streams.Width, false, a.color)
	for _, row := range rows {
		_ = l.row(b, row) // a strings.Builder does not fail
	}
}

func (a *app) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	now := a.clock.Now()
	if t.After(now) {
		return fmt.Sprintf("%s (in %s)", t.In(now.Location()).Format("2006-01-02 15:04:05"), age(t.Sub(now)))
	}
	return fmt.Sprintf("%s (%s ago)", t.In(now.Location()).Format("2006-01-02 15:04:05"), age(now.Sub(t)))
}

func (a *app) stampP(t *time.Time) string { return a.stamp(fleet.Value(t, time.Time{})) }

func (a *app) describeResource(b *strings.Builder, r *client.Resource) error {
	var head block
	head.add("Name", r.Meta.Name)
	head.add("Kind", string(r.Kind))
	head.add("Labels", labels(r.Meta.Labels))
	head.add("Created", a.stamp(r.CreatedAt))
	if r.UpdatedAt.After(r.CreatedAt) {
		head.add("Updated", a.stamp(r.UpdatedAt))
	}
	head.add("Secrets", strings.Join(r.SecretsSet, ", "))
	b.WriteString(head.String())
	sections := []struct {
		title string
		value []byte
	}{{"Spec", r.Spec}, {"Status", r.Status}}
	for _, s := range sections {
		if len(s.value) == 0 || string(s.value) == "null" || string(s.value) == "{}" {
			continue
		}
		text, err := toYAML(rawJSON(s.value))
		if err != nil {
			return err
		}
		b.WriteString("\n" + s.title + ":\n")
		for line := range strings.Lines(string(text)) {
			b.WriteString("  " + printable(line))
		}
	}
	return nil
}

func (a *app) describeServer(b *strings.Builder, s *fleet.Server) {
	now := a.clock.Now()
	var d block
	d.add("Name", s.Name)
	d.add("Id", s.ID)
	d.add("Origin", string(s.Origin))
	d.add("Pool", s.Pool)
	d.add("Zone", s.Zone)
	d.add("Autoscale config", s.AutoscaleConfig)
	if s.VMProvider != "" {
		d.add("VM provider", fmt.Sprintf("%s (revision %d)", s.VMProvider, s.ProviderRevision))
	}
	d.add("Provider id", s.ProviderID)
	d.add("Offer", s.Offer)
	d.add("Phase", fmt.Sprintf("%s for %s: %s", s.Phase, since(now, s.PhaseSince), s.Reason))
	if s.Missing {
		d.add("Missing", "yes, its agent is silent: no new session is placed here")
	}
	d.add("Addresses", strings.Join(s.Addresses, ", "))
	d.add("Capacity", fmt.Sprintf("%s (%s)", s.Capacity, s.CapacitySource))
	claimed := s.Claimed.String()
	if s.Sessions > 0 {
		claimed += fmt.Sprintf(" by %s of %s", count(int(s.Sessions), "session"), count(int(s.Users), "user"))
	}
	d.add("Claimed", claimed)
	d.add("Free", s.Free().String())
	if s.MaxUsers > 0 {
		d.add("Users at most", fmt.Sprint(s.MaxUsers))
	}
	if s.OneShot {
		d.add("One-shot", "yes, retired when its last session has ended")
	}
	d.add("Drain deadline", a.stampP(s.DrainDeadline))
	d.add("Created", a.stamp(s.CreatedAt))
	d.add("First call", a.stampP(s.CallAt))
	d.add("Ready", a.stampP(s.ReadyAt))
	d.add("Last seen", a.stampP(s.LastSeenAt))
	d.add("Gone", a.stampP(s.GoneAt))
	if s.Attempts > 1 {
		d.add("Create calls", fmt.Sprint(s.Attempts))
	}
	d.add("Agent", s.AgentVersion)
	b.WriteString(d.String())
}

func (a *app) describeSession(b *strings.Builder, s *client.Session) {
	var d block
	d.add("Id", s.ID)
	d.add("Pool", s.Pool)
	d.add("Zone", s.Zone)
	d.add("User", s.User)
	d.add("State", fmt.Sprintf("%s%s: %s", s.State, position(s), first(s.Explanation, s.Reason)))
	d.add("Need", s.Need.String())
	d.add("Server", s.Server)
	d.add("Addresses", strings.Join(s.Addresses, ", "))
	d.add("Staging", s.Staging)
	if s.TTL > 0 {
		d.add("Life time", s.TTL.String())
	}
	d.add("Created", a.stamp(s.CreatedAt))
	d.add("Assigned", a.stampP(s.AssignedAt))
	d.add("Expires", a.stampP(s.ExpiresAt))
	d.add("Queued until", a.stampP(s.WaitUntil))
	d.add("Ended", a.stampP(s.EndedAt))
	d.add("Owner", s.Owner)
	b.WriteString(d.String())
}

func (a *app) describeToken(b *strings.Builder, t *fleet.APIToken) {
	var d block
	d.add("Name", t.Name)
	d.add("Id", t.ID)
	d.add("Role", string(t.Role))
	d.add("Pool", t.Pool)
	d.add("Created", a.stamp(t.CreatedAt))
	d.add("Created by", t.CreatedBy)
	d.add("Expires", a.stampP(t.ExpiresAt))
	d.add("Last used", a.stampP(t.LastUsedAt))
	b.WriteString(d.String())
}
