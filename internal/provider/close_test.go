package provider_test

import (
	"context"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

type closing struct {
	provider.Driver
	closed int
	left   time.Duration
}

func (c *closing) Close(ctx context.Context) error {
	c.closed++
	if at, ok := ctx.Deadline(); ok {
		c.left = time.Until(at)
	}
	return ctx.Err()
}

// TestClose: what a driver keeps open is given back also when the program is
// already on its way out, and a driver that keeps nothing has nothing to do.
func TestClose(t *testing.T) {
	t.Parallel()
	d := &closing{}
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { d.Driver, o.Driver = o.Driver, d })
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.Close(ended); err != nil || d.closed != 1 || d.left <= 0 || d.left > 5*time.Second {
		t.Errorf("closed %d times with %v left, %v", d.closed, d.left, err)
	}
	if err := newRig(t, sim.Behaviour{}, nil).Close(ended); err != nil {
		t.Error(err)
	}
}
