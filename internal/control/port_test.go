package control

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// TestConnectionPort: a machine without check-in is ready when its port answers,
// and not before.
func TestConnectionPort(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	var asked atomic.Value
	g := &guest{port: 3389, dial: func(_ context.Context, address string) error {
		asked.Store(address)
		if tries.Add(1) < 4 {
			return errors.New("connection refused")
		}
		return nil
	}}
	scripted(t, g, func(s *fleet.Server) bool {
		if s.Phase == fleet.PhaseReady && tries.Load() < 4 {
			t.Errorf("%s is ready after %d tries: %s", s.Name, tries.Load(), s.Reason)
		}
		return s.Phase == fleet.PhaseReady
	})
	if address, _ := asked.Load().(string); !strings.HasSuffix(address, ":3389") {
		t.Errorf("%q was asked", address)
	}
}
