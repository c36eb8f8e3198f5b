package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// fullServer has every field set, each to a value of its own.
func fullServer(id string) *fleet.Server {
	moment := func(n int) *time.Time { return ptr(t0.Add(time.Duration(n) * time.Hour)) }
	return &fleet.Server{
		ID: id, Name: "name-" + id, Origin: fleet.OriginFixed, Pool: "p", Zone: "z", AutoscaleConfig: "c", VMProvider: "v", ProviderRevision: 3,
		Phase: fleet.PhaseDraining, PhaseSince: *moment(1), Reason: "why", Missing: true, ProviderID: "i-1", Offer: "small in eu",
		Addresses: []string{"10.0.0.1", "::1"}, Capacity: fleet.Resources{Cores: 8000, MemoryMiB: 9000, GPUs: 10, Places: 11},
		CapacitySource: fleet.CapacityOverride, Claimed: fleet.Resources{Cores: 1, MemoryMiB: 2, GPUs: 3, Places: 4}, Sessions: 5, Users: 6, MaxUsers: 7,
		OneShot: true, Used: true, DrainDeadline: moment(2), Attempts: 12, Unseen: 13, AgentVersion: "v1.2",
		CreatedAt: *moment(0), CallAt: moment(3), ReadyAt: moment(4), LastSeenAt: moment(5), RegisteredAt: moment(6), GoneAt: moment(7), AskedAt: moment(8), Version: 1,
	}
}

// wantNoZero makes sure that a test of round trips tests every field.
func wantNoZero(t *testing.T, v any, except ...string) {
	t.Helper()
	r := reflect.ValueOf(v).Elem()
	for i := range r.NumField() {
		name := r.Type().Field(i).Name
		skip := false
		for _, e := range except {
			skip = skip || e == name
		}
		if !skip && r.Field(i).IsZero() {
			t.Fatalf("the test sets no %s", name)
		}
	}
}

