package proxmox

import (
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Kind describes Proxmox VE.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name:  "proxmox",
		Title: "Proxmox VE",
		About: "Machines are clones of a template on a Proxmox VE 8 or 9 cluster; startup scripts run through the QEMU guest agent.",
		VM:    true,

		Defaults: provider.Defaults{
			RateLimit:    10,
			Concurrency:  4,
			CallTimeout:  20 * time.Second,
			BusyInterval: 3 * time.Second,
			RestInterval: 30 * time.Second,
			Grace:        time.Minute, // statistics of a cluster are up to 10 s old, clones bear no mark at first
			CreateBurst:  10,          // clones read one template's disk
			CreateRate:   0.5,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	c := startup.Channel{Form: startup.FormPlain, System: startup.Linux, AfterBoot: true, Limit: maxScript}
	if s.OSType == Windows {
		c.System = startup.Windows
	}
	return c
}
