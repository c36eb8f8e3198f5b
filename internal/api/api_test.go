package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/api"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.want(http.StatusCreated, w.call("PUT", "/api/v1/pools/desk", `{"metadata":{"labels":{"team":"blue"}},"spec":{"type":"docker_agent"}}`))
	tag := made.header.Get("ETag")
	got := w.want(http.StatusOK, w.call("GET", "/api/v1/pools/desk", ""))
	if tag == "" || got.header.Get("ETag") != tag {
		t.Errorf("ETags %q and %q", tag, got.header.Get("ETag"))
	}
	pool := parse[api.Pool](t, got)
	if pool.APIVersion != fleet.APIVersion || pool.Kind != fleet.KindPool || pool.Meta.Labels["team"] != "blue" || pool.Spec.Type != fleet.PoolDockerAgent || pool.Status.Servers == nil {
		t.Errorf("pool %s", got.body)
	}
	next := w.want(http.StatusOK, w.call("PUT", "/api/v1/pools/desk", `{"apiVersion":"headroom.dev/v1","kind":"Pool","metadata":{"name":"desk"},"spec":{"type":"docker_agent","frozen":true}}`, "If-Match", tag))
	if next.header.Get("ETag") == tag {
		t.Error("a change kept the ETag")
	}
	w.wantProblem(w.call("PUT", "/api/v1/pools/desk", `{"spec":{"type":"docker_agent"}}`, "If-Match", tag), http.StatusPreconditionFailed, fleet.CodeVersionMismatch)
	w.wantProblem(w.call("PUT", "/api/v1/pools/desk", `{"spec":{"type":"docker_agent"}}`, "If-None-Match", "*"), http.StatusPreconditionFailed, fleet.CodeVersionMismatch)
	w.wantProblem(w.call("PUT", "/api/v1/pools/new", `{"spec":{"type":"docker_agent"}}`, "If-Match", "*"), http.StatusNotFound, fleet.CodeNotFound)
	w.wantProblem(w.call("PUT", "/api/v1/pools/desk", `{"spec":{"type":"docker_agent"}}`, "If-Match", "x"), http.StatusUnprocessableEntity, fleet.CodeInvalid, "If-Match")
	w.wantProblem(w.call("DELETE", "/api/v1/pools/desk", "", "If-Match", tag), http.StatusPreconditionFailed, fleet.CodeVersionMismatch)
	w.want(http.StatusNoContent, w.call("DELETE", "/api/v1/pools/desk", ""))
	w.wantProblem(w.call("GET", "/api/v1/pools/desk", ""), http.StatusNotFound, fleet.CodeNotFound, `\"desk\"`)
}

func TestDeleteSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	body := `{"objects":[{"kind":"Zone","name":"default"},{"kind":"Pool","name":"desk"},{"kind":"Pool","name":"nope"}]`
	w.wantProblem(w.call("POST", "/api/v1/delete", body+"}"), http.StatusNotFound, fleet.CodeNotFound, "Pool nope does not exist")
	w.wantProblem(w.call("POST", "/api/v1/delete", `{"objects":[],"dain":true}`), http.StatusUnprocessableEntity, fleet.CodeInvalid, "dain")
	got := parse[service.DeleteResult](t, w.want(http.StatusOK, w.call("POST", "/api/v1/delete", body+`,"ignore_missing":true}`)))
	if !got.Deleted || len(got.Changes) != 2 {
		t.Errorf("got %+v", got)
	}
	large := strings.Repeat(`{"kind":"Pool","name":"`+strings.Repeat("p", 60)+`"},`, service.MaxDelete)
	w.wantProblem(w.call("POST", "/api/v1/delete", `{"objects":[`+large[:len(large)-1]+`]}`), http.StatusNotFound, fleet.CodeNotFound)
}

func TestStrictBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	for _, tc := range []struct {
		name, method, path, body string
		words                    []string
	}{
		{"unknown field of a spec", "PUT", "/api/v1/pools/p", `{"spec":{"type":"server","que_limit":1}}`, []string{"que_limit", "did you mean queue_limit"}},
		{"unknown field beside it", "PUT", "/api/v1/pools/p", `{"spec":{"type":"server"},"sepc":{}}`, []string{"sepc"}},
		{"another name", "PUT", "/api/v1/pools/p", `{"metadata":{"name":"q"},"kind":"Zone","spec":{"type":"server"}}`, []string{"metadata.name", "must be p", "must be Pool"}},
		{"several at once", "POST", "/api/v1/sessions", `{"cores":-1,"memory":"lots","gpus":"x","pol":"desk"}`, []string{"cores", "memory", "gpus", "pol", "pool"}},
		{"not JSON", "POST", "/api/v1/sessions", `{"pool":`, []string{"is not JSON"}},
		{"a repeated field", "POST", "/api/v1/sessions", `{"pool":"a","pool":"b"}`, []string{"pool"}},
		{"a list", "POST", "/api/v1/sessions", `[]`, nil},
		{"unknown parameter", "GET", "/api/v1/servers?pol=x", "", []string{"pol"}},
		{"bad limit", "GET", "/api/v1/servers?limit=5000", "", []string{"limit"}},
		{"bad phase", "GET", "/api/v1/servers?phase=ready,redy", "", []string{"redy"}},
		{"bad cursor", "GET", "/api/v1/servers?cursor=%2A", "", []string{"cursor"}},
		{"bad wait", "GET", "/api/v1/sessions/x?wait=-1s", "", []string{"wait"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := *w
			w.t = t
			w.wantProblem(w.call(tc.method, tc.path, tc.body), http.StatusUnprocessableEntity, fleet.CodeInvalid, tc.words...)
		})
	}
	w.wantProblem(w.call("POST", "/api/v1/sessions", ""), http.StatusBadRequest, fleet.CodeInvalid)
	w.wantProblem(w.call("GET", "/api/v1/nothing", ""), http.StatusNotFound, fleet.CodeNotFound)
	if a := w.call("PATCH", "/api/v1/pools/desk", ""); a.status != http.StatusMethodNotAllowed && a.status != http.StatusNotFound {
		t.Errorf("PATCH: %d", a.status)
	}
}

