// Command headroom is the controller, the agent and the command line in one
// program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules need time zones, also where the system has none

	"github.com/headroom-dev/headroom/internal/cli"
)

// version is set when the program is linked.
var version = "dev" //nolint:gochecknoglobals // the linker can set nothing else

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	streams := cli.OSStreams()
	code := cli.Main(ctx, os.Args[1:], streams, os.Getenv, cli.Commands{
		Version:  version,
		Serve:    newServe(streams, os.Getenv),
		Agent:    newAgent(streams, os.Getenv),
		Simulate: newSimulate(streams),
	})
	stop()
	os.Exit(code)
}
