package service

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// Report takes an agent's sign of life and answers its orders. It writes only
// when something changed or when the stored sign of life is old.
func (s *Service) Report(ctx context.Context, credential string, r fleet.AgentReport) (fleet.AgentOrders, error) {
	var fields []fleet.FieldError
	bad := func(path string, value any, format string, args ...any) {
		fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	checkAddresses(r.Addresses, bad)
	checkCapacity(r.Capacity, bad)
	var (
		server   *fleet.Server
		config   fleet.AutoscaleConfigSpec
		sessions []string
		rotate   bool
	)
	now := s.now()
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		var at time.Time
		var err error
		if server, at, err = agentSince(tx, credential); err != nil {
			return err
		}
		rotate = now.Sub(at) > rotateAfter
		if config, err = s.configOf(tx, server); err != nil {
			return err
		}
		sessions, err = tx.SessionsOn(server.ID)
		return err
	})
	if err == nil {
		err = fleet.Invalid("agent report", fields)
	}
	if err != nil {
		return fleet.AgentOrders{}, err
	}
	every := heartbeat(config)
	if noteReport(server, config, r).write(server, seenEvery(config), now) {
		if server, err = s.writeReport(ctx, credential, server, config, r); err != nil {
			return fleet.AgentOrders{}, err
		}
	}
	orders := fleet.AgentOrders{
		Phase: server.Phase, Drain: server.Phase == fleet.PhaseDraining, RotateCredential: rotate,
		Heartbeat: fleet.Duration(every), Sessions: append([]string{}, sessions...),
	}
	return orders, nil
}

// heardAgain is the reason of a server whose agent was missing.
const heardAgain = "its agent is heard again"

// news is what a report changes beside the sign of life.
type news struct {
	back     bool     // it was missing
	capacity bool     // it offers something else
	changed  []string // for the event
}

// write says whether a report is worth a write; every is how exactly the last
// sign of life is stored.
func (n news) write(server *fleet.Server, every time.Duration, now time.Time) bool {
	if len(n.changed) > 0 || server.LastSeenAt == nil {
		return true
	}
	return now.Sub(*server.LastSeenAt) >= every
}

// noteReport finds what a report changes, without changing the server.
func noteReport(server *fleet.Server, config fleet.AutoscaleConfigSpec, r fleet.AgentReport) news {
	after := *server
	countCapacity(&after, config, r.Capacity)
	var n news
	if server.Missing {
		n.back = true
		n.changed = append(n.changed, heardAgain)
	}
	if after.Capacity != server.Capacity {
		n.capacity = true
		n.changed = append(n.changed, fmt.Sprintf("capacity changed from %s to %s", server.Capacity, after.Capacity))
	}
	if len(r.Addresses) > 0 && !slices.Equal(r.Addresses, server.Addresses) {
		n.changed = append(n.changed, "addresses changed to "+strings.Join(r.Addresses, ", "))
	}
	if r.Version != "" && r.Version != server.AgentVersion {
		n.changed = append(n.changed, "agent version "+oneLine(r.Version, 64))
	}
	return n
}

// writeReport begins with the server as it has just been read. Whatever has
// changed it since, the end of its credential with its life included, has
// changed its version as well: then it is refused, and the next try looks at
// the credential again.
func (s *Service) writeReport(ctx context.Context, credential string, known *fleet.Server, config fleet.AutoscaleConfigSpec, r fleet.AgentReport) (*fleet.Server, error) {
	var out *fleet.Server
	err := s.Store.Write(ctx, func(tx *store.Tx) (err error) {
		now := s.now()
		server := known
		if known = nil; server == nil {
			if server, err = agent(tx, credential); err != nil {
				return err
			}
		}
		out = server
		n := noteReport(server, config, r)
		if n.back {
			server.Reason = heardAgain
		}
		countCapacity(server, config, r.Capacity)
		server.Missing, server.LastSeenAt = false, &now
		if len(r.Addresses) > 0 {
			server.Addresses = r.Addresses
		}
		server.AgentVersion = fleet.Or(r.Version, server.AgentVersion)
		if err := tx.SaveServer(server); err != nil {
			return fmt.Errorf("writing server %s: %w", server.Name, err)
		}
		if len(n.changed) == 0 {
			return nil
		}
		emitServer(tx, server, fleet.EventServerUpdated, "agent/"+server.Name, strings.Join(n.changed, "; "), map[string]any{"phase": string(server.Phase)})
		if n.back || n.capacity {
			_, err = claim.AssignQueued(tx, server.Pool, now)
		}
		return err
	})
	return out, err
}

// Rotate replaces an agent's credential. The old one stays valid until the new
// one has been used, so that a lost answer locks nobody out.
func (s *Service) Rotate(ctx context.Context, credential, next string) error {
	if n := len(next); n < minCredential || n > maxCredential || next == credential {
		return fleet.Invalid("credential", []fleet.FieldError{{Path: "credential", Message: fmt.Sprintf("must be a new one of %d to %d characters", minCredential, maxCredential)}})
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		server, err := agent(tx, credential)
		if err != nil {
			return err
		}
		known, _, err := tx.AgentCredential(server.ID)
		if err != nil {
			return fmt.Errorf("reading the agent credential of server %s: %w", server.Name, err)
		}
		hash := auth.Hash(next)
		if subtle.ConstantTimeCompare([]byte(known), []byte(hash)) == 1 {
			return nil // the repetition of a call whose answer was lost
		}
		return newCredential(tx, server, hash, s.now())
	})
}

// AgentLog keeps lines that an agent hands over. Streams other than the known
// ones count as that of the agent.
func (s *Service) AgentLog(ctx context.Context, credential string, lines []store.LogLine) error {
	size := 0
	for i := range lines {
		size += len(lines[i].Text)
	}
	if size > maxLogBytes {
		return fleet.Errorf(fleet.CodeTooLarge, "the lines hold %d bytes: send at most %d at once", size, maxLogBytes)
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		server, err := agent(tx, credential)
		if err != nil {
			return err
		}
		return tx.AppendServerLog(server.ID, tidyLog(lines, "agent", s.now()))
	})
}

func tidyLog(lines []store.LogLine, stream string, now time.Time) []store.LogLine {
	out := make([]store.LogLine, 0, len(lines))
	for _, l := range lines {
		if l.At.IsZero() || l.At.After(now.Add(time.Hour)) {
			l.At = now
		}
		if !slices.Contains([]string{"agent", "script", "console", "status"}, l.Stream) {
			l.Stream = stream
		}
		l.Text = strings.ToValidUTF8(strings.ReplaceAll(l.Text, "\x00", ""), "?")
		out = append(out, l)
	}
	return out
}
