package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func roles() []string {
	return []string{string(fleet.RoleAdmin), string(fleet.RoleOperator), string(fleet.RoleSession), string(fleet.RoleViewer), string(fleet.RoleJoin)}
}

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Make and revoke API tokens", `API tokens let people, programs and machines speak to the controller. Roles:

  admin     everything
  operator  read all; drain, delete and retry servers; sessions
  session   take, renew and end its own sessions, of one pool if so limited
  viewer    read all
  join      register fixed machines that run the agent, in one pool`, groupConfig,
		a.tokenCreate(), a.tokenRevoke(),
		a.listCommand(tokenKind(), "  headroom token list"))
}

func (a *app) tokenCreate() *cobra.Command {
	var in client.TokenRequest
	var role, output string
	var quiet bool
	cmd := &cobra.Command{
		Use: "create --name NAME --role ROLE", Args: exactly(), Short: "Make a token",
		Long: "Make a token. It is shown once and cannot be read again; only a hash is kept.",
		Example: `  headroom token create --name ci --role session --pool builds --ttl 30d
  export HEADROOM_TOKEN=$(headroom token create --name me --role operator -q)`,
	}
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "what the token is for (required)")
	choose(cmd, &role, "role", "", "", "what it may do (required)", roles()...)
	f.StringVar(&in.Pool, "pool", "", "only for this pool (roles session and join)")
	f.Var(durationValue(&in.TTL), "ttl", "life time, for example 30d; without it the token lives until it is revoked")
	f.BoolVarP(&quiet, "quiet", "q", false, "print the token alone, like -o name")
	outputFlag(cmd, &output, formatTable, formatJSON, formatYAML, formatName)
	a.completeFlag(cmd, "pool", poolKind())
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		switch {
		case in.Name == "":
			return usagef("--name is missing: say what the token is for")
		case role == "":
			return usagef("--role is missing: use one of %s", strings.Join(roles(), ", "))
		}
		in.Role = fleet.Role(role)
		t, err := c.CreateToken(ctx, in)
		if err != nil {
			return err
		}
		if quiet || output == formatName {
			_, err = fmt.Fprintln(a.out, t.Token)
		} else {
			err = a.print(output, t, func() error {
				var b block
				b.add("Name", t.Name)
				b.add("Id", t.ID)
				b.add("Role", string(t.Role))
				b.add("Pool", t.Pool)
				if t.ExpiresAt != nil {
					b.add("Expires", t.ExpiresAt.In(a.clock.Now().Location()).Format("2006-01-02 15:04:05 MST"))
				}
				b.add("Token", t.Token)
				_, err := fmt.Fprint(a.out, b.String())
				return err
			})
		}
		if err != nil {
			return err
		}
		a.say("The token is shown this once; keep it now.\n")
		return nil
	})
	return cmd
}

func (a *app) tokenRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID...", Short: "Make tokens invalid", Args: atLeast("ID"),
		Long: "Make tokens invalid at once. A token is named by its id or by its name.", Example: "  headroom token revoke ci",
		ValidArgsFunction: a.completeNames(tokenKind()),
	}
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		return a.each(ctx, args, func(name string) error {
			if err := tokenKind().remove(ctx, c, name, removal{}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.out, "token/%s revoked\n", name)
			return err
		})
	})
	return cmd
}
