package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func (a *app) serverCommand() *cobra.Command {
	return group("server", "Drain, retry, delete and register machines", "", groupUse,
		a.serverDrain(), a.serverUndrain(), a.serverRetry(), a.serverDelete(), a.serverForget(), a.serverRegister(), a.serverPassword(),
		a.listCommand(serverKind(), "  headroom server list --pool desktops --phase ready"),
		a.oneCommand(serverKind(), "NAME", "  headroom server get hr-3k5d8f2ahq7c -o yaml"))
}

// eachServer is a command that does one thing to each named server.
func (a *app) eachServer(cmd *cobra.Command, word string, do func(ctx context.Context, c *client.Client, name string) error, wait *fleet.Duration) *cobra.Command {
	cmd.Args = atLeast("NAME")
	cmd.ValidArgsFunction = a.completeNames(serverKind())
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		var done []target
		failed := a.each(ctx, args, func(name string) error {
			if err := do(ctx, c, name); err != nil {
				return err
			}
			done = append(done, target{kind: serverKind(), name: name})
			_, err := fmt.Fprintf(a.out, "server/%s %s\n", name, word)
			return err
		})
		if wait != nil && *wait > 0 {
			if err := a.awaitGone(ctx, c, done, wait.D()); failed == nil {
				failed = err
			}
		}
		return failed
	})
	return cmd
}

func (a *app) serverDrain() *cobra.Command {
	var deadline, wait fleet.Duration
	cmd := &cobra.Command{
		Use: "drain NAME...", Short: "Take machines out of service and delete them when they are empty",
		Long: `Take machines out of service: no new session is placed on them, and they are
deleted when their last session has ended. Sessions that still live at the
deadline are ended. Draining again with --deadline sets a new one; without it
the deadline of the first drain stays.`,
		Example: `  headroom server drain hr-3k5d8f2ahq7c
  headroom server drain hr-3k5d8f2ahq7c --deadline 2h --wait=3h`,
	}
	cmd.Flags().Var(durationValue(&deadline), "deadline", "end the sessions that remain after this time; without it there is none")
	waitFlag(cmd, &wait, "wait until the machines are gone, at most this long ("+waitForGone+" when no time is given)")
	return a.eachServer(cmd, "draining", func(ctx context.Context, c *client.Client, name string) error {
		return c.DrainServer(ctx, name, deadline.D())
	}, &wait)
}

func (a *app) serverUndrain() *cobra.Command {
	return a.eachServer(&cobra.Command{
		Use: "undrain NAME...", Short: "Take draining machines back into service",
		Long:    "Take machines that are draining back into service. Machines in any other phase\nare refused.",
		Example: "  headroom server undrain hr-3k5d8f2ahq7c",
	}, "back in service", func(ctx context.Context, c *client.Client, name string) error {
		s, err := c.Server(ctx, name)
		if err != nil {
			return err
		}
		if s.Phase != fleet.PhaseDraining && s.Phase != fleet.PhaseReady {
			return fleet.Errorf(fleet.CodeConflict, "server %s is %s, not draining: it cannot be taken back into service", name, s.Phase)
		}
		return c.RetryServer(ctx, name)
	}, nil)
}

func (a *app) serverRetry() *cobra.Command {
	return a.eachServer(&cobra.Command{
		Use: "retry NAME...", Short: "Try again now what failed with a machine",
		Long: `Try again now what failed with a machine, instead of after the pause that grows
with each failure. Draining machines go back into service.`,
		Example: "  headroom server retry hr-3k5d8f2ahq7c",
	}, "retried", func(ctx context.Context, c *client.Client, name string) error {
		return c.RetryServer(ctx, name)
	}, nil)
}

func (a *app) serverDelete() *cobra.Command {
	var force bool
	var wait fleet.Duration
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete machines now",
		Long: `Delete machines now, with everything that was made for them in the cloud. A
machine with live sessions is refused; with --force its sessions end.`,
		Example: "  headroom server delete hr-3k5d8f2ahq7c --wait",
	}
	cmd.Flags().BoolVar(&force, "force", false, "also with live sessions: they end")
	waitFlag(cmd, &wait, "wait until the machines are gone, at most this long ("+waitForGone+" when no time is given)")
	return a.eachServer(cmd, "deleting", func(ctx context.Context, c *client.Client, name string) error {
		return c.DeleteServer(ctx, name, force)
	}, &wait)
}

