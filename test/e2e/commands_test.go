package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headroom-dev/headroom/internal/client"
)

// commands is what scripts can say beyond testscript's own commands:
//
//	[!] serve NAME [FLAGS]   start controller NAME and wait until it is ready; the
//	                         environment then points the command line at it. With !
//	                         it must end by itself with an error, its output is stdout
//	kill9 NAME               SIGKILL
//	shutdown NAME            SIGTERM; it must end well
//	exit CODE PROG ARGS      run a program that must end with that exit code
//	field VAR PATH           put a field of the JSON on stdout into a variable (.server, .items.0.name)
//	killagent NAME           SIGKILL the agent process of a server
//	killothers NAME          SIGKILL every agent process but that of a server
//	post BYTES PATH          send a JSON text of that size; status line and answer are stdout
//	endall                   end every live session
//	newerdb NAME [VERSION]   mark the database of a controller as made by a newer version
//	remember NAME            note which servers and live sessions there are
//	eventually TIME CHECK    the check must come true within the time
//	holds TIME CHECK         the check must be true now and all the time
//	check CHECK              the check must be true now
//
// checks_test.go lists the checks.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"serve":      cmdServe,
	"kill9":      func(ts *testscript.TestScript, _ bool, args []string) { endController(ts, args, syscall.SIGKILL) },
	"shutdown":   func(ts *testscript.TestScript, _ bool, args []string) { endController(ts, args, syscall.SIGTERM) },
	"exit":       cmdExit,
	"field":      cmdField,
	"killagent":  cmdKillAgent,
	"killothers": cmdKillOthers,
	"post":       cmdPost,
	"endall":     cmdEndAll,
	"newerdb":    cmdNewerDB,
	"remember":   cmdRemember,
	"eventually": cmdEventually,
	"holds":      cmdHolds,
	"check":      cmdCheck,
}

func siteOf(ts *testscript.TestScript) *site { return ts.Value(siteKey{}).(*site) }

func need(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, len(args) >= 1, "[!] serve NAME [FLAGS]")
	s := siteOf(ts)
	c, err := s.controller(args[0])
	ts.Check(err)
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	ts.Check(c.start(s, env, args[1:]))
	if !neg {
		ts.Check(c.waitReady())
		ts.Setenv("ADDRESS", c.addr)
		ts.Setenv("HEADROOM_URL", c.url())
		ts.Setenv("HEADROOM_TOKEN", c.token())
		return
	}
	select {
	case <-c.done:
	case <-time.After(startTime):
		ts.Fatalf("controller %s runs; it should have refused to start:\n%s", c.name, c.output())
	}
	fmt.Fprintln(ts.Stdout(), c.output())
	if c.cmd.ProcessState.Success() {
		ts.Fatalf("controller %s ended without an error", c.name)
	}
}

func endController(ts *testscript.TestScript, args []string, sig syscall.Signal) {
	need(ts, len(args) == 1, "kill9|shutdown NAME")
	c, err := siteOf(ts).controller(args[0])
	ts.Check(err)
	ts.Check(c.end(sig))
}

func cmdExit(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) >= 2, "exit CODE PROGRAM ARGS")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s did not run: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, not %d", strings.Join(args[1:], " "), got, want)
	}
}

func cmdField(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 2, "field VAR PATH")
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	for _, key := range strings.Split(strings.Trim(args[1], "."), ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(x) {
				ts.Fatalf("no element %q in a list of %d", key, len(x))
			}
			v = x[i]
		default:
			v = nil
		}
	}
	if v == nil {
		ts.Fatalf("stdout has no field %s", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

func cmdKillAgent(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 1, "killagent NAME")
	c, err := remote(ts.Getenv("HEADROOM_URL"), ts.Getenv("HEADROOM_TOKEN"))
	ts.Check(err)
	server, err := c.Server(context.Background(), args[0])
	ts.Check(err)
	agents := siteOf(ts).agents()
	for pid, line := range agents {
		if strings.Contains(line, server.Name) || strings.Contains(line, server.ID) {
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
			return
		}
	}
	ts.Fatalf("no agent process names %s or %s: %v", server.Name, server.ID, agents)
}

func cmdKillOthers(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 1, "killothers NAME")
	killed := 0
	for pid, line := range siteOf(ts).agents() {
		if !strings.Contains(line, args[0]) {
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
			killed++
		}
	}
	if killed == 0 {
		ts.Fatalf("no agent runs beside that of %s", args[0])
	}
}

func cmdEndAll(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 0, "endall")
	c, err := remote(ts.Getenv("HEADROOM_URL"), ts.Getenv("HEADROOM_TOKEN"))
	ts.Check(err)
	defer c.Close()
	live, err := c.Sessions(context.Background(), client.SessionFilter{})
	ts.Check(err)
	for _, s := range live {
		_, err := c.EndSession(context.Background(), s.ID)
		ts.Check(err)
	}
}

// spaces reads as a JSON text that does not end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func cmdPost(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 2, "post BYTES PATH")
	size, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	body := io.MultiReader(strings.NewReader(`{"documents":`), io.LimitReader(spaces{}, size))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, ts.Getenv("HEADROOM_URL")+args[1], body)
	ts.Check(err)
	req.ContentLength = size + int64(len(`{"documents":`))
	req.Header.Set("Authorization", "Bearer "+ts.Getenv("HEADROOM_TOKEN"))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n", resp.Status, answer)
}

func cmdRemember(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 1, "remember NAME")
	what, err := census(context.Background(), ts)
	ts.Check(err)
	siteOf(ts).remembered[args[0]] = what
}

func cmdCheck(ts *testscript.TestScript, neg bool, args []string) {
	err := runCheck(context.Background(), ts, args)
	if neg && err == nil {
		ts.Fatalf("it is so")
	}
	if !neg {
		ts.Check(err)
	}
}

func cmdEventually(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) >= 2, "eventually TIME CHECK")
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for last := error(nil); ; {
		err := runCheck(ctx, ts, args[1:])
		if err == nil {
			ts.Logf("[after %s]", time.Since(began).Round(time.Millisecond))
			return
		}
		if last == nil || ctx.Err() == nil { // what the deadline cut off says nothing
			last = err
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("not so after %s: %v", limit, last)
		case <-tick.C:
		}
	}
}

func cmdHolds(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) >= 2, "holds TIME CHECK")
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	end := time.After(limit)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ts.Check(runCheck(context.Background(), ts, args[1:]))
		select {
		case <-end:
			return
		case <-tick.C:
		}
	}
}
