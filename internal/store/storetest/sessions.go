package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

func session(id string, state fleet.SessionState) *fleet.Session {
	return &fleet.Session{ID: id, Pool: "p", State: state, CreatedAt: t0, Owner: "o", Need: res(1, 1, 0)}
}

func addSessions(t *testing.T, s *store.Store, list ...*fleet.Session) {
	t.Helper()
	write(t, s, func(tx *store.Tx) error {
		for _, e := range list {
			if err := tx.InsertSession(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func testSessionRoundTrip(t *testing.T, s *store.Store) {
	v := agent("a", res(4, 4, 0))
	v.Name, v.Addresses = "host", []string{"10.0.0.1"}
	addServers(t, s, v)
	moment := func(n int) *time.Time { return ptr(t0.Add(time.Duration(n) * time.Minute)) }
	e := &fleet.Session{
		ID: "e", Pool: "p", Zone: "z", User: "u", State: fleet.SessionActive, Reason: "why", Need: fleet.Resources{Cores: 1, MemoryMiB: 2, GPUs: 3, Places: 4},
		Staging: "st", ServerID: "a", Server: "host", Addresses: []string{"10.0.0.1"}, TTL: fleet.Duration(90 * time.Second), CreatedAt: t0, QueueOrder: 77,
		AssignedAt: moment(1), ExpiresAt: moment(2), WaitUntil: moment(3), EndedAt: moment(4), Owner: "o", IdempotencyKey: "k", Version: 1,
	}
	wantNoZero(t, e)
	addSessions(t, s, e)
	got := func() *fleet.Session {
		return get(t, s, func(tx *store.Tx) (*fleet.Session, error) { return tx.Session("e") })
	}
	wantSame(t, "inserted", got(), e)
	wantSame(t, "by key", get(t, s, func(tx *store.Tx) (*fleet.Session, error) { return tx.SessionByKey("o", "k") }), e)

	few := &fleet.Session{Pool: "p", State: fleet.SessionStaged}
	addSessions(t, s, few)
	if few.ID == "" || few.CreatedAt.IsZero() || few.Version != 1 || few.QueueOrder != 0 {
		t.Errorf("not filled in: %+v", few)
	}

	c := *e
	c.Zone, c.User, c.State, c.Reason, c.Need, c.Staging = "y", "w", fleet.SessionEnded, "over", fleet.Resources{Cores: 5, MemoryMiB: 6, GPUs: 7, Places: 8}, "st2"
	c.TTL, c.QueueOrder, c.AssignedAt, c.ExpiresAt, c.WaitUntil, c.EndedAt = 1, 78, moment(5), nil, moment(6), moment(7)
	c.ServerID, c.Server, c.Addresses = "", "", nil
	write(t, s, func(tx *store.Tx) error {
		saved := c
		err := tx.SaveSession(&saved)
		c = saved
		return err
	})
	if c.Version != 2 {
		t.Errorf("after SaveSession the version is %d", c.Version)
	}
	wantSame(t, "saved", got(), &c)
	stale := *e
	wantErr(t, "an old version", s.Write(t.Context(), func(tx *store.Tx) error { n := stale; return tx.SaveSession(&n) }), store.ErrStale)
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.Session("none")
		wantErr(t, "an absent session", err, store.ErrNotFound)
		return nil
	})
}

func testSessionKeys(t *testing.T, s *store.Store) {
	keyed := func(owner, key string, state fleet.SessionState) *fleet.Session {
		e := session("", state)
		e.Owner, e.IdempotencyKey = owner, key
		return e
	}
	addSessions(t, s, keyed("o", "k", fleet.SessionActive), keyed("o2", "k", fleet.SessionActive), keyed("o", "", fleet.SessionActive), keyed("o", "", fleet.SessionActive), keyed("o", "done", fleet.SessionEnded))
	for _, key := range []string{"k", "done"} {
		write(t, s, func(tx *store.Tx) error {
			wantErr(t, "a second "+key, tx.InsertSession(keyed("o", key, fleet.SessionActive)), store.ErrExists)
			e, err := tx.SessionByKey("o", key) // the transaction goes on
			if err == nil && e.IdempotencyKey != key {
				t.Errorf("SessionByKey gave %+v", e)
			}
			return err
		})
	}
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.SessionByKey("o", "")
		wantErr(t, "the empty key", err, store.ErrNotFound)
		_, err = tx.SessionByKey("nobody", "k")
		wantErr(t, "another owner's key", err, store.ErrNotFound)
		return nil
	})
	// Rivals with one key: one session.
	var wg sync.WaitGroup
	made := make([]string, 16)
	for i := range made {
		wg.Go(func() {
			err := s.Write(t.Context(), func(tx *store.Tx) error {
				e := keyed("o", "rival", fleet.SessionActive)
				err := tx.InsertSession(e)
				if err != nil {
					e, err = tx.SessionByKey("o", "rival")
				}
				if err == nil {
					made[i] = e.ID
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made = slices.Compact(made); len(made) != 1 || made[0] == "" {
		t.Errorf("one key made the sessions %v", made)
	}
}

func testSessionQueue(t *testing.T, s *store.Store) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var order []int64
	for range 8 {
		wg.Go(func() {
			for range 5 {
				e := session("", fleet.SessionQueued)
				if err := s.Write(t.Context(), func(tx *store.Tx) error { n := *e; n.QueueOrder = 0; err := tx.InsertSession(&n); *e = n; return err }); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, e.QueueOrder)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(order)
	if len(slices.Compact(slices.Clone(order))) != 40 {
		t.Fatalf("40 sessions have the places %v", order)
	}
	other := session("", fleet.SessionQueued)
	other.Pool = "q"
	addSessions(t, s, other)
	if other.QueueOrder != 1 {
		t.Errorf("the first of another pool has place %d", other.QueueOrder)
	}
	queue := get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.QueuedSessions("p", 0) })
	for i, e := range queue {
		if e.QueueOrder != order[i] {
			t.Fatalf("place %d of the queue has order %d, want %d", i, e.QueueOrder, order[i])
		}
		if n := get(t, s, func(tx *store.Tx) (int64, error) { return tx.QueuePosition(e) }); n != int64(i+1) {
			t.Fatalf("position %d, want %d", n, i+1)
		}
	}
	wantSame(t, "the head", ids(get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.QueuedSessions("p", 3) })), ids(queue[:3]))

	// One is served; one that held capacity goes back to its old place.
	first := queue[0]
	first.State = fleet.SessionActive
	write(t, s, func(tx *store.Tx) error { n := *first; err := tx.SaveSession(&n); *first = n; return err })
	if n := get(t, s, func(tx *store.Tx) (int64, error) { return tx.QueuePosition(first) }); n != 0 {
		t.Errorf("an active session has position %d", n)
	}
	first.State = fleet.SessionQueued
	write(t, s, func(tx *store.Tx) error { n := *first; return tx.SaveSession(&n) })
	wantSame(t, "the head again", ids(get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.QueuedSessions("p", 1) })), ids(queue[:1]))
	late := session("late", fleet.SessionActive)
	addSessions(t, s, late)
	late.State = fleet.SessionQueued
	write(t, s, func(tx *store.Tx) error { n := *late; err := tx.SaveSession(&n); *late = n; return err })
	if late.QueueOrder != order[39]+1 {
		t.Errorf("a session without place got %d, want %d", late.QueueOrder, order[39]+1)
	}
}

func testSessionLists(t *testing.T, s *store.Store) {
	addServers(t, s, agent("a", res(4, 4, 0)))
	states := []fleet.SessionState{fleet.SessionQueued, fleet.SessionStaged, fleet.SessionActive, fleet.SessionEnded}
	var all, live []string
	for i := range 16 {
		e := session(fmt.Sprintf("e%02d", i), states[i%4])
		e.CreatedAt = at(i / 3)
		e.User, e.Owner, e.Staging = []string{"u", "w"}[i/8], []string{"o1", "o2"}[i%2], []string{"", "st"}[i/4%2]
		if e.State.HoldsCapacity() {
			e.ServerID = "a"
		}
		if i == 15 {
			e.Pool = "q"
		}
		all = append(all, e.ID)
		if e.Live() {
			live = append(live, e.ID)
		}
		addSessions(t, s, e)
	}
	list := func(f store.SessionFilter) []string {
		t.Helper()
		return ids(get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.Sessions(f) }))
	}
	tests := []struct {
		name string
		f    store.SessionFilter
		want []string
	}{
		{"all that have not ended", store.SessionFilter{}, live},
		{"ended, too", store.SessionFilter{IncludeEnded: true}, all},
		{"ended by state", store.SessionFilter{States: []fleet.SessionState{fleet.SessionEnded}}, []string{"e03", "e07", "e11", "e15"}},
		{"pool", store.SessionFilter{Pool: "q", IncludeEnded: true}, []string{"e15"}},
		{"user and state", store.SessionFilter{User: "w", States: []fleet.SessionState{fleet.SessionActive, fleet.SessionQueued}}, []string{"e08", "e10", "e12", "e14"}},
		{"server", store.SessionFilter{ServerID: "a"}, []string{"e01", "e02", "e05", "e06", "e09", "e10", "e13", "e14"}},
		{"holding a server", store.SessionFilter{ServerID: "a", States: []fleet.SessionState{fleet.SessionActive, fleet.SessionStaged}, Limit: 2}, []string{"e01", "e02"}},
		{"owner", store.SessionFilter{Owner: "o2", Limit: 2}, []string{"e01", "e05"}},
		{"staging", store.SessionFilter{Staging: "st", States: []fleet.SessionState{fleet.SessionStaged}}, []string{"e05", "e13"}},
	}
	for _, tt := range tests {
		wantSame(t, tt.name, list(tt.f), tt.want)
		if tt.f.Limit > 0 {
			continue
		}
		var sum int64
		for _, n := range get(t, s, func(tx *store.Tx) (map[fleet.SessionState]int64, error) { return tx.CountSessions(tt.f) }) {
			sum += n
		}
		wantSame(t, "count of "+tt.name, sum, int64(len(tt.want)))
	}
	wantSame(t, "on a server", get(t, s, func(tx *store.Tx) ([]string, error) { return tx.SessionsOn("a") }), list(store.SessionFilter{ServerID: "a"}))
	wantSame(t, "by state", get(t, s, func(tx *store.Tx) (map[fleet.SessionState]int64, error) {
		return tx.CountSessions(store.SessionFilter{Pool: "p", IncludeEnded: true})
	}), map[fleet.SessionState]int64{"queued": 4, "staged": 4, "active": 4, "ended": 3})
	var pages []string
	for after, n := "", 0; n < 20; n++ {
		page := list(store.SessionFilter{IncludeEnded: true, After: after, Limit: 3})
		if len(page) == 0 {
			break
		}
		pages, after = append(pages, page...), page[len(page)-1]
	}
	wantSame(t, "pages", pages, all)
}

func testSessionsDue(t *testing.T, s *store.Store) {
	due := func(id string, state fleet.SessionState, expires, wait *time.Time) *fleet.Session {
		e := session(id, state)
		e.ExpiresAt, e.WaitUntil = expires, wait
		return e
	}
	next := func() time.Time {
		return get(t, s, func(tx *store.Tx) (time.Time, error) { return tx.NextSessionDue(at(0)) })
	}
	if !next().IsZero() {
		t.Errorf("nothing is due, and yet %v", next())
	}
	addSessions(t, s,
		due("expired", fleet.SessionActive, ptr(at(2)), ptr(at(0))),
		due("waited", fleet.SessionQueued, ptr(at(0)), ptr(at(1))),
		due("later", fleet.SessionActive, ptr(at(9)), nil),
		due("for ever", fleet.SessionActive, nil, ptr(at(0))),
		due("staged", fleet.SessionStaged, ptr(at(0)), ptr(at(0))),
		due("ended", fleet.SessionEnded, ptr(at(0)), ptr(at(0))))
	list := func(seconds, limit int) []string {
		return ids(get(t, s, func(tx *store.Tx) ([]*fleet.Session, error) { return tx.SessionsDue(at(seconds), limit) }))
	}
	wantSame(t, "before", list(0, 10), []string{})
	wantSame(t, "at the moment", list(2, 10), []string{"waited", "expired"})
	wantSame(t, "limited", list(5, 1), []string{"waited"})
	wantSame(t, "all", list(100, 0), []string{"waited", "expired", "later"})
	wantSame(t, "next", next(), at(1))
	write(t, s, func(tx *store.Tx) error {
		for _, id := range []string{"expired", "waited"} {
			e, err := tx.Session(id)
			if err != nil {
				return err
			}
			e.State, e.EndedAt = fleet.SessionEnded, ptr(at(len(id)))
			if err := tx.SaveSession(e); err != nil {
				return err
			}
		}
		return nil
	})
	wantSame(t, "next after those", next(), at(9))

	forget := func(before, limit int) (n int64) {
		write(t, s, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteEndedSessions(at(before), limit)
			return err
		})
		return n
	}
	if n := forget(100, 1); n != 1 {
		t.Errorf("forgot %d sessions, want 1", n)
	}
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.Session("waited") // ended first
		wantErr(t, "the forgotten session", err, store.ErrNotFound)
		_, err = tx.Session("expired")
		wantErr(t, "the other", err, nil)
		return nil
	})
	if n := forget(7, 10); n != 0 {
		t.Errorf("forgot %d sessions that are too young", n)
	}
}

