package service_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

var (
	cred1 = strings.Repeat("a", 40)
	cred2 = strings.Repeat("b", 40)
	cred3 = strings.Repeat("c", 40)
	size  = fleet.Resources{Cores: 4 * fleet.Core, MemoryMiB: 4096}
)

func (w *world) registration(id, credential string) fleet.AgentRegistration {
	return fleet.AgentRegistration{
		Token: w.d.Registration(id), Credential: credential, Hostname: "h", Addresses: []string{"10.1.1.1"}, Capacity: size, Version: "1.0",
	}
}

func report(change ...func(*fleet.AgentReport)) fleet.AgentReport {
	r := fleet.AgentReport{Capacity: size, Version: "1.0"}
	for _, c := range change {
		c(&r)
	}
	return r
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	q := w.take(ann)
	id, err := w.Register(w.ctx, w.registration("s1", cred1))
	want := fleet.AgentIdentity{ServerID: "s1", Server: "hr-s1", Pool: "desk", Heartbeat: fleet.Duration(10 * time.Second)}
	if diff := cmp.Diff(want, id); err != nil || diff != "" {
		t.Fatalf("error %v, identity:\n%s", err, diff)
	}
	s := w.get("s1")
	if s.Phase != fleet.PhaseReady || s.Capacity != size || s.CapacitySource != fleet.CapacityReported || s.RegisteredAt == nil || s.LastSeenAt == nil || s.AgentVersion != "1.0" {
		t.Errorf("server %+v", s)
	}
	if got := w.session(q.ID); got.State != fleet.SessionActive {
		t.Errorf("whoever waited is %s", got.State)
	}
	if e := w.lastEvent(fleet.EventKindServer, "hr-s1"); e.Type != fleet.EventServerPhase || e.Actor != "agent/hr-s1" || e.Data["from"] != "booting" {
		t.Errorf("event %+v", e)
	}
}

// A machine that is ready without a check-in may have an agent all the same: what
// it brings is told, and not what was told before.
func TestRegisterWhenReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", func(s *fleet.Server) { s.Reason = "runs in the cloud" })
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	e := w.lastEvent(fleet.EventKindServer, "hr-s1")
	if want := "its agent has registered with " + size.String(); e.Message != want || w.get("s1").Reason != want {
		t.Errorf("event %+v, reason %q, want %q", e, w.get("s1").Reason, want)
	}
}

func TestRegisterTakesOverrides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic + doc("AutoscaleConfig", "over", "{pool: desk, zone: default, vm_providers: [cloud1], agent_cores_override: 1.5}"))
	w.server("s1", inPhase(fleet.PhaseCreating), func(s *fleet.Server) { s.AutoscaleConfig = "over" })
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	s := w.get("s1")
	if want := (fleet.Resources{Cores: 1500, MemoryMiB: 4096}); s.Capacity != want || s.CapacitySource != fleet.CapacityOverride {
		t.Errorf("capacity %s from %s", s.Capacity, s.CapacitySource)
	}
}

func TestRegistrationTokenWorksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseConfiguring))
	w.server("s2", inPhase(fleet.PhaseConfiguring))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	before := w.get("s1")
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Errorf("the repetition with the same credential: %v", err)
	}
	if after := w.get("s1"); after.Version != before.Version {
		t.Error("the repetition changed the server")
	}
	_, err := w.Register(w.ctx, w.registration("s1", cred2))
	wantCode(t, err, fleet.CodeForbidden, "works once")
	_, err = w.Report(w.ctx, cred2, report())
	wantCode(t, err, fleet.CodeUnauthenticated)
	_, err = w.Register(w.ctx, w.registration("s2", cred1)) // somebody else's credential
	wantCode(t, err, fleet.CodeConflict)
	if s := w.get("s2"); s.Phase != fleet.PhaseConfiguring {
		t.Errorf("s2 is %s", s.Phase)
	}
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	for _, p := range fleet.Phases() {
		w.server(string(p), inPhase(p))
	}
	for _, p := range fleet.Phases() {
		_, err := w.Register(w.ctx, w.registration(string(p), cred1+string(p)))
		if open := p == fleet.PhaseCreating || p == fleet.PhaseBooting || p == fleet.PhaseConfiguring || p == fleet.PhaseReady; open != (err == nil) {
			t.Errorf("phase %s: %v", p, err)
		}
	}
	bad := w.registration("creating", cred2)
	for name, change := range map[string]func(*fleet.AgentRegistration){
		"forged":                 func(r *fleet.AgentRegistration) { r.Token = strings.Replace(r.Token, "creating", "booting", 1) },
		"check-in token":         func(r *fleet.AgentRegistration) { r.Token = w.d.Checkin("creating") },
		"unknown server":         func(r *fleet.AgentRegistration) { r.Token = w.d.Registration("nobody") },
		"no token":               func(r *fleet.AgentRegistration) { r.Token = "" },
		"API token of the wrong": func(r *fleet.AgentRegistration) { r.Token = "hr_" + strings.Repeat("x", 43) },
	} {
		r := bad
		change(&r)
		_, err := w.Register(w.ctx, r)
		t.Run(name, func(t *testing.T) { wantCode(t, err, fleet.CodeUnauthenticated) })
	}
	r := bad
	r.Credential, r.Capacity = "short", fleet.Resources{Cores: -1}
	_, err := w.Register(w.ctx, r)
	wantCode(t, err, fleet.CodeInvalid, "credential: must be 32 to 128", "capacity.cores", "capacity.memory_mib")
}

