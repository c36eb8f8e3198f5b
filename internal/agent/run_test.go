package agent

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestRegistersAndReports(t *testing.T) {
	t.Parallel()
	c := newController(t)
	r := start(t, configFor(t, c.URL))
	r.untilCalls(c, "report", 3)
	r.untilCalls(c, "logs", 1)
	r.end()

	s := stored(t, r.cfg)
	c.with(func() {
		want := fleet.Resources{Cores: 2000, MemoryMiB: 2048, GPUs: 1}
		a := c.registered[0]
		if len(c.registered) != 1 || a.Capacity != want || a.Token != "one-use-token" || len(a.Addresses) == 0 || a.Version != "test" {
			t.Errorf("registered as %+v", c.registered)
		}
		if p := c.reports[0]; p.Capacity != want || p.Usage.MemoryUsedMiB <= 0 {
			t.Errorf("reported %+v", p)
		}
		if len(s.Credential) < 43 || s.Credential != c.credential || !s.Registered || s.Identity.Server != "hr-one" {
			t.Errorf("stored %+v, the controller knows %s", s, c.credential)
		}
		if !logged(c.lines, "registered") {
			t.Errorf("posted log: %+v", c.lines)
		}
	})
	if info, err := os.Stat(filepath.Join(r.cfg.StateDir, stateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info.Mode(), err)
	}
	if strings.Contains(r.log.String(), s.Credential) || strings.Contains(r.log.String(), "one-use-token") {
		t.Error("a secret is in the log")
	}

	again := start(t, r.cfg)
	again.untilCalls(c, "report", 5)
	again.end()
	if n := c.count("register"); n != 1 {
		t.Errorf("%d registrations after a restart, expected 1", n)
	}
}

// The interval is the one that was ordered, with a tenth to either side.
func TestHeartbeatInterval(t *testing.T) {
	t.Parallel()
	c := newController(t)
	c.orders.Heartbeat = fleet.Duration(time.Minute)
	r := start(t, configFor(t, c.URL))
	r.untilCalls(c, "report", 1)
	began := r.clock.Now()
	r.untilCalls(c, "report", 11)
	if took := r.clock.Since(began); took < 9*time.Minute || took > 11*time.Minute+20*time.Second {
		t.Errorf("10 intervals of a minute took %v", took)
	}
	for _, tt := range []struct{ ordered, known, want time.Duration }{
		{0, 0, defaultHeartbeat},
		{0, time.Minute, time.Minute},
		{time.Second, time.Minute, time.Second},
		{time.Nanosecond, 0, leastHeartbeat},
		{time.Hour, 0, longestHeartbeat},
	} {
		if got := heartbeat(fleet.Duration(tt.ordered), fleet.Duration(tt.known)); got != tt.want {
			t.Errorf("heartbeat(%v, %v) = %v, expected %v", tt.ordered, tt.known, got, tt.want)
		}
	}
}

// The credential is on disk before the controller hears of it, and a repeated
// call says the same again.
func TestRegistrationSurvivesLostAnswers(t *testing.T) {
	t.Parallel()
	c := newController(t)
	cfg := configFor(t, c.URL)
	lost := 0
	c.after = func(w http.ResponseWriter, call string) bool {
		if s, err := loadState(cfg.StateDir); err != nil || s.Credential != c.credential {
			t.Errorf("the controller knows a credential that is not stored: %+v, %v", s, err)
		}
		if call == "register" && lost < 3 {
			lost++
			lose(w)
			return true
		}
		return false
	}
	r := start(t, cfg)
	r.untilCalls(c, "report", 1)
	r.end()
	c.with(func() {
		if len(c.registered) != 4 {
			t.Errorf("%d registrations, expected 4", len(c.registered))
		}
		for _, a := range c.registered {
			if a.Credential != c.credential {
				t.Errorf("registration with another credential: %+v", a)
			}
		}
	})
}

func TestStartsAgainBetweenRegistrationAndAnswer(t *testing.T) {
	t.Parallel()
	c := newController(t)
	cfg := configFor(t, c.URL)
	store(t, cfg, state{Credential: "made-before-the-crash-0123456789abcdef", TokenHash: hashOf("one-use-token")})
	c.credential = "made-before-the-crash-0123456789abcdef"
	c.token = "expired meanwhile"
	r := start(t, cfg)
	r.untilCalls(c, "report", 3)
	r.end()
	if s := stored(t, cfg); !s.Registered || s.Credential != "made-before-the-crash-0123456789abcdef" {
		t.Errorf("stored %+v", s)
	}
}

