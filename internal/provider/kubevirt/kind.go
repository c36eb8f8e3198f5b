package kubevirt

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Kind describes the provider.
func Kind() provider.Kind {
	return provider.Kind{
		Name:  "kubevirt",
		Title: "KubeVirt",
		About: "Virtual machines on a Kubernetes cluster with KubeVirt, on GKE for example; CDI clones their disks.",
		VM:    true,

		NewSettings: func() any { return &Settings{} },
		Channel: func(settings any) startup.Channel {
			if s, ok := settings.(*Settings); ok {
				return s.Channel()
			}
			return startup.Channel{}
		},
		Open: func(_ context.Context, settings any, host provider.Host) (provider.Driver, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("the kubevirt provider got settings of type %T", settings)
			}
			d, err := open(*s, host)
			if err != nil {
				return nil, err
			}
			return d, nil
		},

		Defaults: provider.Defaults{
			RateLimit:    10,
			Concurrency:  8,
			CallTimeout:  20 * time.Second,
			BusyInterval: 3 * time.Second,
			RestInterval: 30 * time.Second,
			Grace:        30 * time.Second,
		},
	}
}

// open makes a driver that clones disks.
func open(s Settings, host provider.Host) (*kubevm.Driver, error) {
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
