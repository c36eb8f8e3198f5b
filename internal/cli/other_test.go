package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/cli"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	two := object{"cores": 2, "memory_mib": 2048, "gpus": 0}
	four := object{"cores": 4, "memory_mib": 4096, "gpus": 0}
	none := object{"cores": 0, "memory_mib": 0, "gpus": 0}
	create := object{"provider": "local", "capacity": two, "reason": "2 cores are free and 4 are needed"}
	a.list("GET plan",
		object{
			"pool": "desktops", "at": noon, "next_at": noon.Add(10 * time.Minute),
			"configs": []object{{
				"config": "desktops-local", "zone": "default", "window": "office/1", "surplus_since": noon.Add(-3 * time.Minute),
				"supply":  object{"servers": 3, "ready": 2, "coming_up": 1, "leaving": 1, "capacity": four, "claimed": two, "free": two},
				"demand":  object{"standby": four, "queued": two, "staging": none, "total": object{"cores": 6, "memory_mib": 6144, "gpus": 0}},
				"creates": []object{create, create}, "retires": []object{{"server": "01k", "name": "hr-1", "cause": "rotation", "reason": "it is 30 days old"}},
				"reasons": []object{{"code": "max_instances", "message": "provider local is at max_instances 6"}, {"code": "provider_blocked", "message": "provider aws lacks capacity", "until": noon.Add(time.Minute)}},
			}},
			"cost": object{
				"now":       object{"machines": 3, "amounts": []object{{"currency": "EUR", "per_hour": 0.3, "per_30_days": 216}}},
				"after":     object{"machines": 4, "unknown": 2, "amounts": []object{{"currency": "EUR", "per_hour": 0.4, "per_30_days": 288}}},
				"providers": []object{{"provider": "local", "price": object{"per_hour": 0.05, "currency": "EUR", "lines": []object{}, "missing": []string{"disk fast in north"}}}},
			},
		},
		object{"pool": "empty", "at": noon, "configs": []object{}, "reasons": []object{{"code": "no_config", "message": "no autoscale config makes machines for this pool"}}})
	golden(t, "plan", a.run("plan", "--pool", "desktops"))
	if got := a.seen()[0]; got != "GET /api/v1/plan?pool=desktops" {
		t.Error(got)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST tokens", 201, object{
		"token": "hr_secret", "id": "01k-t", "name": "ci", "role": "session", "pool": "desktops",
		"created_at": ago(0), "created_by": "admin", "expires_at": noon.Add(30 * 24 * time.Hour),
	})
	golden(t, "token-create", a.run("token", "create", "--name", "ci", "--role", "session", "--pool", "desktops", "--ttl", "30d"))
	golden(t, "token-create-quiet", a.run("token", "create", "--name", "ci", "--role", "session", "-q"))
	if got, want := a.bodies[0], `{"name":"ci","role":"session","pool":"desktops","ttl":"720h"}`; strings.TrimSpace(got) != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("GET provider-kinds", 200, []object{
		{"name": "local", "title": "This host", "about": "Processes of this host, no virtual machines.", "vm": false, "schema": object{"type": "object"}},
		{"name": "aws", "title": "AWS", "about": "EC2 instances.", "vm": true},
	})
	golden(t, "provider-kinds", a.run("provider", "kinds"))
	golden(t, "provider-kind-yaml", a.run("provider", "kinds", "local", "-o", "yaml"))
	if r := a.run("provider", "kinds", "nope"); r.code != cli.ExitNotFound {
		t.Errorf("got %+v", r)
	}
	a.on("POST vm-providers/aws/check", 200, object{"findings": []object{
		{"subject": "credentials", "verdict": "ok"},
		{"subject": "ec2:RunInstances", "verdict": "failed", "message": "denied", "remedy": "allow it in the policy"},
	}})
	golden(t, "provider-check", a.run("provider", "check", "aws"))
}

func TestVersionAndWhoAmI(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("GET version", 200, object{"version": "1.3.0"})
	a.on("GET whoami", 200, object{"id": "01k-t", "name": "me", "role": "admin", "created_at": ago(time.Hour), "created_by": "serve"})
	if r := a.run("version"); r.out != "client  1.2.3\nserver  1.3.0 ("+a.url+")\n" {
		t.Errorf("got %+v", r)
	}
	if r := a.run("version", "--client"); r.out != "client  1.2.3\n" || len(a.seen()) != 1 {
		t.Errorf("got %+v", r)
	}
	if r := a.run("whoami"); !strings.Contains(r.out, "Token from: HEADROOM_TOKEN\n") || !strings.Contains(r.out, "Role:       admin\n") {
		t.Errorf("got %+v", r)
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST servers", 201, server("rack-1", "ready", object{"origin": "fixed"}))
	r := a.run("server", "register", "--pool", "desktops", "--name", "rack-1", "--address", "10.0.0.7,10.0.0.8", "--cores", "16", "--memory", "64Gi", "-o", "name")
	want := `{"name":"rack-1","pool":"desktops","addresses":["10.0.0.7","10.0.0.8"],"capacity":{"cores":16,"memory_mib":65536,"gpus":0}}`
	if r.code != 0 || r.out != "rack-1\n" || strings.TrimSpace(a.bodies[0]) != want {
		t.Errorf("got %+v, sent %s", r, a.bodies[0])
	}
	a.on("GET servers/up", 200, server("up", "draining", nil))
	a.on("GET servers/dead", 200, server("dead", "failed", nil))
	a.on("POST servers/up/retry", 200, server("up", "ready", nil))
	r = a.run("server", "undrain", "dead", "up")
	if r.code != cli.ExitRefused || r.out != "server/up back in service\n" || !strings.Contains(r.err, "server dead is failed, not draining") {
		t.Errorf("got %+v", r)
	}
	a.on("POST servers/up/forget", 200, server("up", "gone", nil))
	if r = a.run("server", "forget", "up"); r.code != 0 || r.out != "server/up forgotten\n" {
		t.Errorf("got %+v", r)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	a := fleetAPI(t)
	for line, want := range map[string]string{
		"get se":                        "servers\nsessions\n", // cobra filters nothing: the shell does
		"get servers hr-b":              "hr-bbbbbbbbbbbb\n",
		"session create --pool ":        "desktops\nempty\n",
		"server drain hr-aaaaaaaaaaaa ": "hr-bbbbbbbbbbbb\nhr-cccccccccccc\n",
		"token create --role ":          "admin\noperator\nsession\nviewer\njoin\n",
	} {
		args := strings.Split(line, " ")
		r := a.run(append([]string{"__complete"}, args...)...)
		if r.code != 0 || !strings.Contains(r.out, want[:strings.Index(want, "\n")+1]) {
			t.Errorf("%s: got %q, want %q", line, r.out, want)
		}
	}
	c := a.caller()
	c.env["HEADROOM_URL"] = "http://127.0.0.1:1"
	if r := c.run("__complete", "get", "servers", ""); r.code != 0 || !strings.HasPrefix(r.out, ":") {
		t.Errorf("without a controller: %+v", r)
	}
	if r := a.run("completion", "bash"); r.code != 0 || !strings.Contains(r.out, "__start_headroom") {
		t.Errorf("no bash completion: %d", r.code)
	}
}
