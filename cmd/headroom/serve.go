package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/app"
	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/cli"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
)

// maxManifest bounds a manifest that is applied at the start, in bytes.
const maxManifest = 8 << 20

// examplePool is the pool of examples/local.yaml.
const examplePool = "example"

func newServe(streams cli.Streams, env func(string) string) func() *cobra.Command {
	return func() *cobra.Command {
		var (
			cfg                  app.Config
			file, level, format  string
			events, srv, session string
		)
		cmd := &cobra.Command{
			Use:   "serve",
			Short: "Start a controller with its API",
			Long: `Start a controller: the loops that keep pools warm and the API for people and agents.

Every flag can also be given in a YAML file (--config) whose keys are the names
of the flags, and as HEADROOM_* in the environment (HEADROOM_DATA_DIR for
--data-dir). The command line wins over the environment, and that over the file.

At the first start an admin token is made, shown once, and kept in the data
directory as admin.token, readable by its owner only.`,
			Example: `  headroom serve
  headroom serve --data-dir /var/lib/headroom --listen :8080 --advertise-url https://headroom.example.com
  headroom serve --config /etc/headroom.yaml
  headroom serve --apply examples/local.yaml`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if file == "" {
					file = env("HEADROOM_CONFIG")
				}
				if err := fill(cmd.LocalNonPersistentFlags(), env, file, "config", "help"); err != nil {
					return err
				}
				log, err := newLogger(streams.Err, streams.ErrTTY && env("NO_COLOR") == "", streams.ErrTTY, level, format)
				if err != nil {
					return err
				}
				for _, r := range []struct {
					text string
					to   *time.Duration
				}{{events, &cfg.Retention.Events}, {srv, &cfg.Retention.Servers}, {session, &cfg.Retention.Sessions}} {
					d, err := fleet.ParseDuration(fleet.Or(r.text, "0"))
					if err != nil {
						return fleet.Errorf(fleet.CodeInvalid, "retention: %w", err)
					}
					*r.to = d.D()
				}
				if cfg.Executable, err = os.Executable(); err != nil {
					return fmt.Errorf("finding the program itself: %w", err)
				}
				cfg.Version = version
				return serve(cmd.Context(), cfg, log, streams.Err)
			},
		}
		f := cmd.Flags()
		f.StringVar(&cfg.DataDir, "data-dir", "./data", "directory of the controller's own files")
		f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "address of the API")
		f.StringVar(&cfg.DatabaseURL, "database-url", "", "sqlite:///PATH or postgres://… (default: SQLite in the data directory)")
		f.StringVar(&cfg.AdvertiseURL, "advertise-url", "", "base URL under which machines and people reach this controller (default: from --listen)")
		f.StringSliceVar(&cfg.Apply, "apply", nil, "manifest to apply after the start; repeatable")
		f.StringVar(&cfg.TLSCert, "tls-cert", "", "PEM file with the certificate; without it the API speaks plain HTTP")
		f.StringVar(&cfg.TLSKey, "tls-key", "", "PEM file with the key of the certificate")
		f.StringVar(&cfg.AgentDir, "agent-dir", "", "directory with agents for machines of other systems: headroom-linux-arm64 and so on")
		f.StringVar(&cfg.PriceTable, "price-table", "", "CSV file with prices of your own, which win over the list prices of vendors; see the guide \"Costs\"")
		f.StringVar(&events, "retain-events", "30d", "how long events are kept")
		f.StringVar(&srv, "retain-servers", "14d", "how long servers that are gone are kept")
		f.StringVar(&session, "retain-sessions", "14d", "how long sessions that have ended are kept")
		f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
		f.StringVar(&format, "log-format", "auto", "auto (text on a terminal, JSON otherwise), text or json")
		f.StringVar(&file, "config", "", "YAML file with settings; keys are the names of these flags")
		return cmd
	}
}

