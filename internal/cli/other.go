package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
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
