package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// claim runs a claim with its session and returns the server's id.
func claim(t *testing.T, s *store.Store, q store.ClaimQuery) string {
	t.Helper()
	q.Pool = fleet.Or(q.Pool, "p")
	var id string
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		v, err := start(tx, s.NewID(), q)
		if err != nil {
			return err
		}
		id = v.ID
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatalf("claim %+v: %v", q, err)
	}
	return id
}

func testClaimOrder(t *testing.T, s *store.Store) {
	small, big, gpu, fixed, far := agent("a-small", res(4, 4, 0)), agent("big", res(16, 16, 0)), agent("gpu", res(4, 4, 2)), agent("fixed", res(8, 8, 0)), agent("far", res(2, 2, 0))
	fixed.Origin, far.Zone = fleet.OriginFixed, "y"
	addServers(t, s, small, big, gpu, fixed, far)
	one := res(1, 1, 0)
	tests := []struct {
		q    store.ClaimQuery
		want string
	}{
		{store.ClaimQuery{Need: one}, "far"},
		{store.ClaimQuery{Need: one, Zone: "z"}, "a-small"},
		{store.ClaimQuery{Need: one, Zone: "z", PreferFixed: true}, "fixed"},
		{store.ClaimQuery{Need: one, Zone: "z", Spread: true}, "gpu"},
		{store.ClaimQuery{Need: res(1, 1, 1)}, "gpu"},
		{store.ClaimQuery{Need: res(9, 1, 0)}, "big"},
		{store.ClaimQuery{Need: res(9, 1, 0), PreferFixed: true}, ""}, // big has 7 left
		{store.ClaimQuery{Need: res(4, 4, 0), Zone: "z"}, "fixed"},    // a-small has 3 left
		{store.ClaimQuery{Need: one, ServerID: "big"}, "big"},
		{store.ClaimQuery{Need: res(7, 1, 0), ServerID: "big"}, ""},
		{store.ClaimQuery{Need: one, ServerID: "none"}, ""},
		{store.ClaimQuery{Need: one, ServerID: "big", Zone: "y"}, ""},
		{store.ClaimQuery{Need: one, Pool: "q", ServerID: "big"}, ""},
		{store.ClaimQuery{Need: one, Pool: "q"}, ""},
		{store.ClaimQuery{Need: one, Zone: "none"}, ""},
		{store.ClaimQuery{Need: one}, "far"},
		{store.ClaimQuery{Need: one}, "a-small"}, // far is full
	}
	for i, tt := range tests {
		if got := claim(t, s, tt.q); got != tt.want {
			t.Errorf("claim %d %+v: got %q, want %q", i, tt.q, got, tt.want)
		}
	}
	v := get(t, s, func(tx *store.Tx) (*fleet.Server, error) { return tx.Server("a-small") })
	if v.Claimed != res(2, 2, 0) || v.Sessions != 2 || v.Users != 2 || !v.Used || v.Version != 3 {
		t.Errorf("a-small after two claims: %+v", v)
	}
}

// testClaimMismatch has many servers whose leading dimensions fit and whose
// memory does not, also with so many combinations that a claim stops probing.
func testClaimMismatch(t *testing.T, s *store.Store) {
	write(t, s, func(tx *store.Tx) error {
		for i := range 300 {
			v := agent(fmt.Sprintf("full%03d", i), fleet.Resources{Cores: fleet.Cores(2000 + i), MemoryMiB: 100})
			if err := tx.InsertServer(v); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.InsertServer(agent("up", fleet.Resources{Cores: 2290, MemoryMiB: 5000})),
			tx.InsertServer(agent("low", fleet.Resources{Cores: 2005, MemoryMiB: 5000})))
	})
	need := fleet.Resources{Cores: 2000, MemoryMiB: 4000}
	for _, want := range []string{"low", "up", ""} {
		if got := claim(t, s, store.ClaimQuery{Need: need}); got != want {
			t.Errorf("packing: got %q, want %q", got, want)
		}
	}
	addServers(t, s, agent("up2", fleet.Resources{Cores: 2290, MemoryMiB: 5000}), agent("low2", fleet.Resources{Cores: 2005, MemoryMiB: 5000}))
	for _, want := range []string{"up2", "low2", ""} {
		if got := claim(t, s, store.ClaimQuery{Need: need, Spread: true}); got != want {
			t.Errorf("spreading: got %q, want %q", got, want)
		}
	}
}

