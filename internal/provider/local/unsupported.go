//go:build !linux

package local

import (
	"context"

	"github.com/headroom-dev/headroom/internal/provider"
)

func open(context.Context, Settings, provider.Host) (provider.Driver, error) {
	return nil, provider.Errorf(provider.Unsupported, "the local provider works on Linux only: it needs open file description locks and /proc")
}
