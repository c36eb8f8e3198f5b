package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// checks are what check, eventually and holds can ask:
//
//	servers [pool=P] COUNT…  numbers of servers: total, busy, missing, coming, used or a
//	                         phase, with =, <= or >= (ready=2 total<=6)
//	agents COUNT             agent processes on this host (n=2)
//	server NAME PHASE        the server has the phase
//	session ID STATE         the session has the state
//	safe                     every active session sits on a server that exists and is not being deleted
//	event TYPE REGEXP        some event of the type has a message that matches
//	same NAME                servers and live sessions are those that were remembered
//	says REGEXP PROG ARGS    the program ends well and its output matches
var checks = map[string]func(ctx context.Context, ts *testscript.TestScript, c *client.Client, args []string) error{
	"servers": checkServers,
	"agents": func(_ context.Context, ts *testscript.TestScript, _ *client.Client, args []string) error {
		return compare(args[0], map[string]int{"n": len(siteOf(ts).agents())})
	},
	"server":  checkServer,
	"session": checkSession,
	"safe":    checkSafe,
	"event":   checkEvent,
	"same": func(ctx context.Context, ts *testscript.TestScript, _ *client.Client, args []string) error {
		now, err := census(ctx, ts)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(siteOf(ts).remembered[args[0]], now); diff != "" {
			return fmt.Errorf("not as remembered (-then +now):\n%s", diff)
		}
		return nil
	},
	"says": checkSays,
}

func runCheck(ctx context.Context, ts *testscript.TestScript, args []string) error {
	f := checks[args[0]]
	if f == nil {
		ts.Fatalf("no check is called %q", args[0])
	}
	c, err := remote(ts.Getenv("HEADROOM_URL"), ts.Getenv("HEADROOM_TOKEN"))
	if err != nil {
		return err
	}
	defer c.Close()
	return f(ctx, ts, c, args[1:])
}

func checkServers(ctx context.Context, _ *testscript.TestScript, c *client.Client, args []string) error {
	list, err := servers(ctx, c)
	if err != nil {
		return err
	}
	counts := map[string]int{"total": 0, "busy": 0, "missing": 0, "coming": 0, "used": 0}
	for _, p := range fleet.Phases() {
		counts[string(p)] = 0
	}
	var pool string
	wants := slices.DeleteFunc(slices.Clone(args), func(a string) bool {
		name, ok := strings.CutPrefix(a, "pool=")
		if ok {
			pool = name
		}
		return ok
	})
	var shown []string
	for _, s := range list {
		if pool != "" && s.Pool != pool {
			continue
		}
		shown = append(shown, fmt.Sprintf("%s %s sessions=%d (%s)", s.Name, s.Phase, s.Sessions, s.Reason))
		counts["total"]++
		counts[string(s.Phase)]++
		for what, is := range map[string]bool{"busy": s.Sessions > 0, "missing": s.Missing, "coming": s.Phase.ComingUp(), "used": s.Used} {
			if is {
				counts[what]++
			}
		}
	}
	for _, w := range wants {
		if err := compare(w, counts); err != nil {
			return fmt.Errorf("%w:\n  %s", err, strings.Join(shown, "\n  "))
		}
	}
	return nil
}

var comparison = regexp.MustCompile(`^(\w+)(=|<=|>=)(\d+)$`)

func compare(want string, counts map[string]int) error {
	m := comparison.FindStringSubmatch(want)
	if m == nil {
		return fmt.Errorf("%q is not a comparison such as ready=2", want)
	}
	got, ok := counts[m[1]]
	if !ok {
		return fmt.Errorf("nothing is counted as %q", m[1])
	}
	n, err := strconv.Atoi(m[3])
	if err != nil {
		return err
	}
	if map[string]bool{"=": got == n, "<=": got <= n, ">=": got >= n}[m[2]] {
		return nil
	}
	return fmt.Errorf("%s is %d, not %s%d", m[1], got, m[2], n)
}

func checkSays(ctx context.Context, ts *testscript.TestScript, _ *client.Client, args []string) error {
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(siteOf(ts).bin, args[1]), args[2:]...)
	cmd.Env = []string{"HEADROOM_URL=" + ts.Getenv("HEADROOM_URL"), "HEADROOM_TOKEN=" + ts.Getenv("HEADROOM_TOKEN")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args[1:], " "), err, out)
	}
	if !pattern.Match(out) {
		return fmt.Errorf("%s says nothing like %q:\n%s", strings.Join(args[1:], " "), pattern, out)
	}
	return nil
}

func checkServer(ctx context.Context, _ *testscript.TestScript, c *client.Client, args []string) error {
	s, err := c.Server(ctx, args[0])
	if err != nil {
		return err
	}
	if string(s.Phase) != args[1] {
		return fmt.Errorf("server %s is %s (%s), not %s", s.Name, s.Phase, s.Reason, args[1])
	}
	return nil
}

func checkSession(ctx context.Context, _ *testscript.TestScript, c *client.Client, args []string) error {
	s, err := c.Session(ctx, args[0], 0)
	if err != nil {
		return err
	}
	if string(s.State) != args[1] {
		return fmt.Errorf("session %s is %s (%s), not %s", s.ID, s.State, s.Reason, args[1])
	}
	return nil
}

func checkSafe(ctx context.Context, _ *testscript.TestScript, c *client.Client, _ []string) error {
	sessions, err := c.Sessions(ctx, client.SessionFilter{States: []fleet.SessionState{fleet.SessionActive}})
	if err != nil {
		return err
	}
	list, err := servers(ctx, c)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		i := slices.IndexFunc(list, func(v fleet.Server) bool { return v.ID == s.ServerID })
		if i < 0 {
			return fmt.Errorf("session %s is active on server %s, which is gone", s.ID, s.Server)
		}
		if p := list[i].Phase; p != fleet.PhaseReady && p != fleet.PhaseDraining {
			return fmt.Errorf("session %s is active on server %s, which is %s (%s)", s.ID, s.Server, p, list[i].Reason)
		}
	}
	return nil
}

func checkEvent(ctx context.Context, _ *testscript.TestScript, c *client.Client, args []string) error {
	pattern, err := regexp.Compile(args[1])
	if err != nil {
		return err
	}
	events, err := c.ListEvents(ctx, client.EventFilter{Types: []fleet.EventType{fleet.EventType(args[0])}, Newest: true, Limit: 1000})
	if err != nil {
		return err
	}
	var seen []string
	for _, e := range events {
		if pattern.MatchString(e.Message) {
			return nil
		}
		seen = append(seen, e.Message)
	}
	return fmt.Errorf("no event %s matches %q among:\n  %s", args[0], pattern, strings.Join(seen, "\n  "))
}

// census lists servers and live sessions, each with where it is.
func census(ctx context.Context, ts *testscript.TestScript) ([]string, error) {
	c, err := remote(ts.Getenv("HEADROOM_URL"), ts.Getenv("HEADROOM_TOKEN"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := servers(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("server %s %s %s sessions=%d", s.ID, s.Name, s.ProviderID, s.Sessions))
	}
	sessions, err := c.Sessions(ctx, client.SessionFilter{})
	for _, s := range sessions {
		out = append(out, fmt.Sprintf("session %s %s on %s", s.ID, s.State, s.Server))
	}
	slices.Sort(out)
	return out, err
}
