// Command virt brings KubeVirt to the control plane of the rig:
//
//	virt install --phase base|webhooks    what KubeVirt's operator would install
//	virt wait                             until virt-controller leads and the node is ready
//	virt virt-controller …                KubeVirt's own controller, with its own flags
//	virt stand-in                         ours: in place of nodes, guests, storage and Harvester
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"kubevirt.io/kubevirt/pkg/virt-controller/watch"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("say install, wait, virt-controller or stand-in"))
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...) // virt-controller reads its own arguments
	if name == "virt-controller" {
		watch.Execute()
		return
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "of the administrator")
	authority := flags.String("ca", "", "certificate of the authority that signed virt-api's")
	phase := flags.String("phase", "", "base or webhooks")
	crds := flags.String("crds", "", "directory of further CustomResourceDefinitions")
	port := flags.Int("port", 0, "of virt-api")
	if err := flags.Parse(os.Args[1:]); err != nil {
		fail(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail(err)
	}
	config.QPS, config.Burst = 200, 400
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if name == "stand-in" {
		fail(standIn(ctx, config))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	i, err := newInstaller(config)
	if err != nil {
		fail(err)
	}
	switch {
	case name == "wait":
		err = i.wait(ctx)
	case name == "install" && *phase == "base":
		err = i.base(ctx, *authority, *crds, filepath.Dir(*kubeconfig))
	case name == "install" && *phase == "webhooks":
		err = i.webhooks(ctx, *authority, int32(*port))
	default:
		err = fmt.Errorf("there is no command %q of phase %q", name, *phase)
	}
	fail(err)
}

func fail(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "virt:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// every calls look until it says nothing, or until the context ends.
func every(ctx context.Context, interval time.Duration, look func() error) error {
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(interval):
		}
	}
}
