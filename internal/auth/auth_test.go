package auth_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	token, hash := auth.NewToken()
	other, _ := auth.NewToken()
	if token == other || !auth.LooksLikeToken(token) || auth.Hash(token) != hash || strings.Contains(hash, token) {
		t.Errorf("token %q, hash %q", token, hash)
	}
	for _, bad := range []string{"", "hr_", token + "x", token[1:], "Bearer " + token} {
		if auth.LooksLikeToken(bad) {
			t.Errorf("%q looks like a token", bad)
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	all := []auth.Permission{auth.Read, auth.Configure, auth.Operate, auth.Register, auth.Sessions, auth.AllSessions, auth.Tokens}
	for role, want := range map[fleet.Role]string{ // one column for each permission of all
		fleet.RoleAdmin:    "yyyyyyy",
		fleet.RoleOperator: "y.y.yy.",
		fleet.RoleSession:  "....y..",
		fleet.RoleViewer:   "y......",
		fleet.RoleJoin:     "...y...",
		"root":             ".......",
		"":                 ".......",
	} {
		p := auth.Principal{Name: "t", Role: role}
		got := ""
		for _, perm := range all {
			may := p.May(perm)
			if (p.Need(perm) == nil) != may {
				t.Errorf("%s: May and Need differ on %s", role, perm)
			}
			got += map[bool]string{true: "y", false: "."}[may]
		}
		if got != want {
			t.Errorf("%s may %s, want %s", role, got, want)
		}
	}
}

func TestPoolBinding(t *testing.T) {
	t.Parallel()
	p := auth.Principal{Name: "t", Role: fleet.RoleSession, Pool: "blue"}
	if err := p.NeedIn(auth.Sessions, "blue"); err != nil {
		t.Error(err)
	}
	for _, pool := range []string{"red", ""} {
		if err := p.NeedIn(auth.Sessions, pool); fleet.CodeOf(err) != fleet.CodeForbidden {
			t.Errorf("pool %q: %v", pool, err)
		}
	}
}
