package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/cli"
)

func fleetAPI(t *testing.T) *api {
	a := newAPI(t)
	a.list("GET servers",
		server("hr-aaaaaaaaaaaa", "ready", nil),
		server("hr-bbbbbbbbbbbb", "failed", object{"sessions": 0, "reason": "the image \"debian-99\" does not exist in region eu-1;\nmend image in the settings of provider local", "addresses": []string{}}),
		server("hr-cccccccccccc", "ready", object{"missing": true}))
	a.on("GET servers/hr-aaaaaaaaaaaa", 200, server("hr-aaaaaaaaaaaa", "ready", nil))
	a.list("GET sessions", session("01k-active", "active", nil), session("01k-queued", "queued", nil))
	a.on("GET sessions/01k-queued", 200, session("01k-queued", "queued", nil))
	desktops := pool("desktops", object{"status": object{
		"servers": object{"ready": 2, "failed": 1}, "sessions": object{"active": 3, "staged": 1, "queued": 5},
		"capacity": object{"cores": 4, "memory_mib": 4096, "gpus": 0}, "free": object{"cores": 1, "memory_mib": 512, "gpus": 0},
	}})
	a.list("GET pools", desktops, pool("empty", nil))
	a.on("GET pools/desktops", 200, desktops)
	a.list("GET tokens", object{"id": "01k-token", "name": "ci", "role": "session", "pool": "desktops", "created_at": ago(0), "created_by": "admin"})
	a.list("GET events", event(42, "Server", "hr-aaaaaaaaaaaa", "ready: its agent has checked in"))
	a.list("GET vm-providers", object{
		"kind": "VMProvider", "metadata": object{"name": "local"}, "created_at": ago(0), "updated_at": ago(0), "version": 1,
		"spec": object{"provider": "local", "max_instances": 6, "settings": object{}}, "secrets_set": []string{"settings.token"},
		"status": object{"total": 3, "circuit": "open", "error": "credentials were refused", "list_error": "x"},
	})
	a.list("GET autoscale-configs", object{
		"kind": "AutoscaleConfig", "metadata": object{"name": "desktops-local"}, "created_at": ago(0), "updated_at": ago(0), "version": 1,
		"spec":   object{"pool": "desktops", "zone": "default", "vm_providers": []string{"local", "aws"}, "standby": object{"cores": 4, "memory": "4Gi"}},
		"status": object{"servers": object{"ready": 2, "booting": 1, "gone": 9}, "total": 3},
	})
	a.list("GET schedules", object{
		"kind": "Schedule", "metadata": object{"name": "office"}, "created_at": ago(0), "updated_at": ago(0), "version": 1,
		"spec": object{"autoscale_config": "desktops-local", "time_zone": "UTC", "windows": []object{{"days": []string{"mon", "wed"}, "start": "07:30", "end": "18:00"}}},
	})
	a.list("GET stagings", object{
		"kind": "Staging", "metadata": object{"name": "three"}, "created_at": ago(0), "updated_at": ago(0), "version": 1,
		"spec": object{"pool": "desktops", "count": 3, "shape": object{"cores": 1, "memory": "512Mi"}},
	}, object{
		"kind": "Staging", "metadata": object{"name": "win"}, "created_at": ago(0), "updated_at": ago(0), "version": 1,
		"spec": object{"pool": "windows", "count": 2},
	})
	a.list("GET zones", object{
		"kind": "Zone", "metadata": object{"name": "default"}, "created_at": ago(0), "updated_at": ago(0), "version": 1,
		"spec": object{},
	})
	a.list("GET dns-providers")
	a.on("GET explain/servers/hr-aaaaaaaaaaaa", 200, object{
		"subject": "server hr-aaaaaaaaaaaa", "state": "ready", "summary": "It takes sessions.",
		"lines":  []object{{"level": "info", "text": "1 of its 2 cores is free"}, {"level": "warn", "text": "its provider is blocked", "until": "2026-03-04T12:10:00Z"}},
		"events": []object{event(42, "Server", "hr-aaaaaaaaaaaa", "ready: its agent has checked in")},
	})
	a.on("GET explain/pools/desktops", 200, object{"subject": "pool desktops", "state": "warm", "summary": "It has what it needs.", "lines": []object{}, "events": []object{}})
	a.on("GET explain/sessions/01k-queued", 200, object{"subject": "session 01k-queued", "state": "queued", "summary": "It waits.", "lines": []object{}, "events": []object{}})
	return a
}

func TestLists(t *testing.T) {
	t.Parallel()
	a := fleetAPI(t)
	for _, kind := range []string{
		"servers", "sessions", "pools", "tokens", "events", "vm-providers", "autoscale-configs", "schedules", "stagings", "zones", "dns-providers",
	} {
		golden(t, "get-"+kind, a.run("get", kind))
		golden(t, "get-"+kind+"-wide", a.run("get", kind, "-o", "wide"))
	}
	golden(t, "get-server-yaml", a.run("get", "server", "hr-aaaaaaaaaaaa", "-o", "yaml"))
	golden(t, "get-pool-yaml", a.run("get", "pool", "desktops", "-o", "yaml"))
	golden(t, "get-names", a.run("get", "srv", "-o", "name"))
	golden(t, "describe-server", a.run("describe", "server", "hr-aaaaaaaaaaaa"))
	golden(t, "describe-pool", a.run("describe", "pool", "desktops"))
	golden(t, "describe-session", a.run("describe", "session", "01k-queued"))
	golden(t, "explain-server", a.run("explain", "server", "hr-aaaaaaaaaaaa"))
}

