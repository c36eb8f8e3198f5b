package service

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// Servers lists servers by their age. next is the After of the following page,
// empty at the end.
func (s *Service) Servers(ctx context.Context, p auth.Principal, f store.ServerFilter) (items []fleet.Server, next string, err error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, "", err
	}
	most := limit(f.Limit)
	f.Limit = most + 1
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		items, next = []fleet.Server{}, ""
		list, err := tx.Servers(f)
		if err != nil {
			return fmt.Errorf("listing servers: %w", err)
		}
		if len(list) > most {
			list = list[:most]
			next = list[most-1].ID
		}
		for _, one := range list {
			items = append(items, *one)
		}
		return nil
	})
	return items, next, err
}

// Server reads one server by its name or id.
func (s *Service) Server(ctx context.Context, p auth.Principal, name string) (fleet.Server, error) {
	if err := p.Need(auth.Read); err != nil {
		return fleet.Server{}, err
	}
	var out fleet.Server
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		server, err := tx.ServerByName(name)
		if err != nil {
			return notFound(err, "server", name)
		}
		out = *server
		return nil
	})
	return out, err
}

// ServerLog reads what a server has logged.
func (s *Service) ServerLog(ctx context.Context, p auth.Principal, name string) ([]store.LogLine, error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, err
	}
	var lines []store.LogLine
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		server, err := tx.ServerByName(name)
		if err != nil {
			return notFound(err, "server", name)
		}
		lines, err = tx.ServerLog(server.ID)
		return err
	})
	return lines, err
}

// changeServer runs one change of one server as a transaction. fn saves the
// server itself.
func (s *Service) changeServer(ctx context.Context, p auth.Principal, name string, fn func(tx *store.Tx, server *fleet.Server, now time.Time) error) (fleet.Server, error) {
	if err := p.Need(auth.Operate); err != nil {
		return fleet.Server{}, err
	}
	var out fleet.Server
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		server, err := tx.ServerByName(name)
		if err != nil {
			return notFound(err, "server", name)
		}
		if err := fn(tx, server, s.now()); err != nil {
			return err
		}
		if server, err = tx.Server(server.ID); err != nil {
			return fmt.Errorf("reading server %s: %w", name, err)
		}
		out = *server
		return nil
	})
	return out, err
}

// Drain stops new sessions on a server, which is given up when it is empty or
// at the deadline; 0 means none. Draining again with a deadline sets a new one;
// without one the first one's stays.
func (s *Service) Drain(ctx context.Context, p auth.Principal, name string, deadline time.Duration) (fleet.Server, error) {
	return s.changeServer(ctx, p, name, func(tx *store.Tx, server *fleet.Server, now time.Time) error {
		return drain(tx, server, deadline, p.Actor(), "drained by "+p.Actor(), now)
	})
}

func drain(tx *store.Tx, server *fleet.Server, deadline time.Duration, actor, reason string, now time.Time) error {
	before := server.Phase
	switch server.Phase {
	case fleet.PhaseReady:
		if err := server.Move(fleet.PhaseDraining, reason, now); err != nil {
			return err
		}
	case fleet.PhaseDraining:
	default:
		return fleet.Errorf(fleet.CodeConflict, "server %s is %s: only a ready server can be drained; delete it to be rid of it", server.Name, server.Phase)
	}
	if deadline > 0 { // a ready server has none, and one that drains keeps its own
		until := now.Add(deadline)
		server.DrainDeadline = &until
	}
	return saveServer(tx, server, before, actor)
}

// Undrain lets a draining server take sessions again, and serves the queue
// from it.
func (s *Service) Undrain(ctx context.Context, p auth.Principal, name string) (fleet.Server, error) {
	return s.changeServer(ctx, p, name, func(tx *store.Tx, server *fleet.Server, now time.Time) error {
		return undrain(tx, server, p.Actor(), now)
	})
}

func undrain(tx *store.Tx, server *fleet.Server, actor string, now time.Time) error {
	if server.Phase != fleet.PhaseDraining {
		return fleet.Errorf(fleet.CodeConflict, "server %s is %s, not draining", server.Name, server.Phase)
	}
	if err := server.Move(fleet.PhaseReady, "taken back by "+actor, now); err != nil {
		return err
	}
	if err := saveServer(tx, server, fleet.PhaseDraining, actor); err != nil {
		return err
	}
	_, err := claim.AssignQueued(tx, server.Pool, now)
	return err
}

