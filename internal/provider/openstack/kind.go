package openstack

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "openstack"

// Kind describes OpenStack clouds.
func Kind() provider.Kind {
	return provider.Kind{
		Name:  KindName,
		Title: "OpenStack",
		About: "Servers of nova in one project of an OpenStack cloud, private or public, booted from an image on the host or from a volume of cinder.",
		VM:    true,

		NewSettings: func() any { return new(Settings) },
		Channel: func(settings any) startup.Channel {
			c := startup.Channel{Form: startup.FormCloudInit, Limit: maxUserData}
			if s, ok := settings.(*Settings); ok && s.OSType == "windows" {
				c.Form, c.System = startup.FormCloudbase, startup.Windows
			}
			return c
		},
		Open: func(_ context.Context, settings any, host provider.Host) (provider.Driver, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("opening a project of OpenStack: settings are %T, expected *openstack.Settings", settings)
			}
			return open(s, host)
		},

		Defaults: provider.Defaults{
			RateLimit: 20, Concurrency: 8, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 5 * time.Second, RestInterval: time.Minute,
			// nova shows a server from the moment that it has accepted it, but its
			// databases may be replicas that lag.
			Grace: 30 * time.Second,
		},
	}
}
