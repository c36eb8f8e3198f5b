package service

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

const (
	maxHeartbeat  = 10 * time.Second
	seenInterval  = 30 * time.Second // how exactly the last sign of life is stored, at the most
	rotateAfter   = 24 * time.Hour   // age of a credential at which the agent is told to replace it
	minCredential = 32
	maxCredential = 128
	maxLogBytes   = 256 << 10
)

// errAgent is the one answer to every credential that is not valid any more or
// never was.
var errAgent = &fleet.Error{Code: fleet.CodeUnauthenticated, Message: "the credential is not, or no longer, that of an agent"}

// Register makes the agent of a machine known. The token is the registration
// token of the machine, or a join token, which makes a fixed server. The agent
// chooses its own credential: a repeated call with the same one changes
// nothing, a call with another one is refused, since a registration token works
// once. The server is ready afterwards, and the queue is served from it.
func (s *Service) Register(ctx context.Context, r fleet.AgentRegistration) (fleet.AgentIdentity, error) {
	if err := checkRegistration(r); err != nil {
		return fleet.AgentIdentity{}, err
	}
	if id, ok := s.Deriver.VerifyRegistration(r.Token); ok {
		return s.registerMachine(ctx, id, r)
	}
	p, err := s.Authenticate(ctx, r.Token)
	if err != nil {
		return fleet.AgentIdentity{}, err
	}
	if err := p.Need(auth.Register); err != nil {
		return fleet.AgentIdentity{}, err
	}
	if p.Pool == "" {
		return fleet.AgentIdentity{}, fleet.Errorf(fleet.CodeForbidden, "token %s names no pool to join: make one with headroom token create --role join --pool POOL", p.Name)
	}
	return s.join(ctx, p, r)
}

func checkRegistration(r fleet.AgentRegistration) error {
	var fields []fleet.FieldError
	bad := func(path string, value any, format string, args ...any) {
		fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	if n := len(r.Credential); n < minCredential || n > maxCredential {
		bad("credential", nil, "must be %d to %d characters long", minCredential, maxCredential)
	}
	if len(r.Hostname) > 255 {
		bad("hostname", nil, "is longer than 255 characters")
	}
	if len(r.Version) > 64 {
		bad("version", nil, "is longer than 64 characters")
	}
	checkAddresses(r.Addresses, bad)
	checkCapacity(r.Capacity, bad)
	return fleet.Invalid("agent registration", fields)
}

// registerMachine registers the agent of a machine that the system made.
func (s *Service) registerMachine(ctx context.Context, id string, r fleet.AgentRegistration) (fleet.AgentIdentity, error) {
	var out fleet.AgentIdentity
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		now := s.now()
		server, err := tx.Server(id)
		if errors.Is(err, store.ErrNotFound) {
			return errAgent
		}
		if err != nil {
			return fmt.Errorf("reading server %s: %w", id, err)
		}
		known, _, err := tx.AgentCredential(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("reading the agent credential of server %s: %w", server.Name, err)
		}
		hash := auth.Hash(r.Credential)
		same := known != "" && subtle.ConstantTimeCompare([]byte(known), []byte(hash)) == 1
		switch {
		case known != "" && !same:
			return fleet.Errorf(fleet.CodeForbidden, "server %s has registered with another credential: a registration token works once", server.Name)
		case server.Phase == fleet.PhasePlanned || server.Phase.Leaving() && (!same || server.Phase != fleet.PhaseDraining):
			return fleet.Errorf(fleet.CodeForbidden, "server %s is %s: its agent can no longer register", server.Name, server.Phase)
		}
		config, err := s.configOf(tx, server)
		if err != nil {
			return err
		}
		out = fleet.AgentIdentity{ServerID: server.ID, Server: server.Name, Pool: server.Pool, Heartbeat: fleet.Duration(heartbeat(config))}
		if same {
			return nil
		}
		if err := newCredential(tx, server, hash, now); err != nil {
			return err
		}
		before := server.Phase
		countCapacity(server, config, r.Capacity)
		server.RegisteredAt, server.LastSeenAt, server.Missing = &now, &now, false
		server.AgentVersion = r.Version
		if len(r.Addresses) > 0 {
			server.Addresses = r.Addresses
		}
		why := "its agent has registered with " + server.Capacity.String()
		switch {
		case before.ComingUp():
			if err := server.Move(fleet.PhaseReady, why, now); err != nil {
				return err
			}
		case before == fleet.PhaseReady: // it was so without its agent, or had been missing
			server.Reason = why
		}
		if err := saveServer(tx, server, before, "agent/"+server.Name); err != nil {
			return err
		}
		_, err = claim.AssignQueued(tx, server.Pool, now)
		return err
	})
	return out, err
}

// join makes a fixed server for an agent that bears a join token.
func (s *Service) join(ctx context.Context, p auth.Principal, r fleet.AgentRegistration) (fleet.AgentIdentity, error) {
	id := s.Store.NewID()
	var out fleet.AgentIdentity
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		now := s.now()
		hash := auth.Hash(r.Credential)
		server, _, err := tx.ServerByAgentCredential(hash)
		if errors.Is(err, store.ErrNotFound) {
			server, err = s.addJoined(tx, p, r, id, hash, now)
		}
		if err != nil {
			return err
		}
		if server.Origin != fleet.OriginFixed || server.Pool != p.Pool || server.Phase.Leaving() && server.Phase != fleet.PhaseDraining {
			return errAgent
		}
		out = fleet.AgentIdentity{ServerID: server.ID, Server: server.Name, Pool: server.Pool, Heartbeat: fleet.Duration(maxHeartbeat)}
		return nil
	})
	return out, err
}

