package claim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type world struct {
	t  *testing.T
	st *store.Store
	at time.Time
}

func newWorld(t *testing.T, zones map[string]fleet.ZoneSpec) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, st: st, at: start}
	for name, spec := range zones {
		raw, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		w.write(func(tx *store.Tx) error {
			_, _, err := tx.PutObject(&store.Object{Kind: fleet.KindZone, Name: name, Spec: raw}, start)
			return err
		})
	}
	return w
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.st.Write(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) server(id, zone string, capacity fleet.Resources, change ...func(*fleet.Server)) {
	w.t.Helper()
	s := &fleet.Server{
		ID: id, Name: "hr-" + id, Origin: fleet.OriginAutoscaled, Pool: "p", Zone: zone, Phase: fleet.PhaseReady,
		PhaseSince: start, Capacity: capacity, CreatedAt: start, Addresses: []string{"10.0.0.1"},
	}
	for _, c := range change {
		c(s)
	}
	w.write(func(tx *store.Tx) error { return tx.InsertServer(s) })
}

func cores(n int64) fleet.Resources {
	return fleet.Resources{Cores: fleet.Cores(n) * fleet.Core, MemoryMiB: n * 1024}
}

func (w *world) queue(id, zone string, need fleet.Resources) {
	w.t.Helper()
	w.at = w.at.Add(time.Second)
	w.write(func(tx *store.Tx) error {
		return tx.InsertSession(&fleet.Session{ID: id, Pool: "p", Zone: zone, Need: need, State: fleet.SessionQueued, CreatedAt: w.at, Owner: "o"})
	})
}

func (w *world) place(id, zone, user string, need fleet.Resources) (server string, ok bool) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		s := &fleet.Session{ID: id, Pool: "p", Zone: zone, User: user, Need: need, CreatedAt: w.at, Owner: "o"}
		in, err := tx.Entrance("p")
		if err != nil {
			return err
		}
		ok, err = claim.Place(tx, s, in, "test", w.at)
		server = s.ServerID
		return err
	})
	return server, ok
}

func (w *world) assign() (served []string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		served = []string{}
		list, err := claim.AssignQueued(tx, "p", w.at)
		for _, s := range list {
			served = append(served, s.ID)
		}
		return err
	})
	return served
}

func (w *world) end(id string) bool {
	w.t.Helper()
	var changed bool
	w.write(func(tx *store.Tx) error {
		s, err := tx.Session(id)
		if err != nil {
			return err
		}
		changed, err = claim.End(tx, s, "test", "test", w.at)
		return err
	})
	return changed
}

func (w *world) session(id string) (s *fleet.Session) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		var err error
		s, err = tx.Session(id)
		return err
	})
	return s
}

func ptr[T any](v T) *T { return &v }

func TestPlaceFollowsTheZone(t *testing.T) {
	t.Parallel()
	stay := map[string]fleet.ZoneSpec{"a": {FallOver: ptr(false)}, "b": {}}
	for _, tc := range []struct {
		name  string
		zones map[string]fleet.ZoneSpec
		zone  string
		want  string
	}{
		{"its own zone first, though another fits tighter", map[string]fleet.ZoneSpec{"a": {}, "b": {}}, "a", "big-a"},
		{"falls over when its own has no room", map[string]fleet.ZoneSpec{"a": {}, "b": {}, "empty": {}}, "empty", "small-b"},
		{"does not fall over when the zone forbids it", map[string]fleet.ZoneSpec{"a": {}, "b": {}, "empty": {FallOver: ptr(false)}}, "empty", ""},
		{"packs anywhere", stay, "", "small-b"},
		{"spreads anywhere", map[string]fleet.ZoneSpec{"a": {Placement: fleet.PlacementSpread}, "b": {Placement: fleet.PlacementSpread}}, "", "big-a"},
		{"each zone by its own rule when they differ", map[string]fleet.ZoneSpec{"a": {Placement: fleet.PlacementSpread}, "b": {}}, "", "big-a"},
		{"no zone is configured", nil, "", "small-b"},
		{"a zone that has been deleted confines nobody", map[string]fleet.ZoneSpec{"a": {}, "b": {}}, "old", "small-b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.zones)
			w.server("big-a", "a", cores(8))
			w.server("small-b", "b", cores(2))
			got, ok := w.place("s", tc.zone, "", cores(1))
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("placed on %q (%v), want %q", got, ok, tc.want)
			}
		})
	}
}

