package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// tokenTouch is how exactly the last use of a token is known.
const tokenTouch = time.Minute

// adminName is the name of the token that the first start makes.
const adminName = "admin"

// errUnauthenticated is the one answer to every token that is not valid,
// whatever is wrong with it.
var errUnauthenticated = &fleet.Error{Code: fleet.CodeUnauthenticated, Message: "the token is missing, unknown, expired or revoked: pass a valid one as Authorization: Bearer"}

// Authenticate finds out who bears an API token.
func (s *Service) Authenticate(ctx context.Context, token string) (auth.Principal, error) {
	if !auth.LooksLikeToken(token) {
		return auth.Principal{}, errUnauthenticated
	}
	now := s.now()
	var t *fleet.APIToken
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		var err error
		t, err = tx.TokenByHash(auth.Hash(token))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return auth.Principal{}, errUnauthenticated
	}
	if err != nil {
		return auth.Principal{}, fmt.Errorf("looking up a token: %w", err)
	}
	if t.ExpiresAt != nil && !t.ExpiresAt.After(now) {
		return auth.Principal{}, errUnauthenticated
	}
	if t.LastUsedAt == nil || now.Sub(*t.LastUsedAt) >= tokenTouch {
		err := s.Store.Write(ctx, func(tx *store.Tx) error { return tx.TouchToken(t.ID, now) })
		if err != nil { // a full disk must not keep people from reading
			s.Log.WarnContext(ctx, "recording the use of a token failed", "token", t.Name, "error", err)
		}
	}
	return auth.Principal{TokenID: t.ID, Name: t.Name, Role: t.Role, Pool: t.Pool}, nil
}

// EnsureAdmin makes the given token the admin token of an installation that has
// no token yet. accepted says whether the token is a valid admin token
// afterwards. The caller keeps the token in a file before it calls, so that a
// crash in between loses nothing, and removes the file when it is not accepted.
func (s *Service) EnsureAdmin(ctx context.Context, token string) (accepted bool, err error) {
	if !auth.LooksLikeToken(token) {
		return false, nil
	}
	id, now := s.Store.NewID(), s.now()
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		accepted = false
		have, err := tx.TokenByHash(auth.Hash(token))
		if err == nil {
			accepted = have.Role == fleet.RoleAdmin && (have.ExpiresAt == nil || have.ExpiresAt.After(now))
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		all, err := tx.Tokens()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(t *fleet.APIToken) bool { return t.Role == fleet.RoleAdmin }) {
			return nil
		}
		accepted = true
		t := &fleet.APIToken{ID: id, Name: adminName, Role: fleet.RoleAdmin, CreatedAt: now, CreatedBy: "first start"}
		if err := tx.InsertToken(t, auth.Hash(token)); err != nil {
			return err
		}
		emitToken(tx, t, fleet.EventTokenCreated, "system", "admin token of the first start")
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("making the admin token: %w", err)
	}
	return accepted, nil
}

// TokenRequest asks for a new token.
type TokenRequest struct {
	Name string         `json:"name" minLength:"1" maxLength:"63" doc:"What the token is for; unique." example:"ci"`
	Role fleet.Role     `json:"role" enum:"admin,operator,session,viewer,join"`
	Pool string         `json:"pool,omitempty" doc:"Only for this pool (roles session and join; join needs it)."`
	TTL  fleet.Duration `json:"ttl,omitempty" doc:"Life time. 0: until revoked." example:"30d"`
}

// NewToken is a token that was just made. Token is shown this once.
type NewToken struct {
	Token string `json:"token" doc:"The secret; it is not shown again."`
	fleet.APIToken
}

