// Package pools takes whole pools through their lives with the real headroom
// binary: one call of [Run] for each kind of cloud, against the nearest thing to
// the real service.
package pools

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Pool is what Run needs to know of a cloud.
type Pool struct {
	Kind     string         // of the VM provider
	Settings map[string]any // as an operator writes them, secrets included
	Script   string         // startup_script; empty: none

	// Policy is added to the spec of the autoscale config. Without it, machines
	// are ready when the cloud says that they run.
	Policy map[string]any
	// Env is added to the environment of the controller: "NAME=value".
	Env []string
	// Dir is where the controller keeps its files; empty: a new directory.
	Dir string
	// Patience is the longest time for each step; 0: 5 minutes.
	Patience time.Duration

	// Ready, if not nil, plays the machine: it is called again and again with the
	// controller's URL while machines are on their way.
	Ready func(t *testing.T, controllerURL string)
	// Machines counts the machines that the cloud has, without the driver's help.
	Machines func(t *testing.T) int
	// Leftovers names everything that is left in the cloud, of every kind of
	// object that machines are made of.
	Leftovers func(t *testing.T) []string
}

const (
	standby   = 2
	ceiling   = 4
	backoff   = 2 // seconds
	objectsOf = "pool-under-test"
)

// Run takes a server pool from apply to ready machines, a session, the machine
// that makes up for it, the death of the controller in the middle, scale-down,
// and deletion, and looks for what is left.
func Run(t *testing.T, p Pool) {
	t.Helper()
	if p.Machines == nil || p.Leftovers == nil {
		t.Fatal("the cloud cannot be looked at: Machines and Leftovers are required")
	}
	if p.Patience == 0 {
		p.Patience = 5 * time.Minute // a create that was cut off is looked for as long as it may take to show
	}
	if left := p.Leftovers(t); len(left) > 0 {
		t.Fatalf("the cloud is not empty to begin with: %s", strings.Join(left, ", "))
	}
	s := newSite(t, p)
	s.start()
	s.headroom("apply", "-f", s.manifest())

	s.until("the standby is ready", func() string { return s.ready(standby) })
	s.check("standby", standby)

	session := s.session()
	s.kill() // the worst moment: the machine that makes up for the session is on its way
	s.start()
	s.until("one more machine makes up for the session", func() string { return s.ready(standby + 1) })
	s.check("a session", standby+1)
	if got := s.sessionState(session); got != fleet.SessionActive {
		t.Errorf("session %s is %s after a restart of the controller", session, got)
	}

	s.headroom("session", "end", session)
	s.until("the pool shrinks to its standby", func() string { return s.ready(standby) })
	s.until("the cloud has no more machines than that", func() string {
		if n := p.Machines(t); n != standby {
			return fmt.Sprintf("the cloud has %d machines", n)
		}
		return ""
	})

	s.until("the autoscale config is drained and deleted", func() string {
		out, err := s.try("delete", "autoscale-config", objectsOf, "--drain", "--ignore-not-found")
		if err != nil {
			return string(out)
		}
		return ""
	})
	s.headroom("delete", "pool", objectsOf)
	s.headroom("delete", "vm-provider", objectsOf)
	s.until("nothing is left in the cloud", func() string {
		if left := p.Leftovers(t); len(left) > 0 {
			return "left: " + strings.Join(left, ", ")
		}
		return ""
	})
}

// manifest writes the objects and names their file.
func (s *site) manifest() string {
	provider := map[string]any{
		"provider": s.pool.Kind, "max_instances": ceiling, "settings": s.pool.Settings,
		"create_burst": 10,
	}
	if s.pool.Script != "" {
		provider["startup_script"] = s.pool.Script
	}
	policy := map[string]any{
		"pool": objectsOf, "zone": objectsOf, "vm_providers": []string{objectsOf},
		"min_available_sessions": standby, "downscale_backoff": fmt.Sprintf("%ds", backoff), "require_checkin": false,
	}
	for key, value := range s.pool.Policy {
		policy[key] = value
	}
	var text strings.Builder
	for _, o := range []struct {
		kind fleet.Kind
		spec map[string]any
	}{
		{fleet.KindZone, map[string]any{"upstream_address": s.url()}},
		{fleet.KindPool, map[string]any{"type": "server"}},
		{fleet.KindVMProvider, provider},
		{fleet.KindAutoscaleConfig, policy},
	} {
		doc, err := json.MarshalIndent(map[string]any{
			"apiVersion": fleet.APIVersion, "kind": o.kind, "metadata": map[string]any{"name": objectsOf}, "spec": o.spec,
		}, "", "  ")
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&text, "---\n%s\n", doc) // JSON is YAML
	}
	return s.write("pool.yaml", text.String())
}

// ready says what is missing until exactly n machines are ready and no other is
// there.
func (s *site) ready(n int) string {
	servers := s.servers()
	var shown []string
	ready := 0
	for i := range servers {
		v := &servers[i]
		shown = append(shown, fmt.Sprintf("%s %s (%s)", v.Name, v.Phase, v.Reason))
		if v.Phase == fleet.PhaseReady {
			ready++
		}
	}
	if ready != n || len(servers) != n {
		return fmt.Sprintf("%d of %d machines are ready, %d expected: %s", ready, len(servers), n, strings.Join(shown, "; "))
	}
	return ""
}

// check compares the cloud with the database.
func (s *site) check(when string, n int) {
	s.t.Helper()
	if got := s.pool.Machines(s.t); got != n {
		s.t.Errorf("with %s the cloud has %d machines, expected %d", when, got, n)
	}
}

func (s *site) session() string {
	var v struct {
		ID    string             `json:"id"`
		State fleet.SessionState `json:"state"`
	}
	s.decode(&v, "session", "create", "--pool", objectsOf, "--user", "ann", "-o", "json")
	if v.State != fleet.SessionActive {
		s.t.Fatalf("session %s is %s although machines are ready", v.ID, v.State)
	}
	return v.ID
}

func (s *site) sessionState(id string) fleet.SessionState {
	var v fleet.Session
	s.decode(&v, "session", "get", id, "-o", "json")
	return v.State
}

func (s *site) servers() []fleet.Server {
	var v struct {
		Items []fleet.Server `json:"items"`
	}
	s.decode(&v, "server", "list", "-o", "json")
	return v.Items
}