func testClaimUsers(t *testing.T, s *store.Store) {
	for _, id := range []string{"a", "b"} {
		v := agent(id, places(4))
		v.MaxUsers = 2
		addServers(t, s, v)
	}
	for i, step := range []struct{ user, want string }{
		{"anna", "a"},
		{"bob", "a"},
		{"carl", "b"}, // a has its two users
		{"anna", "a"}, // and anna is one of them
		{"", "b"},     // somebody unknown is a user, too
		{"dora", ""},  // both are taken
		{"bob", "a"},
		{"anna", ""}, // a has no place left
		{"", ""},
	} {
		if got := claim(t, s, store.ClaimQuery{Need: places(1), User: step.user}); got != step.want {
			t.Errorf("claim %d by %q: got %q, want %q", i, step.user, got, step.want)
		}
	}
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "dora", ServerID: "b"}); got != "" {
		t.Errorf("dora got %s by its id", got)
	}
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "carl", ServerID: "b"}); got != "b" {
		t.Errorf("carl did not get b by its id, but %q", got)
	}
	users := func(id string) int64 {
		return get(t, s, func(tx *store.Tx) (*fleet.Server, error) { return tx.Server(id) }).Users
	}
	if users("a") != 2 || users("b") != 2 {
		t.Errorf("users: a %d, b %d, want 2 and 2", users("a"), users("b"))
	}
	// One of anna's sessions ends: she stays. The other ends: dora may come.
	all := get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.Sessions(store.SessionFilter{User: "anna"}) })
	write(t, s, func(tx *store.Tx) error { _, err := finish(tx, all[0].ID); return err })
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "dora"}); got != "" || users("a") != 2 {
		t.Errorf("with one session of anna left: dora got %q, users %d", got, users("a"))
	}
	write(t, s, func(tx *store.Tx) error { _, err := finish(tx, all[1].ID); return err })
	if users("a") != 1 {
		t.Errorf("without anna: users %d, want 1", users("a"))
	}
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "dora"}); got != "a" {
		t.Errorf("after anna left: dora got %q, want a", got)
	}
	// On agents, too, where users are not limited as a rule.
	v := agent("own", res(4, 4, 0))
	v.Pool, v.MaxUsers = "q", 1
	addServers(t, s, v)
	for i, step := range []struct{ user, want string }{{"u", "own"}, {"w", ""}, {"u", "own"}} {
		if got := claim(t, s, store.ClaimQuery{Pool: "q", Need: res(1, 1, 0), User: step.user}); got != step.want {
			t.Errorf("agent claim %d by %q: got %q, want %q", i, step.user, got, step.want)
		}
	}
}