func testServerRoundTrip(t *testing.T, s *store.Store) {
	v := fullServer("full")
	wantNoZero(t, v)
	addServers(t, s, v)
	if v.CreatedAt != us(t0) {
		t.Errorf("after InsertServer the time is %v, want %v", v.CreatedAt, us(t0))
	}
	got := func(id string) *fleet.Server {
		return get(t, s, func(tx *store.Tx) (*fleet.Server, error) { return tx.Server(id) })
	}
	wantSame(t, "inserted", got("full"), v)

	few := &fleet.Server{Pool: "p", Zone: "z", Phase: fleet.PhasePlanned}
	addServers(t, s, few)
	if few.ID == "" || few.Name != fleet.ServerName(few.ID) || few.CreatedAt.IsZero() || few.PhaseSince.IsZero() || few.Version != 1 || few.Addresses == nil {
		t.Errorf("not filled in: %+v", few)
	}
	wantSame(t, "inserted with little", got(few.ID), few)

	// Everything that can be saved, saved with other values.
	other := fullServer(few.ID)
	other.Name, other.Origin, other.CreatedAt = few.Name, few.Origin, few.CreatedAt
	other.Claimed, other.Sessions, other.Users = fleet.Resources{}, 0, 0
	changed := *other
	write(t, s, func(tx *store.Tx) error {
		c := changed
		if err := tx.SaveServer(&c); err != nil {
			return err
		}
		if c.Version != 2 || c.PhaseSince != us(other.PhaseSince) {
			t.Errorf("after SaveServer: version %d, phase since %v", c.Version, c.PhaseSince)
		}
		wantSame(t, "saved, read in the same transaction", must(tx.Server(few.ID)), &c)
		return nil
	})
	changed = *got(few.ID)
	other.Version = 2
	for _, p := range []*time.Time{&other.PhaseSince, other.DrainDeadline, other.CallAt, other.ReadyAt, other.LastSeenAt, other.RegisteredAt, other.GoneAt, other.AskedAt} {
		*p = us(*p)
	}
	wantSame(t, "saved", &changed, other)

	for _, name := range []string{"full", "name-full"} {
		wantSame(t, "ServerByName "+name, get(t, s, func(tx *store.Tx) (*fleet.Server, error) { return tx.ServerByName(name) }), v)
	}
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.Server("name-full")
		wantErr(t, "Server by a name", err, store.ErrNotFound)
		_, err = tx.ServerByName("nobody")
		wantErr(t, "ServerByName of nobody", err, store.ErrNotFound)
		return nil
	})
	for _, twin := range []*fleet.Server{{ID: "full", Name: "other"}, {ID: "other", Name: "name-full"}} {
		write(t, s, func(tx *store.Tx) error {
			wantErr(t, "a second "+twin.ID+" "+twin.Name, tx.InsertServer(twin), store.ErrExists)
			_, err := tx.Server("full") // the transaction goes on
			return err
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func testServerStale(t *testing.T, s *store.Store) {
	v := agent("a", res(4, 4, 0))
	addServers(t, s, v)
	old := *v
	write(t, s, func(tx *store.Tx) error { c := old; c.Reason = "first"; return tx.SaveServer(&c) })
	runs := 0
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		runs++
		c := old
		c.Reason = "second"
		return tx.SaveServer(&c)
	})
	wantErr(t, "saving an old version", err, store.ErrStale)
	if runs < 2 {
		t.Errorf("the closure ran %d times, want a few", runs)
	}
	// A claim is a change, too: who looked at the server before must look again.
	var seen *fleet.Server
	write(t, s, func(tx *store.Tx) (err error) { seen, err = tx.Server("a"); return err })
	write(t, s, func(tx *store.Tx) error {
		_, err := start(tx, "e", store.ClaimQuery{Pool: "p", Need: res(1, 1, 0)})
		return err
	})
	wantErr(t, "saving over a claim", s.Write(t.Context(), func(tx *store.Tx) error {
		c := *seen
		c.Phase = fleet.PhaseDeleting
		return tx.SaveServer(&c)
	}), store.ErrStale)
	if v := get(t, s, func(tx *store.Tx) (*fleet.Server, error) { return tx.Server("a") }); v.Reason != "first" || v.Phase != fleet.PhaseReady {
		t.Errorf("the server is %+v", v)
	}
	wantErr(t, "saving an absent server", s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveServer(&fleet.Server{ID: "x", Version: 1}) }), store.ErrStale)
}