func testStagedSessions(t *testing.T, s *store.Store) {
	for _, id := range []string{"a", "b", "c"} {
		v := agent(id, places(2))
		v.MaxUsers = 1
		if id == "b" {
			v.Zone = "y"
		}
		addServers(t, s, v)
	}
	stage := func(id, server string, seconds int) {
		write(t, s, func(tx *store.Tx) error {
			v, err := tx.Claim(store.ClaimQuery{Pool: "p", Need: places(1), ServerID: server})
			if err != nil {
				return err
			}
			return tx.InsertSession(&fleet.Session{ID: id, Pool: "p", State: fleet.SessionStaged, Staging: "st", Need: places(1), ServerID: v.ID, CreatedAt: at(seconds)})
		})
	}
	stage("on-b", "b", 1)
	stage("on-a", "a", 2)
	staged := func(zone string, need fleet.Resources) string {
		var id string
		err := s.Read(t.Context(), func(tx *store.Tx) error {
			e, err := tx.StagedSession("p", zone, need)
			if err == nil {
				id = e.ID
			}
			return err
		})
		if id == "" {
			wantErr(t, "no staged session", err, store.ErrNotFound)
		}
		return id
	}
	if got := staged("", places(1)); got != "on-b" {
		t.Errorf("the oldest is %q", got)
	}
	if got := staged("z", places(1)); got != "on-a" {
		t.Errorf("the oldest of zone z is %q", got)
	}
	if got := staged("", places(2)); got != "" {
		t.Errorf("of another shape: %q", got)
	}
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "u", ServerID: "a"}); got != "" {
		t.Error("u got a server whose one user is yet to come")
	}
	// u takes the staged session and is now the one user.
	write(t, s, func(tx *store.Tx) error {
		e, err := tx.StagedSession("p", "z", places(1))
		if err != nil {
			return err
		}
		e.State, e.User = fleet.SessionActive, "u"
		return tx.SaveSession(e)
	})
	wantTrueClaims(t, s)
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "u", Zone: "z"}); got != "a" {
		t.Errorf("u came back to %q, want a", got)
	}
	// A staged session that goes to a user who is there already adds nobody.
	shared := agent("shared", places(3))
	shared.Zone, shared.MaxUsers = "x", 2
	addServers(t, s, shared)
	claim(t, s, store.ClaimQuery{Need: places(1), User: "u", ServerID: "shared"})
	stage("on-shared", "shared", 3)
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "w", Zone: "x"}); got != "" {
		t.Errorf("w got %q, which has its two users", got)
	}
	write(t, s, func(tx *store.Tx) error {
		e, err := tx.Session("on-shared")
		if err != nil {
			return err
		}
		e.State, e.User = fleet.SessionActive, "u"
		return tx.SaveSession(e)
	})
	wantTrueClaims(t, s)
	if got := claim(t, s, store.ClaimQuery{Need: places(1), User: "w", Zone: "x"}); got != "shared" {
		t.Errorf("w got %q, want shared, which has one user", got)
	}
	if got := staged("z", places(1)); got != "" {
		t.Errorf("a session that was given away is staged: %q", got)
	}
	write(t, s, func(tx *store.Tx) error {
		v, err := tx.Server("b")
		if err != nil {
			return err
		}
		v.Phase = fleet.PhaseDraining
		return tx.SaveServer(v)
	})
	if got := staged("", places(1)); got != "" {
		t.Errorf("staged on a server that drains: %q", got)
	}
}

