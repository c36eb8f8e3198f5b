package nutanix

import (
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// What a startup script may measure. Prism takes 128,000 characters of user
// data and 32,000 of an answer file, in base64 (guest_customization of the API
// description); the answer file also holds the script in base64 and the lines
// around it.
//
// The models of the v4 API do not say what it takes; the smaller of v3's limits
// is kept.
const (
	linuxScript   = 32 << 10
	linuxScriptV4 = 23 << 10
	windowsScript = 16 << 10
)

// Kind describes the Nutanix provider.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name:  "nutanix",
		Title: "Nutanix AHV",
		About: "Machines are clones of a virtual machine on Nutanix AHV, made through Prism Central.",
		VM:    true,

		Defaults: provider.Defaults{
			RateLimit:    10,
			Concurrency:  8,
			CallTimeout:  20 * time.Second,
			BusyInterval: 5 * time.Second,
			RestInterval: time.Minute,
			Grace:        grace,
			CreateBurst:  10,
			CreateRate:   1,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	switch {
	case s.Windows:
		return startup.Channel{Form: startup.FormPlain, System: startup.Windows, Limit: windowsScript}
	case s.APIVersion == v4Name:
		return startup.Channel{Form: startup.FormCloudInit, System: startup.Linux, Limit: linuxScriptV4}
	}
	return startup.Channel{Form: startup.FormCloudInit, System: startup.Linux, Limit: linuxScript}
}