func TestReportWritesOnlyNews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	before, event := w.get("s1"), w.lastEvent(fleet.EventKindServer, "hr-s1")
	w.clock.Step(10 * time.Second)
	orders, err := w.Report(w.ctx, cred1, report())
	want := fleet.AgentOrders{Phase: fleet.PhaseReady, Heartbeat: fleet.Duration(10 * time.Second), Sessions: []string{}}
	if diff := cmp.Diff(want, orders); err != nil || diff != "" {
		t.Fatalf("error %v, orders:\n%s", err, diff)
	}
	if after := w.get("s1"); after.Version != before.Version {
		t.Error("a report without news changed the server")
	}
	w.clock.Step(25 * time.Second)
	if _, err := w.Report(w.ctx, cred1, report()); err != nil {
		t.Fatal(err)
	}
	if after := w.get("s1"); !after.LastSeenAt.Equal(w.clock.Now()) {
		t.Errorf("last seen %v", after.LastSeenAt)
	}
	if e := w.lastEvent(fleet.EventKindServer, "hr-s1"); e.Seq != event.Seq {
		t.Errorf("a sign of life made an event: %+v", e)
	}
}

func TestReportBringsNews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	s := w.take(ann)
	w.write(func(tx *store.Tx) error {
		server, err := tx.Server("s1")
		if err != nil {
			return err
		}
		server.Missing = true
		return tx.SaveServer(server)
	})
	q := w.take(bob)
	if q.State != fleet.SessionQueued {
		t.Fatalf("a missing server took a session")
	}
	w.clock.Step(26 * time.Hour)
	orders, err := w.Report(w.ctx, cred1, report(func(r *fleet.AgentReport) { r.Capacity.Cores, r.Addresses = 8*fleet.Core, []string{"10.9.9.9"} }))
	if err != nil || !orders.RotateCredential || !cmp.Equal(orders.Sessions, []string{s.ID}) {
		t.Errorf("orders %+v, error %v", orders, err)
	}
	server := w.get("s1")
	if server.Missing || server.Reason != "its agent is heard again" || server.Capacity.Cores != 8*fleet.Core || server.Addresses[0] != "10.9.9.9" {
		t.Errorf("server %+v", server)
	}
	if got := w.session(q.ID); got.State != fleet.SessionActive {
		t.Errorf("whoever waited is %s", got.State)
	}
	events, _, err := w.Events(w.ctx, admin, store.EventFilter{Kind: fleet.EventKindServer, Name: "hr-s1", Newest: true, Limit: 1})
	if err != nil || !strings.Contains(events[0].Message, "heard again") || !strings.Contains(events[0].Message, "capacity changed from 4 cores, 4Gi to 8 cores, 4Gi") {
		t.Errorf("event %+v, %v", events, err)
	}
}

// A report is written on what has just been read, unless that has changed.
func TestReportMeetsAChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(time.Minute)
	w.meanwhile = func() { w.take(ann) }
	if _, err := w.Report(w.ctx, cred1, report()); err != nil {
		t.Fatal(err)
	}
	if s := w.get("s1"); w.meanwhile != nil || s.Sessions != 1 || !s.LastSeenAt.Equal(w.clock.Now()) {
		t.Errorf("server %+v", s)
	}
	w.clock.Step(time.Minute)
	w.meanwhile = func() {
		w.write(func(tx *store.Tx) error {
			s, err := tx.Server("s1")
			if err != nil {
				return err
			}
			if err := s.Move(fleet.PhaseFailed, "lost", w.clock.Now()); err != nil {
				return err
			}
			return tx.SaveServer(s)
		})
	}
	if _, err := w.Report(w.ctx, cred1, report()); fleet.CodeOf(err) != fleet.CodeUnauthenticated {
		t.Errorf("the agent of a server that was given up meanwhile gets error %v", err)
	}
	if s := w.get("s1"); s.LastSeenAt.Equal(w.clock.Now()) {
		t.Error("its report was written")
	}
}

func TestHeartbeatFitsMissingAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic + doc("AutoscaleConfig", "quick", "{pool: desk, zone: default, vm_providers: [cloud1], missing_after: 8s, dead_after: 1m}"))
	w.server("s1", inPhase(fleet.PhaseBooting), func(s *fleet.Server) { s.AutoscaleConfig = "quick" })
	if id, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil || id.Heartbeat.D() != 2*time.Second {
		t.Errorf("identity %+v, error %v", id, err)
	}
	w.clock.Step(6 * time.Second)
	if _, err := w.Report(w.ctx, cred1, report()); err != nil {
		t.Fatal(err)
	}
	if s := w.get("s1"); !s.LastSeenAt.Equal(w.clock.Now()) {
		t.Errorf("last seen %v, now %v: it would be taken for missing", s.LastSeenAt, w.clock.Now())
	}
	// Reports come up to a tenth late. The sign of life in the database must not
	// reach the limit although every report came.
	for range 20 {
		w.clock.Step(2200 * time.Millisecond)
		if s := w.get("s1"); w.clock.Since(*s.LastSeenAt) > 6*time.Second {
			t.Fatalf("stored as last seen %s ago although it reports in time: missing_after is 8s", w.clock.Since(*s.LastSeenAt))
		}
		if _, err := w.Report(w.ctx, cred1, report()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Rotate(w.ctx, cred1, cred2); err != nil {
		t.Fatal(err)
	}
	if err := w.Rotate(w.ctx, cred1, cred2); err != nil {
		t.Errorf("the repetition after a lost answer: %v", err)
	}
	if _, err := w.Report(w.ctx, cred1, report()); err != nil {
		t.Errorf("the old credential before the new one was used: %v", err)
	}
	if _, err := w.Report(w.ctx, cred2, report()); err != nil {
		t.Errorf("the new credential: %v", err)
	}
	_, err := w.Report(w.ctx, cred1, report())
	wantCode(t, err, fleet.CodeUnauthenticated)
	wantCode(t, w.Rotate(w.ctx, cred1, cred3), fleet.CodeUnauthenticated)
	wantCode(t, w.Rotate(w.ctx, cred2, "short"), fleet.CodeInvalid)
	_, err = w.Register(w.ctx, w.registration("s1", cred1)) // a replay of the registration
	wantCode(t, err, fleet.CodeForbidden)
}

func TestAgentOfALeavingServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Drain(w.ctx, admin, "hr-s1", 0); err != nil {
		t.Fatal(err)
	}
	if orders, err := w.Report(w.ctx, cred1, report()); err != nil || !orders.Drain {
		t.Errorf("draining: orders %+v, error %v", orders, err)
	}
	if _, err := w.DeleteServer(w.ctx, admin, "hr-s1", false); err != nil {
		t.Fatal(err)
	}
	_, err := w.Report(w.ctx, cred1, report())
	wantCode(t, err, fleet.CodeUnauthenticated)
	wantCode(t, w.AgentLog(w.ctx, cred1, []store.LogLine{{Text: "x"}}), fleet.CodeUnauthenticated)
	_, err = w.Register(w.ctx, w.registration("s1", cred1))
	wantCode(t, err, fleet.CodeForbidden, "deleting")
}

func TestJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	token, err := w.CreateToken(w.ctx, admin, service.TokenRequest{Name: "racks", Role: fleet.RoleJoin, Pool: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	q := w.take(ann)
	r := w.registration("x", cred1)
	r.Token = token.Token
	id, err := w.Register(w.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	s := w.get(id.ServerID)
	if s.Origin != fleet.OriginFixed || s.Phase != fleet.PhaseReady || s.Pool != "desk" || s.Zone != "default" || s.Capacity != size {
		t.Errorf("server %+v", s)
	}
	if got := w.session(q.ID); got.ServerID != s.ID {
		t.Errorf("whoever waited is %s", got.State)
	}
	if again, err := w.Register(w.ctx, r); err != nil || again.ServerID != id.ServerID {
		t.Errorf("the repetition made %+v, %v", again, err)
	}
	r.Credential = cred2
	if other, err := w.Register(w.ctx, r); err != nil || other.ServerID == id.ServerID {
		t.Errorf("a second machine got %+v, %v", other, err)
	}
	r.Credential = cred1
	if _, err := w.DeleteServer(w.ctx, admin, id.Server, true); err != nil {
		t.Fatal(err)
	}
	if got := w.get(id.ServerID); got.Phase != fleet.PhaseGone {
		t.Errorf("the deleted fixed server is %s", got.Phase)
	}
	if back, err := w.Register(w.ctx, r); err != nil || back.ServerID == id.ServerID {
		t.Errorf("a machine that joins anew got %+v, %v", back, err)
	}
	session, err := w.CreateToken(w.ctx, admin, service.TokenRequest{Name: "other", Role: fleet.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	r.Token, r.Credential = session.Token, cred3
	_, err = w.Register(w.ctx, r)
	wantCode(t, err, fleet.CodeForbidden)
}

func TestAgentLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1", inPhase(fleet.PhaseBooting))
	if _, err := w.Register(w.ctx, w.registration("s1", cred1)); err != nil {
		t.Fatal(err)
	}
	if err := w.AgentLog(w.ctx, cred1, []store.LogLine{{Stream: "agent", Text: "one"}, {Stream: "odd", Text: "two\xff\x00"}}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.AgentLog(w.ctx, cred1, []store.LogLine{{Text: strings.Repeat("x", 300<<10)}}), fleet.CodeTooLarge)
	lines, err := w.ServerLog(w.ctx, viewer, "hr-s1")
	if err != nil || len(lines) != 2 || lines[1].Stream != "agent" || lines[1].Text != "two?" || !lines[0].At.Equal(w.clock.Now()) {
		t.Errorf("lines %+v, error %v", lines, err)
	}
}

func TestCheckin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	places := func(s *fleet.Server) {
		s.Phase, s.Pool, s.AutoscaleConfig, s.Capacity = fleet.PhaseBooting, "win", "", fleet.Resources{Places: 2}
	}
	w.server("w1", places)
	w.server("w2", places)
	w.server("d1", inPhase(fleet.PhaseBooting))
	q, err := w.Acquire(w.ctx, ann, service.AcquireRequest{Pool: "win"})
	if err != nil {
		t.Fatal(err)
	}
	check := func(id, status string) error {
		return w.Checkin(w.ctx, w.d.Checkin(id), fleet.CheckinStatus{Status: status, Message: "line\none", Progress: 40})
	}
	for _, step := range []struct {
		id, status string
		want       fleet.Phase
	}{
		{"w1", "starting", fleet.PhaseConfiguring},
		{"w1", "running", fleet.PhaseReady},
		{"w1", "running", fleet.PhaseReady},
		{"w1", "failed", fleet.PhaseReady},
		{"d1", "running", fleet.PhaseConfiguring}, // its agent makes it ready
		{"w2", "failed", fleet.PhaseFailed},
	} {
		if err := check(step.id, step.status); err != nil {
			t.Errorf("%s %s: %v", step.id, step.status, err)
		}
		if s := w.get(step.id); s.Phase != step.want {
			t.Errorf("%s after %s is %s (%s), want %s", step.id, step.status, s.Phase, s.Reason, step.want)
		}
	}
	if s := w.get("w2"); s.Reason != "startup script: failed: line one" {
		t.Errorf("reason %q", s.Reason)
	}
	if s := w.session(q.ID); s.ServerID != "w1" {
		t.Errorf("whoever waited is %s", s.State)
	}
	wantCode(t, check("w2", "running"), fleet.CodeUnauthenticated)                                                           // failed
	wantCode(t, w.Checkin(w.ctx, w.d.Registration("d1"), fleet.CheckinStatus{Status: "running"}), fleet.CodeUnauthenticated) // another purpose
	wantCode(t, w.ComponentLog(w.ctx, w.d.Checkin("w9"), []json.RawMessage{raw(`"x"`)}), fleet.CodeUnauthenticated)          // nobody
	if err := w.ComponentLog(w.ctx, w.d.Checkin("d1"), []json.RawMessage{raw(`"plain"`), raw(`{"message":"rich"}`)}); err != nil {
		t.Error(err)
	}
	lines, err := w.ServerLog(w.ctx, viewer, "d1")
	if err != nil || len(lines) != 3 || lines[0].Text+lines[1].Text != `plain{"message":"rich"}` || lines[2].Stream != "status" {
		t.Errorf("lines %+v, error %v", lines, err)
	}
	w.clock.Step(5 * time.Hour)
	wantCode(t, check("d1", "running"), fleet.CodeUnauthenticated)
}
