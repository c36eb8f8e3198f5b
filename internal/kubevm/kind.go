package kubevm

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Kind completes the description of a kind whose machines are made by this
// package, from settings of type S.
func Kind[S interface{ Channel() startup.Channel }](k provider.Kind, open func(S, provider.Host) (*Driver, error)) provider.Kind {
	k.VM = true
	k.NewSettings = func() any { return new(S) }
	k.Channel = func(settings any) startup.Channel {
		if s, ok := settings.(*S); ok {
			return (*s).Channel()
		}
		return startup.Channel{}
	}
	k.Open = func(_ context.Context, settings any, host provider.Host) (provider.Driver, error) {
		s, ok := settings.(*S)
		if !ok {
			return nil, fmt.Errorf("the %s provider got settings of type %T", k.Name, settings)
		}
		d, err := open(*s, host)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	k.Defaults = provider.Defaults{
		RateLimit:    10,
		Concurrency:  8,
		CallTimeout:  20 * time.Second,
		BusyInterval: 3 * time.Second,
		RestInterval: 30 * time.Second,
		Grace:        30 * time.Second,
	}
	return k
}
