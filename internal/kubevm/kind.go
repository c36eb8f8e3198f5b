package kubevm

import (
	"context"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Kind completes the description of a kind whose machines are made by this
// package, from settings of type S.
func Kind[S interface{ Channel() startup.Channel }](k provider.Kind, open func(context.Context, S, provider.Host) (*Driver, error)) provider.Kind {
	k.VM = true
	k.Defaults = provider.Defaults{
		RateLimit:    10,
		Concurrency:  8,
		CallTimeout:  20 * time.Second,
		BusyInterval: 3 * time.Second,
		RestInterval: 30 * time.Second,
		Grace:        30 * time.Second,
	}
	return provider.KindOf(k, S.Channel, open)
}
