package control

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// lateAddresses is a cloud that gets to know the addresses of a machine only
// after it has shown it running for some listings.
type lateAddresses struct {
	provider.Driver
	shown map[string]int // listings are made one at a time
}

func (d *lateAddresses) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		for i, err := range d.Driver.List(ctx, o) {
			if i.Addresses = nil; i.State == provider.StateRunning {
				if d.shown[i.ID]++; d.shown[i.ID] > 3 {
					i.Addresses = []string{"10.0.0.7"}
				}
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

// TestAddressesThatComeLate: a guest agent answers when the machine has been
// running, and has been taken for ready, for a while.
func TestAddressesThatComeLate(t *testing.T) {
	t.Parallel()
	late := &lateAddresses{shown: map[string]int{}}
	g := &guest{wrap: func(d provider.Driver) provider.Driver { late.Driver = d; return late }}
	s, _, _ := scripted(t, g, func(s *fleet.Server) bool { return s.Phase == fleet.PhaseReady && len(s.Addresses) > 0 })
	if !slices.Equal(s.Addresses, []string{"10.0.0.7"}) {
		t.Errorf("addresses are %v", s.Addresses)
	}
}
