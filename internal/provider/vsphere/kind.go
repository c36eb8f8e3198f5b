package vsphere

import (
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// guestinfoLimit is the largest user data in bytes: the guest reads a guestinfo
// variable through an interface that carries 64 KiB, and we write base64.
const guestinfoLimit = 48 << 10

// Kind describes VMware vSphere.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name:  "vsphere",
		Title: "VMware vSphere",
		About: "Virtual machines on VMware vSphere, cloned by a vCenter server from a template (full), from a snapshot (linked) or from a running machine (instant).",
		VM:    true,

		// vCenter runs a bounded number of clones per host at once and queues the
		// rest; its API slows down for everybody well before it refuses.
		Defaults: provider.Defaults{
			RateLimit:    10,
			Concurrency:  4,
			CallTimeout:  20 * time.Second,
			BusyInterval: 5 * time.Second,
			RestInterval: 30 * time.Second,
			Grace:        30 * time.Second,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	system := startup.Linux
	if s.OSType == Windows {
		system = startup.Windows
	}
	switch {
	case s.ScriptMethod != Guestinfo:
		return startup.Channel{Form: startup.FormPlain, System: system, AfterBoot: true}
	case s.OSType == Windows:
		return startup.Channel{Form: startup.FormCloudbase, System: system, Limit: guestinfoLimit}
	}
	return startup.Channel{Form: startup.FormCloudInit, System: system, Limit: guestinfoLimit}
}