func (s *Service) addJoined(tx *store.Tx, p auth.Principal, r fleet.AgentRegistration, id, hash string, now time.Time) (*fleet.Server, error) {
	spec, err := poolSpec(tx, p.Pool)
	if err != nil {
		return nil, notFound(err, "pool", p.Pool)
	}
	if spec.Type != fleet.PoolDockerAgent {
		return nil, fleet.Errorf(fleet.CodeConflict, "pool %s is of type %s: agents can join docker_agent pools only", p.Pool, spec.Type)
	}
	capacity := r.Capacity
	capacity.Places = 0
	server, err := newFixed(tx, ServerInput{Pool: p.Pool, Addresses: r.Addresses, Capacity: FixedCapacity(capacity)}, id, now)
	if err != nil {
		return nil, err
	}
	server.CapacitySource = fleet.CapacityReported
	server.RegisteredAt, server.LastSeenAt, server.AgentVersion = &now, &now, r.Version
	if err := server.Move(fleet.PhaseReady, fmt.Sprintf("host %q joined with %s", oneLine(r.Hostname, 63), p.Actor()), now); err != nil {
		return nil, err
	}
	if err := addFixed(tx, server, p.Actor()); err != nil {
		return nil, err
	}
	if err := newCredential(tx, server, hash, now); err != nil {
		return nil, err
	}
	_, err = claim.AssignQueued(tx, server.Pool, now)
	return server, err
}

// newCredential stores the hash of an agent's credential. One that belongs to
// another server is refused, so that nobody can take its place.
func newCredential(tx *store.Tx, server *fleet.Server, hash string, now time.Time) error {
	err := tx.SetAgentCredential(server.ID, hash, now)
	if errors.Is(err, store.ErrExists) {
		return fleet.Errorf(fleet.CodeConflict, "the credential is in use: make a random one of your own")
	}
	if err != nil {
		return fmt.Errorf("writing the agent credential of server %s: %w", server.Name, err)
	}
	return nil
}

// configOf is the autoscale config of a server; the zero value when it has
// none or when that has been deleted.
func (s *Service) configOf(tx *store.Tx, server *fleet.Server) (fleet.AutoscaleConfigSpec, error) {
	if server.AutoscaleConfig == "" {
		return fleet.AutoscaleConfigSpec{}, nil
	}
	spec, err := tx.AutoscaleConfig(server.AutoscaleConfig)
	if errors.Is(err, store.ErrNotFound) {
		return fleet.AutoscaleConfigSpec{}, nil
	}
	return spec, err
}

// heartbeat is how often an agent reports: at least four times before it would
// be taken for missing.
func heartbeat(c fleet.AutoscaleConfigSpec) time.Duration {
	return max(min(missingAfter(c)/4, maxHeartbeat), time.Second)
}

// seenEvery is how old the stored sign of life may become before a report
// writes it anew. An agent that reports in time must never be taken for missing
// because its last report was not written: the third of the limit and the time
// until the next report stay well below the limit, also when one report is lost.
func seenEvery(c fleet.AutoscaleConfigSpec) time.Duration {
	return min(missingAfter(c)/3, seenInterval)
}

func missingAfter(c fleet.AutoscaleConfigSpec) time.Duration {
	return fleet.Or(c.MissingAfter.D(), fleet.DefaultMissingAfter)
}

// countCapacity sets what a server counts for: what its agent reports, except
// where the autoscale config overrides it. A server that offers places keeps
// offering those and nothing else.
func countCapacity(server *fleet.Server, c fleet.AutoscaleConfigSpec, reported fleet.Resources) {
	if server.Capacity.Places > 0 {
		return
	}
	if server.Origin == fleet.OriginFixed && server.CapacitySource == fleet.CapacityOverride {
		return
	}
	server.Capacity = fleet.Resources{
		Cores:     fleet.Or(c.AgentCoresOverride, reported.Cores),
		MemoryMiB: fleet.Or(int64(c.AgentMemoryOverride), reported.MemoryMiB),
		GPUs:      fleet.Or(c.AgentGPUsOverride, reported.GPUs),
	}
	server.CapacitySource = fleet.CapacityReported
	if c.AgentCoresOverride != 0 || c.AgentMemoryOverride != 0 || c.AgentGPUsOverride != 0 {
		server.CapacitySource = fleet.CapacityOverride
	}
}

// agent finds the server that a credential belongs to. After its server is on
// the way out a credential is worth nothing.
func agent(tx *store.Tx, credential string) (*fleet.Server, error) {
	server, _, err := agentSince(tx, credential)
	return server, err
}

// agentSince is like agent and tells when the agent's credential was set.
func agentSince(tx *store.Tx, credential string) (server *fleet.Server, at time.Time, err error) {
	if n := len(credential); n < minCredential || n > maxCredential {
		return nil, at, errAgent
	}
	server, at, err = tx.ServerByAgentCredential(auth.Hash(credential))
	if errors.Is(err, store.ErrNotFound) {
		return nil, at, errAgent
	}
	if err != nil {
		return nil, at, fmt.Errorf("looking up an agent credential: %w", err)
	}
	if server.Phase == fleet.PhaseDeleting || server.Phase == fleet.PhaseGone || server.Phase == fleet.PhaseFailed {
		return nil, at, errAgent
	}
	return server, at, nil
}
