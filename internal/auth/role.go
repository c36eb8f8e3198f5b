package auth

import (
	"slices"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Permission is something that a role may allow.
type Permission string

// The permissions.
const (
	Read        Permission = "read"         // see every object, server, session and event
	Configure   Permission = "configure"    // create, change and delete configured objects
	Operate     Permission = "operate"      // drain, delete and retry servers; check providers
	Register    Permission = "register"     // register fixed servers
	Sessions    Permission = "sessions"     // take, see, renew and end one's own sessions
	AllSessions Permission = "all_sessions" // see, renew and end the sessions of others
	Tokens      Permission = "tokens"       // make, list and revoke tokens
	Passwords   Permission = "passwords"    // read the administrators' passwords of machines
)

// allowed is the one table of who may do what.
func allowed(r fleet.Role) []Permission {
	switch r {
	case fleet.RoleAdmin:
		return []Permission{Read, Configure, Operate, Register, Sessions, AllSessions, Tokens, Passwords}
	case fleet.RoleOperator:
		return []Permission{Read, Operate, Sessions, AllSessions}
	case fleet.RoleSession:
		return []Permission{Sessions}
	case fleet.RoleViewer:
		return []Permission{Read}
	case fleet.RoleJoin:
		return []Permission{Register}
	}
	return nil
}

// Roles lists the roles, the mightiest first.
func Roles() []fleet.Role {
	return []fleet.Role{fleet.RoleAdmin, fleet.RoleOperator, fleet.RoleSession, fleet.RoleViewer, fleet.RoleJoin}
}

// Principal is who asks.
type Principal struct {
	TokenID string
	Name    string
	Role    fleet.Role
	Pool    string // the only pool that the token may touch; empty: all
}

// Actor names the principal in events.
func (p Principal) Actor() string { return "token/" + p.Name }

// May says whether the principal has the permission at all.
func (p Principal) May(perm Permission) bool { return slices.Contains(allowed(p.Role), perm) }

// Need returns a *fleet.Error unless the principal has the permission.
func (p Principal) Need(perm Permission) error {
	if p.May(perm) {
		return nil
	}
	return fleet.Errorf(fleet.CodeForbidden, "role %s of token %s does not allow this: it needs the permission %q", p.Role, p.Name, perm)
}

// NeedIn returns a *fleet.Error unless the principal has the permission and may
// use it in the pool.
func (p Principal) NeedIn(perm Permission, pool string) error {
	if err := p.Need(perm); err != nil {
		return err
	}
	if p.Pool != "" && p.Pool != pool {
		return fleet.Errorf(fleet.CodeForbidden, "token %s is for pool %s only, not for %q", p.Name, p.Pool, pool)
	}
	return nil
}
