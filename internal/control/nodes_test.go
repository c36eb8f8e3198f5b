package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	testPools = 6
	perPool   = 2 // machines that each pool wants
	mostOf    = 3 // max_instances of each provider
)

var machineShape = fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048}

// site is what several nodes share: a database and a cloud.
type site struct {
	t     *testing.T
	url   string
	cloud *sim.Cloud
	kind  provider.Kind
	store *store.Store // of the test itself
	nodes int
}

// testNode is a controller with a database connection of its own.
type testNode struct {
	*Controller
	stop func()
}

func newSite(t *testing.T, url string) *site {
	t.Helper()
	s := &site{t: t, url: url, cloud: sim.NewCloud(sim.Options{Clock: clock.RealClock{}})}
	s.kind = sim.Kind(func(string) *sim.Cloud { return s.cloud })
	s.kind.Defaults.Grace = 2 * time.Second
	s.kind.Defaults.BusyInterval, s.kind.Defaults.RestInterval = 200*time.Millisecond, 500*time.Millisecond
	s.store = s.open()
	put := func(kind fleet.Kind, name string, spec any) {
		t.Helper()
		b, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		err = s.store.Write(t.Context(), func(tx *store.Tx) error {
			if _, _, err := tx.PutObject(&store.Object{Kind: kind, Name: name, Spec: b}, time.Now()); err != nil {
				return err
			}
			tx.Emit(fleet.Event{Type: fleet.EventObjectCreated, Kind: string(kind), Name: name})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(fleet.KindZone, "z", fleet.ZoneSpec{})
	no := false
	for i := range testPools {
		pool, cloud := fmt.Sprintf("p%d", i), fmt.Sprintf("v%d", i)
		put(fleet.KindPool, pool, fleet.PoolSpec{Type: fleet.PoolDockerAgent})
		put(fleet.KindVMProvider, cloud, fleet.VMProviderSpec{Provider: sim.KindName, MaxInstances: mostOf})
		put(fleet.KindAutoscaleConfig, fmt.Sprintf("c%d", i), fleet.AutoscaleConfigSpec{
			Pool: pool, Zone: "z", VMProviders: []string{cloud}, RequireCheckin: &no,
			Standby: fleet.Shape{Cores: perPool * 2 * fleet.Core, Memory: perPool * 2 * fleet.GiB},
		})
	}
	return s
}

func (s *site) open() *store.Store {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), store.Options{URL: s.url})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := st.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return st
}

// tagsOf marks a machine of provider v0.
func (s *site) tagsOf(c *Controller, server string) provider.Tags {
	return provider.Tags{Installation: c.Store.Installation(), Provider: "v0", Server: server, AutoscaleConfig: "c0"}
}

func (s *site) controller() *Controller { return s.controllerOn(s.open()) }

func (s *site) controllerOn(st *store.Store) *Controller {
	s.nodes++
	return New(Deps{
		Store: st, Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)).With("test_node", s.nodes),
		Shape: func(fleet.VMProviderSpec) fleet.Resources { return machineShape },
		Open: func(_ context.Context, o *store.Object) (*provider.Client, error) {
			return provider.NewClient(provider.ClientOptions{
				Kind: s.kind, Clock: clock.RealClock{}, Owner: provider.Owner{Installation: st.Installation(), Provider: o.Name},
				Driver: s.cloud.Driver(sim.Behaviour{Shape: machineShape, Boot: sim.Always(300 * time.Millisecond)}),
			}), nil
		},
		Bootstrap: func(context.Context, *fleet.Server) (provider.Bootstrap, error) { return provider.Bootstrap{}, nil },
	})
}

func (s *site) start() *testNode {
	n := &testNode{Controller: s.controller()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { n.Store.Follow(ctx) })
	wg.Go(func() {
		if err := n.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	n.stop = func() { cancel(); wg.Wait() }
	s.t.Cleanup(n.stop)
	return n
}

// until waits for ok to be true and returns how long that took.
func (s *site) until(what string, most time.Duration, ok func() bool) time.Duration {
	s.t.Helper()
	began, deadline := time.Now(), time.After(most)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("not within %s: %s\n%s", most, what, s.state())
		}
	}
	return time.Since(began)
}