func TestRefusedToken(t *testing.T) {
	t.Parallel()
	c := newController(t)
	c.token = "another"
	r := start(t, configFor(t, c.URL))
	err := r.result()
	if fleet.CodeOf(err) != fleet.CodeUnauthenticated || !strings.Contains(err.Error(), r.cfg.TokenFile) || strings.Contains(err.Error(), "one-use-token") {
		t.Errorf("the agent ended with %v", err)
	}
}

func TestServerNoLongerKnown(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusGone} {
		c := newController(t)
		r := start(t, configFor(t, c.URL))
		r.untilCalls(c, "report", 1)
		c.with(func() {
			c.before = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				problem(w, status, fleet.CodeUnauthenticated, "the server is deleted")
				return true
			}
		})
		if err := r.result(); err != nil || !strings.Contains(r.log.String(), "this server is no longer known") {
			t.Errorf("after %d the agent ended with %v and the log\n%s", status, err, r.log)
		}
	}
}

// Whatever is not the word of a controller is waited out.
func TestNeverGivesUp(t *testing.T) {
	t.Parallel()
	answers := map[string]func(w http.ResponseWriter){
		"connection lost":    lose,
		"401 of a proxy":     func(w http.ResponseWriter) { http.Error(w, "log in first", http.StatusUnauthorized) },
		"410 of a proxy":     func(w http.ResponseWriter) { http.Error(w, "gone", http.StatusGone) },
		"500":                func(w http.ResponseWriter) { problem(w, 500, fleet.CodeInternal, "broken") },
		"503":                func(w http.ResponseWriter) { problem(w, 503, fleet.CodeUnavailable, "starting") },
		"no JSON":            func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>hello")) },
		"answer without end": func(w http.ResponseWriter) { _, _ = w.Write(append([]byte("{}"), bytes.Repeat([]byte(" "), 3<<20)...)) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newController(t)
			broken := func(w http.ResponseWriter, _ *http.Request, _ string) bool { answer(w); return true }
			c.before = broken
			r := start(t, configFor(t, c.URL))
			r.untilCalls(c, "register", 8)
			c.with(func() { c.before = nil })
			r.untilCalls(c, "report", 2)
			c.with(func() { c.before = broken })
			r.untilCalls(c, "report", 10)
			c.with(func() { c.before = nil })
			r.until(func() string {
				if !strings.Contains(r.log.String(), "answers again") {
					return "the agent does not notice that the controller is back"
				}
				return ""
			})
			r.end()
			if n := strings.Count(r.log.String(), "it is tried again"); n > 4 { // the text can differ once between calls
				t.Errorf("one trouble was logged %d times:\n%s", n, r.log)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	a, err := newAgent(t.Context(), configFor(t, "http://127.0.0.1:9"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.client.Close()
	trouble := a.client.Rotate(t.Context(), "old", "new")
	if trouble == nil {
		t.Fatal("somebody listens on the discard port")
	}
	for i := range 40 {
		full := min(firstBackoff<<min(i, 20), longestBackoff)
		if got := a.failed("testing", trouble); got < full/2 || got >= full*3/2 {
			t.Errorf("pause %d is %v, expected half to one and a half of %v", i, got, full)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	c := newController(t)
	c.before = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.Header().Set("Retry-After", "120")
		problem(w, http.StatusTooManyRequests, fleet.CodeUnavailable, "too many")
		c.before = nil
		return true
	}
	r := start(t, configFor(t, c.URL))
	began := r.clock.Now()
	r.untilCalls(c, "register", 2)
	if waited := r.clock.Since(began); waited < 2*time.Minute {
		t.Errorf("waited %v, was asked for 2m", waited)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	c := newController(t)
	r := start(t, configFor(t, c.URL))
	r.untilCalls(c, "report", 1)
	c.with(func() { c.orders.Drain = true })
	r.until(func() string {
		if !stored(t, r.cfg).Draining {
			return "the agent does not drain"
		}
		return ""
	})
	c.with(func() { c.orders.Drain = false })
	r.until(func() string {
		if stored(t, r.cfg).Draining {
			return "the agent drains still"
		}
		return ""
	})
	r.untilCalls(c, "report", c.count("report")+1)
	r.end()
	c.with(func() {
		if !logged(c.lines, "draining: this machine") || !logged(c.lines, "no longer draining") {
			t.Errorf("posted log: %+v", c.lines)
		}
	})
}

// A machine that is given another token registers anew.
func TestNewTokenRegistersAnew(t *testing.T) {
	t.Parallel()
	c := newController(t)
	cfg := configFor(t, c.URL)
	store(t, cfg, state{Credential: "of-an-older-life-0123456789abcdefghijk", Registered: true, TokenHash: hashOf("older token")})
	r := start(t, cfg)
	r.untilCalls(c, "report", 1)
	r.end()
	if s := stored(t, cfg); s.Credential != c.credential || s.Identity.Server != "hr-one" {
		t.Errorf("stored %+v", s)
	}
}

// A secret goes to the controller that was named and nowhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := newController(t)
	c := newController(t)
	c.before = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	r := start(t, configFor(t, c.URL))
	r.untilCalls(c, "register", 2)
	r.end()
	elsewhere.with(func() {
		if len(elsewhere.calls) > 0 {
			t.Errorf("the other server was called: %v", elsewhere.calls)
		}
	})
}

func TestOwnAuthority(t *testing.T) {
	t.Parallel()
	c := newController(t)
	secure := httptest.NewUnstartedServer(c)
	secure.Config.ErrorLog = c.Config.ErrorLog
	secure.StartTLS()
	t.Cleanup(secure.Close)
	cfg := configFor(t, secure.URL)
	stranger := start(t, cfg)
	stranger.until(func() string {
		if !strings.Contains(stranger.log.String(), "certificate") {
			return "the certificate of an unknown authority is not complained of"
		}
		return ""
	})
	stranger.end()
	if n := c.count("register"); n != 0 {
		t.Fatalf("%d calls over a connection that cannot be trusted", n)
	}
	cfg.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(cfg.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg)
	r.untilCalls(c, "report", 1)
	r.end()
}

func TestRefusedLogLinesAreDropped(t *testing.T) {
	t.Parallel()
	c := newController(t)
	c.before = func(w http.ResponseWriter, _ *http.Request, call string) bool {
		if call != "logs" {
			return false
		}
		problem(w, http.StatusRequestEntityTooLarge, fleet.CodeTooLarge, "too long")
		return true
	}
	r := start(t, configFor(t, c.URL))
	r.untilCalls(c, "report", 4)
	r.end()
	if n := c.count("logs"); n != 1 {
		t.Errorf("refused lines were posted %d times", n)
	}
}

func TestProcessIDFile(t *testing.T) {
	t.Parallel()
	c := newController(t)
	cfg := configFor(t, c.URL)
	cfg.PIDFile = filepath.Join(t.TempDir(), "pid")
	r := start(t, cfg)
	r.untilCalls(c, "report", 1)
	r.end()
	text, err := os.ReadFile(cfg.PIDFile)
	if err != nil || !slices.Equal(strings.Fields(string(text)), []string{itoa(os.Getpid())}) {
		t.Errorf("pid file: %q, %v", text, err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(cfg.PIDFile), ".*"))
	if diff := cmp.Diff([]string(nil), left); diff != "" {
		t.Errorf("left beside the pid file:\n%s", diff)
	}
}

// A machine whose directory is removed by hand does not live on unseen.
func TestEndsWhenItsFilesAreRemoved(t *testing.T) {
	t.Parallel()
	c := newController(t)
	for _, idle := range []bool{false, true} {
		cfg := configFor(t, c.URL)
		cfg.Idle = idle
		cfg.PIDFile = filepath.Join(t.TempDir(), "pid")
		c.with(func() { c.credential = "" })
		r := start(t, cfg)
		r.until(func() string {
			if !r.clock.HasWaiters() {
				return "the agent does not wait yet"
			}
			return ""
		})
		if err := os.Remove(cfg.PIDFile); err != nil {
			t.Fatal(err)
		}
		if err := r.result(); err != nil || !strings.Contains(r.log.String(), "removed its files") {
			t.Errorf("idle %v: the agent ended with %v and the log\n%s", idle, err, r.log)
		}
	}
}
