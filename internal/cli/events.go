package cli

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func (a *app) eventsCommand() *cobra.Command {
	var o getOptions
	var past fleet.Duration
	cmd := &cobra.Command{
		Use: "events", GroupID: groupLook, Args: exactly(),
		Short: "Show what happened, and follow what happens",
		Long: `Show what happened, oldest first: every decision and every change with its
reason. With --follow new events are printed as they happen, none is lost when
the connection breaks, and the command ends with ctrl-C.`,
		Example: `  headroom events --pool desktops --since 1h
  headroom events --kind server --name hr-3k5d8f2ahq7c
  headroom events -f --type session.queued,session.active -o json`,
	}
	a.filterFlags(cmd, &o, eventKind())
	cmd.Flags().Lookup("watch").Hidden = true
	cmd.Flags().BoolVarP(&o.watch, "follow", "f", false, "go on with events as they happen")
	cmd.Flags().Var(durationValue(&past), "since", "all events of this span of time, instead of the newest (for example 10m or 2d)")
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		var from time.Time
		if past > 0 {
			from = a.clock.Now().Add(-past.D())
		}
		if o.watch {
			return a.followEvents(ctx, c, o, from)
		}
		items, err := eventItems(ctx, c, o, from)
		if err != nil {
			return err
		}
		return a.printItems(eventKind(), items, o, false)
	})
	return cmd
}

// eventItems reads the newest events, or with from all that are not older.
func eventItems(ctx context.Context, c *client.Client, o getOptions, from time.Time) ([]item, error) {
	var events []fleet.Event
	var err error
	if from.IsZero() {
		events, err = latestEvents(ctx, c, o.events(), o.limit)
	} else {
		events, err = eventsSince(ctx, c, o.events(), from)
	}
	items := make([]item, len(events))
	for i := range events {
		items[i] = eventItem(&events[i])
	}
	return items, err
}

// latestEvents reads the newest n events, oldest first.
func latestEvents(ctx context.Context, c *client.Client, f client.EventFilter, n int) ([]fleet.Event, error) {
	n = max(n, 1)
	return backwards(ctx, c, f, min(n, maxPage), func(found []fleet.Event) (int, bool) {
		return max(0, len(found)-n), len(found) >= n
	})
}

// eventsSince reads every event from a moment on, oldest first.
func eventsSince(ctx context.Context, c *client.Client, f client.EventFilter, from time.Time) ([]fleet.Event, error) {
	return backwards(ctx, c, f, maxPage, func(found []fleet.Event) (int, bool) {
		i := slices.IndexFunc(found, func(e fleet.Event) bool { return !e.At.Before(from) })
		if i < 0 {
			return len(found), true
		}
		return i, i > 0
	})
}

// maxPage is the largest page of events that the API gives.
const maxPage = 1000

// backwards reads pages from the newest event on, until enough says that no
// older one is wanted, and how many of the oldest found are not either.
func backwards(ctx context.Context, c *client.Client, f client.EventFilter, limit int, enough func([]fleet.Event) (int, bool)) ([]fleet.Event, error) {
	f.Newest, f.Limit = true, limit
	var found []fleet.Event
	for {
		page, err := c.ListEvents(ctx, f)
		if err != nil {
			return nil, err
		}
		found = append(page, found...)
		if extra, done := enough(found); done || len(page) < f.Limit {
			return found[extra:], nil
		}
		if f.Before > 0 && page[0].Seq >= f.Before {
			return nil, errors.New("the controller gave the same page of events twice")
		}
		f.Before = page[0].Seq
	}
}

