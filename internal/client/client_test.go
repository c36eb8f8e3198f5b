package client_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hasty is a clock on which every pause is over at once.
type hasty struct{ clock.RealClock }

func (h hasty) NewTimer(time.Duration) clock.Timer { return h.RealClock.NewTimer(0) }

// open serves the handler and returns a client for it.
func open(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return connect(t, client.Options{URL: srv.URL, Token: "secret", Version: "1.2.3", Clock: hasty{}, Timeout: 5 * time.Second})
}

func connect(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func TestRequestsCarryTokenAgentAndFilters(t *testing.T) {
	t.Parallel()
	var got *http.Request
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		answer(w, 200, map[string]any{"items": []any{}})
	})
	_, err := c.Servers(t.Context(), client.ServerFilter{Pool: "p", Phases: []fleet.Phase{"ready", "failed"}, IncludeGone: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/api/v1/servers", "include_gone=true&limit=1000&phase=ready%2Cfailed&pool=p", "Bearer secret", "headroom/1.2.3"}
	if diff := cmp.Diff(want, []string{got.URL.Path, got.URL.RawQuery, got.Header.Get("Authorization"), got.Header.Get("User-Agent")}); diff != "" {
		t.Error(diff)
	}
}

func TestListsReadEveryPage(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		next := strconv.Itoa(n + 1)
		if n == 2 {
			next = ""
		}
		answer(w, 200, map[string]any{"items": []any{map[string]any{"id": fmt.Sprint(n)}}, "next": next})
	})
	tokens, err := c.Tokens(t.Context())
	if err != nil || len(tokens) != 3 || tokens[2].ID != "2" {
		t.Errorf("got %v, %v", tokens, err)
	}
}

func TestAListWithoutEndIsAnError(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"items": []any{}, "next": "again"})
	})
	if _, err := c.Tokens(t.Context()); err == nil || !strings.Contains(err.Error(), "cursor") {
		t.Errorf("got %v", err)
	}
}

func TestNamesCannotReachOtherRoutes(t *testing.T) {
	t.Parallel()
	var path string
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		answer(w, 200, map[string]any{"id": "x"})
	})
	if _, err := c.Server(t.Context(), "../tokens/x?y"); err != nil {
		t.Fatal(err)
	}
	if want := "/api/v1/servers/..%2Ftokens%2Fx%3Fy"; path != want {
		t.Errorf("got %s, want %s", path, want)
	}
	if _, err := c.Server(t.Context(), ""); err == nil {
		t.Error("an empty name reached the list")
	}
}

func TestProblemsBecomeFleetErrors(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		problem(w, 422, `{"title":"Unprocessable","status":422,"detail":"manifests: 1 problem","code":"invalid","errors":[{"source":"a.yaml:3","path":"spec.type","value":"x","message":"use server"}]}`)
	})
	_, err := c.Apply(t.Context(), client.ApplyRequest{})
	var e *fleet.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v", err, err)
	}
	want := &fleet.Error{Code: fleet.CodeInvalid, Message: "manifests: 1 problem", Fields: []fleet.FieldError{{Source: "a.yaml:3", Path: "spec.type", Value: "x", Message: "use server"}}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestStatusGivesTheCodeWhenTheBodyDoesNot(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]fleet.Code{
		401: fleet.CodeUnauthenticated, 403: fleet.CodeForbidden, 404: fleet.CodeUnavailable, 409: fleet.CodeConflict,
		412: fleet.CodeVersionMismatch, 413: fleet.CodeTooLarge, 500: fleet.CodeInternal, 503: fleet.CodeUnavailable,
	} {
		c := open(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", status) })
		_, err := c.WhoAmI(t.Context())
		var gone *client.UnreachableError
		if got := fleet.CodeOf(err); got != want || !errors.As(err, &gone) {
			t.Errorf("%d: got %s, want %s (%v)", status, got, want, err)
		}
	}
}

func TestAnAnswerThatIsNotOursNamesTheURL(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") })
	if _, err := c.WhoAmI(t.Context()); err == nil || !strings.Contains(err.Error(), c.URL()) {
		t.Errorf("got %v", err)
	}
	c = open(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	})
	if _, err := c.WhoAmI(t.Context()); err == nil || !strings.Contains(err.Error(), "redirects to https://elsewhere.example/") {
		t.Errorf("got %v", err)
	}
}

func TestAPlainRequestToATLSPort(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	_, err := connect(t, client.Options{URL: "http://" + srv.Listener.Addr().String()}).WhoAmI(t.Context())
	var gone *client.UnreachableError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "it speaks TLS; is the URL one with https://") {
		t.Errorf("got %v", err)
	}
}

