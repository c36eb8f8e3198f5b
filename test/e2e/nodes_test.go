package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/client"
)

// TestNodes disturbs three controllers on one PostgreSQL in the ways that a
// process can be disturbed, always the one that owns the work, while sessions
// come and go at all of them.
func TestNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, true)
	c.watchWrites()
	stream := c.followEvents()
	c.works(c.nodes[0])
	c.checkMetrics()

	c.under(func() {
		victim := c.settled("provider/local")
		rest := c.other(victim)
		t.Logf("--- %s, which owns provider/local, is killed", victim.name)
		since := c.now()
		c.kill(victim)
		c.works(rest)
		c.owner("provider/local", victim)
		c.report("SIGKILL of the owner", "provider/local", since, victim)
		c.start(victim)
	})
	for _, key := range []string{"provider/local", "pool/probe"} {
		c.under(func() { c.stopAndGoOn(key) })
	}
	t.Log("--- PostgreSQL is killed and comes back")
	c.under(func() {
		c.works(c.nodes[1])
		c.server.Kill()
		if err := c.server.Start(); err != nil {
			t.Fatal(err)
		}
		c.works(c.nodes[0])
	})
	t.Log("--- the nodes are restarted in order, one after the other")
	c.under(func() {
		for _, n := range c.nodes {
			var owned []string
			for _, key := range []string{"provider/local", "pool/example", "pool/probe"} {
				if at, _ := c.lease(key); at == n {
					owned = append(owned, key)
				}
			}
			began := time.Now()
			if err := n.end(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			for _, key := range owned {
				c.owner(key, n)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("an orderly stop took %s", took)
			}
			c.start(n)
			c.works(n)
		}
	})
	t.Log("--- a newer version has upgraded the database")
	c.under(c.upgrade)
	c.checkMetrics()
	if n := c.checkWrites(); n < 40 || c.past.changes < 40 {
		t.Errorf("only %d writes of loops and %d changes of phases: this has tested nothing", n, c.past.changes)
	}
	c.leaveNothing()
	stream.check()
}

// TestNodesCutOff keeps the owner of the work from PostgreSQL, by silence and by
// broken connections. It has nodes of its own: each disturbance lasts as long as
// a lease, and one after the other they would take two minutes.
func TestNodesCutOff(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, true)
	c.watchWrites()
	stream := c.followEvents()
	c.works(c.nodes[0])
	for how, disturb := range map[string]func(*relay){"hears nothing of": (*relay).hang, "is cut from": (*relay).cut} {
		c.under(func() { c.isolate(how, disturb) })
	}
	c.checkMetrics()
	if n := c.checkWrites(); n < 15 || c.past.changes < 15 {
		t.Errorf("only %d writes of loops and %d changes of phases: this has tested nothing", n, c.past.changes)
	}
	c.leaveNothing()
	stream.check()
}

// beginWrite is in what a node sends first when it writes to PostgreSQL: the
// name under which pgx prepares the statement that begins the transaction.
func beginWrite() string {
	digest := sha256.Sum256([]byte("BEGIN ISOLATION LEVEL READ COMMITTED"))
	return "stmtcache_" + hex.EncodeToString(digest[:24])
}

// stopAndGoOn stops the owner of a key, and lets it go on when another has taken
// over. What it was about to write when it was stopped, it then tries to write.
func (c *cluster) stopAndGoOn(key string) {
	c.t.Helper()
	victim := c.settled(key)
	_, epoch := c.lease(key)
	rest := c.other(victim)
	c.t.Logf("--- %s, which owns %s, is stopped and goes on", victim.name, key)
	// Nobody calls the node, so that only its loops write. They decide on what
	// is applied, begin to write it and get no answer: then it stops.
	c.balancer.leaveOut(victim.addr)
	c.load.note(func() { c.load.avoid = victim.url() })
	pause(c.t.Context(), tryTime)
	relay := c.relays[c.index(victim)]
	relay.hold(beginWrite())
	since := c.now()
	began := c.startWork(rest)
	c.until("a write of the node is held up", resumeTime, func() bool { return relay.holds() > 0 })
	c.signal(victim, syscall.SIGSTOP)
	c.finishWork(rest, began)
	c.owner(key, victim)
	c.report("SIGSTOP of the owner", key, since, victim)
	if _, now := c.lease(key); now <= epoch {
		c.t.Errorf("the epoch of %s went from %d to %d", key, epoch, now)
	}
	// The database answers while the node is still stopped: its first act is to
	// go on with what it was about to write.
	relay.restore()
	pause(c.t.Context(), 100*time.Millisecond)
	c.signal(victim, syscall.SIGCONT)
	c.works(rest)
	c.balancer.leaveOut("")
	c.load.note(func() { c.load.avoid = "" })
	c.until("the node serves again", resumeTime, func() bool { return isReady(c.t.Context(), victim.addr) })
	c.checkWrites()
}

// isolate keeps a node from the database.
func (c *cluster) isolate(how string, disturb func(*relay)) {
	c.t.Helper()
	victim := c.settled("provider/local")
	rest := c.other(victim)
	c.t.Logf("--- %s, which owns provider/local, %s the database", victim.name, how)
	relay := c.relays[c.index(victim)]
	since := c.now()
	disturb(relay)
	c.works(rest)
	c.report("owner "+how+" the database", "provider/local", since, victim)
	c.until("no work is the cut node's", resumeTime, func() bool {
		var n int
		err := c.db.QueryRow(`SELECT COUNT(*) FROM owners JOIN nodes ON nodes.id = owners.node WHERE nodes.address LIKE '%' || $1
			AND expires_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000000`, victim.addr[len("127.0.0.1"):]).Scan(&n)
		return err == nil && n == 0
	})
	if isReady(c.t.Context(), victim.addr) {
		c.t.Error("the cut node says that it is ready")
	}
	relay.restore()
	c.until("the node serves again", resumeTime, func() bool { return isReady(c.t.Context(), victim.addr) })
	c.works(victim)
}