func TestADrainShowsItsDeadline(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for deadline, want := range map[time.Time]string{
		noon.Add(25 * time.Minute): "drained by token/op; sessions that remain end in 25m\n",
		noon.Add(-time.Second):     "drained by token/op; sessions that remain end now\n",
	} {
		a.list("GET servers", server("hr-1", "draining", object{"reason": "drained by token/op", "drain_deadline": deadline}))
		if r := a.run("get", "servers"); r.code != 0 || !strings.HasSuffix(r.out, want) {
			t.Errorf("got %+v, want %s", r, want)
		}
	}
}

func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	a := fleetAPI(t)
	for _, width := range []int{40, 80, 120} {
		for _, kind := range []string{"servers", "sessions", "pools", "events"} {
			c := a.caller()
			c.streams = cli.Streams{OutTTY: true, Width: width}
			c.env["NO_COLOR"] = "1"
			r := c.run("get", kind)
			for line := range strings.Lines(r.out) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
					t.Errorf("%s: a line has %d of %d columns: %q", kind, n, width, line)
				}
			}
			golden(t, fmt.Sprintf("fit-%s-%d", kind, width), r)
		}
	}
}

func TestColoursAreForTerminalsOnly(t *testing.T) {
	t.Parallel()
	a := fleetAPI(t)
	for name, test := range map[string]struct {
		tty  bool
		env  map[string]string
		want bool
	}{
		"terminal": {true, nil, true}, "pipe": {false, nil, false},
		"NO_COLOR": {true, map[string]string{"NO_COLOR": "1"}, false}, "dumb": {true, map[string]string{"TERM": "dumb"}, false},
	} {
		c := a.caller()
		c.streams = cli.Streams{OutTTY: test.tty, Width: 100}
		for k, v := range test.env {
			c.env[k] = v
		}
		if got := strings.Contains(c.run("get", "servers").out, "\x1b["); got != test.want {
			t.Errorf("%s: coloured: %v", name, got)
		}
	}
}

func TestMachinesCannotSendEscapeSequences(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	evil := "\x1b]0;owned\x07\x1b[31mred\r\nfake line"
	a.list("GET servers", server("hr-aaaaaaaaaaaa", "failed", object{"reason": evil}))
	a.on("GET servers/x/logs", 200, object{"lines": []object{{"at": ago(0), "stream": "script", "text": evil}}})
	a.refuse("GET pools", 500, `{"code":"internal","detail":"\u001b[2Jgone"}`)
	for _, args := range [][]string{{"get", "servers"}, {"logs", "x"}, {"get", "pools"}} {
		r := a.run(args...)
		if strings.ContainsAny(r.out+r.err, "\x1b\x07\r") {
			t.Errorf("%v: %q", args, r.out+r.err)
		}
	}
}

func TestJSONAndYAML(t *testing.T) {
	t.Parallel()
	a := fleetAPI(t)
	var list struct {
		Items []struct {
			Name     string
			Phase    string
			Capacity struct {
				Cores     float64
				MemoryMiB int64 `json:"memory_mib"`
			}
		}
	}
	if err := json.Unmarshal([]byte(a.run("get", "servers", "-o", "json").out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 3 || list.Items[0].Name != "hr-aaaaaaaaaaaa" || list.Items[0].Capacity.MemoryMiB != 2048 {
		t.Errorf("got %+v", list)
	}
	var one map[string]any
	if err := json.Unmarshal([]byte(a.run("get", "server", "hr-aaaaaaaaaaaa", "-o", "json").out), &one); err != nil || one["name"] != "hr-aaaaaaaaaaaa" {
		t.Errorf("got %v, %v", one, err)
	}
	if got := a.run("get", "dns-providers", "-o", "json").out; got != "{\n  \"items\": []\n}\n" {
		t.Errorf("an empty list is %q", got)
	}
	dec := yaml.NewDecoder(strings.NewReader(a.run("get", "sessions", "-o", "yaml").out))
	for _, want := range []string{"01k-active", "01k-queued"} {
		var doc map[string]any
		if err := dec.Decode(&doc); err != nil || doc["id"] != want {
			t.Errorf("got %v, %v", doc["id"], err)
		}
	}
}

func TestEmptyListsSayWhatIsNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.list("GET servers")
	a.list("GET sessions")
	a.list("GET pools")
	for want, args := range map[string][]string{
		"no servers in pool x\n":                     {"get", "servers", "--pool", "x"},
		"no sessions of user ann, in state queued\n": {"session", "list", "--user", "ann", "--state", "queued"},
		"no pools with labels a=b,c\n":               {"get", "pools", "-l", "a=b,c"},
	} {
		if diff := cmp.Diff(result{0, "", want}, a.run(args...), cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%v: %s", args, diff)
		}
	}
	want := []string{"GET /api/v1/pools?label=a%3Db&label=c&limit=1000"}
	var got []string
	for _, c := range a.seen() {
		if strings.Contains(c, "pools") {
			got = append(got, c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSomeNamesDoNotExist(t *testing.T) {
	t.Parallel()
	r := fleetAPI(t).run("get", "servers", "nope", "hr-aaaaaaaaaaaa", "neither", "--no-headers")
	if r.code != cli.ExitNotFound || !strings.HasPrefix(r.out, "hr-aaaaaaaaaaaa ") || r.err != "Error: servers/nope does not exist\nError: servers/neither does not exist\n" {
		t.Errorf("got %+v", r)
	}
}
