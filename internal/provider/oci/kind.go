package oci

import (
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "oci"

// grace is the age below which a listing proves nothing about a machine.
const grace = 2 * time.Minute

// Kind describes instances of Oracle Cloud Infrastructure.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name: KindName, Title: "Oracle Cloud", About: "Machines are Compute instances of Oracle Cloud Infrastructure.", VM: true,
		// Oracle publishes no figures for its throttling; launches are what it slows
		// down first.
		// https://docs.oracle.com/en-us/iaas/Content/API/Concepts/usingapi.htm#throttle
		Defaults: provider.Defaults{
			RateLimit: 8, Concurrency: 8, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 5 * time.Second, RestInterval: time.Minute, Grace: grace,
			CreateBurst: 10, CreateRate: 1,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	c := startup.Channel{Form: startup.FormCloudInit, Limit: s.userDataLimit()}
	if s.OSType == string(startup.Windows) {
		c.Form, c.System = startup.FormCloudbase, startup.Windows
	}
	return c
}