// upgrade has the database look as after the start of a node of a newer
// version: nodes that run go on and say so, and none of them can start again.
func (c *cluster) upgrade() {
	c.t.Helper()
	if _, err := c.db.Exec("INSERT INTO schema_versions (version_id, is_applied) VALUES (99999, TRUE)"); err != nil {
		c.t.Fatal(err)
	}
	c.works(c.nodes[0])
	n := c.nodes[1]
	c.until("a node says that it is outdated", resumeTime, func() bool {
		return strings.Contains(n.output(), "a newer Headroom has upgraded the database")
	})
	if err := n.end(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	err := c.launch(n)
	if err == nil {
		err = n.waitReady()
	}
	if err == nil || !strings.Contains(err.Error(), "the database has schema version 99999") || n.running() {
		c.t.Errorf("starting a node on a newer database: %v", err)
	}
	c.works(c.nodes[0])
	if _, err := c.db.Exec("DELETE FROM schema_versions WHERE version_id = 99999"); err != nil {
		c.t.Fatal(err)
	}
	c.start(n)
}

// checkMetrics compares what the nodes say of their ownership with the
// database.
func (c *cluster) checkMetrics() {
	c.t.Helper()
	line := regexp.MustCompile(`(?m)^(headroom_\w+)(?:\{key="([^"]*)"\})? (\S+)$`)
	var diff string
	met := func() bool {
		want, got := map[string]string{}, map[string]string{}
		rows, err := c.db.Query("SELECT nodes.address, owners.key, owners.epoch FROM owners JOIN nodes ON nodes.id = owners.node")
		if err != nil {
			c.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var address, key string
			var epoch int64
			if err := rows.Scan(&address, &key, &epoch); err != nil {
				c.t.Fatal(err)
			}
			want[key] = fmt.Sprintf("%s epoch %d", address[strings.LastIndex(address, ":"):], epoch)
		}
		for _, n := range c.nodes {
			resp, err := http.Get(n.url() + "/metrics")
			if err != nil {
				c.t.Fatal(err)
			}
			text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			resp.Body.Close()
			if err != nil {
				c.t.Fatal(err)
			}
			for _, m := range line.FindAllStringSubmatch(string(text), -1) {
				value, err := strconv.ParseFloat(m[3], 64)
				if err != nil {
					c.t.Fatal(err)
				}
				switch m[1] {
				case "headroom_owned_epoch":
					got[m[2]] = fmt.Sprintf("%s epoch %.0f", n.addr[strings.LastIndex(n.addr, ":"):], value)
				case "headroom_nodes_alive":
					if int(value) != len(c.nodes) {
						got[n.name] = fmt.Sprintf("sees %.0f nodes", value)
					}
				case "headroom_lease_renewed_timestamp_seconds":
					if age := time.Since(time.UnixMilli(int64(value * 1000))); age > resumeTime {
						got[n.name] = "was heard of last " + age.String() + " ago"
					}
				}
			}
		}
		diff = cmp.Diff(want, got)
		return diff == "" && len(want) >= 5
	}
	defer func() {
		if diff != "" {
			c.t.Log(diff)
		}
	}()
	c.until("metrics and database agree on who owns what", resumeTime, met)
}

// follower reads the event stream through the load balancer as a program does,
// over all disturbances.
type follower struct {
	c    *cluster
	stop context.CancelFunc
	mu   sync.Mutex
	got  []string
	err  error
}

func (c *cluster) followEvents() *follower {
	c.t.Helper()
	api, err := remote("http://"+c.balancer.addr, c.token)
	if err != nil {
		c.t.Fatal(err)
	}
	f := &follower{c: c}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	f.stop = cancel
	var wg sync.WaitGroup
	c.t.Cleanup(func() { cancel(); wg.Wait(); api.Close() })
	wg.Go(func() {
		// A stream that has begun goes on by itself at other nodes. One whose first
		// connection fails says so, since its address may be wrong; here a node was
		// killed at that moment, and it is begun again.
		for begun := false; !begun && ctx.Err() == nil; {
			for e, err := range api.Events(ctx, client.EventFilter{After: 1}) {
				f.mu.Lock()
				if begun = begun || err == nil; begun {
					f.err = err
				}
				if err == nil {
					f.got = append(f.got, fmt.Sprint(e.Seq, e.Type, e.ID))
				}
				f.mu.Unlock()
			}
			if !begun {
				select {
				case <-ctx.Done():
				case <-time.After(pollEvery):
				}
			}
		}
	})
	return f
}

// check compares what was read with what the database has.
func (f *follower) check() {
	f.c.t.Helper()
	var want []string
	for after := int64(1); ; {
		events, err := f.c.events(after)
		if err != nil {
			f.c.t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			want, after = append(want, fmt.Sprint(e.seq, e.kind, e.id)), e.seq
		}
	}
	f.c.until("the stream has all events", resumeTime, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.got) >= len(want) || f.err != nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		f.c.t.Fatalf("the stream ended after %d of %d events: %v", len(f.got), len(want), f.err)
	}
	for i := range want {
		if f.got[i] != want[i] {
			f.c.t.Fatalf("event %d of the stream is %s, not %s", i, f.got[i], want[i])
		}
	}
	f.c.t.Logf("the stream brought %d events, each once", len(want))
}
