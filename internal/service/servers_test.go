package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func TestDrainAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	s, err := w.Drain(w.ctx, operator, "hr-s1", 10*time.Minute)
	if err != nil || s.Phase != fleet.PhaseDraining || !s.DrainDeadline.Equal(w.clock.Now().Add(10*time.Minute)) {
		t.Fatalf("server %+v, error %v", s, err)
	}
	q := w.take(ann)
	if q.State != fleet.SessionQueued {
		t.Error("a draining server took a session")
	}
	if s, err = w.Drain(w.ctx, operator, "s1", 0); err != nil || !s.DrainDeadline.Equal(w.clock.Now().Add(10*time.Minute)) {
		t.Errorf("draining again without a deadline: %+v, %v", s, err)
	}
	if s, err = w.Drain(w.ctx, operator, "s1", time.Hour); err != nil || !s.DrainDeadline.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("draining again with another deadline: %+v, %v", s, err)
	}
	if s, err = w.Retry(w.ctx, operator, "s1"); err != nil || s.Phase != fleet.PhaseReady || s.DrainDeadline != nil {
		t.Errorf("taking it back: %+v, %v", s, err)
	}
	if got := w.session(q.ID); got.State != fleet.SessionActive {
		t.Errorf("whoever waited is %s", got.State)
	}
	if e := w.lastEvent(fleet.EventKindServer, "hr-s1"); e.Actor != "token/op" || e.Data["from"] != "draining" {
		t.Errorf("event %+v", e)
	}
	_, err = w.Undrain(w.ctx, operator, "s1")
	wantCode(t, err, fleet.CodeConflict)
	_, err = w.Retry(w.ctx, operator, "s1")
	wantCode(t, err, fleet.CodeConflict, "is ready")
	_, err = w.Drain(w.ctx, operator, "none", 0)
	wantCode(t, err, fleet.CodeNotFound)
}

func TestForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	_, err := w.Forget(w.ctx, admin, "s1")
	wantCode(t, err, fleet.CodeConflict, "is ready", "delete it first")
	if _, err := w.DeleteServer(w.ctx, operator, "s1", false); err != nil {
		t.Fatal(err)
	}
	_, err = w.Forget(w.ctx, operator, "s1")
	wantCode(t, err, fleet.CodeForbidden)
	s, err := w.Forget(w.ctx, admin, "s1")
	if err != nil || s.Phase != fleet.PhaseGone || !strings.HasPrefix(s.Reason, "let go of by "+admin.Actor()+": ") || !strings.Contains(s.Reason, "before that: deleted by "+operator.Actor()) {
		t.Errorf("server %+v, error %v", s, err)
	}
	if e := w.lastEvent(fleet.EventKindServer, "hr-s1"); e.Actor != admin.Actor() || e.Data["from"] != "deleting" || e.Message != s.Reason {
		t.Errorf("event %+v", e)
	}
	if _, err := w.Forget(w.ctx, admin, "s1"); err != nil {
		t.Errorf("again: %v", err)
	}
	_, err = w.Forget(w.ctx, admin, "none")
	wantCode(t, err, fleet.CodeNotFound)
}

func TestDeleteServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	a := w.take(ann)
	b := w.take(ann)
	q := w.take(ann)
	_, err := w.DeleteServer(w.ctx, operator, "s1", false)
	wantCode(t, err, fleet.CodeInUse, "holds 2 sessions")
	s, err := w.DeleteServer(w.ctx, operator, "s1", true)
	if err != nil || s.Phase != fleet.PhaseDeleting || s.Sessions != 0 {
		t.Fatalf("server %+v, error %v", s, err)
	}
	for _, id := range []string{a.ID, b.ID} {
		if got := w.session(id); got.State != fleet.SessionEnded || !strings.Contains(got.Reason, "deleted by token/op") {
			t.Errorf("session is %s: %s", got.State, got.Reason)
		}
	}
	if got := w.session(q.ID); got.State != fleet.SessionQueued {
		t.Errorf("the queue was served from the deleted server: %s", got.State)
	}
	version := s.Version
	if s, err = w.DeleteServer(w.ctx, operator, "s1", false); err != nil || s.Version != version {
		t.Errorf("deleting again: %+v, %v", s, err)
	}
	for _, p := range fleet.Phases() {
		w.server(string(p), inPhase(p))
		if _, err := w.DeleteServer(w.ctx, admin, string(p), false); err != nil {
			t.Errorf("phase %s: %v", p, err)
		}
	}
	_, err = w.DeleteServer(w.ctx, viewer, "ready", false)
	wantCode(t, err, fleet.CodeForbidden)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("f", func(s *fleet.Server) { s.Phase, s.Reason = fleet.PhaseFailed, "no answer" })
	if s, err := w.Retry(w.ctx, operator, "f"); err != nil || s.Phase != fleet.PhaseDeleting || !strings.Contains(s.Reason, "no answer") {
		t.Errorf("server %+v, error %v", s, err)
	}
	seq := w.lastEvent(fleet.EventKindServer, "hr-f").Seq
	if s, err := w.Retry(w.ctx, operator, "f"); err != nil || s.Phase != fleet.PhaseDeleting {
		t.Errorf("server %+v, error %v", s, err)
	}
	if w.lastEvent(fleet.EventKindServer, "hr-f").Seq == seq {
		t.Error("nothing tells the loops to try again")
	}
}

func TestRegisterServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	q, err := w.Acquire(w.ctx, ann, service.AcquireRequest{Pool: "win"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.RegisterServer(w.ctx, admin, service.ServerInput{Name: "rack-1", Pool: "win", Addresses: []string{"10.0.0.9"}, Capacity: service.FixedCapacity{Places: 2}})
	if err != nil || s.Phase != fleet.PhaseReady || s.Origin != fleet.OriginFixed || s.Zone != "default" || s.Sessions != 1 {
		t.Errorf("server %+v, error %v", s, err)
	}
	if got := w.session(q.ID); got.Server != "rack-1" {
		t.Errorf("whoever waited is %s on %q", got.State, got.Server)
	}
	_, err = w.RegisterServer(w.ctx, admin, service.ServerInput{
		Name: "rack-1", Pool: "desk", Zone: "mars", Addresses: []string{"", "foo bar", "http://x/y"}, Capacity: service.FixedCapacity{Cores: fleet.Core, Places: 3}, MaxUsers: -1,
	})
	wantCode(t, err, fleet.CodeInvalid, "name: a server of this name exists", "zone: there is no zone \"mars\"", "addresses[0]", "addresses[1]", "addresses[2]: must be an IP address or a host name", "capacity.places", "capacity.memory_mib", "max_users")
	_, err = w.RegisterServer(w.ctx, operator, service.ServerInput{Pool: "win"})
	wantCode(t, err, fleet.CodeForbidden)
}

func TestServerPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		w.server(id)
		w.clock.Step(time.Second)
	}
	var got string
	after := ""
	for range 4 {
		items, next, err := w.Servers(w.ctx, viewer, store.ServerFilter{Limit: 2, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range items {
			got += s.ID
		}
		got += "."
		if after = next; after == "" {
			break
		}
	}
	if got != "ab.cd.e." {
		t.Errorf("pages %q", got)
	}
}

// TestWhoMayDoWhat calls each use case with each role.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	s := w.take(admin)
	calls := map[string]func(p auth.Principal) error{
		"read":    func(p auth.Principal) error { _, err := w.Object(w.ctx, p, fleet.KindPool, "desk"); return err },
		"list":    func(p auth.Principal) error { _, _, err := w.Servers(w.ctx, p, store.ServerFilter{}); return err },
		"events":  func(p auth.Principal) error { _, _, err := w.Events(w.ctx, p, store.EventFilter{}); return err },
		"plan":    func(p auth.Principal) error { _, err := w.PlanPools(w.ctx, p, "desk"); return err },
		"explain": func(p auth.Principal) error { _, err := w.ExplainPool(w.ctx, p, "desk"); return err },
		"kinds":   func(p auth.Principal) error { _, err := w.ProviderKinds(w.ctx, p); return err },
		"apply": func(p auth.Principal) error {
			_, err := w.Apply(w.ctx, p, service.ApplyRequest{Documents: []service.ApplyDocument{{Text: basic}}})
			return err
		},
		"put": func(p auth.Principal) error {
			_, _, err := w.PutObject(w.ctx, p, fleet.KindZone, fleet.Meta{Name: "default"}, raw(`{}`), service.Condition{})
			return err
		},
		"delete": func(p auth.Principal) error {
			return w.DeleteObject(w.ctx, p, fleet.KindPool, "nope", service.Condition{}, false)
		},
		"drain": func(p auth.Principal) error { _, err := w.Drain(w.ctx, p, "s1", 0); return err },
		"check": func(p auth.Principal) error {
			_, err := w.CheckProvider(w.ctx, p, service.Draft{Name: "cloud1"})
			return err
		},
		"check-draft": func(p auth.Principal) error {
			_, err := w.CheckProvider(w.ctx, p, service.Draft{Documents: []service.ApplyDocument{{Text: basic}}})
			return err
		},
		"script": func(p auth.Principal) error {
			_, err := w.RenderScript(w.ctx, p, service.Draft{Name: "nope"})
			return err
		},
		"register":  func(p auth.Principal) error { _, err := w.RegisterServer(w.ctx, p, service.ServerInput{}); return err },
		"session":   func(p auth.Principal) error { _, err := w.Acquire(w.ctx, p, one()); return err },
		"renew":     func(p auth.Principal) error { _, err := w.Renew(w.ctx, p, s.ID, 0); return err },
		"token":     func(p auth.Principal) error { _, err := w.CreateToken(w.ctx, p, service.TokenRequest{}); return err },
		"tokens":    func(p auth.Principal) error { _, err := w.ListTokens(w.ctx, p); return err },
		"revoke":    func(p auth.Principal) error { return w.RevokeToken(w.ctx, p, "nope") },
		"serverlog": func(p auth.Principal) error { _, err := w.ServerLog(w.ctx, p, "s1"); return err },
	}
	may := map[fleet.Role]string{
		fleet.RoleAdmin:    "read list events plan explain kinds apply put delete drain check check-draft script register session renew token tokens revoke serverlog",
		fleet.RoleOperator: "read list events plan explain kinds drain check script session renew serverlog",
		fleet.RoleViewer:   "read list events plan explain kinds script serverlog",
		fleet.RoleSession:  "session",
		fleet.RoleJoin:     "register",
		"":                 "",
	}
	for role, list := range may {
		p := auth.Principal{TokenID: "t-" + string(role), Name: "x", Role: role}
		for name, call := range calls {
			allowed := false
			for _, one := range strings.Fields(list) {
				allowed = allowed || one == name
			}
			err := call(p)
			forbidden := err != nil && (fleet.CodeOf(err) == fleet.CodeForbidden || role == fleet.RoleSession && fleet.CodeOf(err) == fleet.CodeNotFound)
			if forbidden == allowed {
				t.Errorf("role %q, %s: %v, want allowed %v", role, name, err, allowed)
			}
		}
	}
}
