package service

import (
	"context"
	"fmt"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// SessionQuery selects sessions.
type SessionQuery struct {
	Pool, User, Server string // Server is a name or id
	States             []fleet.SessionState
	IncludeEnded       bool
	After              string // id of the last one seen
	Limit              int
}

// Sessions lists sessions; a token of role session sees its own ones. next is
// the After of the following page, empty at the end.
func (s *Service) Sessions(ctx context.Context, p auth.Principal, q SessionQuery) (items []SessionView, next string, err error) {
	f := store.SessionFilter{Pool: q.Pool, User: q.User, States: q.States, IncludeEnded: q.IncludeEnded, After: q.After, Limit: limit(q.Limit) + 1}
	if !p.May(auth.Read) {
		if err := p.Need(auth.Sessions); err != nil {
			return nil, "", err
		}
		f.Owner = p.TokenID
	}
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		items, next = []SessionView{}, ""
		if q.Server != "" {
			server, err := tx.ServerByName(q.Server)
			if err != nil {
				return notFound(err, "server", q.Server)
			}
			f.ServerID = server.ID
		}
		list, err := tx.Sessions(f)
		if err != nil {
			return fmt.Errorf("listing sessions: %w", err)
		}
		if len(list) == f.Limit {
			list = list[:f.Limit-1]
			next = list[len(list)-1].ID
		}
		for _, one := range list {
			items = append(items, SessionView{Session: *one})
		}
		return nil
	})
	return items, next, err
}

// mySession reads a session that the principal owns, or any with the
// permission for those of others. One that it may not touch does not exist for
// it, unless it may read it.
func (s *Service) mySession(ctx context.Context, p auth.Principal, id string, others auth.Permission) (*fleet.Session, error) {
	if !p.May(others) {
		if err := p.Need(auth.Sessions); err != nil {
			return nil, err
		}
	}
	session, err := s.readSession(ctx, id)
	if err != nil {
		return nil, err
	}
	if !p.May(others) && session.Owner != p.TokenID {
		return nil, fleet.Errorf(fleet.CodeNotFound, "there is no session %q", id)
	}
	return session, nil
}

func (s *Service) readSession(ctx context.Context, id string) (*fleet.Session, error) {
	var session *fleet.Session
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		var err error
		if session, err = tx.Session(id); err != nil {
			return notFound(err, "session", id)
		}
		return nil
	})
	return session, err
}
