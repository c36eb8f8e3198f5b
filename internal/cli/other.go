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

func (a *app) versionCommand() *cobra.Command {
	var output string
	var clientOnly bool
	cmd := &cobra.Command{
		Use: "version", GroupID: groupOther, Args: exactly(), Short: "Show the versions of this program and of the controller",
		Long: `Show the versions of this program and of the controller. A controller that cannot
be reached is no error here.`,
		Example: "  headroom version\n  headroom version --client -o json",
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask the controller")
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		var v struct {
			Client string              `json:"client"`
			Server *client.VersionInfo `json:"server,omitempty"`
			URL    string              `json:"url,omitempty"`
		}
		v.Client = a.version
		var trouble error
		if !clientOnly {
			v.URL = c.URL()
			v.Server, trouble = c.Version(ctx)
		}
		err := a.print(output, v, func() error {
			text := "client  " + v.Client + "\n"
			if v.Server != nil {
				text += fmt.Sprintf("server  %s (%s)\n", oneLine(v.Server.Version), v.URL)
			}
			_, err := fmt.Fprint(a.out, text)
			return err
		})
		if trouble != nil {
			a.say("server: %s\n", oneLine(trouble.Error()))
		}
		return err
	})
	return cmd
}

func (a *app) whoamiCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "whoami", GroupID: groupOther, Args: exactly(), Short: "Show which token is in use and what it may do",
		Long: "Show which token is in use, where it was found and what it may do.", Example: "  headroom whoami",
	}
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		t, err := c.WhoAmI(ctx)
		if err != nil {
			return err
		}
		return a.print(output, t, func() error {
			var d block
			d.add("Name", t.Name)
			d.add("Id", t.ID)
			d.add("Role", string(t.Role))
			d.add("Pool", t.Pool)
			d.add("Controller", c.URL())
			d.add("Token from", a.conn.tokenFrom)
			_, err := fmt.Fprint(a.out, d.String())
			return err
		})
	})
	return cmd
}

func (a *app) providerCommand() *cobra.Command {
	return group("provider", "Look at clouds and check their configs", "", groupConfig, a.providerKinds(), a.providerCheck())
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
	cmd := &cobra.Command{
		Use: "check NAME", Args: exactly("NAME"), Short: "Check credentials, permissions and references of a VM provider",
		Long: `Check credentials, permissions and references of a VM provider config. Nothing is
created. The exit code is 1 when a finding has failed.`,
		Example: "  headroom provider check aws-frankfurt", ValidArgsFunction: a.completeNames(vmProviderKind()),
	}
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		p := a.progress()
		p.show("checking %s", args[0])
		report, err := c.CheckProvider(ctx, args[0])
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
			err = fmt.Errorf("%s of %s failed", count(failed, "check"), args[0])
		}
		return err
	})
	return cmd
}