func (s *site) servers() []*fleet.Server {
	s.t.Helper()
	var list []*fleet.Server
	if err := s.store.Read(s.t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Servers(store.ServerFilter{}); return err }); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// full says that every pool has what it wants and that the cloud agrees.
func (s *site) full() bool {
	ready := map[string]bool{}
	for _, v := range s.servers() {
		if v.Phase == fleet.PhaseReady {
			ready[v.ProviderID] = true
		}
	}
	running := 0
	for _, m := range s.cloud.Instances() {
		if ready[m.ID] && m.State == provider.StateRunning {
			running++
		}
	}
	return len(ready) == testPools*perPool && running == len(ready)
}

func (s *site) state() (text string) {
	for _, v := range s.servers() {
		text += fmt.Sprintf("%s %s %s: %s\n", v.Pool, v.Name, v.Phase, v.Reason)
	}
	return text + fmt.Sprint(s.owners())
}

// owners counts the keys of each node that is alive; "" is nobody, "dead" a
// node that is not alive.
func (s *site) owners() map[string]int {
	s.t.Helper()
	c, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(s.t.Context())) //nolint:errcheck // the statement was answered
	rows, err := c.Query(s.t.Context(), `SELECT CASE WHEN node = '' OR EXISTS (SELECT 1 FROM nodes WHERE id = owners.node) THEN node ELSE 'dead' END, COUNT(*)
		FROM owners GROUP BY 1`)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]int{}
	var node string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&node, &n}, func() error { out[node] = n; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// shared says that all work is owned, by so many nodes.
func (s *site) shared(nodes int) func() bool {
	return func() bool {
		o := s.owners()
		sum := 0
		for _, n := range o {
			sum += n
		}
		return len(o) == nodes && o[""] == 0 && o["dead"] == 0 && sum == 2*testPools+2
	}
}

// checkHistory looks for what two nodes at work on one thing would leave: more
// machines than are allowed, machines that no server explains, steps of a
// server that do not follow from one another.
func (s *site) checkHistory() {
	s.t.Helper()
	for i := range testPools {
		owner := provider.Owner{Installation: s.store.Installation(), Provider: fmt.Sprintf("v%d", i)}
		if n := s.cloud.MaxExisted(owner); n > mostOf {
			s.t.Errorf("provider %s had %d machines at once, %d are allowed", owner.Provider, n, mostOf)
		}
	}
	var events []fleet.Event
	if err := s.store.Read(s.t.Context(), func(tx *store.Tx) (err error) { events, err = tx.Events(store.EventFilter{}); return err }); err != nil {
		s.t.Fatal(err)
	}
	phase := map[string]string{}
	for _, e := range events {
		switch {
		case e.Type == fleet.EventOrphanFound:
			s.t.Errorf("event %d: %s", e.Seq, e.Message)
		case e.Type == fleet.EventServerPlanned:
			phase[e.ID] = string(fleet.PhasePlanned)
		case e.Type == fleet.EventServerPhase:
			if e.Data["from"] != phase[e.ID] {
				s.t.Errorf("event %d: server %s went from %v to %v and was %s", e.Seq, e.Name, e.Data["from"], e.Data["phase"], phase[e.ID])
			}
			phase[e.ID], _ = e.Data["phase"].(string)
		}
	}
}

// lose removes one machine of each provider and waits until all is well again.
func (s *site) lose(most time.Duration) {
	s.t.Helper()
	lost := map[string]bool{}
	for _, m := range s.cloud.Instances() {
		if p := m.Tags.Provider; !lost[p] && m.State == provider.StateRunning && s.cloud.Vanish(m.ID) {
			lost[p] = true
		}
	}
	if len(lost) != testPools {
		s.t.Fatalf("%d machines were removed", len(lost))
	}
	s.until("machines are replaced", most, s.full)
}

func TestNodesShareWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.New(t))
	a := s.start()
	s.until("one node owns everything", 20*time.Second, s.shared(1))
	b, c := s.start(), s.start()
	s.until("three nodes share the work", 30*time.Second, s.shared(3))
	s.until("the pools are full", 30*time.Second, s.full)
	s.lose(30 * time.Second)

	c.stop()
	// A node that stops in order leaves at once, and not after its lease.
	if took := s.until("two nodes have taken over", 20*time.Second, s.shared(2)); took > store.LeaseTime/2 {
		t.Errorf("an orderly stop was noticed after %s", took)
	}
	s.lose(30 * time.Second)
	a.stop()
	b.stop()
	s.checkHistory()
	if o := s.owners(); o[""] != 2*testPools+2 {
		t.Errorf("after the last node has stopped: %v", o)
	}
}