func testClaimClosed(t *testing.T, s *store.Store) {
	for _, p := range fleet.Phases() {
		v := agent("in-"+string(p), res(4, 4, 0))
		v.Phase, v.Missing = p, p == fleet.PhaseReady
		addServers(t, s, v)
	}
	if got := claim(t, s, store.ClaimQuery{Need: res(1, 1, 0)}); got != "" {
		t.Errorf("claimed %s, which takes no sessions", got)
	}
	change := func(f func(*fleet.Server)) {
		write(t, s, func(tx *store.Tx) error {
			v, err := tx.Server("in-ready")
			if err != nil {
				return err
			}
			f(v)
			return tx.SaveServer(v)
		})
	}
	for _, step := range []struct {
		name   string
		change func(*fleet.Server)
		want   string
	}{
		{"seen again", func(v *fleet.Server) { v.Missing = false }, "in-ready"},
		{"draining", func(v *fleet.Server) { v.Phase = fleet.PhaseDraining }, ""},
		{"ready again", func(v *fleet.Server) { v.Phase = fleet.PhaseReady }, "in-ready"},
		{"smaller than what is claimed", func(v *fleet.Server) { v.Capacity = res(1, 1, 0) }, ""},
		{"moved to another zone", func(v *fleet.Server) { v.Capacity, v.Zone = res(4, 4, 0), "new" }, "in-ready"},
		{"for one user", func(v *fleet.Server) { v.MaxUsers = 1 }, ""},
	} {
		change(step.change)
		if got := claim(t, s, store.ClaimQuery{Need: res(1, 1, 0)}); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

// model is a claim by looking at everything.
func model(servers []*fleet.Server, sessions []*fleet.Session, q store.ClaimQuery) string {
	here := func(v *fleet.Server) bool {
		return q.User != "" && slices.ContainsFunc(sessions, func(e *fleet.Session) bool {
			return e.ServerID == v.ID && e.User == q.User && e.State.HoldsCapacity()
		})
	}
	var best *fleet.Server
	better := func(a, b *fleet.Server) bool {
		if q.PreferFixed && a.Origin != b.Origin {
			return a.Origin == fleet.OriginFixed
		}
		fa, fb := a.Capacity.Sub(a.Claimed), b.Capacity.Sub(b.Claimed)
		d := cmp.Or(cmp.Compare(fa.GPUs, fb.GPUs), cmp.Compare(fa.Cores, fb.Cores), cmp.Compare(fa.MemoryMiB, fb.MemoryMiB), cmp.Compare(a.ID, b.ID))
		if q.Need.Places > 0 {
			d = cmp.Or(cmp.Compare(fa.Places, fb.Places), d)
		}
		return d < 0 != q.Spread
	}
	for _, v := range servers {
		switch {
		case !v.Open(), v.Pool != q.Pool, q.Zone != "" && v.Zone != q.Zone, q.ServerID != "" && v.ID != q.ServerID:
		case !q.Need.Fits(v.Capacity.Sub(v.Claimed)):
		case v.MaxUsers > 0 && v.Users >= v.MaxUsers && !here(v):
		case best == nil || better(v, best):
			best = v
		}
	}
	if best == nil {
		return ""
	}
	return best.ID
}

func testClaimModel(t *testing.T, s *store.Store) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(n int64) int64 { return r.Int64N(n) }
	for i := range 60 {
		v := agent(fmt.Sprintf("s%02d", i), fleet.Resources{Cores: fleet.Cores(pick(8)) * 500, MemoryMiB: pick(8) * 512, GPUs: pick(3)})
		v.Pool, v.Zone = []string{"p", "q"}[i%2], fmt.Sprint("z", pick(3))
		if v.Pool == "q" {
			v.Capacity.Places, v.MaxUsers = 1+pick(4), pick(3)
		}
		if pick(3) == 0 {
			v.Origin = fleet.OriginFixed
		}
		if pick(10) == 0 {
			v.Phase = fleet.PhaseDraining
		}
		addServers(t, s, v)
	}
	given, refused, ended := 0, 0, 0
	for i := range 600 {
		servers := get(t, s, func(tx *store.Tx) ([]*fleet.Server, error) { return tx.Servers(store.ServerFilter{}) })
		sessions := get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.Sessions(store.SessionFilter{}) })
		if len(sessions) > 0 && pick(5) < 2 {
			write(t, s, func(tx *store.Tx) error { _, err := finish(tx, sessions[pick(int64(len(sessions)))].ID); return err })
			ended++
			continue
		}
		q := store.ClaimQuery{Pool: "p", Need: fleet.Resources{Cores: fleet.Cores(pick(5)) * 500, MemoryMiB: pick(5) * 512, GPUs: pick(2)}}
		if pick(2) == 0 {
			q = store.ClaimQuery{Pool: "q", Need: places(1)}
		}
		q.Spread, q.PreferFixed = pick(2) == 0, pick(2) == 0
		if pick(2) == 0 {
			q.Zone = fmt.Sprint("z", pick(3))
		}
		if pick(3) > 0 {
			q.User = fmt.Sprint("u", pick(6))
		}
		if pick(10) == 0 {
			q.ServerID = servers[pick(int64(len(servers)))].ID
		}
		want := model(servers, sessions, q)
		if got := claim(t, s, q); got != want {
			t.Fatalf("step %d, %+v: got %q, want %q", i, q, got, want)
		}
		if want == "" {
			refused++
		} else {
			given++
		}
	}
	if given < 100 || refused < 30 || ended < 100 {
		t.Errorf("%d given, %d refused, %d ended: the test is too easy", given, refused, ended)
	}
	wantTrueClaims(t, s)
}

// wantTrueClaims compares what servers say is claimed with their sessions.
func wantTrueClaims(t *testing.T, s *store.Store) {
	t.Helper()
	read(t, s, func(tx *store.Tx) error {
		for _, v := range must(tx.Servers(store.ServerFilter{IncludeGone: true})) {
			var sum fleet.Resources
			users := map[string]bool{}
			list := must(tx.Sessions(store.SessionFilter{ServerID: v.ID, States: []fleet.SessionState{fleet.SessionActive, fleet.SessionStaged}}))
			for _, e := range list {
				sum = sum.Add(e.Need)
				users[fleet.Or(e.User, "unknown "+e.ID)] = true
			}
			if v.Claimed != sum || v.Sessions != int64(len(list)) || v.Users != int64(len(users)) {
				t.Errorf("server %s says %s, %d sessions, %d users; its sessions say %s, %d, %d", v.ID, v.Claimed, v.Sessions, v.Users, sum, len(list), len(users))
			}
			if !v.Claimed.Fits(v.Capacity) || v.MaxUsers > 0 && v.Users > v.MaxUsers {
				t.Errorf("server %s has given out %s of %s to %d of %d users", v.ID, v.Claimed, v.Capacity, v.Users, v.MaxUsers)
			}
		}
		return nil
	})
}