// Retry tries again at once what the system would try later: the deletion of a
// failed server or of one whose deletion meets errors. A draining server is
// taken back.
func (s *Service) Retry(ctx context.Context, p auth.Principal, name string) (fleet.Server, error) {
	return s.changeServer(ctx, p, name, func(tx *store.Tx, server *fleet.Server, now time.Time) error {
		before := server.Phase
		switch server.Phase {
		case fleet.PhaseDraining:
			return undrain(tx, server, p.Actor(), now)
		case fleet.PhaseFailed:
			if err := server.Move(fleet.PhaseDeleting, "retried by "+p.Actor()+" after: "+server.Reason, now); err != nil {
				return err
			}
		case fleet.PhaseDeleting:
			server.Reason = "deletion retried by " + p.Actor()
		default:
			return fleet.Errorf(fleet.CodeConflict, "server %s is %s: only a failed, deleting or draining server can be retried", server.Name, server.Phase)
		}
		return saveServer(tx, server, before, p.Actor())
	})
}

// Forget lets go of a server whose machine cannot be deleted, and leaves the
// machine to the caller: the row is gone, and a machine that still bears its
// marks is swept as an orphan, any other one stays. It is refused before the
// server is being deleted.
func (s *Service) Forget(ctx context.Context, p auth.Principal, name string) (fleet.Server, error) {
	if err := p.Need(auth.Configure); err != nil {
		return fleet.Server{}, err
	}
	return s.changeServer(ctx, p, name, func(tx *store.Tx, server *fleet.Server, now time.Time) error {
		switch {
		case server.Phase == fleet.PhaseGone:
			return nil
		case server.Phase != fleet.PhaseDeleting:
			return fleet.Errorf(fleet.CodeConflict, "server %s is %s: only a server that is being deleted can be let go of; delete it first", server.Name, server.Phase)
		case server.Sessions > 0:
			return fleet.Errorf(fleet.CodeInUse, "server %s holds %s, which end with its deletion: try again", server.Name, count(server.Sessions, "session"))
		}
		machine := "it had no machine that is known"
		if server.ProviderID != "" {
			machine = fmt.Sprintf("machine %s of VM provider %s was not seen to be deleted", server.ProviderID, server.VMProvider)
		}
		if err := server.Move(fleet.PhaseGone, fmt.Sprintf("let go of by %s: %s; before that: %s", p.Actor(), machine, server.Reason), now); err != nil {
			return err
		}
		if err := tx.DeleteAgentCredentials(server.ID); err != nil {
			return fmt.Errorf("deleting the agent credential of server %s: %w", server.Name, err)
		}
		return saveServer(tx, server, fleet.PhaseDeleting, p.Actor())
	})
}

// DeleteServer gives up a server. One with live sessions is refused unless
// force is set; its sessions end in the same transaction then. A fixed server
// is gone at once; the machine of any other is deleted in its cloud first.
// Deleting a server that is on its way out changes nothing.
func (s *Service) DeleteServer(ctx context.Context, p auth.Principal, name string, force bool) (fleet.Server, error) {
	return s.changeServer(ctx, p, name, func(tx *store.Tx, server *fleet.Server, now time.Time) error {
		before := server.Phase
		if before == fleet.PhaseGone || before == fleet.PhaseDeleting {
			return nil
		}
		if server.Sessions > 0 && !force {
			return fleet.Errorf(fleet.CodeInUse, "server %s holds %s: drain it, or delete it with force to end them", server.Name, count(server.Sessions, "session"))
		}
		reason := "deleted by " + p.Actor()
		if err := server.Move(fleet.PhaseDeleting, reason, now); err != nil {
			return err
		}
		if err := saveServer(tx, server, before, p.Actor()); err != nil {
			return err
		}
		if _, err := claim.EndOnServer(tx, server, "server "+server.Name+" was "+reason, p.Actor(), now); err != nil {
			return err
		}
		if server.Origin != fleet.OriginFixed {
			return nil
		}
		server, err := tx.Server(server.ID)
		if err != nil {
			return err
		}
		if err := server.Move(fleet.PhaseGone, reason, now); err != nil {
			return err
		}
		if err := tx.DeleteAgentCredentials(server.ID); err != nil {
			return fmt.Errorf("deleting the agent credential of server %s: %w", server.Name, err)
		}
		return saveServer(tx, server, fleet.PhaseDeleting, p.Actor())
	})
}

// saveServer writes a server and the event that tells what happened to it.
func saveServer(tx *store.Tx, server *fleet.Server, before fleet.Phase, actor string) error {
	if err := tx.SaveServer(server); err != nil {
		return fmt.Errorf("writing server %s: %w", server.Name, err)
	}
	what, data := fleet.EventServerUpdated, map[string]any{"phase": string(server.Phase)}
	if before != server.Phase {
		what, data["from"] = fleet.EventServerPhase, string(before)
	}
	emitServer(tx, server, what, actor, server.Reason, data)
	return nil
}

func emitServer(tx *store.Tx, server *fleet.Server, what fleet.EventType, actor, message string, data map[string]any) {
	tx.Emit(fleet.Event{
		Type: what, Kind: fleet.EventKindServer, Name: server.Name, ID: server.ID, Pool: server.Pool,
		Actor: actor, Message: message, Data: data,
	})
}
