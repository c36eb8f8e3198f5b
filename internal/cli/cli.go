// Package cli is the command line of Headroom for people and scripts. It
// speaks to a controller over HTTP and nothing else; the commands that start a
// controller or an agent are handed in by the program that composes it all.
//
// What a command prints as its result goes to standard output; explanations,
// progress and errors go to standard error. Exit codes are part of the contract:
// see [Main].
package cli

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/client"
)

// Streams are where the command line reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	InTTY    bool // In is a terminal
	OutTTY   bool // Out is a terminal: tables are fitted and may be coloured
	ErrTTY   bool // Err is a terminal: progress is shown there
	Width    int  // columns of the terminal behind Out; 0: unlimited
}

// OSStreams are the standard streams of the process.
func OSStreams() Streams {
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	s := Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: tty(os.Stdin), OutTTY: tty(os.Stdout), ErrTTY: tty(os.Stderr),
	}
	if s.OutTTY {
		s.Width, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	return s
}

// Commands are what the composing program adds.
type Commands struct {
	Version string // of this build; empty: dev
	Serve   func() *cobra.Command
	Agent   func() *cobra.Command
	// Simulate gets the way to the controller that the common flags describe.
	Simulate func(connect func() (*client.Client, error)) *cobra.Command
	// Clock is for tests; nil: the real one. Moments are shown in its location.
	Clock clock.WithTickerAndDelayedExecution
}

// The exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitQueued      = 4 // still queued, or the time for waiting is over
	ExitRefused     = 5 // conflict, in use, forbidden
	ExitUnreachable = 6 // no connection, or no valid credential
	ExitInvalid     = 7 // the input is wrong
	ExitDiff        = 8 // diff found changes
)

// Main runs one command line, without the name of the program, and returns the
// exit code of the process. It returns when ctx ends.
func Main(ctx context.Context, args []string, streams Streams, env func(string) string, commands Commands) int {
	a := &app{streams: streams, out: streams.Out, err: streams.Err, env: env, version: commands.Version, clock: commands.Clock}
	if a.version == "" {
		a.version = "dev"
	}
	if a.clock == nil {
		a.clock = clock.RealClock{}
	}
	a.color = streams.OutTTY && env("NO_COLOR") == "" && env("TERM") != "dumb"
	root := a.root(commands)
	root.SetArgs(append([]string{}, args...))
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(ctx, cmd, err)
}

// app is what all commands of one invocation share.
type app struct {
	streams  Streams
	out, err io.Writer
	env      func(string) string
	version  string
	clock    clock.WithTickerAndDelayedExecution
	color    bool
	conn     connection
	started  bool // a command has begun: an error after that is no usage error
}

const rootLong = `Headroom keeps warm capacity of machines on any cloud.

"headroom serve" starts a controller; the other commands talk to one.
They find it by --url and --token, by HEADROOM_URL and HEADROOM_TOKEN, or by the
files server.url and admin.token in the controller's data directory.

Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  the named thing does not exist
  4  the session is queued, or the time for waiting is over
  5  refused: conflict, still in use, or not allowed
  6  the controller cannot be reached, or does not accept the token
  7  the input is wrong
  8  diff found changes`

func (a *app) root(commands Commands) *cobra.Command {
	root := &cobra.Command{
		Use:               "headroom",
		Short:             "Keep warm capacity of machines on any cloud",
		Long:              rootLong,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Version:           a.version,
	}
	root.SetVersionTemplate("headroom {{.Version}}\n")
	if commands.Serve != nil || commands.Agent != nil {
		root.AddGroup(&cobra.Group{ID: groupRun, Title: "Run:"})
	}
	root.AddGroup(
		&cobra.Group{ID: groupConfig, Title: "Configure:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupUse, Title: "Use:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{message: err.Error()} })
	a.conn.flags(root)
	for _, make := range []func() *cobra.Command{commands.Serve, commands.Agent} {
		if make == nil {
			continue
		}
		cmd := make()
		cmd.GroupID = groupRun
		hideInherited(cmd)
		root.AddCommand(cmd)
	}
	if commands.Simulate != nil {
		cmd := commands.Simulate(a.client)
		cmd.GroupID = groupLook
		root.AddCommand(cmd)
	}
	root.AddCommand(
		a.applyCommand(), a.diffCommand(), a.deleteCommand(), a.providerCommand(), a.scriptCommand(), a.tokenCommand(),
		a.getCommand(), a.describeCommand(), a.planCommand(), a.costCommand(), a.explainCommand(), a.eventsCommand(), a.logsCommand(),
		a.sessionCommand(), a.serverCommand(),
		a.versionCommand(), a.whoamiCommand(), a.docsCommand(),
	)
	a.watchStart(root)
	return root
}

// The groups of the help page.
const (
	groupRun    = "run"
	groupConfig = "config"
	groupLook   = "look"
	groupUse    = "use"
	groupOther  = "other"
)

// watchStart notes when a command begins its work.
func (a *app) watchStart(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.watchStart(sub)
	}
}

// hideInherited keeps the connection flags out of the help of commands that do
// not use them.
func hideInherited(cmd *cobra.Command) {
	const section = `{{if .HasAvailableInheritedFlags}}

Global Flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}`
	cmd.SetUsageTemplate(strings.Replace(cmd.UsageTemplate(), section, "", 1))
}

// group is a command that only holds others.
func group(use, short, long, groupID string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, GroupID: groupID,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			message := `unknown command "` + args[0] + `" for "` + cmd.CommandPath() + `"`
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				message += ": did you mean " + strings.Join(near, " or ") + "?"
			}
			return &usageError{message: message}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(subs...)
	return cmd
}
