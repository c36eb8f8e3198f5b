package proxmox

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// maxPart is what one call writes: Proxmox VE takes 61,440 characters, and
	// base64 makes four of three bytes.
	maxPart = 46080
	// partsPerStep bounds the calls of one step.
	partsPerStep = 4
	maxScript    = 4 << 20
	maxTail      = 64 << 10
)

// runners are put beside the script. They take: directory, name, number of
// parts, extension of the script.
var (
	//go:embed run.sh
	runnerSh []byte
	//go:embed run.ps1
	runnerPs1 []byte
)

// delivery is the progress of a script.
type delivery struct {
	Sum  string `json:"sum,omitempty"`  // of the script that is being delivered
	Next int    `json:"next,omitempty"` // part to be written next
	Exec bool   `json:"exec,omitempty"` // the runner has been asked to start
}

// guest is one machine's files in its guest.
type guest struct {
	api     *api
	node    string
	vmid    int
	windows bool
	dir     string
	name    string // of this machine's files
}

func (g guest) file(name string) string {
	if g.windows {
		return strings.TrimRight(g.dir, `\/`) + `\` + name
	}
	return strings.TrimRight(g.dir, "/") + "/" + name
}

// RunScript delivers a script in parts, starts its runner and waits for the
// file in which that leaves the exit code. The runner makes a directory before
// it begins, which works once: however often it is started, the script runs
// once.
func (d *driver) RunScript(ctx context.Context, id string, script []byte, progress string) (provider.ScriptRun, error) {
	what := "running the script of machine " + strconv.Quote(id)
	want, ok := parseID(id)
	if err := ctx.Err(); err != nil {
		return provider.ScriptRun{}, failure(what, err)
	}
	switch {
	case !ok:
		return provider.ScriptRun{}, notFound(id)
	case len(script) > maxScript:
		return provider.ScriptRun{}, provider.Errorf(provider.Invalid, "%s: it has %d bytes, %d are the most", what, len(script), maxScript)
	}
	r, err := d.locate(ctx, want)
	if err != nil {
		return provider.ScriptRun{}, failure(what, err)
	}
	t, _, ours := decodeTags(r.Tags, r.VMID)
	switch {
	case ours && t.identity != want:
		return provider.ScriptRun{}, notFound(id)
	case !ours || r.Status != "running":
		return provider.ScriptRun{Progress: progress, Note: "the machine does not run yet"}, nil
	}
	g := guest{api: d.api, node: r.Node, vmid: r.VMID, windows: d.settings.OSType == Windows, dir: d.settings.ScriptPath, name: "headroom-" + want.mark}
	if g.dir == "" {
		g.dir = "/var/lib/headroom"
		if g.windows {
			g.dir = `C:\Windows\Temp`
		}
	}
	run, err := g.step(ctx, script, progress)
	if err != nil && says(err, saysAgentDown...) || says(err, saysNotRunning...) {
		return provider.ScriptRun{Progress: progress, Note: "the guest agent does not answer yet"}, nil
	}
	return run, failure(what, err)
}

func (g guest) step(ctx context.Context, script []byte, progress string) (provider.ScriptRun, error) {
	sum := sha256.Sum256(script)
	p := delivery{}
	if json.Unmarshal([]byte(progress), &p) != nil || p.Next < 0 || p.Sum != hex.EncodeToString(sum[:6]) {
		p = delivery{Exec: p.Exec}
	}
	if p.Sum == "" || p.Exec {
		if p.Sum == "" && !p.Exec {
			if err := g.api.post(ctx, vmPath(g.node, g.vmid, "/agent/ping"), nil); err != nil {
				return provider.ScriptRun{}, err
			}
		}
		run, begun, err := g.outcome(ctx, progress)
		if err != nil || begun {
			return run, err
		}
		if p.Exec && p.Sum != "" {
			return g.exec(ctx, script, p) // the call got lost, or the agent with it
		}
		p = delivery{Sum: hex.EncodeToString(sum[:6])}
		if !g.windows {
			if err := g.command(ctx, "mkdir", "-p", "-m", "700", "--", g.dir); err != nil {
				return provider.ScriptRun{}, err
			}
		}
		return p.run("the script is being delivered"), nil
	}
	return g.deliver(ctx, script, p)
}

func (p delivery) run(note string) provider.ScriptRun {
	text, _ := json.Marshal(p) // text and numbers only
	return provider.ScriptRun{Progress: string(text), Note: note}
}

// outcome reads what the runner has left. begun is false when it has not
// started.
func (g guest) outcome(ctx context.Context, progress string) (run provider.ScriptRun, begun bool, err error) {
	text, there, err := g.read(ctx, g.name+".exit")
	if err != nil {
		return run, false, err
	}
	if !there {
		_, begun, err = g.read(ctx, g.name+".begun")
		return provider.ScriptRun{Progress: progress, Note: "the script has started and has not ended"}, begun, err
	}
	code, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff")), 10, 64)
	if err != nil {
		return run, false, provider.Errorf(provider.Unknown, "the file %s in the guest holds no exit code", g.file(g.name+".exit"))
	}
	out, _, err := g.read(ctx, g.name+".tail")
	if err != nil {
		return run, false, err
	}
	out = bytes.TrimPrefix(out, []byte("\ufeff"))
	return provider.ScriptRun{Progress: progress, Done: true, ExitCode: code, Output: out[max(0, len(out)-maxTail):]}, true, nil
}

// deliver writes the next parts, and starts the runner after the last one.
func (g guest) deliver(ctx context.Context, script []byte, p delivery) (provider.ScriptRun, error) {
	total := parts(script)
	for range partsPerStep {
		if p.Next > total {
			break
		}
		name, content := g.runner()
		if p.Next < total {
			name, content = g.part(p.Sum, p.Next), script[p.Next*maxPart:min((p.Next+1)*maxPart, len(script))]
		}
		if err := g.write(ctx, name, content); err != nil {
			if says(err, saysNoFile...) && p.Next == 0 && !g.windows {
				return p.run("the directory for the script is being made"), nil
			}
			return provider.ScriptRun{}, err
		}
		p.Next++
	}
	if p.Next <= total {
		return p.run("the script is being delivered"), nil
	}
	return g.exec(ctx, script, p)
}

func (g guest) exec(ctx context.Context, script []byte, p delivery) (provider.ScriptRun, error) {
	runner, _ := g.runner()
	args := []string{"/bin/sh", g.file(runner), g.dir, g.name, p.Sum, strconv.Itoa(parts(script))}
	if g.windows {
		args = append([]string{"powershell.exe", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"}, args[1:]...)
		args = append(args, windowsExtension(script))
	}
	if err := g.command(ctx, args...); err != nil {
		return provider.ScriptRun{}, err
	}
	p.Exec = true
	return p.run("the script has been started"), nil
}

// windowsExtension tells a batch file by its first line; everything else is
// PowerShell.
func windowsExtension(script []byte) string {
	first, _, _ := bytes.Cut(bytes.TrimLeft(script, "\ufeff \t\r\n"), []byte("\n"))
	first = bytes.ToLower(first)
	if bytes.HasPrefix(first, []byte("@echo")) || bytes.HasPrefix(first, []byte("rem ")) || bytes.HasPrefix(first, []byte("@rem")) {
		return "cmd"
	}
	return "ps1"
}

func parts(script []byte) int { return max(1, (len(script)+maxPart-1)/maxPart) }

func (g guest) part(sum string, n int) string { return g.name + "." + sum + "." + strconv.Itoa(n) }

func (g guest) runner() (name string, text []byte) {
	if g.windows {
		return g.name + ".run.ps1", runnerPs1
	}
	return g.name + ".run.sh", runnerSh
}

// command starts a command; how it ends is seen by what it leaves.
func (g guest) command(ctx context.Context, args ...string) error {
	return g.api.post(ctx, vmPath(g.node, g.vmid, "/agent/exec"), map[string]any{"command": args})
}

// write replaces a file. The content is encoded here: Proxmox VE cannot encode
// what is not ASCII.
func (g guest) write(ctx context.Context, name string, content []byte) error {
	return g.api.post(ctx, vmPath(g.node, g.vmid, "/agent/file-write"), map[string]any{
		"file": g.file(name), "content": base64.StdEncoding.EncodeToString(content), "encode": 0,
	})
}

// read reads a file of the guest; there is false when it does not exist.
func (g guest) read(ctx context.Context, name string) (content []byte, there bool, err error) {
	var answer struct {
		Content string `json:"content"`
	}
	err = g.api.client.Get(ctx, vmPath(g.node, g.vmid, "/agent/file-read?file="+url.QueryEscape(g.file(name))), &answer)
	var r *refusal
	if errors.As(err, &r) && says(err, saysNoFile...) {
		return nil, false, nil
	}
	return []byte(answer.Content), err == nil, err
}
