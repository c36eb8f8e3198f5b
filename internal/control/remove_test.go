package control

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func TestReasonsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ done, reason, want string }{
		{"deleted", "deleted by token/admin", "deleted by token/admin"},
		{"deleted", "deleted: it was idle", "deleted: it was idle"},
		{"deleted", after("drained", "drained by token/admin"), "deleted: drained by token/admin"},
		{"drained", "older than rotate_after 1h", "drained: older than rotate_after 1h"},
	} {
		if got := after(c.done, c.reason); got != c.want {
			t.Errorf("after(%q, %q) is %q, want %q", c.done, c.reason, got, c.want)
		}
	}
}

// lateCloud does not find a new machine when it is asked for, a few times, and
// cannot tell it from one that is gone.
type lateCloud struct {
	provider.Driver
	mu      sync.Mutex
	looks   map[string]int
	deleted map[string]bool
}

func (l *lateCloud) Get(ctx context.Context, id string) (provider.Instance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looks[id]++; l.looks[id] <= 2 {
		return provider.Instance{}, &provider.Error{Class: provider.NotFound, Message: "no such machine", After: time.Minute}
	}
	return l.Driver.Get(ctx, id)
}

func (l *lateCloud) Delete(ctx context.Context, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deleted[id] = true
	return l.Driver.Delete(ctx, id)
}

// TestDeleteOfAMachineThatIsShownLate: a machine that is given up right after it
// was made does not pass for gone because the cloud does not show it yet.
func TestDeleteOfAMachineThatIsShownLate(t *testing.T) {
	t.Parallel()
	late := &lateCloud{looks: map[string]int{}, deleted: map[string]bool{}}
	g := &guest{exit: 7, wrap: func(d provider.Driver) provider.Driver { late.Driver = d; return late }}
	s, _, _ := scripted(t, g, func(s *fleet.Server) bool { return s.Phase == fleet.PhaseGone })
	late.mu.Lock()
	defer late.mu.Unlock()
	if !late.deleted[s.ProviderID] {
		t.Errorf("machine %s passes for gone, and was never deleted", s.ProviderID)
	}
}