func testEntrance(t *testing.T, s *store.Store) {
	look := func(pool string) store.Entrance {
		t.Helper()
		return get(t, s, func(tx *store.Tx) (store.Entrance, error) { return tx.Entrance(pool) })
	}
	addSessions(t, s, session("q", fleet.SessionQueued), session("active", fleet.SessionActive))
	wantSame(t, "a pool that does not exist", look("p"), store.Entrance{Queued: true})
	put := func(kind fleet.Kind, name, spec string) {
		t.Helper()
		write(t, s, func(tx *store.Tx) error {
			_, _, err := tx.PutObject(&store.Object{Kind: kind, Name: name, Spec: []byte(spec)}, t0)
			return err
		})
	}
	put(fleet.KindZone, "b", `{}`)
	put(fleet.KindZone, "a", `{"placement":"spread"}`)
	put(fleet.KindPool, "p", `{"type":"server"}`)
	put(fleet.KindPool, "other", `{"type":"server"}`)
	zones := []store.NamedZone{{Name: "a", Spec: &fleet.ZoneSpec{Placement: fleet.PlacementSpread}}, {Name: "b", Spec: &fleet.ZoneSpec{}}}
	wantSame(t, "somebody waits", look("p"), store.Entrance{Pool: &fleet.PoolSpec{Type: fleet.PoolServer}, Zones: zones, Queued: true})
	addSessions(t, s, session("staged", fleet.SessionStaged))
	wantSame(t, "one is made ahead", look("p").Staged, true)
	wantSame(t, "in another pool", look("other"), store.Entrance{Pool: &fleet.PoolSpec{Type: fleet.PoolServer}, Zones: zones})
	// What has changed in the same transaction counts.
	write(t, s, func(tx *store.Tx) error {
		if _, _, err := tx.PutObject(&store.Object{Kind: fleet.KindPool, Name: "other", Spec: []byte(`{"type":"docker_agent"}`)}, t0); err != nil {
			return err
		}
		if err := tx.DeleteObject(fleet.KindZone, "a"); err != nil {
			return err
		}
		in, err := tx.Entrance("other")
		wantSame(t, "changed", in, store.Entrance{Pool: &fleet.PoolSpec{Type: fleet.PoolDockerAgent}, Zones: zones[1:]})
		return err
	})
}
