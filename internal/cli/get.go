package cli

import (
	"bufio"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// getOptions are the flags of get and of the list commands.
type getOptions struct {
	filters
	output    string
	watch     bool
	noHeaders bool
}

// filterFlags adds the flags that one of the kinds understands.
func (a *app) filterFlags(cmd *cobra.Command, o *getOptions, ks ...kind) {
	f := cmd.Flags()
	has := func(name string) bool {
		return slices.ContainsFunc(ks, func(k kind) bool { return slices.Contains(k.filters, name) })
	}
	add := func(name string, target *string, usage string) {
		if has(name) {
			f.StringVar(target, name, "", usage)
		}
	}
	add("pool", &o.pool, "only of this pool")
	add("zone", &o.zone, "only of this zone")
	add("phase", &o.phase, "only servers in these phases, with commas")
	add("config", &o.config, "only servers of this autoscale config")
	add("provider", &o.provider, "only servers of this VM provider")
	add("user", &o.user, "only sessions of this user")
	add("server", &o.server, "only sessions on this server")
	add("state", &o.state, "only sessions in these states, with commas: queued, staged, active, ended")
	add("kind", &o.kind, "only events about objects of this kind")
	add("name", &o.name, "only events about the object of this name")
	add("type", &o.eventTypes, "only events of these types, with commas")
	if has("limit") {
		f.IntVar(&o.limit, "limit", 50, "the newest events, at most this many")
	}
	if has("all") {
		f.BoolVar(&o.all, "all", false, "also servers that are gone and sessions that have ended")
	}
	if has("selector") {
		f.StringSliceVarP(&o.labels, "selector", "l", nil, "only objects with these labels, as key=value or key, with commas")
	}
	f.BoolVar(&o.noHeaders, "no-headers", false, "print no header")
	f.BoolVarP(&o.watch, "watch", "w", false, "after the list, print what changes until interrupted")
	outputFlag(cmd, &o.output, formatTable, formatWide, formatJSON, formatYAML, formatName)
	for name, k := range map[string]kind{"pool": poolKind(), "zone": zoneKind(), "config": autoscaleKind(), "provider": vmProviderKind(), "server": serverKind()} {
		if has(name) {
			a.completeFlag(cmd, name, k)
		}
	}
}

func (a *app) getCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:     "get KIND [NAME...]",
		GroupID: groupLook,
		Short:   "List objects, or show some by name",
		Long: `List objects, or show some by name.

` + kindTable() + `

With -o json exactly one name gives the object itself; otherwise the objects are
in a list "items". With -o yaml each object is a document; those of configured
kinds are manifests that apply takes, without version, status and secrets.
With -o name only names are printed, for use in other commands.`,
		Example: `  headroom get servers
  headroom get servers --pool desktops --phase ready -o wide
  headroom get pool desktops -o yaml > desktops.yaml
  headroom get sessions -w
  headroom server drain $(headroom get servers --pool old -o name)`,
		Args:              atLeast("KIND"),
		ValidArgsFunction: a.completeKinds,
	}
	a.filterFlags(cmd, &o, kinds()...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, err := findKind(args[0])
		if err != nil {
			return err
		}
		names := args[1:]
		var wrong error
		for _, name := range []string{"pool", "zone", "phase", "config", "provider", "user", "server", "state", "kind", "name", "type", "limit", "all", "selector"} {
			if wrong == nil && cmd.Flags().Changed(name) {
				switch {
				case !slices.Contains(k.filters, name):
					wrong = usagef("--%s does not apply to %s", name, k.plural)
				case len(names) > 0 && k.one != nil:
					wrong = usagef("--%s does not go together with names", name)
				}
			}
		}
		if wrong != nil {
			return wrong
		}
		if k.one == nil && len(names) > 0 { // events are about a name and have none
			if len(names) > 1 || o.name != "" {
				return usagef("events of one object at a time: give one name")
			}
			o.name, names = names[0], nil
		}
		return a.with(func(ctx context.Context, c *client.Client, _ []string) error {
			return a.get(ctx, c, k, names, o)
		})(cmd, args)
	}
	return cmd
}