// CreateToken makes a token.
func (s *Service) CreateToken(ctx context.Context, p auth.Principal, r TokenRequest) (NewToken, error) {
	if err := p.Need(auth.Tokens); err != nil {
		return NewToken{}, err
	}
	var fields []fleet.FieldError
	bad := func(path string, value any, message string) {
		fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: message})
	}
	if err := fleet.CheckName(r.Name); err != nil {
		bad("name", r.Name, err.Error())
	}
	scoped := r.Role == fleet.RoleSession || r.Role == fleet.RoleJoin
	switch {
	case !slices.Contains(auth.Roles(), r.Role):
		bad("role", r.Role, "must be admin, operator, session, viewer or join")
	case r.Pool != "" && !scoped:
		bad("pool", r.Pool, "only roles session and join can be bound to a pool")
	case r.Pool == "" && r.Role == fleet.RoleJoin:
		bad("pool", nil, "is required for role join: the pool that machines may join")
	}
	token, hash := auth.NewToken()
	now := s.now()
	out := NewToken{Token: token, APIToken: fleet.APIToken{ID: s.Store.NewID(), Name: r.Name, Role: r.Role, Pool: r.Pool, CreatedAt: now, CreatedBy: p.Name}}
	if r.TTL > 0 {
		until := now.Add(r.TTL.D())
		out.ExpiresAt = &until
	}
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		fields := slices.Clone(fields)
		if r.Pool != "" {
			if _, err := tx.Object(fleet.KindPool, r.Pool); errors.Is(err, store.ErrNotFound) {
				fields = append(fields, fleet.FieldError{Path: "pool", Value: r.Pool, Message: fmt.Sprintf("there is no pool %q: headroom get pools lists those that exist", r.Pool)})
			} else if err != nil {
				return err
			}
		}
		all, err := tx.Tokens()
		if err != nil {
			return fmt.Errorf("listing tokens: %w", err)
		}
		if slices.ContainsFunc(all, func(t *fleet.APIToken) bool { return t.Name == r.Name }) {
			fields = append(fields, fleet.FieldError{Path: "name", Value: r.Name, Message: "a token of this name exists: revoke it or use another name"})
		}
		if err := fleet.Invalid("token", fields); err != nil {
			return err
		}
		t := out.APIToken
		if err := tx.InsertToken(&t, hash); err != nil {
			return fmt.Errorf("writing token %s: %w", t.Name, err)
		}
		emitToken(tx, &t, fleet.EventTokenCreated, p.Actor(), fmt.Sprintf("token of role %s made", t.Role))
		return nil
	})
	if err != nil {
		return NewToken{}, err
	}
	return out, nil
}

// ListTokens lists the tokens without their secrets, which nobody has.
func (s *Service) ListTokens(ctx context.Context, p auth.Principal) ([]fleet.APIToken, error) {
	if err := p.Need(auth.Tokens); err != nil {
		return nil, err
	}
	var out []fleet.APIToken
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		out = []fleet.APIToken{}
		all, err := tx.Tokens()
		for _, t := range all {
			out = append(out, *t)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	return out, nil
}

// RevokeToken makes a token, given by its id or name, worthless at once. The
// last admin token cannot be revoked.
func (s *Service) RevokeToken(ctx context.Context, p auth.Principal, idOrName string) error {
	if err := p.Need(auth.Tokens); err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		all, err := tx.Tokens()
		if err != nil {
			return fmt.Errorf("listing tokens: %w", err)
		}
		i := slices.IndexFunc(all, func(t *fleet.APIToken) bool { return t.ID == idOrName })
		if i < 0 {
			i = slices.IndexFunc(all, func(t *fleet.APIToken) bool { return t.Name == idOrName })
		}
		if i < 0 {
			return fleet.Errorf(fleet.CodeNotFound, "there is no token %q", idOrName)
		}
		t, now := all[i], s.now()
		rest := slices.ContainsFunc(all, func(o *fleet.APIToken) bool {
			return o.ID != t.ID && o.Role == fleet.RoleAdmin && (o.ExpiresAt == nil || o.ExpiresAt.After(now))
		})
		if t.Role == fleet.RoleAdmin && !rest {
			return fleet.Errorf(fleet.CodeConflict, "token %s is the last admin token: make another one first", t.Name)
		}
		if err := tx.DeleteToken(t.ID); err != nil {
			return fmt.Errorf("revoking token %s: %w", t.Name, err)
		}
		emitToken(tx, t, fleet.EventTokenRevoked, p.Actor(), fmt.Sprintf("token of role %s revoked", t.Role))
		return nil
	})
}

func emitToken(tx *store.Tx, t *fleet.APIToken, what fleet.EventType, actor, message string) {
	tx.Emit(fleet.Event{
		Type: what, Kind: fleet.EventKindToken, Name: t.Name, ID: t.ID, Pool: t.Pool, Actor: actor, Message: message,
		Data: map[string]any{"role": string(t.Role)},
	})
}
