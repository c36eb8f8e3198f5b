package main

import (
	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/agent"
	"github.com/headroom-dev/headroom/internal/cli"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func newAgent(streams cli.Streams, env func(string) string) func() *cobra.Command {
	return func() *cobra.Command {
		var (
			cfg                 agent.Config
			file, cores, memory string
			gpus                int64
			level, format       string
		)
		cmd := &cobra.Command{
			Use:   "agent",
			Short: "Run the agent of one machine",
			Long: `Run the agent of one machine: it registers with its token, reports what the
machine offers and that it lives, and follows the controller's orders.

Machines that Headroom makes start it by themselves. A machine of your own joins
a pool with a token of role join: headroom token create --role join --pool POOL.
The token is read from a file, so that it is in no process list.`,
			Example: `  headroom agent --url https://headroom.example.com --token-file join.token --state-dir /var/lib/headroom-agent
  headroom agent --config /etc/headroom-agent.json`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) (err error) {
				if file == "" {
					if err := fill(cmd.LocalNonPersistentFlags(), env, "", "config", "help", "log-level", "log-format"); err != nil {
						return err
					}
				} else if cfg, err = agent.LoadConfig(file); err != nil {
					return err
				}
				if cores != "" {
					if cfg.Cores, err = fleet.ParseCores(cores); err != nil {
						return fleet.Errorf(fleet.CodeInvalid, "--cores: %w", err)
					}
				}
				if memory != "" {
					if cfg.Memory, err = fleet.ParseMemory(memory); err != nil {
						return fleet.Errorf(fleet.CodeInvalid, "--memory: %w", err)
					}
				}
				if cmd.Flags().Changed("gpus") {
					cfg.GPUs = &gpus
				}
				if cfg.Logger, err = newLogger(streams.Err, streams.ErrTTY && env("NO_COLOR") == "", streams.ErrTTY, level, format); err != nil {
					return err
				}
				cfg.Version, cfg.FromFlags = version, file == ""
				return agent.Run(cmd.Context(), cfg)
			},
		}
		f := cmd.Flags()
		f.StringVar(&cfg.URL, "url", "", "base URL of the controller")
		f.StringVar(&cfg.TokenFile, "token-file", "", "file that holds the registration or join token")
		f.StringVar(&cfg.StateDir, "state-dir", "", "directory for the agent's identity")
		f.StringVar(&cfg.CAFile, "ca-file", "", "PEM certificates to trust besides those of the system")
		f.StringVar(&cores, "cores", "", "cores to offer (default: what is found)")
		f.StringVar(&memory, "memory", "", "memory to offer, for example 8Gi (default: what is found)")
		f.Int64Var(&gpus, "gpus", 0, "GPUs to offer (default: what is found)")
		f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
		f.StringVar(&format, "log-format", "text", "auto, text or json")
		f.StringVar(&file, "config", "", "JSON file with all settings, instead of the flags")
		return cmd
	}
}
