package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/test/rigs/kube/internal/rigdir"
)

const patience = 10 * time.Second

func down(args []string) error {
	var purge bool
	r, err := open(args, func(f *flag.FlagSet) { f.BoolVar(&purge, "purge", false, "remove the directory with what it holds") })
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Backward(rigdir.Processes) {
		errs = append(errs, r.dir.Stop(name, patience))
	}
	if err := errors.Join(errs...); err != nil || !purge {
		return err
	}
	return os.RemoveAll(string(r.dir))
}

// restart ends one server and starts it anew, as an upgrade or a crash would.
func restart(args []string) error {
	var name string
	r, err := open(args, func(f *flag.FlagSet) { f.StringVar(&name, "name", "", "of the process") })
	if err != nil {
		return err
	}
	begin := map[string]func(context.Context) error{
		"etcd": r.startEtcd, "kube-apiserver": r.startAPIServer, "kube-controller-manager": r.startManager,
		"virt-api": r.startVirtAPI, "virt-controller": r.startVirtController, "stand-in": r.startStandIn,
	}[name]
	if begin == nil {
		return fmt.Errorf("there is no process %q", name)
	}
	if err := r.dir.Stop(name, patience); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return begin(ctx)
}

func status(args []string) error {
	r, err := open(args, func(*flag.FlagSet) {})
	if err != nil {
		return err
	}
	missing := 0
	for _, name := range rigdir.Processes {
		if pid := r.dir.PID(name); pid != 0 {
			fmt.Printf("%-24s pid %d\n", name, pid)
			continue
		}
		fmt.Printf("%-24s not running\n", name)
		missing++
	}
	if missing > 0 {
		return fmt.Errorf("%d processes are not running", missing)
	}
	return nil
}