// listCommand is get for one kind under another command.
func (a *app) listCommand(k kind, example string) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List " + k.plural, Aliases: []string{"ls"},
		Long:    "List " + k.plural + ". The same as `headroom get " + k.plural + "`.",
		Example: example, Args: exactly(),
	}
	a.filterFlags(cmd, &o, k)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error { return a.get(ctx, c, k, nil, o) })
	return cmd
}

func (a *app) get(ctx context.Context, c *client.Client, k kind, names []string, o getOptions) error {
	if o.watch {
		return a.watch(ctx, c, k, names, o)
	}
	items, missing, err := fetch(ctx, c, k, names, o.filters)
	if err != nil {
		return err
	}
	if err := a.printItems(k, items, o, len(names) == 1); err != nil {
		return err
	}
	return a.several(missing)
}

// fetch reads the named objects, or all that the filters select. Names that do
// not exist are an error apart, so that the others can be shown.
func fetch(ctx context.Context, c *client.Client, k kind, names []string, f filters) (items []item, missing []error, err error) {
	if len(names) == 0 {
		items, err = k.list(ctx, c, f)
		return items, nil, err
	}
	for _, name := range names {
		it, err := k.one(ctx, c, name)
		switch {
		case err == nil:
			items = append(items, it)
		case fleet.CodeOf(err) == fleet.CodeNotFound:
			missing = append(missing, err)
		default:
			return nil, nil, err
		}
	}
	return items, missing, nil
}

func (a *app) printItems(k kind, items []item, o getOptions, single bool) error {
	values := make([]any, len(items))
	for i, it := range items {
		values[i] = it.value
	}
	switch o.output {
	case formatJSON:
		if single {
			if len(values) == 1 {
				return printJSON(a.out, values[0])
			}
			return nil
		}
		return printJSON(a.out, list{values})
	case formatYAML:
		for i := range values {
			values[i] = manifest(values[i])
		}
		return printYAML(a.out, values...)
	case formatName:
		w := bufio.NewWriter(a.out)
		for _, it := range items {
			_, _ = w.WriteString(it.name + "\n")
		}
		return w.Flush()
	}
	if len(items) == 0 {
		if !single {
			a.say("%s\n", nothing(k, o.filters))
		}
		return nil
	}
	rows := a.rows(items)
	l := fit(k.columns, rows, a.streams.Width, o.output == formatWide, a.color)
	return a.printRows(&l, rows, !o.noHeaders)
}

// manifest is the part of a configured object that apply takes, so that what
// get prints as YAML can be edited and applied. Other values stay as they are.
func manifest(v any) any {
	r, ok := v.(*client.Resource)
	if !ok {
		return v
	}
	return struct {
		APIVersion string     `json:"apiVersion"`
		Kind       fleet.Kind `json:"kind"`
		Metadata   fleet.Meta `json:"metadata"`
		Spec       rawJSON    `json:"spec"`
	}{r.APIVersion, r.Kind, r.Meta, r.Spec}
}

func (a *app) rows(items []item) [][]string {
	now := a.clock.Now()
	rows := make([][]string, len(items))
	for i, it := range items {
		rows[i] = it.cells(now)
	}
	return rows
}

func (a *app) printRows(l *layout, rows [][]string, header bool) error {
	w := bufio.NewWriter(a.out)
	if header {
		if err := l.header(w); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if err := l.row(w, row); err != nil {
			return err
		}
	}
	return w.Flush()
}

// nothing is what an empty list says.
func nothing(k kind, f filters) string {
	var parts []string
	add := func(format, v string) {
		if v != "" {
			parts = append(parts, strings.ReplaceAll(format, "%", v))
		}
	}
	add("in pool %", f.pool)
	add("in zone %", f.zone)
	add("in phase %", f.phase)
	add("of config %", f.config)
	add("of provider %", f.provider)
	add("of user %", f.user)
	add("on server %", f.server)
	add("in state %", f.state)
	add("about %", strings.TrimSpace(f.kind+" "+f.name))
	add("of type %", f.eventTypes)
	add("with labels %", strings.Join(f.labels, ","))
	if len(parts) == 0 {
		return "no " + k.plural
	}
	return "no " + k.plural + " " + strings.Join(parts, ", ")
}