func TestRepeatingIsForCallsThatMayBeRepeated(t *testing.T) {
	t.Parallel()
	lost := func(w http.ResponseWriter) { // the answer gets lost on its way
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}
	full := func(w http.ResponseWriter) {
		problem(w, 429, `{"code":"queue_full","detail":"the queue is full"}`)
	}
	busy := func(w http.ResponseWriter) {
		problem(w, 503, `{"code":"unavailable","detail":"starting"}`)
	}
	read := func(ctx context.Context, c *client.Client) error { _, err := c.WhoAmI(ctx); return err }
	keyed := func(ctx context.Context, c *client.Client) error {
		_, err := c.CreateSession(ctx, client.SessionRequest{Pool: "p", IdempotencyKey: "k"})
		return err
	}
	bare := func(ctx context.Context, c *client.Client) error {
		_, err := c.CreateSession(ctx, client.SessionRequest{Pool: "p"})
		return err
	}
	for name, test := range map[string]struct {
		fail  func(http.ResponseWriter)
		call  func(context.Context, *client.Client) error
		calls int64
		ok    bool
	}{
		"read after a lost answer":            {lost, read, 3, true},
		"read of a busy controller":           {busy, read, 3, true},
		"session with key after lost answer":  {lost, keyed, 3, true},
		"session with key and a full queue":   {full, keyed, 1, false},
		"session without key after lost one":  {lost, bare, 1, false},
		"session without key while it starts": {busy, bare, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			c := open(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if calls.Add(1) < 3 {
					test.fail(w)
					return
				}
				answer(w, 201, map[string]any{"id": "x"})
			})
			err := test.call(t.Context(), c)
			if (err == nil) != test.ok || calls.Load() != test.calls {
				t.Errorf("%d calls, error %v", calls.Load(), err)
			}
		})
	}
}

func TestRepeatingEnds(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		problem(w, 503, `{"code":"unavailable","detail":"starting"}`)
	})
	_, err := c.WhoAmI(t.Context())
	if fleet.CodeOf(err) != fleet.CodeUnavailable || calls.Load() != 5 || err.Error() != "starting" {
		t.Errorf("%d calls, error %v", calls.Load(), err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c := connect(t, client.Options{URL: srv.URL})
	began := time.Now()
	_, err := c.WhoAmI(t.Context())
	var gone *client.UnreachableError
	if !errors.As(err, &gone) || gone.Error() != "cannot reach "+srv.URL+": connection refused" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a controller that does not run was waited for: %s", took)
	}
}

func TestAnswersHaveADeadlineAndTheCallerHasTheLastWord(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(release) })
	c := connect(t, client.Options{URL: srv.URL, Timeout: 20 * time.Millisecond, Clock: hasty{}})
	_, err := c.WhoAmI(t.Context())
	var gone *client.UnreachableError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = c.WhoAmI(ctx); !errors.Is(err, context.Canceled) || errors.As(err, &gone) {
		t.Errorf("got %v", err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"name": "me"}) }))
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	_, err := connect(t, client.Options{URL: srv.URL}).WhoAmI(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	me, err := connect(t, client.Options{URL: srv.URL, CAFile: file}).WhoAmI(t.Context())
	if err != nil || me.Name != "me" {
		t.Errorf("got %v, %v", me, err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]client.Options{
		"no scheme": {URL: "localhost:8080"}, "other scheme": {URL: "ftp://x"}, "password": {URL: "http://u:p@x"},
		"no CA file": {CAFile: "does-not-exist"}, "empty CA file": {CAFile: empty},
	} {
		if _, err := client.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPut:
			if r.Header.Get("If-Match") != `"7"` {
				problem(w, 412, `{"code":"version_mismatch","detail":"pool p has version 8"}`)
				return
			}
			_, _ = io.Copy(w, io.LimitReader(strings.NewReader(""), 0))
			answer(w, 201, map[string]any{
				"kind": "Pool", "metadata": map[string]any{"name": "p"}, "spec": map[string]any{"type": "server"},
				"version": 8, "status": map[string]any{"ready": 2}, "secrets_set": []string{"settings.token"},
			})
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	in := client.ResourceInput{Spec: fleet.PoolSpec{Type: fleet.PoolServer}}
	r, created, err := c.PutResource(t.Context(), fleet.KindPool, "p", in, client.PutOptions{IfVersion: 7})
	if err != nil || !created || r.Version != 8 || r.Meta.Name != "p" || string(r.Status) != `{"ready":2}` || len(r.SecretsSet) != 1 {
		t.Fatalf("got %+v, %v, %v", r, created, err)
	}
	if spec, err := client.SpecOf[fleet.PoolSpec](r); err != nil || spec.Type != fleet.PoolServer {
		t.Errorf("got %v, %v", spec, err)
	}
	_, _, err = c.PutResource(t.Context(), fleet.KindPool, "p", in, client.PutOptions{IfVersion: 6})
	if fleet.CodeOf(err) != fleet.CodeVersionMismatch {
		t.Errorf("got %v", err)
	}
	if err := c.DeleteResource(t.Context(), fleet.KindPool, "p", client.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}