func TestSecretsAreNeverEchoed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	const secretText = "pa55w0rd"
	for _, body := range []string{
		`{"spec":{"provider":"cloud","max_instances":1,"settings":{"region":"x","token":"` + secretText + `"}}}`,
		`{"spec":{"provider":"cloud","max_instances":1,"settings":{"region":"x","token":["` + secretText + `"]}}}`,
		`{"spec":{"provider":"cloud","settings":{"token":"` + secretText + `"}`,
	} {
		if a := w.call("PUT", "/api/v1/vm-providers/c", body); strings.Contains(a.body, secretText) {
			t.Errorf("%s is answered by %s", body, a.body)
		}
	}
	w.want(http.StatusOK, w.call("GET", "/api/v1/vm-providers/c", ""))
	w.server("s1")
	a := w.call("POST", "/api/set_server_status?token="+w.d.Checkin("s1"), `{"status":"starting"}`)
	w.want(http.StatusOK, a)
	w.call("POST", "/api/v1/agent/register", `{"token":"`+w.d.Registration("s1")+`","credential":"short","capacity":{"cores":1,"memory_mib":1,"gpus":0}}`)
	long := strings.Repeat("x", 600)
	if a := w.call("POST", "/api/set_server_status?token="+long, `{"status":"starting"}`); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, long) {
		t.Errorf("a token that is too long is answered by %d %s", a.status, a.body)
	}
	log := w.log.String()
	for _, secretText := range []string{secretText, w.d.Checkin("s1"), w.d.Registration("s1"), w.admin} {
		if strings.Contains(log, secretText) {
			t.Errorf("the log shows %q", secretText)
		}
	}
	if !strings.Contains(log, `"path":"/api/set_server_status"`) {
		t.Error("the test looks at the wrong log")
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := `{"documents":[{"source":"a","text":"` + strings.Repeat("#", 2<<20) + `"}]}`
	w.wantProblem(w.call("POST", "/api/v1/apply", big), http.StatusUnprocessableEntity, fleet.CodeInvalid, "no document") // within its own limit
	w.wantProblem(w.call("POST", "/api/v1/sessions", big), http.StatusRequestEntityTooLarge, fleet.CodeTooLarge, "1MiB")
	w.wantProblem(w.call("POST", "/api/v1/apply", strings.Repeat(big, 5)), http.StatusRequestEntityTooLarge, fleet.CodeTooLarge, "8MiB")
	// What announces too much is refused before it is sent.
	r, wr := io.Pipe()
	defer wr.Close()
	announced, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/sessions", r)
	if err != nil {
		t.Fatal(err)
	}
	announced.ContentLength = 100 << 20
	resp, err := http.DefaultClient.Do(announced)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("100 MiB announced: %s", resp.Status)
	}
	// Without a Content-Length the body is read up to the limit.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/sessions", io.MultiReader(strings.NewReader(big), strings.NewReader(big)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.admin)
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	w.wantProblem(answer{resp.StatusCode, resp.Header, string(raw)}, http.StatusRequestEntityTooLarge, fleet.CodeTooLarge, "1MiB")
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, wr := io.Pipe()
	defer wr.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/sessions", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.admin)
	go func() { _, _ = wr.Write([]byte(`{"pool":`)) }()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	w.wantProblem(answer{resp.StatusCode, resp.Header, string(raw)}, http.StatusRequestTimeout, fleet.CodeUnavailable)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	register := `{"token":"` + w.d.Registration("s1") + `","credential":"` + strings.Repeat("c", 40) + `","capacity":{"cores":2,"memory_mib":2048,"gpus":0},"addresses":["10.0.0.1"]}`
	w.want(http.StatusOK, w.call("POST", "/api/v1/agent/register", register, "Authorization", ""))
	take := `{"pool":"desk","cores":2,"memory":"1Gi"}`
	a := w.want(http.StatusCreated, w.call("POST", "/api/v1/sessions", take))
	s := parse[service.SessionView](t, a)
	if s.State != fleet.SessionActive || s.Server != "hr-s1" || a.header.Get("Location") != "/api/v1/sessions/"+s.ID {
		t.Errorf("session %s at %s", a.body, a.header.Get("Location"))
	}
	// The answer is held back for longer than a body may take.
	start := time.Now()
	q := parse[service.SessionView](t, w.want(http.StatusAccepted, w.call("POST", "/api/v1/sessions", `{"pool":"desk","cores":2,"memory":"1Gi","wait":"1s"}`)))
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("the answer was held back for %s only", took)
	}
	if q.QueuePosition != 1 || !strings.Contains(q.Explanation, "no autoscale config") {
		t.Errorf("queued %+v", q)
	}
	served := make(chan answer, 1)
	go func() { served <- w.call("GET", "/api/v1/sessions/"+q.ID+"?wait=20s", "") }()
	w.want(http.StatusOK, w.call("DELETE", "/api/v1/sessions/"+s.ID, ""))
	w.want(http.StatusOK, w.call("DELETE", "/api/v1/sessions/"+s.ID, ""))
	if got := parse[service.SessionView](t, <-served); got.State != fleet.SessionActive {
		t.Errorf("session is %s", got.State)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	w.want(http.StatusOK, w.call("POST", "/api/v1/sessions/"+q.ID+"/renew", ""))
	w.want(http.StatusOK, w.call("POST", "/api/v1/sessions/"+q.ID+"/renew", `{"ttl":"1h"}`))
	w.wantProblem(w.call("POST", "/api/v1/sessions/"+s.ID+"/renew", ""), http.StatusConflict, fleet.CodeConflict)
	w.wantProblem(w.call("POST", "/api/v1/sessions", `{"pool":"desk","cores":2,"memory":"1Gi","no_queue":true}`), http.StatusConflict, fleet.CodeConflict)
	if page := parse[api.Page[service.SessionView]](t, w.want(http.StatusOK, w.call("GET", "/api/v1/sessions?state=active&server=hr-s1", ""))); len(page.Items) != 1 {
		t.Errorf("sessions %+v", page)
	}
	w.wantProblem(w.call("DELETE", "/api/v1/servers/hr-s1", ""), http.StatusConflict, fleet.CodeInUse)
}

func TestAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	one, two := strings.Repeat("a", 40), strings.Repeat("b", 40)
	register := func(credential string) answer {
		return w.call("POST", "/api/v1/agent/register", `{"token":"`+w.d.Registration("s1")+`","credential":"`+credential+`","capacity":{"cores":2,"memory_mib":2048,"gpus":0}}`, "Authorization", "")
	}
	identity := parse[fleet.AgentIdentity](t, w.want(http.StatusOK, register(one)))
	if identity.Server != "hr-s1" || identity.Heartbeat.D() != 10*time.Second {
		t.Errorf("identity %+v", identity)
	}
	w.wantProblem(register(two), http.StatusForbidden, fleet.CodeForbidden)
	report := `{"capacity":{"cores":2,"memory_mib":2048,"gpus":0},"usage":{"load1":0.5,"memory_used_mib":100}}`
	as := func(credential string) []string { return []string{"Authorization", "Bearer " + credential} }
	orders := parse[fleet.AgentOrders](t, w.want(http.StatusOK, w.call("POST", "/api/v1/agent/report", report, as(one)...)))
	if orders.Phase != fleet.PhaseReady || orders.Drain {
		t.Errorf("orders %+v", orders)
	}
	for _, bad := range []string{two, w.admin, w.d.Registration("s1"), ""} {
		w.wantProblem(w.call("POST", "/api/v1/agent/report", report, as(bad)...), http.StatusUnauthorized, fleet.CodeUnauthenticated)
	}
	w.want(http.StatusNoContent, w.call("POST", "/api/v1/agent/rotate", `{"credential":"`+two+`"}`, as(one)...))
	w.want(http.StatusOK, w.call("POST", "/api/v1/agent/report", report, as(two)...))
	w.wantProblem(w.call("POST", "/api/v1/agent/report", report, as(one)...), http.StatusUnauthorized, fleet.CodeUnauthenticated)
	w.want(http.StatusNoContent, w.call("POST", "/api/v1/agent/logs", `{"lines":[{"at":"2026-01-02T03:04:05Z","stream":"agent","text":"hello"}]}`, as(two)...))
	if logs := w.want(http.StatusOK, w.call("GET", "/api/v1/servers/hr-s1/logs", "")); !strings.Contains(logs.body, "hello") {
		t.Errorf("logs %s", logs.body)
	}
	// An agent's credential opens nothing else.
	w.wantProblem(w.call("GET", "/api/v1/servers", "", as(two)...), http.StatusUnauthorized, fleet.CodeUnauthenticated)
}

func TestCheckinPathsAreLenient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	path := "/api/set_server_status?token=" + w.d.Checkin("s1")
	w.want(http.StatusOK, w.call("POST", path, `{"status":"starting","status_message":null,"status_progress":"12","destroyed":false}`, "Authorization", "", "Content-Type", "application/x-www-form-urlencoded"))
	w.wantProblem(w.call("POST", "/api/set_server_status?token=x", `{"status":"running"}`), http.StatusUnauthorized, fleet.CodeUnauthenticated)
	w.wantProblem(w.call("POST", path, `{}`), http.StatusUnprocessableEntity, fleet.CodeInvalid)
	w.want(http.StatusOK, w.call("POST", "/api/component_log", `{"token":"`+w.d.Checkin("s1")+`","logs":["a",{"b":1}],"more":1}`))
	w.want(http.StatusOK, w.call("GET", "/api/__healthcheck", "", "Authorization", ""))
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.token(fleet.RoleViewer, "")
	for name, header := range map[string]string{"none": "", "wrong": "Bearer hr_" + strings.Repeat("x", 43), "not a bearer": "Basic " + w.admin, "rubbish": "Bearer \x7f"} {
		if name == "rubbish" {
			continue // the client refuses to send it
		}
		a := w.call("GET", "/api/v1/whoami", "", "Authorization", header)
		w.wantProblem(a, http.StatusUnauthorized, fleet.CodeUnauthenticated)
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	who := parse[api.WhoAmI](t, w.want(http.StatusOK, w.call("GET", "/api/v1/whoami", "", "Authorization", "bearer "+viewer)))
	if who.Name != "t-viewer" || who.Role != fleet.RoleViewer {
		t.Errorf("who %+v", who)
	}
	w.wantProblem(w.call("POST", "/api/v1/tokens", `{"name":"x","role":"admin"}`, "Authorization", "Bearer "+viewer), http.StatusForbidden, fleet.CodeForbidden)
	if list := w.want(http.StatusOK, w.call("GET", "/api/v1/tokens", "")); strings.Contains(list.body, "hr_") {
		t.Errorf("the list shows tokens: %s", list.body)
	}
}

func TestGuessingIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(http.StatusOK, w.call("GET", "/api/v1/whoami", ""))
	limited := false
	for i := range 60 {
		a := w.call("GET", "/api/v1/whoami", "", "Authorization", fmt.Sprintf("Bearer hr_%043d", i))
		limited = limited || a.status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("60 guesses were not throttled")
	}
	w.want(http.StatusOK, w.call("GET", "/api/v1/whoami", "")) // a token that has been good goes on
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, words := range map[string][]string{
		"/":                          {"Headroom 1.2.3", "/docs", "/openapi.json"},
		"/docs/":                     {"/openapi.json"},
		"/docs/swagger-ui-bundle.js": {"function"},
		"/openapi.json":              {`"openapi"`, "3.1.0", "create_session"},
		"/healthz":                   {"ok"},
		"/readyz":                    {"ready"},
	} {
		a := w.want(http.StatusOK, w.call("GET", path, "", "Authorization", "", "Accept-Encoding", "identity"))
		for _, word := range words {
			if !strings.Contains(a.body, word) {
				t.Errorf("%s does not have %q: %.200s", path, word, a.body)
			}
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", path, a.header)
		}
		if strings.Contains(a.body, "https://unpkg.com") || strings.Contains(a.body, "cdn.") {
			t.Errorf("%s loads from the internet", path)
		}
	}
	w.want(http.StatusMovedPermanently, w.call("GET", "/docs", ""))
	w.wantProblem(w.call("GET", "/metrics", "", "Authorization", "", "X-Forwarded-For", "10.0.0.1"), http.StatusUnauthorized, fleet.CodeUnauthenticated)
	w.want(http.StatusOK, w.call("GET", "/metrics", "", "X-Forwarded-For", "10.0.0.1"))
	if a := w.want(http.StatusOK, w.call("GET", "/metrics", "", "Authorization", "")); !strings.Contains(a.body, `headroom_http_request_duration_seconds_count{method="GET",route="/healthz",status="200"} 1`) {
		t.Errorf("metrics %s", a.body)
	} else if n := strings.Count(a.body, `headroom_http_request_duration_seconds_bucket{method="GET",route="/healthz",status="200",`); n > 6+1 {
		t.Errorf("%d series for each route and status, 6 and that of all are the most", n)
	}
	if err := w.st.Close(); err != nil {
		t.Fatal(err)
	}
	w.wantProblem(w.call("GET", "/readyz", ""), http.StatusServiceUnavailable, fleet.CodeUnavailable)
	w.want(http.StatusOK, w.call("GET", "/healthz", ""))
}

