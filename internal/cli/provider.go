package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func (a *app) providerCommand() *cobra.Command {
	return group("provider", "Look at clouds and check their configs", "", groupConfig, a.providerKinds(),
		a.providerCheck(), a.providerRender(), a.providerCatalog(), a.providerPrice())
}

func (a *app) providerKinds() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use: "kinds [NAME]", Short: "List the kinds of clouds that the controller knows",
		Long:    "List the kinds of clouds that the controller knows. With -o json or yaml the\nschema of their settings is included.",
		Example: "  headroom provider kinds\n  headroom provider kinds local -o yaml", Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "print no header")
	outputFlag(cmd, &o.output, formatTable, formatJSON, formatYAML, formatName)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		found, err := c.ProviderKinds(ctx)
		if err != nil {
			return err
		}
		k := kind{plural: "provider kinds", columns: []column{
			{title: "NAME"}, {title: "TITLE", drop: 1}, {title: "VM"}, {title: "ABOUT", flex: true},
		}}
		var items []item
		for _, p := range found {
			if len(args) == 1 && args[0] != p.Name {
				continue
			}
			items = append(items, item{name: p.Name, value: p, cells: func(_ time.Time) []string {
				return []string{p.Name, dash(p.Title), yes(p.VM), dash(p.About)}
			}})
		}
		if len(args) == 1 && len(items) == 0 {
			return fleet.Errorf(fleet.CodeNotFound, "provider kind %q is not known: `headroom provider kinds` lists all", args[0])
		}
		return a.printItems(k, items, o, len(args) == 1)
	})
	return cmd
}

func (a *app) providerCheck() *cobra.Command {
	var output string
	return a.draftCommand(&output, &cobra.Command{
		Use: "check", Short: "Check credentials, permissions and references of a VM provider",
		Long: `Check credentials, permissions and references of a VM provider config. Nothing is
created. The exit code is 1 when a finding has failed.`,
		Example: "  headroom provider check frankfurt\n  headroom provider check -f providers.yaml frankfurt",
	}, func(ctx context.Context, c *client.Client, d client.Draft) error {
		p := a.progress()
		p.show("checking %s", d.Title())
		report, err := c.CheckProvider(ctx, d)
		p.clear()
		if err != nil {
			return err
		}
		failed := 0
		var b strings.Builder
		for _, f := range report.Findings {
			if f.Verdict == "failed" {
				failed++
			}
			verdict := f.Verdict
			if a.color {
				verdict = stateColor(verdict)
			}
			fmt.Fprintf(&b, "%s%s %s", verdict, strings.Repeat(" ", max(0, 7-len(f.Verdict))), oneLine(f.Subject))
			if f.Message != "" {
				b.WriteString(": " + oneLine(f.Message))
			}
			b.WriteString("\n")
			if f.Remedy != "" {
				fmt.Fprintf(&b, "        %s\n", oneLine(f.Remedy))
			}
		}
		err = a.print(output, report, func() error {
			_, err := fmt.Fprint(a.out, b.String())
			return err
		})
		if err == nil && failed > 0 {
			err = fmt.Errorf("%s of %s failed", count(failed, "check"), d.Title())
		}
		return err
	})
}

const draftLong = `With -f the config is read from manifests that need not have been applied; NAME is
needed when they hold several. Secrets that the manifest leaves out are taken
from the stored config of that name.`

// draftFlags are the files of a config that need not have been applied.
type draftFlags struct {
	files     []string
	recursive bool
}

func (f *draftFlags) add(cmd *cobra.Command) { manifestFlags(cmd, &f.files, &f.recursive) }

// draft is the config that flags and arguments name.
func (a *app) draft(f draftFlags, args []string) (client.Draft, error) {
	var d client.Draft
	if len(args) > 0 {
		d.Name = args[0]
	}
	if len(f.files) == 0 {
		if d.Name == "" {
			return d, usagef("NAME is missing: name a VM provider, or give manifests with -f")
		}
		return d, nil
	}
	docs, err := a.documents(f.files, f.recursive)
	d.Documents = docs
	return d, err
}

// draftCommand completes a command about a config that is stored, or that
// manifests hold: its arguments, its flags, and how it finds the config.
func (a *app) draftCommand(output *string, cmd *cobra.Command, run func(context.Context, *client.Client, client.Draft) error) *cobra.Command {
	var files draftFlags
	cmd.Use += " NAME | -f FILE"
	cmd.Long += "\n\n" + draftLong
	cmd.Args, cmd.ValidArgsFunction = cobra.MaximumNArgs(1), a.completeNames(vmProviderKind())
	files.add(cmd)
	outputFlag(cmd, output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		d, err := a.draft(files, args)
		if err != nil {
			return err
		}
		return run(ctx, c, d)
	})
	return cmd
}