// followEvents prints past events and then each new one.
func (a *app) followEvents(ctx context.Context, c *client.Client, o getOptions, from time.Time) error {
	// The position is taken first and without a filter, so that nothing falls
	// between the list and the stream.
	newest, err := c.ListEvents(ctx, client.EventFilter{Newest: true, Limit: 1})
	if err != nil {
		return err
	}
	past, err := eventItems(ctx, c, o, from)
	if err != nil {
		return err
	}
	filter := o.events()
	for _, e := range newest {
		filter.After = e.Seq
	}
	v := &view{app: a, client: c, kind: eventKind(), options: o}
	if err := v.print(past); err != nil {
		return err
	}
	for _, it := range past {
		if e, ok := it.value.(*fleet.Event); ok {
			filter.After = max(filter.After, e.Seq)
		}
	}
	for e, err := range c.Stream(ctx, client.StreamOptions{Filter: filter, OnRetry: a.connectionNote}) {
		var gap *client.GapError
		if errors.As(err, &gap) {
			a.say("%s\n", oneLine(gap.Message))
			continue
		}
		if err != nil {
			return err
		}
		if err := v.print([]item{eventItem(&e)}); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	var output, stream string
	var tail int
	cmd := &cobra.Command{
		Use: "logs SERVER", GroupID: groupLook, Args: exactly("SERVER"),
		Short: "Show what a machine wrote",
		Long: `Show what is kept of the logs of a machine: its agent, its startup script, its
console and its status reports. Logs outlive the machine for a while.`,
		Example: `  headroom logs hr-3k5d8f2ahq7c
  headroom logs hr-3k5d8f2ahq7c --stream script -f`,
		ValidArgsFunction: a.completeNames(serverKind()),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with lines as they come")
	cmd.Flags().IntVar(&tail, "tail", 0, "only the last lines, this many; 0: all")
	choose(cmd, &stream, "stream", "", "all", "which log", "all", "agent", "script", "console", "status")
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		lines, err := c.ServerLogs(ctx, args[0])
		if err != nil {
			return err
		}
		wanted := func(l client.LogLine) bool { return stream == "all" || l.Stream == stream }
		shown := slices.DeleteFunc(slices.Clone(lines), func(l client.LogLine) bool { return !wanted(l) })
		if tail > 0 && len(shown) > tail {
			shown = shown[len(shown)-tail:]
		}
		if !follow && output != formatTable {
			return a.print(output, struct {
				Lines []client.LogLine `json:"lines"`
			}{append([]client.LogLine{}, shown...)}, nil)
		}
		if len(shown) == 0 && !follow {
			a.say("no logs of %s\n", args[0])
		}
		if err := a.printLog(shown, output); err != nil || !follow {
			return err
		}
		return a.followLog(ctx, c, args[0], lines, func(l []client.LogLine) error {
			return a.printLog(slices.DeleteFunc(l, func(l client.LogLine) bool { return !wanted(l) }), output)
		})
	})
	return cmd
}

// logPause is the time between two readings of a log that is followed.
const logPause = time.Second

func (a *app) followLog(ctx context.Context, c *client.Client, server string, seen []client.LogLine, show func([]client.LogLine) error) error {
	away := false
	for a.sleep(ctx, logPause) {
		lines, err := c.ServerLogs(ctx, server)
		if err != nil {
			if !transient(err) {
				return ended(ctx, err)
			}
			if !away {
				a.connectionNote(err)
			}
			away = true
			continue
		}
		if away {
			a.connectionNote(nil)
		}
		away = false
		if err := show(newLines(seen, lines)); err != nil {
			return err
		}
		seen = lines
	}
	return nil
}

// newLines are the lines that an earlier reading did not have. Old lines fall
// off at the front of a log, so lines are compared by what they say; repeated
// ones are counted.
func newLines(before, now []client.LogLine) []client.LogLine {
	had := map[client.LogLine]int{}
	for _, l := range before {
		had[l]++
	}
	var out []client.LogLine
	for _, l := range now {
		if had[l] > 0 {
			had[l]--
			continue
		}
		out = append(out, l)
	}
	return out
}

func (a *app) printLog(lines []client.LogLine, output string) error {
	if output == formatJSON {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for _, l := range lines {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]string, len(lines))
	now := a.clock.Now()
	for i, l := range lines {
		rows[i] = []string{moment(now, l.At), l.Stream, printable(l.Text)}
	}
	l := fit([]column{{title: "TIME"}, {title: "STREAM "}, {title: ""}}, rows, 0, true, false)
	return a.printRows(&l, rows, false)
}
