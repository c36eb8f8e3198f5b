package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// ServerLogin is how a person enters a machine.
type ServerLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// ServerPassword asks the cloud for the password of a machine's administrator.
// It is kept nowhere; that somebody has read it is an event, committed before
// the password is told.
func (s *Service) ServerPassword(ctx context.Context, p auth.Principal, name string) (ServerLogin, error) {
	if err := p.Need(auth.Passwords); err != nil {
		return ServerLogin{}, err
	}
	var server *fleet.Server
	var made, current *store.Object
	err := s.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if server, err = tx.ServerByName(name); err != nil {
			return notFound(err, "server", name)
		}
		switch {
		case server.Origin == fleet.OriginFixed:
			return fleet.Errorf(fleet.CodeConflict, "server %s was registered by hand: no cloud knows its password", server.Name)
		case server.ProviderID == "":
			return fleet.Errorf(fleet.CodeConflict, "server %s is %s: it has no machine to ask for", server.Name, server.Phase)
		case server.Phase == fleet.PhaseGone:
			return fleet.Errorf(fleet.CodeConflict, "server %s is gone", server.Name)
		}
		if made, err = tx.ProviderRevision(server.VMProvider, server.ProviderRevision); err != nil {
			return fmt.Errorf("reading revision %d of VM provider %s: %w", server.ProviderRevision, server.VMProvider, err)
		}
		current, err = tx.Object(fleet.KindVMProvider, server.VMProvider)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return ServerLogin{}, err
	}
	if s.Open == nil {
		return ServerLogin{}, fleet.Errorf(fleet.CodeUnavailable, "this controller reaches no provider")
	}
	login, err := s.password(ctx, made, server)
	// The key that opens the password belongs to the revision that made the
	// machine, while the credentials of that revision may have been replaced.
	if class := provider.ClassOf(err); current != nil && current.Revision != made.Revision &&
		(class == provider.Unauthenticated || class == provider.Forbidden) {
		login, err = s.password(ctx, current, server)
	}
	if err != nil {
		return ServerLogin{}, passwordError(server.Name, err)
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		emitServer(tx, server, fleet.EventServerUpdated, p.Actor(), "the password of its administrator was read by "+p.Actor(), nil)
		return nil
	})
	if err != nil {
		return ServerLogin{}, fmt.Errorf("recording that the password of server %s was read: %w", server.Name, err)
	}
	return ServerLogin(login), nil
}

func (s *Service) password(ctx context.Context, o *store.Object, server *fleet.Server) (provider.Login, error) {
	client, err := s.Open(ctx, o)
	if err != nil {
		return provider.Login{}, err
	}
	defer s.leave(ctx, client)
	return client.Password(ctx, server.ProviderID)
}

func passwordError(name string, err error) error {
	var known *provider.Error
	if !errors.As(err, &known) {
		return err
	}
	code := fleet.CodeUnavailable
	switch known.Class {
	case provider.Unsupported, provider.Invalid:
		code = fleet.CodeConflict
	case provider.NotFound:
		code = fleet.CodeNotFound
	default: // trying again, or mending the provider config, can help
	}
	return &fleet.Error{Code: code, Message: fmt.Sprintf("the password of server %s cannot be read: %v", name, known), Cause: err}
}