// testClaimRivals lets 16 goroutines take and give back as fast as they can.
func testClaimRivals(t *testing.T, s *store.Store) {
	const servers, room, callers, rounds = 5, 3, 16, 40
	for i := range servers {
		v := agent(fmt.Sprint("s", i), places(room))
		v.MaxUsers = 2
		addServers(t, s, v)
	}
	var given atomic.Int64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			var mine []string
			for i := range rounds {
				id := fmt.Sprintf("e-%d-%d", c, i)
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					_, err := start(tx, id, store.ClaimQuery{Pool: "p", Need: places(1), User: fmt.Sprint("u", (c+i)%7), Spread: c%2 == 0})
					return err
				})
				switch {
				case err == nil:
					mine = append(mine, id)
					given.Add(1)
				case !errors.Is(err, store.ErrNotFound):
					t.Errorf("claim: %v", err)
				}
				if len(mine) > 0 && i%2 == 1 {
					if err := s.Write(t.Context(), func(tx *store.Tx) error { _, err := finish(tx, mine[0]); return err }); err != nil {
						t.Errorf("end: %v", err)
					}
					mine = mine[1:]
				}
			}
		})
	}
	wg.Wait()
	if given.Load() < 50 {
		t.Errorf("only %d claims were given: the test is too easy", given.Load())
	}
	wantTrueClaims(t, s)
}

func testRelease(t *testing.T, s *store.Store) {
	addServers(t, s, agent("a", res(4, 4, 1)))
	write(t, s, func(tx *store.Tx) error {
		_, err := start(tx, "e", store.ClaimQuery{Pool: "p", Need: res(2, 2, 1), User: "u"})
		return err
	})
	write(t, s, func(tx *store.Tx) error {
		v, err := finish(tx, "e")
		if err != nil {
			return err
		}
		if v.Claimed != (fleet.Resources{}) || v.Sessions != 0 || v.Users != 0 || v.Version != 3 || !v.Used {
			t.Errorf("after the release: %+v", v)
		}
		return nil
	})
	if err := s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Release("a", res(1, 1, 0), ""); return err }); err == nil {
		t.Error("more was released than was claimed")
	}
	wantErr(t, "releasing an absent server", s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Release("x", res(1, 1, 0), ""); return err }), store.ErrNotFound)
	if got := claim(t, s, store.ClaimQuery{Need: res(4, 4, 1)}); got != "a" {
		t.Errorf("what was released cannot be claimed: %q", got)
	}
}

// testSaveKeepsClaims: what a caller writes into the claims of a server is not
// saved, and what is free comes from the row.
func testSaveKeepsClaims(t *testing.T, s *store.Store) {
	all := fleet.Resources{Cores: 4000, MemoryMiB: 4000, GPUs: 4, Places: 4}
	held := fleet.Resources{Cores: 3000, MemoryMiB: 3000, GPUs: 3, Places: 3}
	addServers(t, s, agent("a", all))
	if got := claim(t, s, store.ClaimQuery{Need: held, User: "u"}); got != "a" {
		t.Fatalf("claimed %q", got)
	}
	write(t, s, func(tx *store.Tx) error {
		v, err := tx.Server("a")
		if err != nil {
			return err
		}
		v.Claimed, v.Sessions, v.Users = fleet.Resources{}, 0, 0
		return tx.SaveServer(v)
	})
	wantTrueClaims(t, s)
	for _, tooMuch := range []fleet.Resources{{Cores: 1001}, {MemoryMiB: 1001}, {GPUs: 2}, {Places: 2}} {
		for _, server := range []string{"", "a"} {
			if got := claim(t, s, store.ClaimQuery{Need: tooMuch, ServerID: server}); got != "" {
				t.Errorf("claimed %s on %q, which is more than is free", tooMuch, got)
			}
		}
	}
	if got := claim(t, s, store.ClaimQuery{Need: all.Sub(held)}); got != "a" {
		t.Errorf("what is free cannot be claimed: %q", got)
	}
}
