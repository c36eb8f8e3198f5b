package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/cli"
)

// quick is a clock whose pauses are a hundredth of what is asked for.
type quick struct{ clock.RealClock }

func (q quick) NewTimer(d time.Duration) clock.Timer { return q.RealClock.NewTimer(d / 100) }

// screen is an output that a test can wait on.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns when the screen shows the text.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.changed:
		case <-limit.C:
			t.Errorf("%q was not shown; there is:\n%s", text, s)
			return
		}
	}
}

func TestSessionCreate(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST sessions", 201, session("01k-active", "active", nil))
	golden(t, "session-create-active", a.run("session", "create", "--pool", "desktops", "--cores", "2", "--memory", "2Gi"))
	golden(t, "session-create-name", a.run("session", "create", "--pool", "desktops", "-o", "name", "--idempotency-key", "mine"))
	a.on("POST sessions", 202, session("01k-queued", "queued", nil))
	golden(t, "session-create-queued", a.run("session", "create", "--pool", "desktops", "--cores", "2"))
	r := a.run("session", "create", "--pool", "desktops", "-o", "json")
	var s map[string]any
	if err := json.Unmarshal([]byte(r.out), &s); err != nil || s["queue_position"] != 2.0 || r.code != cli.ExitQueued {
		t.Errorf("got %+v, %v", r, err)
	}
	keys := map[string]int{}
	for _, body := range a.bodies {
		var in map[string]any
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatal(err)
		}
		keys[fmt.Sprint(in["idempotency_key"])]++
	}
	if len(keys) != 4 || keys["mine"] != 1 || keys["<nil>"] != 0 {
		t.Errorf("idempotency keys: %v", keys)
	}
	if !strings.HasPrefix(a.bodies[0], `{"pool":"desktops","cores":2,"memory":"2Gi","idempotency_key":"`) {
		t.Errorf("sent %s", a.bodies[0])
	}
}

func TestSessionIsServedWhileWaitedFor(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST sessions", 202, session("s", "queued", nil))
	asked := 0
	a.handle("GET sessions/s", func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch {
		case r.URL.Query().Get("wait") == "":
			problem(w, 400, `{"code":"invalid","detail":"the command did not ask to wait"}`)
		case asked == 1: // the controller is restarted meanwhile
			problem(w, 503, `{"code":"unavailable","detail":"starting"}`)
		case asked == 2:
			answer(w, 200, session("s", "queued", object{"queue_position": 1}))
		default:
			answer(w, 200, session("s", "active", nil))
		}
	})
	c := a.caller()
	c.clock, c.streams.ErrTTY = quick{}, true
	r := c.run("session", "create", "--pool", "desktops", "--wait", "60s", "-o", "name")
	if r.code != 0 || r.out != "s\n" || !strings.Contains(r.err, "queued (position 2): pool desktops is at max_instances 6") || !strings.HasSuffix(r.err, "\r\x1b[K") {
		t.Errorf("got %+v", r)
	}
}

func TestSessionIsStillQueuedAtTheEnd(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST sessions", 202, session("s", "queued", nil))
	a.on("GET sessions/s", 200, session("s", "queued", nil))
	c := a.caller()
	c.clock = clock.RealClock{}
	r := c.run("session", "create", "--pool", "desktops", "--wait", "50ms", "-o", "json")
	want := "session s is queued (position 2): pool desktops is at max_instances 6. It stays queued until 2026-03-04 14:05:00; `headroom session end s` withdraws it\n"
	if r.code != cli.ExitQueued || !strings.Contains(r.err, "`headroom session end s` withdraws it\n") || !json.Valid([]byte(r.out)) {
		t.Errorf("got %+v, want %s", r, want)
	}
	if len(a.seen()) < 2 {
		t.Errorf("it was not waited for: %v", a.seen())
	}
}

func TestSessionThatIsGivenUpWhileWaitedFor(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST sessions", 202, session("s", "queued", nil))
	a.on("GET sessions/s", 200, session("s", "ended", object{"reason": "queue_timeout 10m is over"}))
	c := a.caller()
	c.clock = clock.RealClock{}
	r := c.run("session", "create", "--pool", "desktops", "--wait", "1h")
	if r.code != cli.ExitQueued || r.err != "session s has ended while it was queued: queue_timeout 10m is over\n" {
		t.Errorf("got %+v", r)
	}
}