func testServerLists(t *testing.T, s *store.Store) {
	var all []string
	for i := range 20 {
		v := agent(fmt.Sprintf("s%02d", i), res(1, 1, 0))
		v.CreatedAt = at(i / 3) // several at one moment
		v.Pool, v.Zone = []string{"p", "q"}[i%2], []string{"z", "y", "x"}[i%3]
		v.AutoscaleConfig, v.VMProvider = "c"+v.Pool, "v"+v.Zone
		v.Phase = fleet.Phases()[i%len(fleet.Phases())]
		all = append(all, v.ID)
		addServers(t, s, v)
	}
	list := func(f store.ServerFilter) []string {
		t.Helper()
		return ids(get(t, s, func(tx *store.Tx) ([]*fleet.Server, error) { return tx.Servers(f) }))
	}
	var live []string
	for i, id := range all {
		if fleet.Phases()[i%9] != fleet.PhaseGone {
			live = append(live, id)
		}
	}
	tests := []struct {
		name string
		f    store.ServerFilter
		want []string
	}{
		{"all that are not gone", store.ServerFilter{}, live},
		{"gone, too", store.ServerFilter{IncludeGone: true}, all},
		{"gone by phase", store.ServerFilter{Phases: []fleet.Phase{fleet.PhaseGone}}, []string{"s08", "s17"}},
		{"two phases", store.ServerFilter{Phases: []fleet.Phase{fleet.PhasePlanned, fleet.PhaseReady}}, []string{"s00", "s04", "s09", "s13", "s18"}},
		{"zone", store.ServerFilter{Zone: "x"}, []string{"s02", "s05", "s11", "s14"}},
		{"pool and zone", store.ServerFilter{Pool: "p", Zone: "x"}, []string{"s02", "s14"}},
		{"config", store.ServerFilter{AutoscaleConfig: "cq", Limit: 2}, []string{"s01", "s03"}},
		{"provider", store.ServerFilter{VMProvider: "vy", Limit: 2}, []string{"s01", "s04"}},
		{"nothing", store.ServerFilter{Pool: "none"}, []string{}},
	}
	for _, tt := range tests {
		wantSame(t, tt.name, list(tt.f), tt.want)
		if tt.f.Limit == 0 {
			wantSame(t, "count of "+tt.name, get(t, s, func(tx *store.Tx) (int64, error) { return tx.CountServers(tt.f) }), int64(len(tt.want)))
		}
	}
	var pages []string
	for after, n := "", 0; n < 20; n++ {
		page := list(store.ServerFilter{IncludeGone: true, After: after, Limit: 3})
		if len(page) == 0 {
			break
		}
		pages, after = append(pages, page...), page[len(page)-1]
	}
	wantSame(t, "pages", pages, all)
	if err := s.Read(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Servers(store.ServerFilter{After: "unknown"})
		return err
	}); fleet.CodeOf(err) != fleet.CodeInvalid {
		t.Errorf("an unknown cursor: %v", err)
	}
	wantSame(t, "by phase", get(t, s, func(tx *store.Tx) (map[fleet.Phase]int64, error) {
		return tx.CountServersByPhase(store.ServerFilter{Pool: "p"})
	}), map[fleet.Phase]int64{"planned": 2, "booting": 1, "ready": 1, "failed": 1, "creating": 1, "configuring": 1, "draining": 1, "deleting": 1})
}

func testServersGone(t *testing.T, s *store.Store) {
	for i, phase := range []fleet.Phase{fleet.PhaseGone, fleet.PhaseGone, fleet.PhaseGone, fleet.PhaseReady} {
		v := agent(fmt.Sprint("s", i), res(1, 1, 0))
		v.Phase = phase
		if phase == fleet.PhaseGone {
			v.GoneAt = ptr(at(i))
		}
		addServers(t, s, v)
		write(t, s, func(tx *store.Tx) error {
			if err := tx.SetAgentCredential(v.ID, "hash"+v.ID, t0); err != nil {
				return err
			}
			return tx.AppendServerLog(v.ID, []store.LogLine{{At: t0, Stream: "agent", Text: "hello"}})
		})
	}
	forget := func(before, limit int) (n int64) {
		write(t, s, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteGoneServers(at(before), limit)
			return err
		})
		return n
	}
	if n := forget(2, 1); n != 1 {
		t.Errorf("deleted %d servers, want 1 (the limit)", n)
	}
	if n := forget(2, 10); n != 1 {
		t.Errorf("deleted %d servers, want 1 (the other is too young)", n)
	}
	wantSame(t, "what is left", ids(get(t, s, func(tx *store.Tx) ([]*fleet.Server, error) { return tx.Servers(store.ServerFilter{IncludeGone: true}) })), []string{"s2", "s3"})
	read(t, s, func(tx *store.Tx) error {
		_, _, err := tx.AgentCredential("s0")
		wantErr(t, "credential of a forgotten server", err, store.ErrNotFound)
		if lines, err := tx.ServerLog("s0"); err != nil || len(lines) != 0 {
			t.Errorf("log of a forgotten server: %v, %v", lines, err)
		}
		if lines, err := tx.ServerLog("s2"); err != nil || len(lines) != 1 {
			t.Errorf("log of a kept server: %v, %v", lines, err)
		}
		return nil
	})
}
