package kubevirt

import (
	"context"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Kind describes the provider.
func Kind() provider.Kind {
	return kubevm.Kind(provider.Kind{
		Name:  "kubevirt",
		Title: "KubeVirt",
		About: "Virtual machines on a Kubernetes cluster with KubeVirt, on GKE for example; CDI clones their disks.",
	}, open)
}

// open makes a driver that clones disks.
func open(_ context.Context, s Settings, host provider.Host) (*kubevm.Driver, error) {
	return kubevm.New(kubevm.Options{
		Access: s.Access, Machine: s.Machine, Now: host.Now,
		Root:   s.root,
		Rights: s.rights(),
		Check:  s.check,
		Choices: map[string]func(context.Context, *kubevm.Driver) ([]provider.Choice, error){
			"storage_class": kubevm.StorageClasses,
			"disk_source":   s.sources,
		},
	})
}