func TestInterruptedWaitLeavesTheSessionQueued(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a.on("POST sessions", 202, session("s", "queued", nil))
	a.handle("GET sessions/s", func(_ http.ResponseWriter, r *http.Request) {
		cancel() // ctrl-C
		<-r.Context().Done()
	})
	c := a.caller()
	c.ctx, c.clock = ctx, clock.RealClock{}
	r := c.run("session", "create", "--pool", "desktops", "--wait", "1h", "-o", "name")
	if r.code != cli.ExitQueued || r.out != "s\n" || !strings.Contains(r.err, "It stays queued until ") || !strings.Contains(r.err, "`headroom session end s` withdraws it") {
		t.Errorf("got %+v", r)
	}
}

// stream answers the event stream with what comes over the channel.
func (a *api) stream() chan<- string {
	texts := make(chan string, 10)
	a.handle("GET events/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case text := <-texts:
				_, _ = io.WriteString(w, text)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	return texts
}

func wire(e object) string {
	text, _ := json.Marshal(e)
	return fmt.Sprintf("id: %v\nevent: %v\ndata: %s\n\n", e["seq"], e["type"], text)
}

// follow runs a command that ends only by interruption.
func follow(t *testing.T, a *api, script func(*screen), args ...string) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := newScreen()
	c := a.caller()
	c.ctx, c.out, c.clock = ctx, out, quick{}
	done := make(chan result)
	go func() { done <- c.run(args...) }()
	script(out)
	cancel()
	r := <-done
	r.out = out.String()
	return r
}

func TestWatch(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.list("GET events", event(7, "Server", "x", "m"))
	a.list("GET servers", server("hr-1", "booting", nil), server("hr-2", "ready", nil))
	a.on("GET servers/01k-hr-2", 200, server("hr-2", "gone", object{"reason": "nothing is left"}))
	texts := a.stream()
	r := follow(t, a, func(s *screen) {
		s.await(t, "hr-2")
		a.list("GET servers", server("hr-1", "ready", nil), server("hr-3", "planned", object{"pool": "a-pool-with-a-longer-name"}))
		texts <- wire(event(8, "Server", "hr-1", "ready"))
		s.await(t, "nothing is left")
	}, "get", "servers", "-w", "--pool", "p")
	var rows []string
	for line := range strings.Lines(r.out) {
		f := strings.Fields(line)
		rows = append(rows, f[0]+" "+f[2])
	}
	if got, want := strings.Join(rows, "|"), "NAME PHASE|hr-1 booting|hr-2 ready|hr-1 ready|hr-3 planned|hr-2 gone"; got != want || r.code != 0 {
		t.Errorf("got %s\n%+v", got, r)
	}
	if !strings.Contains(strings.Join(a.seen(), "\n"), "GET /api/v1/events/stream?after=7") {
		t.Errorf("the stream did not begin where the list was read: %v", a.seen())
	}
}

func TestWatchEndsWhenItMayNotGoOn(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.list("GET events")
	a.list("GET pools")
	a.refuse("GET events/stream", 403, `{"code":"forbidden","detail":"role session may not read events"}`)
	if r := a.run("get", "pools", "-w"); r.code != cli.ExitRefused || !strings.Contains(r.err, "may not read events") {
		t.Errorf("got %+v", r)
	}
}

func TestEventsFollow(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.handle("GET events", func(w http.ResponseWriter, r *http.Request) {
		items := []object{event(7, "Server", "hr-1", "old"), event(6, "Server", "hr-1", "older")}
		if r.URL.Query().Get("kind") == "" { // the newest of all is about something else
			items = []object{event(8, "Pool", "p", "m")}
		}
		answer(w, 200, object{"items": items})
	})
	texts := a.stream()
	r := follow(t, a, func(s *screen) {
		s.await(t, `"message":"old"`)
		texts <- wire(event(9, "Server", "hr-1", "new"))
		texts <- "event: gap\ndata: {\"after\":10,\"message\":\"10 is gone\"}\n\n"
		texts <- wire(event(11, "Server", "hr-1", "newest"))
		s.await(t, "newest")
	}, "events", "-f", "--kind", "server", "-o", "json")
	var got []string
	for line := range strings.Lines(r.out) {
		var e struct{ Message string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Message)
	}
	if strings.Join(got, " ") != "older old new newest" || r.err != "10 is gone\n" || r.code != 0 {
		t.Errorf("got %v, %+v", got, r)
	}
	if !strings.Contains(strings.Join(a.seen(), "\n"), "events/stream?after=8&kind=Server") {
		t.Errorf("calls: %v", a.seen())
	}
}

