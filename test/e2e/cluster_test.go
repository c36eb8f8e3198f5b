package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
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

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's "pgx"
	_ "modernc.org/sqlite"             // database/sql's "sqlite"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// resumeTime is how long work may rest when a node dies.
const resumeTime = 30 * time.Second

const (
	limit = 10 // max_instances of clusterManifest
	pair  = 2  // sessions that a machine has room for
)

// clusterManifest leaves room for the machine of the pool "probe".
const clusterManifest = `
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
spec: {pool: example, zone: default, vm_providers: [local], max_servers: 8, standby: {cores: 1, memory: 1Gi}, downscale_backoff: 1s}
---
`

const probeManifest = `
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: probe}
spec: {pool: probe, zone: default, vm_providers: [local], min_servers: %d, downscale_backoff: 1s}
`

// cluster is real controllers on one database. Their machines are processes of
// this host and belong to a data directory: so that each controller sees them
// all, as in a cloud, the directories of machines are one. Machines reach the
// controllers through a load balancer.
type cluster struct {
	t        *testing.T
	server   *pgtest.Server // nil: the embedded database of a single node
	url      string         // of the database, not through a relay
	db       *sql.DB        // the same
	site     *site
	nodes    []*controller
	relays   []*relay // between each node and PostgreSQL
	balancer *balancer
	machines string // directory
	token    string
	probe    int
	load     *load
	past     *history
}