func (a *app) serverForget() *cobra.Command {
	return a.eachServer(&cobra.Command{
		Use: "forget NAME...", Short: "Let go of machines that cannot be deleted",
		Long: `Let go of servers that are being deleted and whose machines the cloud does not
delete, as when somebody has taken a machine over and removed its marks, or when
nobody has the credentials any more. The servers are gone and no longer count;
what is left in the cloud is yours. A machine that still bears the marks of its
server is swept as an orphan. Each is an event. Only the role admin may.`,
		Example: "  headroom server forget hr-3k5d8f2ahq7c",
	}, "forgotten", func(ctx context.Context, c *client.Client, name string) error {
		return c.ForgetServer(ctx, name)
	}, nil)
}

func (a *app) serverPassword() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "password NAME", Args: exactly("NAME"), ValidArgsFunction: a.completeNames(serverKind()),
		Short: "Show the password of a Windows machine's administrator",
		Long: `Show the password that the cloud made for a Windows machine's administrator. It
is asked for in the cloud each time and stored nowhere; each reading is an event.
Only the role admin may.`,
		Example: "  headroom server password hr-3k5d8f2ahq7c",
	}
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		login, err := c.ServerPassword(ctx, args[0])
		if err != nil {
			return err
		}
		return a.print(output, login, func() error {
			_, err := fmt.Fprintf(a.out, "user      %s\npassword  %s\n", login.User, login.Password)
			return err
		})
	})
	return cmd
}

func (a *app) serverRegister() *cobra.Command {
	var in client.ServerInput
	var memory fleet.Memory
	var output string
	cmd := &cobra.Command{
		Use: "register --pool POOL --address ADDRESS", Args: exactly(),
		Short: "Add a fixed machine that runs no agent",
		Long: `Add a machine that exists already and runs no agent. Machines that can run one
join by themselves: ` + "`headroom token create --role join --pool POOL`" + ` and then
"headroom agent" on the machine.`,
		Example: `  headroom server register --pool desktops --zone default --name rack-1 --address 10.0.0.7 --cores 16 --memory 64Gi
  headroom server register --pool windows --zone default --address 10.0.0.8 --places 4 --max-users 4`,
	}
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "name of the machine; without it one is made")
	f.StringVar(&in.Pool, "pool", "", "pool that the machine belongs to (required)")
	f.StringVar(&in.Zone, "zone", "", "zone that the machine stands in")
	f.StringSliceVar(&in.Addresses, "address", nil, "address at which sessions reach it (required, repeatable)")
	f.Var(coresValue(&in.Capacity.Cores), "cores", "CPU cores that it offers")
	f.Var(memoryValue(&memory), "memory", "memory that it offers")
	f.Int64Var(&in.Capacity.GPUs, "gpus", 0, "GPUs that it offers")
	f.Int64Var(&in.Capacity.Places, "places", 0, "session places that it offers, in server pools")
	f.Int64Var(&in.MaxUsers, "max-users", 0, "different users at once; 0: no limit")
	outputFlag(cmd, &output, formatTable, formatWide, formatJSON, formatYAML, formatName)
	a.completeFlag(cmd, "pool", poolKind())
	a.completeFlag(cmd, "zone", zoneKind())
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		switch {
		case in.Pool == "":
			return usagef("--pool is missing: name the pool that the machine belongs to")
		case len(in.Addresses) == 0:
			return usagef("--address is missing: say where sessions reach the machine")
		}
		in.Capacity.MemoryMiB = int64(memory)
		s, err := c.RegisterServer(ctx, in)
		if err != nil {
			return err
		}
		it := item{key: s.ID, name: s.Name, value: s, cells: func(now time.Time) []string { return serverCells(s, now) }}
		return a.printItems(serverKind(), []item{it}, getOptions{output: output}, true)
	})
	return cmd
}