func TestPlacePrefersFixedServers(t *testing.T) {
	t.Parallel()
	for _, prefer := range []bool{true, false} {
		w := newWorld(t, map[string]fleet.ZoneSpec{"a": {PreferFixed: &prefer}})
		w.server("auto", "a", cores(1))
		w.server("fixed", "a", cores(4), func(s *fleet.Server) { s.Origin = fleet.OriginFixed })
		want := map[bool]string{true: "fixed", false: "auto"}[prefer]
		if got, _ := w.place("s", "", "", cores(1)); got != want {
			t.Errorf("prefer_fixed %v: placed on %q, want %q", prefer, got, want)
		}
	}
}

func TestQueueIsServedInOrder(t *testing.T) {
	t.Parallel()
	confined := map[string]fleet.ZoneSpec{"a": {FallOver: ptr(false)}, "b": {FallOver: ptr(false)}}
	for _, tc := range []struct {
		name  string
		queue [][2]string // id, zone; an id that begins with big needs 4 cores, others 1
		want  []string
	}{
		{"as many as fit", [][2]string{{"s1", ""}, {"s2", ""}, {"s3", ""}}, []string{"s1", "s2"}},
		{"a large one holds up all behind it", [][2]string{{"big", ""}, {"s2", ""}}, []string{}},
		{"one that waits for a zone holds up that zone only", [][2]string{{"big", "a"}, {"s2", "a"}, {"s3", "b"}, {"s4", ""}}, []string{"s3"}},
		{"one that may run anywhere is not put into a zone that others wait for", [][2]string{{"big", "b"}, {"s2", ""}, {"s3", ""}}, []string{"s2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, confined)
			w.server("a1", "a", cores(1))
			w.server("b1", "b", cores(1))
			for _, q := range tc.queue {
				need := cores(1)
				if q[0] == "big" {
					need = cores(4)
				}
				w.queue(q[0], q[1], need)
			}
			if diff := cmp.Diff(tc.want, w.assign()); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueueLooksBehindAClosedZoneOfAnyLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fleet.ZoneSpec{"a": {FallOver: ptr(false)}, "b": {FallOver: ptr(false)}})
	w.server("b1", "b", cores(2))
	for i := range 150 {
		w.queue(fmt.Sprintf("a%d", i), "a", cores(1))
	}
	w.queue("b-first", "b", cores(1))
	w.queue("b-second", "b", cores(1))
	if diff := cmp.Diff([]string{"b-first", "b-second"}, w.assign()); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}
}

func TestEndServesTheNextInLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("one", "a", cores(1))
	if _, ok := w.place("s1", "", "", cores(1)); !ok {
		t.Fatal("the first session has no room")
	}
	w.queue("s2", "", cores(1))
	w.queue("s3", "", cores(1))
	if !w.end("s1") {
		t.Fatal("ending changed nothing")
	}
	if w.end("s1") {
		t.Error("ending twice changed something")
	}
	s2, s3 := w.session("s2"), w.session("s3")
	if s2.State != fleet.SessionActive || s2.ServerID != "one" || s3.State != fleet.SessionQueued {
		t.Errorf("s2 is %s on %q and s3 is %s", s2.State, s2.ServerID, s3.State)
	}
}

func TestEndingAWaitingSessionLetsThoseBehindItThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("one", "a", cores(1))
	w.queue("big", "", cores(4))
	w.queue("small", "", cores(1))
	if got := w.assign(); len(got) != 0 {
		t.Fatalf("served %v", got)
	}
	w.end("big")
	if s := w.session("small"); s.State != fleet.SessionActive {
		t.Errorf("small is %s", s.State)
	}
}

func TestOneShotServerIsNotUsedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	place := fleet.Resources{Places: 1}
	w.server("once", "a", place, func(s *fleet.Server) { s.OneShot = true })
	if _, ok := w.place("s1", "", "", place); !ok {
		t.Fatal("the first session has no room")
	}
	w.queue("s2", "", place)
	w.end("s1")
	if s := w.session("s2"); s.State != fleet.SessionQueued {
		t.Errorf("the next session got the one-shot server again: %s", s.Reason)
	}
	if got, ok := w.place("s3", "", "", place); ok {
		t.Errorf("placed on %s", got)
	}
}

func TestStagedSessionIsHandedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("one", "a", cores(4), func(s *fleet.Server) { s.MaxUsers = 2 })
	w.write(func(tx *store.Tx) error {
		_, err := claim.MakeStaged(tx, "st1", "warm", fleet.PoolDockerAgent, fleet.StagingSpec{Pool: "p", Shape: fleet.Shape{Cores: 2 * fleet.Core, Memory: 2048}}, "test", w.at)
		return err
	})
	if got, ok := w.place("s1", "", "ann", cores(2)); !ok || got != "one" {
		t.Fatalf("placed on %q, %v", got, ok)
	}
	st, s1 := w.session("st1"), w.session("s1")
	if st.State != fleet.SessionEnded || s1.State != fleet.SessionActive || s1.Staging != "warm" {
		t.Errorf("staged session is %s, s1 is %s of staging %q", st.State, s1.State, s1.Staging)
	}
	w.write(func(tx *store.Tx) error {
		s, err := tx.Server("one")
		if err == nil && (s.Claimed != cores(2) || s.Sessions != 1 || s.Users != 1) {
			t.Errorf("server has %s claimed by %d sessions of %d users", s.Claimed, s.Sessions, s.Users)
		}
		return err
	})
}

// Who is served when one staged session ends may take over the next one.
func TestEndAllOfStagedSessionsServesTheQueueOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("one", "a", cores(3))
	shape := fleet.Shape{Cores: fleet.Core, Memory: 1024}
	ids := []string{"st1", "st2", "st3"}
	for _, id := range ids {
		w.write(func(tx *store.Tx) error {
			_, err := claim.MakeStaged(tx, id, "warm", fleet.PoolDockerAgent, fleet.StagingSpec{Pool: "p", Shape: shape, Count: 3}, "test", w.at)
			return err
		})
	}
	need := fleet.Resources{Cores: shape.Cores, MemoryMiB: int64(shape.Memory)}
	w.queue("s1", "", need)
	w.queue("s2", "", need)
	w.write(func(tx *store.Tx) error {
		staged, err := tx.Sessions(store.SessionFilter{Pool: "p", States: []fleet.SessionState{fleet.SessionStaged}})
		if err != nil || len(staged) != len(ids) {
			t.Fatalf("%d sessions are staged, %v", len(staged), err)
		}
		return claim.EndAll(tx, "p", staged, func(*fleet.Session) string { return "no longer wished for" }, "test", w.at)
	})
	for id, want := range map[string]fleet.SessionState{"s1": fleet.SessionActive, "s2": fleet.SessionActive, "st1": fleet.SessionEnded, "st2": fleet.SessionEnded, "st3": fleet.SessionEnded} {
		if s := w.session(id); s.State != want {
			t.Errorf("session %s is %s (%s), want %s", id, s.State, s.Reason, want)
		}
	}
}

func TestStagedSessionIsKeptFromAUserTooMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("one", "a", cores(4), func(s *fleet.Server) { s.MaxUsers = 2 })
	if _, ok := w.place("s1", "", "ann", cores(1)); !ok {
		t.Fatal("no room for ann")
	}
	w.write(func(tx *store.Tx) error {
		_, err := claim.MakeStaged(tx, "st1", "warm", fleet.PoolDockerAgent, fleet.StagingSpec{Pool: "p", Shape: fleet.Shape{Cores: 2 * fleet.Core, Memory: 2048}}, "test", w.at)
		return err
	})
	// The staged session counts as somebody; ann may take it and bob takes its place.
	if _, ok := w.place("s2", "", "bob", cores(2)); !ok {
		t.Fatal("bob did not get the staged session's place")
	}
	if got, ok := w.place("s3", "", "cid", cores(1)); ok {
		t.Errorf("a third user was placed on %s", got)
	}
}

func TestMakeStagedWaitsForTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("one", "a", cores(1))
	w.queue("big", "", cores(4))
	err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := claim.MakeStaged(tx, "st1", "warm", fleet.PoolDockerAgent, fleet.StagingSpec{Pool: "p", Shape: fleet.Shape{Cores: fleet.Core}}, "test", w.at)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("MakeStaged answered %v while a session waits", err)
	}
}

func TestEndOnServerEndsAllAndServesOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.server("bad", "a", cores(2))
	w.place("s1", "", "", cores(1))
	w.place("s2", "", "", cores(1))
	w.queue("s3", "", cores(1))
	w.write(func(tx *store.Tx) error {
		s, err := tx.Server("bad")
		if err != nil {
			return err
		}
		if err := s.Move(fleet.PhaseDeleting, "test", w.at); err != nil {
			return err
		}
		if err := tx.SaveServer(s); err != nil {
			return err
		}
		ended, err := claim.EndOnServer(tx, s, "lost", "test", w.at)
		if len(ended) != 2 {
			t.Errorf("%d sessions ended", len(ended))
		}
		return err
	})
	for id, want := range map[string]fleet.SessionState{"s1": fleet.SessionEnded, "s2": fleet.SessionEnded, "s3": fleet.SessionQueued} {
		if s := w.session(id); s.State != want {
			t.Errorf("%s is %s, want %s", id, s.State, want)
		}
	}
}
