package cli

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// watchPause is the shortest time between two readings of a list.
const watchPause = 200 * time.Millisecond

// watch prints the list and then each object that changes. The event stream
// tells when to look again; the list says what is true.
func (a *app) watch(ctx context.Context, c *client.Client, k kind, names []string, o getOptions) error {
	if k.one == nil {
		return a.followEvents(ctx, c, o, time.Time{})
	}
	newest, err := c.ListEvents(ctx, client.EventFilter{Newest: true, Limit: 1})
	if err != nil {
		return err
	}
	var from client.EventFilter
	for _, e := range newest {
		from.After = e.Seq
	}
	v := &view{app: a, client: c, kind: k, names: names, options: o, seen: map[string]string{}}
	if err := v.refresh(ctx); err != nil {
		return ended(ctx, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wake := make(chan struct{}, 1)
	failed := make(chan error, 1)
	go func() { // ends with ctx, which the return of watch cancels
		defer close(failed)
		for _, err := range c.Stream(ctx, client.StreamOptions{Filter: from, OnRetry: a.connectionNote}) {
			var gap *client.GapError
			if err != nil && !errors.As(err, &gap) {
				failed <- err
				return
			}
			select {
			case wake <- struct{}{}:
			default: // a look is due already
			}
		}
	}()
	defer func() { // the goroutine must not outlive the call
		cancel()
		for range failed { //nolint:revive // drained until it is closed
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err, ok := <-failed:
			if !ok {
				return nil
			}
			return ended(ctx, err)
		case <-wake:
		}
		began := a.clock.Now()
		if err := v.refresh(ctx); err != nil && !transient(err) {
			return ended(ctx, err)
		}
		// Long lists are read more rarely: half of the time at most is spent on it.
		if !a.sleep(ctx, max(watchPause, a.clock.Since(began))) {
			return nil
		}
	}
}

// ended turns an error that only says that the user interrupted into success.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the interruption is the wanted end
	}
	return err
}

// transient says that the controller is only away for the moment.
func transient(err error) bool {
	var gone *client.UnreachableError
	return errors.As(err, &gone) || fleet.CodeOf(err) == fleet.CodeUnavailable
}

// connectionNote tells the user that a stream was lost, or is back.
func (a *app) connectionNote(err error) {
	if err == nil {
		a.say("connected again\n")
		return
	}
	a.say("%v; trying again\n", err)
}

// view is a list on the screen.
type view struct {
	app     *app
	client  *client.Client
	kind    kind
	names   []string
	options getOptions
	begun   bool              // the first list has been read
	header  bool              // the header has been printed
	widest  []string          // of each column the longest cell so far, so that rows stay aligned
	seen    map[string]string // key → fingerprint of what was printed
	shown   []item
}

// refresh reads the list and prints what differs from what was printed.
func (v *view) refresh(ctx context.Context) error {
	items, missing, err := fetch(ctx, v.client, v.kind, v.names, v.options.filters)
	if err != nil {
		return err
	}
	if len(missing) > 0 && !v.begun {
		return v.app.several(missing)
	}
	var changed []item
	present := map[string]bool{}
	for _, it := range items {
		present[it.key] = true
		print := v.fingerprint(it)
		if old, ok := v.seen[it.key]; !ok || old != print {
			changed = append(changed, it)
		}
		v.seen[it.key] = print
	}
	for _, it := range v.shown {
		if present[it.key] {
			continue
		}
		delete(v.seen, it.key)
		last, err := v.kind.one(ctx, v.client, it.key)
		switch {
		case err == nil: // it has left the selection, for example by being gone
			changed = append(changed, last)
		case fleet.CodeOf(err) == fleet.CodeNotFound:
			v.app.say("%s %s does not exist any more\n", v.kind.singular, it.name)
		default:
			return err
		}
	}
	v.shown = items
	return v.print(changed)
}

// fingerprint changes when something worth showing has changed.
func (v *view) fingerprint(it item) string {
	if v.options.output == formatJSON || v.options.output == formatYAML {
		text, _ := json.Marshal(it.value)
		return string(text)
	}
	cells := slices.Clone(it.cells(time.Time{}))
	for i, c := range v.kind.columns {
		if c.aged || c.wide && v.options.output != formatWide {
			cells[i] = ""
		}
	}
	text, _ := json.Marshal(cells)
	return string(text)
}

func (v *view) print(items []item) error {
	a := v.app
	begun := v.begun
	v.begun = true
	switch v.options.output {
	case formatJSON:
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for _, it := range items {
			if err := enc.Encode(it.value); err != nil {
				return err
			}
		}
		return nil
	case formatYAML:
		for _, it := range items {
			if _, err := a.out.Write([]byte("---\n")); err != nil {
				return err
			}
			if err := printYAML(a.out, manifest(it.value)); err != nil {
				return err
			}
		}
		return nil
	case formatName:
		return a.printItems(v.kind, items, v.options, true)
	}
	if len(items) == 0 {
		if !begun {
			a.say("%s yet\n", nothing(v.kind, v.options.filters))
		}
		return nil
	}
	rows := a.rows(items)
	l := v.fit(rows)
	header := !v.header && !v.options.noHeaders
	v.header = true
	return a.printRows(&l, rows, header)
}

// fit lays the rows out with columns at least as wide as before.
func (v *view) fit(rows [][]string) layout {
	if v.widest == nil {
		v.widest = make([]string, len(v.kind.columns))
	}
	for _, row := range rows {
		for i, cell := range row {
			if utf8.RuneCountInString(cell) > utf8.RuneCountInString(v.widest[i]) {
				v.widest[i] = cell
			}
		}
	}
	return fit(v.kind.columns, [][]string{v.widest}, v.app.streams.Width, v.options.output == formatWide, v.app.color)
}
