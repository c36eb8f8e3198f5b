package service_test

import (
	"context"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func TestServerPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	cloud := sim.NewCloud(sim.Options{Clock: w.clock, Token: "new"})
	id := cloud.Plant("hr-s1", provider.Tags{})
	var opened []int64
	w.Open = func(_ context.Context, o *store.Object) (*provider.Client, error) {
		opened = append(opened, o.Revision)
		b := sim.Behaviour{Token: "old"}
		if o.Revision > 1 {
			b.Token = "new"
		}
		return provider.NewClient(provider.ClientOptions{Kind: provider.Kind{Name: "cloud"}, Driver: cloud.Driver(b), Clock: w.clock, Owner: provider.Owner{Installation: "i", Provider: "cloud1"}}), nil
	}
	w.server("s1", func(s *fleet.Server) { s.ProviderID, s.ProviderRevision = id, 1 })
	w.server("planned", func(s *fleet.Server) { s.Phase, s.ProviderRevision = fleet.PhasePlanned, 1 })
	w.server("rack", func(s *fleet.Server) { s.Origin = fleet.OriginFixed })

	_, err := w.ServerPassword(w.ctx, operator, "s1")
	wantCode(t, err, fleet.CodeForbidden, "passwords")
	_, err = w.ServerPassword(w.ctx, admin, "nobody")
	wantCode(t, err, fleet.CodeNotFound)
	_, err = w.ServerPassword(w.ctx, admin, "planned")
	wantCode(t, err, fleet.CodeConflict, "has no machine")
	_, err = w.ServerPassword(w.ctx, admin, "rack")
	wantCode(t, err, fleet.CodeConflict, "by hand")
	_, err = w.ServerPassword(w.ctx, admin, "s1")
	wantCode(t, err, fleet.CodeUnavailable, "unauthenticated")

	// New credentials reach the machine that was made with the old ones.
	w.apply(strings.Replace(basic, "token: s3cret", "token: another", 1))
	_, err = w.ServerPassword(w.ctx, admin, "s1")
	wantCode(t, err, fleet.CodeUnavailable, "has not made a password yet")
	cloud.SetPassword(id, "Pa55word")
	opened = nil
	got, err := w.ServerPassword(w.ctx, admin, "s1")
	if want := (service.ServerLogin{User: "Administrator", Password: "Pa55word"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(opened) != 2 || opened[0] != 1 || opened[1] != 2 {
		t.Errorf("revisions %v were asked, expected that of the machine first", opened)
	}
	if e := w.lastEvent(fleet.EventKindServer, "hr-s1"); e.Actor != "token/root" || !strings.Contains(e.Message, "password") || strings.Contains(e.Message, "Pa55word") {
		t.Errorf("event %+v", e)
	}
}