// serve runs a controller until ctx ends.
func serve(ctx context.Context, cfg app.Config, log *slog.Logger, to io.Writer) (err error) {
	a, err := app.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := applyAll(ctx, a, cfg.Apply, log); err != nil {
		return err
	}
	pools, err := a.Pools(ctx)
	if err != nil {
		return fmt.Errorf("listing the pools: %w", err)
	}
	greet(a, cfg, pools, to)
	return a.Run(ctx)
}

// applyAll applies the manifests of the command line as one set.
func applyAll(ctx context.Context, a *app.App, files []string, log *slog.Logger) error {
	if len(files) == 0 {
		return nil
	}
	var r service.ApplyRequest
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return fleet.Errorf(fleet.CodeInvalid, "--apply: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
		err = errors.Join(err, f.Close())
		if err != nil || len(b) > maxManifest {
			return fleet.Errorf(fleet.CodeInvalid, "--apply: %s cannot be read or is larger than %d bytes", name, maxManifest)
		}
		r.Documents = append(r.Documents, service.ApplyDocument{Source: name, Text: string(b)})
	}
	out, err := a.Service().Apply(ctx, auth.Principal{TokenID: "serve", Name: "serve --apply", Role: fleet.RoleAdmin}, r)
	if err != nil {
		return err
	}
	changed := 0
	for _, c := range out.Changes {
		if c.Action != service.ActionUnchanged {
			changed++
		}
	}
	log.InfoContext(ctx, "applied the manifests", "files", strings.Join(files, ", "), "objects", len(out.Changes), "changed", changed)
	return nil
}

// greet tells the person who started the controller how to go on.
func greet(a *app.App, cfg app.Config, pools []string, to io.Writer) {
	token, first := a.AdminToken()
	dir := cfg.DataDir
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && !strings.HasPrefix(rel, "..") {
			dir = "./" + rel
		}
	}
	self := "headroom"
	if len(os.Args) > 0 && strings.Contains(os.Args[0], "/") {
		self = os.Args[0]
	}
	flag := ""
	if dir != "./data" {
		flag = " --data-dir " + dir
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nHeadroom %s serves on %s\n", version, a.URL())
	switch {
	case first:
		fmt.Fprintf(&b, "Admin token, shown this once and kept in %s/admin.token:\n  %s\n", dir, token)
	case token != "":
		fmt.Fprintf(&b, "The admin token is in %s/admin.token\n", dir)
	}
	fmt.Fprintf(&b, "\nTry in another shell, in this directory:\n")
	for _, c := range [][2]string{
		{"get servers", "the machines and what they are doing"},
		{"plan", "what would be done now, and why nothing else"},
		firstUse(pools),
		{"events -f", "watch every decision"},
	} {
		fmt.Fprintf(&b, "  %-70s # %s\n", self+" "+c[0]+flag, c[1])
	}
	fmt.Fprintf(&b, "API reference: %s/docs\n\n", a.URL())
	_, _ = io.WriteString(to, b.String())
}

// firstUse is the command, with its purpose, that makes something happen: a
// session in a pool that exists, else the making of a pool.
func firstUse(pools []string) [2]string {
	if len(pools) == 0 {
		return [2]string{"apply -f FILE", "describe a first pool; the folder examples has some"}
	}
	pool := pools[0]
	if slices.Contains(pools, examplePool) {
		pool = examplePool
	}
	return [2]string{"session create --pool " + pool + " --cores 2 --memory 2Gi", "take capacity"}
}

// newLogger logs text on a terminal and JSON otherwise.
func newLogger(to io.Writer, color, tty bool, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "--log-level %q is not known: use debug, info, warn or error", level)
	}
	switch {
	case format == "text" || (format == "auto" && tty):
		return slog.New(tint.NewTextHandler(to, &tint.Options{Level: l, TimeFormat: time.TimeOnly, NoColor: !color})), nil
	case format == "json" || format == "auto":
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: l})), nil
	}
	return nil, fleet.Errorf(fleet.CodeInvalid, "--log-format %q is not known: use auto, text or json", format)
}
