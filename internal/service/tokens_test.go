package service_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func TestAdminTokenIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, _ := auth.NewToken()
	second, _ := auth.NewToken()
	for _, step := range []struct {
		token string
		want  bool
	}{{first, true}, {first, true}, {second, false}, {"rubbish", false}} {
		if got, err := w.EnsureAdmin(w.ctx, step.token); err != nil || got != step.want {
			t.Errorf("accepted %v, error %v, want %v", got, err, step.want)
		}
	}
	if p, err := w.Authenticate(w.ctx, first); err != nil || p.Role != fleet.RoleAdmin {
		t.Errorf("principal %+v, error %v", p, err)
	}
	_, err := w.Authenticate(w.ctx, second)
	wantCode(t, err, fleet.CodeUnauthenticated)
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	made, err := w.CreateToken(w.ctx, admin, service.TokenRequest{Name: "ci", Role: fleet.RoleSession, Pool: "desk", TTL: fleet.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Authenticate(w.ctx, made.Token)
	if diff := cmp.Diff(auth.Principal{TokenID: made.ID, Name: "ci", Role: fleet.RoleSession, Pool: "desk"}, p); err != nil || diff != "" {
		t.Errorf("error %v, principal:\n%s", err, diff)
	}
	all, err := w.ListTokens(w.ctx, admin)
	if err != nil || len(all) != 1 || all[0].LastUsedAt == nil || all[0].CreatedBy != "root" {
		t.Errorf("tokens %+v, error %v", all, err)
	}
	if e := w.lastEvent(fleet.EventKindToken, "ci"); e.Type != fleet.EventTokenCreated || e.Actor != "token/root" {
		t.Errorf("event %+v", e)
	}
	w.clock.Step(time.Hour)
	_, err = w.Authenticate(w.ctx, made.Token)
	wantCode(t, err, fleet.CodeUnauthenticated)
	again, err := w.CreateToken(w.ctx, admin, service.TokenRequest{Name: "ci2", Role: fleet.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RevokeToken(w.ctx, admin, again.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Authenticate(w.ctx, again.Token)
	wantCode(t, err, fleet.CodeUnauthenticated)
	wantCode(t, w.RevokeToken(w.ctx, admin, again.ID), fleet.CodeNotFound)
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	last, err := w.CreateToken(w.ctx, admin, service.TokenRequest{Name: "only", Role: fleet.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.RevokeToken(w.ctx, admin, last.ID), fleet.CodeConflict, "last admin token")
	for _, tc := range []struct {
		r     service.TokenRequest
		words []string
	}{
		{service.TokenRequest{Name: "Not Valid", Role: "root"}, []string{"name", "role: must be"}},
		{service.TokenRequest{Name: "only", Role: fleet.RoleViewer}, []string{"name: a token of this name exists"}},
		{service.TokenRequest{Name: "a", Role: fleet.RoleJoin}, []string{"pool: is required for role join"}},
		{service.TokenRequest{Name: "a", Role: fleet.RoleViewer, Pool: "desk"}, []string{"only roles session and join"}},
		{service.TokenRequest{Name: "a", Role: fleet.RoleSession, Pool: "nope"}, []string{"there is no pool \"nope\""}},
	} {
		_, err := w.CreateToken(w.ctx, admin, tc.r)
		wantCode(t, err, fleet.CodeInvalid, tc.words...)
	}
}

func TestMachineTokensOutliveARestart(t *testing.T) {
	t.Parallel()
	ctx, dir := context.Background(), t.TempDir()
	url := "sqlite://" + filepath.Join(dir, "h.db")
	open := func(key string) (string, error) {
		st, err := store.Open(ctx, store.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = st.Close() }()
		k, err := secret.OpenKeeper(ctx, "file://"+filepath.Join(dir, key))
		if err != nil {
			t.Fatal(err)
		}
		d, err := service.OpenDeriver(ctx, st, k)
		if err != nil {
			return "", err
		}
		return d.Registration("s1"), nil
	}
	first, err := open("a.key")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := open("a.key"); err != nil || again != first {
		t.Errorf("after a restart %q, %v, want %q", again, err, first)
	}
	if _, err := open("b.key"); !errors.Is(err, secret.ErrWrongKey) || !strings.Contains(err.Error(), "put the original key back") {
		t.Errorf("with another key: %v", err)
	}
}
