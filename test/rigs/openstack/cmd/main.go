// Command cmd starts and stops the OpenStack rig: `up` and `down`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/headroom-dev/headroom/test/rigs/openstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	say := func(text string) { fmt.Fprintf(os.Stderr, "[%3.0f s] %s\n", time.Since(began).Seconds(), text) }
	if err := run(ctx, say); err != nil {
		fmt.Fprintln(os.Stderr, "OpenStack rig:", err)
		os.Exit(1) //nolint:forbidigo // the process ends here
	}
}

func run(ctx context.Context, say func(string)) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s up | down", os.Args[0])
	}
	switch os.Args[1] {
	case "up":
		r, err := openstack.Up(ctx, say)
		if err == nil {
			say("OpenStack is up; keystone listens at " + r.IdentityURL() + ", its data are in " + r.Dir)
		}
		return err
	case "down":
		return openstack.Down(say)
	}
	return fmt.Errorf("%q is neither up nor down", os.Args[1])
}
