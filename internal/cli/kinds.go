package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// item is one object in a list.
type item struct {
	key   string // identity
	name  string // what other commands take
	pool  string // for filters that the API does not have
	value any    // what -o json shows
	cells func(now time.Time) []string
}

// filters are what the flags of get select.
type filters struct {
	labels                 []string
	pool, zone, user       string
	server, phase, state   string
	config, provider       string
	kind, name, eventTypes string
	all                    bool
	limit                  int
}

// kind is a sort of object that get, describe and delete know.
type kind struct {
	plural, singular string
	short            []string
	configured       fleet.Kind // empty: not a configured kind
	explain          string     // what the API calls it in explain; empty: it cannot
	filters          []string   // flags that apply
	columns          []column
	list             func(context.Context, *client.Client, filters) ([]item, error)
	one              func(context.Context, *client.Client, string) (item, error)
	remove           func(ctx context.Context, c *client.Client, name string, o removal) error
}

// removal are the options of delete.
type removal struct{ drain, force bool }

// kinds lists everything that get knows, in the order of the help page.
func kinds() []kind {
	return []kind{
		zoneKind(), poolKind(), vmProviderKind(), dnsProviderKind(), autoscaleKind(), scheduleKind(), stagingKind(),
		serverKind(), sessionKind(), eventKind(), tokenKind(),
	}
}

// findKind accepts plural, singular, short names and the names of manifests.
func findKind(word string) (kind, error) {
	lower := strings.ToLower(word)
	squeezed := strings.ReplaceAll(lower, "-", "")
	all := kinds()
	for _, k := range all {
		names := append([]string{
			k.plural, k.singular, strings.ReplaceAll(k.plural, "-", ""), strings.ReplaceAll(k.singular, "-", ""),
			strings.ToLower(string(k.configured)),
		}, k.short...)
		if slices.Contains(names, lower) || slices.Contains(names, squeezed) {
			return k, nil
		}
	}
	var plurals []string
	for _, k := range all {
		plurals = append(plurals, k.plural)
	}
	return kind{}, usagef("%q is no kind: use one of %s", word, strings.Join(plurals, ", "))
}

// kindTable is the part of a help page that lists the kinds.
func kindTable() string {
	var b strings.Builder
	b.WriteString("Kinds, with their other names:\n")
	rows := [][]string{}
	for _, k := range kinds() {
		rows = append(rows, []string{"  " + k.plural, strings.Join(append([]string{k.singular}, k.short...), ", ")})
	}
	l := fit([]column{{title: ""}, {title: ""}}, rows, 0, false, false)
	for _, row := range rows {
		_ = l.row(&b, row)
	}
	return strings.TrimRight(b.String(), "\n")
}

// configuredKind fills what all configured kinds share. S is the spec.
func configuredKind[S any](k kind, cells func(r *client.Resource, spec S, now time.Time) []string, pool func(S) string) kind {
	k.filters = append(k.filters, "selector")
	wrap := func(r *client.Resource) (item, error) {
		spec, err := client.SpecOf[S](r)
		if err != nil {
			return item{}, err
		}
		it := item{key: r.Meta.Name, name: r.Meta.Name, value: r, cells: func(now time.Time) []string { return cells(r, spec, now) }}
		if pool != nil {
			it.pool = pool(spec)
		}
		return it, nil
	}
	k.list = func(ctx context.Context, c *client.Client, f filters) ([]item, error) {
		resources, err := c.Resources(ctx, k.configured, f.labels)
		if err != nil {
			return nil, err
		}
		items := make([]item, 0, len(resources))
		for i := range resources {
			it, err := wrap(&resources[i])
			if err != nil {
				return nil, err
			}
			if f.pool == "" || it.pool == f.pool {
				items = append(items, it)
			}
		}
		return items, nil
	}
	k.one = func(ctx context.Context, c *client.Client, name string) (item, error) {
		r, err := c.Resource(ctx, k.configured, name)
		if err != nil {
			return item{}, err
		}
		return wrap(r)
	}
	k.remove = func(ctx context.Context, c *client.Client, name string, o removal) error {
		return c.DeleteResource(ctx, k.configured, name, client.DeleteOptions{Drain: o.drain})
	}
	return k
}

// completeKinds completes the first argument with kinds and later ones with
// the names of live objects.
func (a *app) completeKinds(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		var out []string
		for _, k := range kinds() {
			out = append(out, k.plural)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	k, err := findKind(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeNames(k)(cmd, args[1:], prefix)
}

// completionTime is how long a shell may be held up by a completion.
const completionTime = 2 * time.Second

// completeNames completes names of live objects. Completion never fails: a
// controller that cannot be reached only has no names to offer.
func (a *app) completeNames(k kind) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		c, err := a.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		items, err := k.list(ctx, c, filters{limit: 100})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, it := range items {
			if strings.HasPrefix(it.name, prefix) && !slices.Contains(args, it.name) {
				out = append(out, it.name)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes a flag with the names of a kind.
func (a *app) completeFlag(cmd *cobra.Command, flag string, k kind) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.completeNames(k)(cmd, nil, prefix)
	})
}
