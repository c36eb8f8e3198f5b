package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// checkinLife is how long a machine's check-in token works after its first
// create call.
const checkinLife = 4 * time.Hour

var errCheckin = &fleet.Error{Code: fleet.CodeUnauthenticated, Message: "the check-in token is not, or no longer, valid"}

// starting finds the server of a check-in token.
func (s *Service) starting(tx *store.Tx, token string) (*fleet.Server, error) {
	id, ok := s.Deriver.VerifyCheckin(token)
	if !ok {
		return nil, errCheckin
	}
	server, err := tx.Server(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errCheckin
	}
	if err != nil {
		return nil, fmt.Errorf("reading server %s: %w", id, err)
	}
	since := server.CreatedAt
	if server.CallAt != nil {
		since = *server.CallAt
	}
	if server.Phase.Leaving() || server.Phase == fleet.PhasePlanned || s.now().Sub(since) > checkinLife {
		return nil, errCheckin
	}
	return server, nil
}

// Checkin takes what a startup script reports. "running" makes a server of a
// server pool ready; one of a docker_agent pool is ready when its agent
// registers. "failed" fails a machine that is not ready yet. Anything else is
// progress.
func (s *Service) Checkin(ctx context.Context, token string, c fleet.CheckinStatus) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		now := s.now()
		server, err := s.starting(tx, token)
		if err != nil {
			return err
		}
		before, actor := server.Phase, "script/"+server.Name
		status, message := strings.ToLower(oneLine(c.Status, 64)), oneLine(c.Message, 1000)
		text := status
		if message != "" {
			text += ": " + message
		}
		if err := tx.AppendServerLog(server.ID, []store.LogLine{{At: now, Stream: "status", Text: text}}); err != nil {
			return fmt.Errorf("keeping the status of server %s: %w", server.Name, err)
		}
		to := fleet.PhaseConfiguring
		switch status {
		case "running":
			pool, err := poolSpec(tx, server.Pool)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if pool.Type == fleet.PoolServer {
				to = fleet.PhaseReady
			}
		case "failed":
			to = fleet.PhaseFailed
		}
		if before.ComingUp() && before != to {
			if err := server.Move(to, "startup script: "+text, now); err != nil {
				return err
			}
			server.LastSeenAt = &now
			if err := saveServer(tx, server, before, actor); err != nil {
				return err
			}
			if to == fleet.PhaseReady {
				_, err = claim.AssignQueued(tx, server.Pool, now)
			}
			return err
		}
		emitServer(tx, server, fleet.EventServerUpdated, actor, "startup script: "+text, map[string]any{"status": status, "progress": c.Progress})
		return nil
	})
}

// ComponentLog keeps log lines of a machine that is starting. Each entry is
// text, or an object that is kept as JSON.
func (s *Service) ComponentLog(ctx context.Context, token string, entries []json.RawMessage) error {
	now := s.now()
	var lines []store.LogLine
	for _, e := range entries {
		var text string
		if json.Unmarshal(e, &text) != nil {
			text = string(e)
		}
		lines = append(lines, store.LogLine{At: now, Stream: "script", Text: text})
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		server, err := s.starting(tx, token)
		if err != nil {
			return err
		}
		return tx.AppendServerLog(server.ID, tidyLog(lines, "script", now))
	})
}