func (a *app) providerRender() *cobra.Command {
	var output string
	return a.draftCommand(&output, &cobra.Command{
		Use: "render", Short: "Show the requests by which a machine would be made",
		Long: `Show the requests that would be sent to make one machine, with everything that
config_override changes in them. Names and ids stand for those of a machine;
secrets are masked. Nothing is created.`,
		Example: "  headroom provider render frankfurt\n  headroom provider render -f providers.yaml -o json",
	}, func(ctx context.Context, c *client.Client, d client.Draft) error {
		calls, err := c.RenderProvider(ctx, d)
		if err != nil {
			return err
		}
		return a.print(output, calls, func() error {
			for i, call := range calls {
				if i > 0 {
					fmt.Fprintln(a.out)
				}
				fmt.Fprintln(a.out, oneLine(call.Call))
				if len(call.Body) == 0 {
					continue
				}
				text, err := json.MarshalIndent(call.Body, "", "  ")
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(a.out, "%s\n", text); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (a *app) providerCatalog() *cobra.Command {
	var output, setting string
	cmd := a.draftCommand(&output, &cobra.Command{
		Use: "catalog", Short: "List what a cloud offers for the settings of a VM provider",
		Long: `List what the cloud offers now for the settings of a VM provider config: images,
sizes, networks and so on, as far as the cloud can tell.`,
		Example: "  headroom provider catalog frankfurt --setting image\n  headroom provider catalog -f providers.yaml -o json",
	}, func(ctx context.Context, c *client.Client, d client.Draft) error {
		all, err := c.Catalog(ctx, d, setting)
		if err != nil {
			return err
		}
		return a.print(output, all, func() error { return a.printCatalog(all) })
	})
	cmd.Flags().StringVar(&setting, "setting", "", "only the choices of this setting")
	return cmd
}

func (a *app) printCatalog(all []client.Lookup) error {
	k := kind{plural: "choices", columns: []column{{title: "SETTING"}, {title: "VALUE", flex: true}, {title: "PRICE/H", drop: 3}, {title: "LABEL", drop: 2, flex: true}, {title: "ABOUT", drop: 1, flex: true}}}
	var items []item
	for _, l := range all {
		if l.Error != "" {
			a.say("%s: %s\n", l.Setting, oneLine(l.Error))
		}
		for _, c := range l.Choices {
			items = append(items, item{name: c.Value, value: c, cells: func(time.Time) []string {
				price := ""
				if c.Price != nil {
					price = eachPrice(*c.Price)
				}
				return []string{l.Setting, c.Value, dash(price), dash(c.Label), dash(c.Description)}
			}})
		}
	}
	return a.printItems(k, items, getOptions{}, false)
}

func (a *app) scriptCommand() *cobra.Command {
	return group("script", "Look at startup scripts", "", groupConfig, a.scriptRender(), a.scriptVariables())
}

func (a *app) scriptRender() *cobra.Command {
	var output string
	return a.draftCommand(&output, &cobra.Command{
		Use: "render", Short: "Show the startup script of a VM provider with sample values",
		Long: `Show the startup script of a VM provider config as a machine would get it, with
sample values; secrets are masked. Warnings and how the script reaches the machine
go to standard error, so that the script itself can be piped.`,
		Example: "  headroom script render frankfurt\n  headroom script render -f providers.yaml | shellcheck -",
	}, func(ctx context.Context, c *client.Client, d client.Draft) error {
		p, err := c.RenderScript(ctx, d)
		if err != nil {
			return err
		}
		return a.print(output, p, func() error {
			if _, err := fmt.Fprint(a.out, p.Script); err != nil {
				return err
			}
			for _, w := range p.Problems {
				a.say("warning: line %d, column %d: %s\n", w.Line, w.Column, oneLine(w.Message))
			}
			limit := ""
			if p.Limit > 0 {
				limit = fmt.Sprintf(" (its channel carries %d)", p.Limit)
			}
			a.say("delivery: %s%s\n", oneLine(p.Delivery), limit)
			if p.Agent {
				a.say("agent: installed besides, on machines of docker_agent pools\n")
			}
			return nil
		})
	})
}

func (a *app) scriptVariables() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use: "variables", Args: exactly(), Short: "List the variables of startup scripts",
		Long:    "List what a startup script can have filled in by naming it in braces. {{ and }}\nare braces themselves.",
		Example: "  headroom script variables",
	}
	outputFlag(cmd, &o.output, formatTable, formatJSON, formatYAML, formatName)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		all, err := c.ScriptVariables(ctx)
		if err != nil {
			return err
		}
		k := kind{plural: "variables", columns: []column{{title: "NAME"}, {title: "SECRET", drop: 1}, {title: "ABOUT", flex: true}}}
		var items []item
		for _, v := range all {
			items = append(items, item{name: v.Name, value: v, cells: func(time.Time) []string { return []string{"{" + v.Name + "}", yes(v.Secret), v.About} }})
		}
		return a.printItems(k, items, o, false)
	})
	return cmd
}
