package harvester

import (
	"context"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Kind describes the provider.
func Kind() provider.Kind {
	return kubevm.Kind(provider.Kind{
		Name:  "harvester",
		Title: "Harvester",
		About: "Virtual machines on SUSE Harvester; their disks begin as copies of its images.",
	}, open)
}

// open makes a driver that makes disks of images.
func open(_ context.Context, s Settings, host provider.Host) (*kubevm.Driver, error) {
	return kubevm.New(kubevm.Options{
		Access: s.Access, Machine: s.Machine, Now: host.Now,
		Root:   s.root,
		Rights: s.rights(),
		Check:  s.check,
		Choices: map[string]func(context.Context, *kubevm.Driver) ([]provider.Choice, error){
			"image": s.images,
		},
	})
}