// newCluster starts so many nodes on a PostgreSQL, or one on the embedded
// database.
func newCluster(t *testing.T, nodes int, postgres bool) *cluster {
	t.Helper()
	c := &cluster{t: t}
	if postgres {
		c.server = pgtest.Start(t)
		c.url = c.server.Database(t)
	}
	var err error
	if c.site, err = newSite(t.TempDir(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.site.close)
	c.machines = filepath.Join(c.site.work, "machines")
	if err := os.Mkdir(c.machines, 0o700); err != nil {
		t.Fatal(err)
	}
	var addrs, urls []string
	for i := range nodes {
		n, err := c.site.controller(fmt.Sprintf("node%d", i))
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
		c.relays = append(c.relays, newRelay(t, c.dialDatabase))
		addrs, urls = append(addrs, n.addr), append(urls, n.url())
	}
	c.balancer = newBalancer(t, addrs)
	urls = append(urls, "http://"+c.balancer.addr)
	for i, n := range c.nodes {
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(c.machines, filepath.Join(n.dir, "machines")); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // as the guide says
			key, err := os.ReadFile(filepath.Join(c.nodes[0].dir, "secret.key"))
			if err == nil {
				err = os.WriteFile(filepath.Join(n.dir, "secret.key"), key, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		c.start(n)
		if i == 0 {
			c.token = n.token()
			c.openDatabase()
		}
	}
	c.load = newLoad(t, c.token, urls...)
	c.apply(c.nodes[0], clusterManifest)
	c.until("the load balancer has found a node", startTime, func() bool { return isReady(t.Context(), c.balancer.addr) })
	return c
}

// dialDatabase connects to the socket of PostgreSQL.
func (c *cluster) dialDatabase(ctx context.Context) (net.Conn, string, error) {
	u, err := url.Parse(c.url)
	if err != nil {
		return nil, "", err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
	return conn, "", err
}

func (c *cluster) openDatabase() {
	c.t.Helper()
	driver, source := "pgx", c.url
	if c.server == nil {
		driver, source = "sqlite", "file:"+filepath.Join(c.nodes[0].dir, "headroom.db")+"?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		c.t.Fatal(err)
	}
	db.SetMaxOpenConns(2)
	db.SetConnMaxIdleTime(time.Second) // PostgreSQL is killed now and then
	c.db = db
	c.t.Cleanup(func() { db.Close() })
}

// index is the place of a node.
func (c *cluster) index(n *controller) int { return slices.Index(c.nodes, n) }

// launch starts a node and does not wait for it. To PostgreSQL it says under
// which address it serves, so that what it writes can be told from what others
// do.
func (c *cluster) launch(n *controller) error {
	c.site.mu.Lock()
	defer c.site.mu.Unlock()
	c.site.database = ""
	if c.server != nil {
		u, err := url.Parse(c.url)
		if err != nil {
			return err
		}
		u.Host = c.relays[c.index(n)].addr
		u.RawQuery = url.Values{"sslmode": {"disable"}, "application_name": {n.addr}}.Encode()
		c.site.database = u.String()
	}
	return n.start(c.site, os.Environ(), []string{"--advertise-url", "http://" + c.balancer.addr})
}

func (c *cluster) start(n *controller) {
	c.t.Helper()
	err := c.launch(n)
	if err == nil {
		err = n.waitReady()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) signal(n *controller, sig syscall.Signal) {
	c.t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) kill(n *controller) {
	c.t.Helper()
	if err := n.end(syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) api(n *controller) *client.Client {
	c.t.Helper()
	api, err := remote(n.url(), c.token)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(api.Close)
	return api
}

func (c *cluster) apply(at *controller, text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), resumeTime)
	defer cancel()
	if _, err := c.api(at).Apply(ctx, client.ApplyRequest{Documents: []client.Document{{Source: "test", Text: text}}}); err != nil {
		c.t.Fatalf("applying at %s: %v\n%s", at.name, err, at.output())
	}
}

// until waits for something, and returns how long it took.
func (c *cluster) until(what string, most time.Duration, ok func() bool) time.Duration {
	c.t.Helper()
	began, deadline := time.Now(), time.After(most)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			c.histories()
			c.t.Fatalf("not within %s: %s", most, what)
		}
	}
	took := time.Since(began)
	c.t.Logf("%s after %s", what, took.Round(10*time.Millisecond))
	return took
}

// histories shows what the nodes wrote of themselves.
func (c *cluster) histories() {
	for _, n := range c.nodes {
		b, _ := os.ReadFile(n.log)
		lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool {
			return strings.Contains(l, `"msg":"request"`) || strings.Contains(l, `"msg":"event"`)
		})
		c.t.Log(n.name, strings.Join(lines[max(0, len(lines)-100):], "\n"))
	}
}

// lease is who owns a key; the node is nil when nobody does who is alive.
func (c *cluster) lease(key string) (n *controller, epoch int64) {
	c.t.Helper()
	var address string
	err := c.db.QueryRow(`SELECT COALESCE((SELECT address FROM nodes WHERE id = owners.node
		AND expires_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000000), ''), epoch FROM owners WHERE key = $1`, key).Scan(&address, &epoch)
	if err != nil {
		return nil, 0
	}
	for _, n := range c.nodes {
		if strings.HasSuffix(address, n.addr[strings.LastIndex(n.addr, ":"):]) {
			return n, epoch
		}
	}
	return nil, epoch
}

// owner waits for a key to be owned by a node that is not the given one.
func (c *cluster) owner(key string, not *controller) (n *controller) {
	c.t.Helper()
	c.until("somebody owns "+key, resumeTime, func() bool {
		n, _ = c.lease(key)
		return n != nil && n != not
	})
	return n
}

// settled waits until all nodes are alive and the work has been shared out
// among them, and gives the owner of a key: it stays that.
func (c *cluster) settled(key string) *controller {
	c.t.Helper()
	c.until("the work is shared out", resumeTime, func() bool {
		var alive int
		var rests bool // a node that has work to hand over does so with its next heartbeat, within 3 s
		err := c.db.QueryRow(`WITH clock AS (SELECT EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS now)
			SELECT COUNT(*), (SELECT MAX(taken_at) < clock.now - 3500000 AND MIN(node) <> '' FROM owners, clock GROUP BY clock.now)
			FROM nodes, clock WHERE expires_at > clock.now AND started_at < clock.now - 3500000`).Scan(&alive, &rests)
		return err == nil && alive == len(c.nodes) && rests
	})
	return c.owner(key, nil)
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

// works has a machine made or removed, which takes the owner of the pool and
// that of the provider, and waits for it.
func (c *cluster) works(at *controller) {
	c.t.Helper()
	c.finishWork(at, c.startWork(at))
}

func (c *cluster) startWork(at *controller) (began time.Time) {
	c.t.Helper()
	c.probe = 1 - c.probe
	c.apply(at, fmt.Sprintf(probeManifest, c.probe))
	return time.Now()
}

func (c *cluster) finishWork(at *controller, began time.Time) {
	c.t.Helper()
	api := c.api(at)
	c.until(fmt.Sprintf("the pool has %d machines", c.probe), resumeTime, func() bool {
		list, err := api.Servers(c.t.Context(), client.ServerFilter{Pool: "probe"})
		if err != nil || len(list) != c.probe {
			return false
		}
		return c.probe == 0 || list[0].Phase == fleet.PhaseReady
	})
	if time.Since(began) > resumeTime/2 {
		c.histories()
		c.story("SELECT id FROM (SELECT id FROM servers WHERE pool = 'probe' ORDER BY created_at DESC LIMIT 1) AS last")
	}
}

// under runs f while sessions come and go, and checks then that everything
// agrees. It begins when they do: what is disturbed before there is anything to
// lose proves nothing.
func (c *cluster) under(f func()) {
	c.t.Helper()
	before := c.load.taken()
	ctx, stop := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.load.run(ctx) })
	func() {
		defer wg.Wait()
		defer stop()
		c.until("sessions come and go", 2*resumeTime, func() bool { return c.load.taken() > before })
		f()
	}()
	c.balance()
}
