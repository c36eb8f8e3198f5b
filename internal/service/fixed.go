package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// FixedCapacity is what a fixed machine offers, each dimension only where it
// means something.
type FixedCapacity struct {
	Cores     fleet.Cores `json:"cores,omitempty" doc:"docker_agent pools."`
	MemoryMiB int64       `json:"memory_mib,omitempty" doc:"docker_agent pools."`
	GPUs      int64       `json:"gpus,omitempty" doc:"docker_agent pools."`
	Places    int64       `json:"places,omitempty" doc:"server pools; absent: 1."`
}

// ServerInput registers a fixed machine that has no agent.
type ServerInput struct {
	Name      string        `json:"name,omitempty" maxLength:"63" doc:"Name of the server; empty: one is made."`
	Pool      string        `json:"pool"`
	Zone      string        `json:"zone,omitempty" doc:"Empty: the only zone, or the one named default."`
	Addresses []string      `json:"addresses" minItems:"1" maxItems:"32" doc:"Addresses at which sessions reach the machine."`
	Capacity  FixedCapacity `json:"capacity,omitempty" doc:"What the machine offers."`
	MaxUsers  int64         `json:"max_users,omitempty" minimum:"0" maximum:"10000" doc:"Different users at once. 0: no limit."`
}

// RegisterServer adds a fixed machine without an agent to a pool. It is ready
// at once, and the queue is served from it.
func (s *Service) RegisterServer(ctx context.Context, p auth.Principal, in ServerInput) (fleet.Server, error) {
	if err := p.NeedIn(auth.Register, in.Pool); err != nil {
		return fleet.Server{}, err
	}
	id := s.Store.NewID()
	var out *fleet.Server
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		now := s.now()
		var err error
		if out, err = newFixed(tx, in, id, now); err != nil {
			return err
		}
		if err := out.Move(fleet.PhaseReady, "registered by "+p.Actor(), now); err != nil {
			return err
		}
		if err := addFixed(tx, out, p.Actor()); err != nil {
			return err
		}
		if _, err := claim.AssignQueued(tx, out.Pool, now); err != nil {
			return err
		}
		out, err = tx.Server(out.ID)
		return err
	})
	if err != nil {
		return fleet.Server{}, err
	}
	return *out, nil
}

func addFixed(tx *store.Tx, server *fleet.Server, actor string) error {
	if err := tx.InsertServer(server); err != nil {
		if errors.Is(err, store.ErrExists) {
			return fleet.Invalid("server", []fleet.FieldError{{Path: "name", Value: server.Name, Message: "a server of this name exists: use another name"}})
		}
		return fmt.Errorf("writing server %s: %w", server.Name, err)
	}
	emitServer(tx, server, fleet.EventServerPhase, actor, server.Reason, map[string]any{"phase": string(server.Phase)})
	return nil
}

// newFixed checks the input and makes a server in phase configuring.
func newFixed(tx *store.Tx, in ServerInput, id string, now time.Time) (*fleet.Server, error) {
	var fields []fleet.FieldError
	bad := func(path string, value any, format string, args ...any) {
		fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	if in.Name == "" {
		in.Name = fleet.ServerName(id)
	} else if err := fleet.CheckName(in.Name); err != nil {
		bad("name", in.Name, "%v", err)
	} else if _, err := tx.ServerByName(in.Name); err == nil {
		bad("name", in.Name, "a server of this name exists: use another name")
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	checkAddresses(in.Addresses, bad)
	switch spec, err := poolSpec(tx, in.Pool); {
	case errors.Is(err, store.ErrNotFound):
		bad("pool", in.Pool, "there is no pool %q: headroom get pools lists those that exist", in.Pool)
	case err != nil:
		return nil, err
	case spec.Type == fleet.PoolServer:
		in.Capacity = FixedCapacity{Places: fleet.Or(in.Capacity.Places, 1)}
		if in.Capacity.Places < 0 || in.Capacity.Places > 10000 {
			bad("capacity.places", in.Capacity.Places, "must be 1 to 10000")
		}
	default:
		if in.Capacity.Places != 0 {
			bad("capacity.places", in.Capacity.Places, "pool %s is of type docker_agent, whose machines offer cores and memory and no places", in.Pool)
		}
		checkCapacity(fleet.Resources(in.Capacity), bad)
	}
	if in.MaxUsers < 0 {
		bad("max_users", in.MaxUsers, "must not be negative")
	}
	zone, err := zoneFor(tx, in.Zone)
	if err != nil {
		var e *fleet.Error
		if !errors.As(err, &e) {
			return nil, err
		}
		fields = append(fields, e.Fields...)
	}
	if err := fleet.Invalid("server", fields); err != nil {
		return nil, err
	}
	return &fleet.Server{
		ID: id, Name: in.Name, Origin: fleet.OriginFixed, Pool: in.Pool, Zone: zone,
		Phase: fleet.PhaseConfiguring, PhaseSince: now, Addresses: in.Addresses,
		Capacity: fleet.Resources(in.Capacity), CapacitySource: fleet.CapacityOverride, MaxUsers: in.MaxUsers, CreatedAt: now,
	}, nil
}

func poolSpec(tx *store.Tx, name string) (fleet.PoolSpec, error) {
	o, err := tx.Object(fleet.KindPool, name)
	if err != nil {
		return fleet.PoolSpec{}, err
	}
	return store.Spec[fleet.PoolSpec](o)
}

// zoneFor finds the zone of a fixed machine: the one that is named, else the
// only one, else the one named default.
func zoneFor(tx *store.Tx, name string) (string, error) {
	zones, err := tx.Objects(fleet.KindZone)
	if err != nil {
		return "", fmt.Errorf("reading zones: %w", err)
	}
	for _, z := range zones {
		if z.Name == name || name == "" && (len(zones) == 1 || z.Name == "default") {
			return z.Name, nil
		}
	}
	message := fmt.Sprintf("there is no zone %q: headroom get zones lists those that exist", name)
	if name == "" {
		message = "is required, since there is not exactly one zone and none is named default"
	}
	return "", fleet.Invalid("zone", []fleet.FieldError{{Path: "zone", Value: name, Message: message}})
}

type complain func(path string, value any, format string, args ...any)

func checkCapacity(c fleet.Resources, bad complain) {
	if c.Cores <= 0 || c.Cores > 1e6*fleet.Core {
		bad("capacity.cores", c.Cores, "must be above 0 and at most 1000000")
	}
	if c.MemoryMiB <= 0 || c.MemoryMiB > int64(1024*fleet.TiB) {
		bad("capacity.memory_mib", c.MemoryMiB, "must be above 0 and at most 1024Ti")
	}
	if c.GPUs < 0 || c.GPUs > 1000 {
		bad("capacity.gpus", c.GPUs, "must be 0 to 1000")
	}
}

func checkAddresses(list []string, bad complain) {
	if len(list) > 32 {
		bad("addresses", len(list), "at most 32 addresses are kept")
	}
	for i, a := range list {
		if !fleet.IsAddress(a) {
			bad(fmt.Sprintf("addresses[%d]", i), oneLine(a, 255), "must be an IP address or a host name, without scheme, port and path")
		}
	}
}
