package local

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Kind describes the local provider.
func Kind() provider.Kind {
	return provider.Kind{
		Name:  "local",
		Title: "Local processes",
		About: "Machines are processes of the controller's own host that run the agent; they are no virtual machines, isolate nothing and run no startup script. For trying out, demonstrations and tests.",
		VM:    false,

		NewSettings: func() any { return &Settings{} },
		Open: func(_ context.Context, settings any, host provider.Host) (provider.Driver, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("the local provider got settings of type %T", settings)
			}
			return open(*s, host)
		},

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
	}
}
