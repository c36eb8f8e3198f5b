package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chaosTime is how long processes are disturbed in `make test`; the variable of
// the environment asks for another time ("1h").
const (
	chaosTime     = 20 * time.Second
	chaosVariable = "HEADROOM_CHAOS"
)

// TestChaos disturbs real processes at random while sessions come and go:
// controllers, their connections to the database, the database itself, and
// machines. Afterwards nothing may be lost, doubled or left over: cloud,
// database and sessions are compared, and every event is looked at.
func TestChaos(t *testing.T) {
	t.Parallel()
	duration := chaosTime
	if text := os.Getenv(chaosVariable); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", chaosVariable, err)
		}
	}
	for name, nodes := range map[string]int{"sqlite": 1, "postgres": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, nodes, name == "postgres")
			if c.server != nil {
				c.watchWrites()
			}
			stream := c.followEvents()
			m := &chaos{cluster: c, busy: make([]bool, nodes), done: map[string]int{}}
			// A long time is cut into stretches, with everything compared after
			// each: what went wrong is then not far away.
			for began := time.Now(); time.Since(began) < duration && !t.Failed(); {
				c.under(func() { m.run(min(duration-time.Since(began), 2*time.Minute)) })
				t.Logf("after %s: %s; machines: %d at most at once", time.Since(began).Round(time.Second), m, c.past.most)
			}
			if c.server != nil && c.checkWrites() == 0 {
				t.Error("no loop wrote anything: this has tested nothing")
			}
			c.leaveNothing()
			stream.check()
		})
	}
}

// chaos is what disturbs a cluster.
type chaos struct {
	*cluster
	mu   sync.Mutex
	busy []bool // nodes that are being disturbed
	done map[string]int
}

func (m *chaos) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, what := range slices.Sorted(maps.Keys(m.done)) {
		out = append(out, fmt.Sprintf("%s %d", what, m.done[what]))
	}
	return strings.Join(out, ", ")
}

// run disturbs for a while and leaves everything running.
func (m *chaos) run(d time.Duration) {
	ctx, cancel := context.WithTimeout(m.t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	repeat := func(most time.Duration, f func(context.Context)) {
		wg.Go(func() {
			for {
				pause(ctx, rand.N(most))
				if ctx.Err() != nil {
					return
				}
				f(ctx)
			}
		})
	}
	repeat(2*time.Second, m.disturbNode)
	repeat(3*time.Second, m.disturbMachine)
	if m.server != nil {
		repeat(4*time.Second, m.disturbNode) // two nodes at once now and then
		repeat(30*time.Second, m.killDatabase)
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if names, _, _ := m.machineDirs(); len(names) > limit {
				m.t.Errorf("%d machines exist, max_instances is %d", len(names), limit)
			}
			pause(ctx, 2*pollEvery)
		}
	})
	wg.Wait()
}

func (m *chaos) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done[what]++
}

// take gives a node that nobody else disturbs; nil: there is none.
func (m *chaos) take() (n *controller, free func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range rand.Perm(len(m.nodes)) {
		if !m.busy[i] {
			m.busy[i] = true
			return m.nodes[i], func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.busy[i] = false
			}
		}
	}
	return nil, nil
}

// rest lets a disturbance last: mostly for a moment, now and then for so long
// that others take over.
func rest(ctx context.Context) {
	most := time.Second
	if rand.IntN(4) == 0 {
		most = 15 * time.Second
	}
	pause(ctx, rand.N(most))
}

func (m *chaos) disturbNode(ctx context.Context) {
	n, free := m.take()
	if n == nil {
		return
	}
	defer free()
	relay := m.relays[m.index(n)]
	ways := map[string]func(){
		"SIGKILL": func() { m.end(n, syscall.SIGKILL); rest(ctx); m.keepStarting(n) },
		"SIGTERM": func() { m.end(n, syscall.SIGTERM); rest(ctx); m.keepStarting(n) },
		"SIGSTOP": func() { m.signal(n, syscall.SIGSTOP); rest(ctx); m.signal(n, syscall.SIGCONT) },
	}
	if m.server != nil {
		ways["database silent"] = func() { relay.hang(); rest(ctx); relay.restore() }
		ways["database cut"] = func() { relay.cut(); rest(ctx); relay.restore() }
	}
	names := slices.Sorted(maps.Keys(ways))
	how := names[rand.IntN(len(names))]
	if rand.IntN(3) == 0 {
		how = "SIGKILL"
	}
	m.note(how)
	ways[how]()
}

func (m *chaos) end(n *controller, sig syscall.Signal) {
	if err := n.end(sig); err != nil {
		m.t.Error(err)
	}
}

// keepStarting starts a node as a supervisor does: again and again, since it
// ends when its database is away.
func (m *chaos) keepStarting(n *controller) {
	var err error
	for end := time.Now().Add(resumeTime); time.Now().Before(end) && m.t.Context().Err() == nil; {
		if err = m.launch(n); err == nil {
			err = n.waitReady()
		}
		if err == nil {
			return
		}
		if n.running() {
			break
		}
		pause(m.t.Context(), 200*time.Millisecond)
	}
	m.t.Error(err)
}

func (m *chaos) killDatabase(ctx context.Context) {
	m.note("PostgreSQL killed")
	m.server.Kill()
	pause(ctx, rand.N(2*time.Second))
	if err := m.server.Start(); err != nil {
		m.t.Error(err)
	}
}

// disturbMachine kills the process that is a machine, or stops it for a while.
func (m *chaos) disturbMachine(ctx context.Context) {
	agents := m.site.agents()
	pids := slices.Collect(maps.Keys(agents))
	if len(pids) == 0 {
		return
	}
	pid := pids[rand.IntN(len(pids))]
	if rand.IntN(2) == 0 {
		m.note("machine killed")
		m.load.note(func() { m.load.killed[machineOf(agents[pid])] = true })
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		return
	}
	m.note("machine stopped")
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	rest(ctx)
	_ = syscall.Kill(pid, syscall.SIGCONT)
}