func TestInsight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	for path, words := range map[string][]string{
		"/api/v1/plan?pool=desk":             {`"no_config"`},
		"/api/v1/explain/pools/desk":         {`"subject":"pool desk"`, "no autoscale config"},
		"/api/v1/explain/servers/hr-s1":      {`"state":"booting"`},
		"/api/v1/provider-kinds":             {`"name":"cloud"`, `"region"`, `"vm":false`},
		"/api/v1/version":                    {"1.2.3"},
		"/api/v1/events?kind=Pool":           {"object.created", "token/admin"},
		"/api/v1/events?limit=1&newest=true": {`"next":"`},
	} {
		a := w.want(http.StatusOK, w.call("GET", path, ""))
		for _, word := range words {
			if !strings.Contains(a.body, word) {
				t.Errorf("%s does not have %q: %s", path, word, a.body)
			}
		}
	}
	w.wantProblem(w.call("GET", "/api/v1/plan?pool=nope", ""), http.StatusNotFound, fleet.CodeNotFound)
	w.wantProblem(w.call("POST", "/api/v1/vm-providers/nope/check", ""), http.StatusNotFound, fleet.CodeNotFound)
}

func TestAMethodThatAPathDoesNotTake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for call, allow := range map[string]string{
		"PATCH /api/v1/pools/desk": "GET, PUT, DELETE", "DELETE /api/v1/pools": "GET", "GET /api/v1/apply": "POST",
		"PATCH /api/v1/sessions": "GET, POST", "POST /healthz": "GET", "PATCH /": "GET",
	} {
		method, path, _ := strings.Cut(call, " ")
		a := w.call(method, path, "")
		w.wantProblem(a, http.StatusMethodNotAllowed, fleet.CodeInvalid, path+" does not take "+method)
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", call, got, allow)
		}
	}
	w.wantProblem(w.call("PATCH", "/api/v1/nothing", ""), http.StatusNotFound, fleet.CodeNotFound)
}

func TestGarbageCursors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"pools", "servers", "sessions"} {
		for _, cursor := range []string{"garbage", "!", "AAECAw"} {
			a := w.call("GET", "/api/v1/"+path+"?cursor="+cursor, "")
			w.wantProblem(a, http.StatusUnprocessableEntity, fleet.CodeInvalid, "is not a cursor", cursor)
			if p := parse[api.Problem](t, a); len(p.Errors) != 1 || p.Errors[0].Value != cursor {
				t.Errorf("%s: %+v", cursor, p.Errors)
			}
		}
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.want(http.StatusCreated, w.call("PUT", fmt.Sprintf("/api/v1/zones/z%d", i), `{"metadata":{"labels":{"a":"b","n":"`+fmt.Sprint(i%2)+`"}},"spec":{}}`))
	}
	var got bytes.Buffer
	for cursor := ""; ; {
		page := parse[api.Page[api.Zone]](t, w.want(http.StatusOK, w.call("GET", "/api/v1/zones?limit=2&label=a=b&label=n=0&cursor="+cursor, "")))
		for _, z := range page.Items {
			got.WriteString(z.Meta.Name + " ")
		}
		got.WriteString("| ")
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if got.String() != "z0 z2 | z4 | " {
		t.Errorf("pages %q", got.String())
	}
}

func TestInternalErrorIsOpaque(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	if err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		_, _, err := tx.PutObject(&store.Object{Kind: fleet.KindAutoscaleConfig, Name: "broken", Spec: []byte(`{"pool":17}`)}, time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a := w.call("GET", "/api/v1/explain/pools/desk", "")
	id := a.header.Get("X-Request-Id")
	w.wantProblem(a, http.StatusInternalServerError, fleet.CodeInternal, `"reference":"`+id+`"`)
	if strings.Contains(a.body, "broken") {
		t.Errorf("the answer shows the cause: %s", a.body)
	}
	if log := w.log.String(); !strings.Contains(log, `"request_id":"`+id+`","error":"`) || !strings.Contains(log, "broken") {
		t.Errorf("the log does not have the cause under the reference: %s", log)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// The kinds of this service panic when they are described.
	w.svc.Kinds[0].NewSettings = func() any { panic("boom") }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/api/v1/provider-kinds", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.admin)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	w.wantProblem(answer{resp.StatusCode, resp.Header, string(raw)}, http.StatusInternalServerError, fleet.CodeInternal)
	if strings.Contains(string(raw), "boom") || !strings.Contains(w.log.String(), "boom") {
		t.Errorf("answer %s", raw)
	}
}