func TestEventsSince(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.handle("GET events", func(w http.ResponseWriter, r *http.Request) {
		before := 2500
		_, _ = fmt.Sscan(r.URL.Query().Get("before"), &before)
		var items []object
		for seq := before - 1; seq >= max(1, before-1000); seq-- {
			e := event(seq, "Server", "x", "m")
			e["at"] = noon.Add(-time.Duration(2500-seq) * time.Second)
			items = append(items, e)
		}
		answer(w, 200, object{"items": items})
	})
	r := a.run("events", "--since", "30m", "--no-headers")
	if n := strings.Count(r.out, "\n"); n != 1800 || len(a.seen()) != 2 {
		t.Errorf("%d events with %d calls", n, len(a.seen()))
	}
	r = a.run("events", "--limit", "3", "-o", "wide", "--no-headers")
	if n := strings.Count(r.out, "\n"); n != 3 || !strings.HasPrefix(r.out, "2497") {
		t.Errorf("got %s", r.out)
	}
}

func TestLogsFollow(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	line := func(text string) object { return object{"at": ago(time.Minute), "stream": "agent", "text": text} }
	a.on("GET servers/hr-1/logs", 200, object{"lines": []object{line("one"), line("same"), {"at": ago(0), "stream": "console", "text": "not this"}}})
	golden(t, "logs", a.run("logs", "hr-1"))
	golden(t, "logs-tail", a.run("logs", "hr-1", "--stream", "agent", "--tail", "1"))
	r := follow(t, a, func(s *screen) {
		s.await(t, "same")
		// The first line has fallen off, and a line has been written once more.
		a.on("GET servers/hr-1/logs", 200, object{"lines": []object{line("same"), line("same"), line("last")}})
		s.await(t, "last")
	}, "logs", "hr-1", "-f", "--stream", "agent")
	var got []string
	for l := range strings.Lines(r.out) {
		f := strings.Fields(l)
		got = append(got, f[len(f)-1])
	}
	if strings.Join(got, " ") != "one same same last" || r.code != 0 {
		t.Errorf("got %v, %+v", got, r)
	}
}

func TestDeleteWaits(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("DELETE servers/hr-1", 200, server("hr-1", "deleting", nil))
	asked := 0
	a.handle("GET servers/hr-1", func(w http.ResponseWriter, _ *http.Request) {
		phase := "deleting"
		if asked++; asked > 2 {
			phase = "gone"
		}
		answer(w, 200, server("hr-1", phase, nil))
	})
	c := a.caller()
	c.clock = quick{}
	if r := c.run("server", "delete", "hr-1", "--wait"); r.code != 0 || asked != 3 {
		t.Errorf("asked %d times: %+v", asked, r)
	}
	left := 3
	a.handle("DELETE pools/desktops", func(w http.ResponseWriter, _ *http.Request) {
		if left--; left >= 0 {
			problem(w, 409, `{"code":"in_use","detail":"Pool desktops is being drained and not deleted yet: 1 machine depends on it still"}`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	a.refuse("GET pools/desktops", 404, `{"code":"not_found","detail":"there is no pool desktops"}`)
	if r := c.run("delete", "pool", "desktops", "--drain", "--wait"); r.code != 0 || left != -1 {
		t.Errorf("%d times to go: %+v", left, r)
	}
	left = 1 << 30
	if r := c.run("delete", "pool", "desktops", "--drain", "--wait=20ms"); r.code != cli.ExitQueued || !strings.Contains(r.err, "1 machine depends on it still") {
		t.Errorf("got %+v", r)
	}
	if r := c.run("delete", "pool", "desktops", "--drain"); r.code == 0 || r.code == cli.ExitQueued {
		t.Errorf("got %+v", r)
	}
	left = 3
	a.handle("POST delete", func(w http.ResponseWriter, _ *http.Request) {
		if left--; left >= 0 {
			problem(w, 409, `{"code":"in_use","detail":"2 objects are being drained and not deleted yet: 1 machine depends on them still"}`)
			return
		}
		answer(w, 200, object{"deleted": true, "changes": []object{}})
	})
	if r := c.run("delete", "pool", "desktops", "others", "--drain", "--wait"); r.code != 0 || left != -1 {
		t.Errorf("%d times to go: %+v", left, r)
	}
	a.on("GET servers/hr-1", 200, server("hr-1", "draining", nil))
	a.on("POST servers/hr-1/drain", 200, server("hr-1", "draining", nil))
	if r := c.run("server", "drain", "hr-1", "--wait=20ms"); r.code != cli.ExitQueued || !strings.Contains(r.err, "server hr-1 is still there after 20ms: draining, 1 session") {
		t.Errorf("got %+v", r)
	}
}
