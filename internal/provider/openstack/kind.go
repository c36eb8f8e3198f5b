package openstack

import (
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "openstack"

// Kind describes OpenStack clouds.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name:  KindName,
		Title: "OpenStack",
		About: "Servers of nova in one project of an OpenStack cloud, private or public, booted from an image on the host or from a volume of cinder.",
		VM:    true,

		Defaults: provider.Defaults{
			RateLimit: 20, Concurrency: 8, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 5 * time.Second, RestInterval: time.Minute,
			// nova shows a server from the moment that it has accepted it, but its
			// databases may be replicas that lag.
			Grace: 30 * time.Second,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	c := startup.Channel{Form: startup.FormCloudInit, Limit: maxUserData}
	if s.OSType == "windows" {
		c.Form, c.System = startup.FormCloudbase, startup.Windows
	}
	return c
}
