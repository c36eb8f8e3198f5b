package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// takeoverTime is how long work may rest when a node dies.
const takeoverTime = 30 * time.Second

const nodesManifest = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: example}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: probe}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: local}
spec: {provider: local, max_instances: 10, create_burst: 1000, create_rate: 100, settings: {cores: 2, memory: 2Gi, cgroup_limits: "off"}}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: example}
spec: {pool: example, zone: default, vm_providers: [local], max_servers: 8, standby: {cores: 1, memory: 1Gi}, downscale_backoff: 1s} # leaves room for the probe
---
`

const probeManifest = `
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: probe}
spec: {pool: probe, zone: default, vm_providers: [local], min_servers: %d, downscale_backoff: 1s}
`

// cluster is three real controllers on one PostgreSQL. Their machines are
// processes of this host, and belong to a data directory: so that each
// controller sees them all, as in a cloud, they share one directory, whose lock
// is taken out of the way before each start.
type cluster struct {
	t      *testing.T
	server *pgtest.Server
	url    string
	proxy  *proxy
	site   *site
	nodes  []*controller
	probe  int
	load   *takersOfSessions
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	server := pgtest.Start(t)
	c := &cluster{t: t, server: server, url: server.Database(t), load: &takersOfSessions{held: map[string]bool{}}}
	c.proxy = newProxy(t, c.url)
	var err error
	if c.site, err = newSite(t.TempDir(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.site.close)
	for i := range 3 {
		n, err := c.site.controller(fmt.Sprintf("node%d", i))
		if err != nil {
			t.Fatal(err)
		}
		n.dir = filepath.Join(c.site.work, "data")
		c.nodes = append(c.nodes, n)
		c.start(n)
		if i == 0 {
			c.apply(n, nodesManifest)
		}
	}
	return c
}

// start starts a node. The last one reaches the database through the proxy.
func (c *cluster) start(n *controller) {
	c.t.Helper()
	c.site.database = c.url
	if len(c.nodes) == 3 && n == c.nodes[2] {
		c.site.database = c.proxy.url
	}
	if err := os.Remove(filepath.Join(n.dir, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	if err := n.start(c.site, os.Environ(), nil); err != nil {
		c.t.Fatal(err)
	}
	if err := n.waitReady(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) api(n *controller) *client.Client {
	c.t.Helper()
	api, err := remote(n.url(), n.token())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(api.Close)
	return api
}

func (c *cluster) apply(n *controller, text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), takeoverTime)
	defer cancel()
	if _, err := c.api(n).Apply(ctx, client.ApplyRequest{Documents: []client.Document{{Source: "nodes", Text: text}}}); err != nil {
		c.t.Fatalf("applying at %s: %v\n%s", n.name, err, n.output())
	}
}

// lease is who owns a key; the node is nil when nobody does who is alive.
func (c *cluster) lease(key string) (n *controller, epoch int64) {
	c.t.Helper()
	db, err := pgx.Connect(c.t.Context(), c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(c.t.Context())) //nolint:errcheck // the query was answered
	var address string
	err = db.QueryRow(c.t.Context(), `SELECT COALESCE((SELECT address FROM nodes WHERE id = owners.node
		AND expires_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000000), ''), epoch FROM owners WHERE key = $1`, key).Scan(&address, &epoch)
	if err != nil {
		return nil, 0
	}
	for _, n := range c.nodes {
		if n.url() == address {
			return n, epoch
		}
	}
	return nil, epoch
}

// owner waits for a key to be owned by a node that is not the given one.
func (c *cluster) owner(key string, not *controller) *controller {
	c.t.Helper()
	var n *controller
	c.until("somebody owns "+key, takeoverTime, func() bool {
		n, _ = c.lease(key)
		return n != nil && n != not
	})
	return n
}

func (c *cluster) until(what string, most time.Duration, ok func() bool) {
	c.t.Helper()
	began, deadline := time.Now(), time.After(most)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			for _, n := range c.nodes {
				c.t.Log(n.name, n.history())
			}
			c.t.Fatalf("not within %s: %s", most, what)
		}
	}
	c.t.Logf("%s after %s", what, time.Since(began).Round(10*time.Millisecond))
}

// history is what the controller wrote of itself and not of requests.
func (c *controller) history() string {
	b, _ := os.ReadFile(c.log)
	lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool { return strings.Contains(l, `"msg":"request"`) })
	return strings.Join(lines[max(0, len(lines)-200):], "\n")
}

// other is a node that is not the given one.
func (c *cluster) other(not *controller) *controller {
	for _, n := range c.nodes {
		if n != not {
			return n
		}
	}
	return nil
}

// works has the other nodes make a machine or remove it, which takes the owner
// of the pool and that of the provider.
func (c *cluster) works(at *controller) {
	c.t.Helper()
	c.probe = 1 - c.probe
	c.apply(at, fmt.Sprintf(probeManifest, c.probe))
	api := c.api(at)
	c.until(fmt.Sprintf("the pool has %d machines", c.probe), takeoverTime, func() bool {
		list, err := api.Servers(c.t.Context(), client.ServerFilter{Pool: "probe"})
		if err != nil || len(list) != c.probe {
			return false
		}
		return c.probe == 0 || list[0].Phase == fleet.PhaseReady
	})
}

// under runs f while sessions come and go at a node.
func (c *cluster) under(load *controller, f func()) {
	c.t.Helper()
	c.load.url, c.load.token = load.url(), load.token()
	before := c.load.taken
	ctx, stop := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.load.run(ctx, int(time.Now().UnixNano())) })
	defer func() {
		stop()
		wg.Wait()
		if c.load.taken == before {
			c.t.Error("no session was taken meanwhile: this has tested nothing")
		}
	}()
	f()
}

// balance waits until database, cloud and sessions agree at every node.
func (c *cluster) balance() {
	c.t.Helper()
	for _, n := range c.nodes {
		awaitBalance(c.t, c.site, n, c.load)
	}
}

// TestNodes disturbs three controllers in every way that a process can be
// disturbed, always the one that owns the work.
func TestNodes(t *testing.T) {
	if os.Getenv("HEADROOM_E2E_NODES") == "" {
		t.Skip("SKIPPED: three controllers on one PostgreSQL, disturbed in turn. Its deadlines are still missed now and then on a busy machine; run it with `make nodes`")
	}
	t.Parallel()
	c := newCluster(t)
	c.works(c.nodes[0])
	for _, key := range []string{"provider/local", "pool/probe", "provider/local"} {
		victim := c.owner(key, nil)
		rest := c.other(victim)
		t.Logf("--- %s, which owns %s, is killed", victim.name, key)
		c.under(rest, func() {
			if err := victim.end(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.works(rest)
			c.owner(key, victim)
			c.start(victim)
		})
		c.balance()
	}
	for _, key := range []string{"provider/local", "pool/probe", "provider/local"} {
		victim := c.owner(key, nil)
		_, epoch := c.lease(key)
		rest := c.other(victim)
		t.Logf("--- %s, which owns %s, is stopped and goes on", victim.name, key)
		c.under(rest, func() {
			if err := victim.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			c.works(rest)
			c.owner(key, victim)
			if _, now := c.lease(key); now <= epoch {
				t.Errorf("the epoch of %s went from %d to %d", key, epoch, now)
			}
			if err := victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			c.works(rest)
		})
		c.balance()
	}

	t.Logf("--- PostgreSQL is killed and comes back")
	c.under(c.nodes[1], func() {
		c.works(c.nodes[1])
		c.server.Kill()
		if err := c.server.Start(); err != nil {
			t.Fatal(err)
		}
		c.works(c.nodes[0])
	})
	c.balance()

	t.Logf("--- a node is cut from the database")
	cut := c.nodes[2]
	c.under(c.nodes[0], func() {
		c.proxy.cut(true)
		c.works(c.nodes[0])
		c.until("no work is the cut node's", takeoverTime, func() bool {
			for _, key := range []string{"provider/local", "pool/example", "pool/probe", "system", "fixed"} {
				if n, _ := c.lease(key); n == nil || n == cut {
					return false
				}
			}
			return true
		})
		c.proxy.cut(false)
		c.works(c.nodes[0])
	})
	c.balance()

	t.Logf("--- a node stops in order")
	victim := c.owner("provider/local", nil)
	if err := victim.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.owner("provider/local", victim)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("an orderly stop was noticed after %s", took)
	}
	c.works(c.other(victim))
	c.checkHistory(c.other(victim))
}

// checkHistory looks for two nodes that worked on one server at once: phases
// that do not follow from one another.
func (c *cluster) checkHistory(n *controller) {
	c.t.Helper()
	phase := map[string]any{}
	seen := 0
	for after := int64(0); ; {
		events, err := c.api(n).ListEvents(c.t.Context(), client.EventFilter{After: after, Limit: 500})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range events {
			after = e.Seq
			switch e.Type {
			case fleet.EventOrphanFound:
				c.t.Errorf("event %d: %s", e.Seq, e.Message)
			case fleet.EventServerPlanned:
				phase[e.ID] = string(fleet.PhasePlanned)
			case fleet.EventServerPhase:
				seen++
				if e.Data["from"] != phase[e.ID] {
					c.t.Errorf("event %d: server %s went from %v to %v and was %v", e.Seq, e.Name, e.Data["from"], e.Data["phase"], phase[e.ID])
				}
				phase[e.ID] = e.Data["phase"]
			}
		}
		if len(events) == 0 {
			break
		}
	}
	if seen < 40 {
		c.t.Errorf("only %d changes of phases: this has tested nothing", seen)
	}
}

// proxy forwards connections to PostgreSQL and can fall silent, as a network
// does: connections stay open and nothing gets through.
type proxy struct {
	url    string
	mu     sync.Mutex
	silent chan struct{} // not nil: closed when traffic goes on
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	p := &proxy{url: u.String()}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { cancel(); l.Close(); p.cut(false); wg.Wait() })
	wg.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", socket)
			if err != nil {
				from.Close()
				continue
			}
			context.AfterFunc(ctx, func() { from.Close(); to.Close() })
			wg.Go(func() { p.forward(ctx, from, to) })
			wg.Go(func() { p.forward(ctx, to, from) })
		}
	})
	return p
}

func (p *proxy) cut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !cut && p.silent != nil {
		close(p.silent)
		p.silent = nil
	}
	if cut && p.silent == nil {
		p.silent = make(chan struct{})
	}
}

func (p *proxy) forward(ctx context.Context, from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent != nil {
			select {
			case <-silent:
			case <-ctx.Done():
				return
			}
		}
		if _, lost := to.Write(buffer[:n]); err != nil || lost != nil {
			return
		}
	}
}
