// Command cluster runs a Kubernetes control plane with KubeVirt on the loopback
// interface, from one directory:
//
//	cluster up --dir D --crds C    start everything; what runs is left running
//	cluster down --dir D [--purge] end it; with --purge its state goes too
//	cluster status --dir D
//	cluster restart --dir D --name kube-apiserver    end one process and start it anew
//	cluster keep PROGRAM ARGUMENTS                   run a program again whenever it ends
//
// It holds the servers themselves as well, each under its own name: etcd,
// kube-apiserver, kube-controller-manager.
package main

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("say up, down, status or restart"))
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...) // the servers read their own arguments
	switch name {
	case "etcd":
		fail(etcd(os.Args[1:]))
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(manager.NewControllerManagerCommand()))
	case "keep":
		fail(keep(os.Args[1:]))
	case "up":
		fail(up(os.Args[1:]))
	case "down":
		fail(down(os.Args[1:]))
	case "restart":
		fail(restart(os.Args[1:]))
	case "status":
		fail(status(os.Args[1:]))
	default:
		fail(fmt.Errorf("there is no command %q", name))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
