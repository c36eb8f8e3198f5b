package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/service"
)

// simAgents speaks for the machines of simulated clouds as an agent would.
type simAgents struct {
	service *service.Service

	mu          sync.Mutex
	credentials map[string]string // by machine
}

func newSimAgents(s *service.Service) *simAgents {
	return &simAgents{service: s, credentials: map[string]string{}}
}

func (a *simAgents) credential(machine string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.credentials[machine] == "" {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails
		a.credentials[machine] = base64.RawURLEncoding.EncodeToString(b)
	}
	return a.credentials[machine]
}

func (a *simAgents) register(ctx context.Context, c sim.Checkin) error {
	_, err := a.service.Register(ctx, fleet.AgentRegistration{
		Token: c.Bootstrap.RegistrationToken, Credential: a.credential(c.Instance.ID),
		Hostname: c.Instance.Name, Addresses: c.Instance.Addresses, Capacity: c.Instance.Capacity, Version: "simulated",
	})
	return err
}

func (a *simAgents) beat(ctx context.Context, c sim.Checkin) error {
	_, err := a.service.Report(ctx, a.credential(c.Instance.ID), fleet.AgentReport{
		Capacity: c.Instance.Capacity, Addresses: c.Instance.Addresses, Version: "simulated",
	})
	return err
}
