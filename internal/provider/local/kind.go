package local

import (
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Kind describes the local provider.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name:  "local",
		Title: "Local processes",
		About: "Machines are processes of the controller's own host that run the agent; they are no virtual machines, isolate nothing and run no startup script. For trying out, demonstrations and tests.",
		VM:    false,

		Defaults: provider.Defaults{
			RateLimit:    0,
			Concurrency:  8,
			CallTimeout:  20 * time.Second,
			BusyInterval: 500 * time.Millisecond,
			RestInterval: 2 * time.Second,
			Grace:        5 * time.Second,
			CreateBurst:  100,
			CreateRate:   50,
		},
	}, nil, open)
}