// TestOneNodeOnSQLite: without other nodes everything is owned at once.
func TestOneNodeOnSQLite(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite://"+t.TempDir()+"/headroom.db")
	n := &testNode{Controller: s.controllerOn(s.store)} // SQLite is for one process
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.Run(ctx) })
	s.until("the pools are full", 30*time.Second, func() bool { return ready(s) == testPools*perPool })
	cancel()
	wg.Wait()
	s.checkHistory()
}

func ready(s *site) (n int) {
	for _, v := range s.servers() {
		if v.Phase == fleet.PhaseReady {
			n++
		}
	}
	return n
}

// TestStaleLeaseWritesNothing: steps under an ownership that is over change
// nothing, nor do steps that bring none.
func TestStaleLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.New(t))
	c := s.controller()
	m := c.Store.Join("")
	defer func() { _ = m.Leave(context.WithoutCancel(t.Context())) }()
	if _, err := m.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	take := func(key string) store.Owner {
		t.Helper()
		taken, err := m.Take(t.Context(), []string{key})
		if err != nil || len(taken) != 1 {
			t.Fatal(taken, err)
		}
		return taken[0]
	}
	step := func(o store.Owner) error {
		_, err := c.ReconcilePool(withLease(t.Context(), o), "p0")
		return err
	}
	old := take(keyPool + "p0")
	now := take(keyPool + "p0")
	if err := step(old); !errors.Is(err, store.ErrLost) {
		t.Errorf("an old epoch: %v, want ErrLost", err)
	}
	if _, err := c.ReconcilePool(t.Context(), "p0"); !errors.Is(err, errNoLease) {
		t.Errorf("no lease: %v, want a refusal", err)
	}
	if n := len(s.servers()); n != 0 {
		t.Fatalf("%d servers were planned", n)
	}
	if err := step(now); err != nil {
		t.Errorf("the present epoch: %v", err)
	}
	if n := len(s.servers()); n != perPool {
		t.Errorf("%d servers were planned, want %d", n, perPool)
	}
	// A step of a server goes on when its key is lost in between: its machine
	// is not recorded by the loser.
	server := s.servers()[0]
	lease := withLease(t.Context(), take(keyProvider+"v0"))
	take(keyProvider + "v0")
	if _, err := c.StepServer(lease, server.ID); !errors.Is(err, store.ErrLost) {
		t.Errorf("a step of a lost provider: %v, want ErrLost", err)
	}
	if len(s.cloud.Instances()) != 0 || s.servers()[0].Phase != fleet.PhasePlanned {
		t.Errorf("a lost step made a machine or changed its server: %s", s.state())
	}
}

func TestChosen(t *testing.T) {
	t.Parallel()
	nodes := []string{"01a", "01b", "01c", "01d"}
	count, moved := map[string]int{}, 0
	const keys = 4000
	for i := range keys {
		key := fmt.Sprintf("pool/p%d", i)
		n := chosen(key, nodes)
		count[n]++
		if got := chosen(key, []string{"01d", "01b", "01a", "01c"}); got != n {
			t.Fatalf("%s falls to %s or to %s by the order of the nodes", key, n, got)
		}
		rest := slices.DeleteFunc(slices.Clone(nodes), func(s string) bool { return s == "01c" })
		if after := chosen(key, rest); after != n {
			moved++
			if n != "01c" {
				t.Fatalf("%s moved from %s, which is still there", key, n)
			}
		}
	}
	for _, n := range nodes {
		if count[n] < keys/5 || count[n] > keys/3 {
			t.Errorf("%s has %d of %d keys", n, count[n], keys)
		}
	}
	if moved != count["01c"] {
		t.Errorf("%d keys moved, %d were the lost node's", moved, count["01c"])
	}
	if chosen("k", nil) != "" {
		t.Error("a key fell to nobody")
	}
}
