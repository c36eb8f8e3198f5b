package proxmox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

const (
	execCall  = "POST /nodes/{node}/qemu/{vmid}/agent/exec"
	writeCall = "POST /nodes/{node}/qemu/{vmid}/agent/file-write"
	readCall  = "GET /nodes/{node}/qemu/{vmid}/agent/file-read"
)

// step runs one step of a script, whose error is one that passes.
func step(t *testing.T, d provider.Driver, id string, script []byte, progress string) (provider.ScriptRun, error) {
	t.Helper()
	run, err := d.(provider.ScriptRunner).RunScript(t.Context(), id, script, progress)
	if len(run.Progress) > 1<<10 {
		t.Errorf("the progress takes %d bytes", len(run.Progress))
	}
	return run, err
}

// finish takes a script to its end.
func finish(t *testing.T, d provider.Driver, id string, script []byte) provider.ScriptRun {
	t.Helper()
	var run provider.ScriptRun
	progress := ""
	until(t, func() string {
		var err error
		if run, err = step(t, d, id, script, progress); err != nil {
			return err.Error()
		}
		if progress = run.Progress; !run.Done {
			return run.Note
		}
		return ""
	})
	return run
}

// counting is a script that appends a line to a file each time it runs.
func counting(file string) []byte {
	return []byte("#!/bin/sh\necho run >> " + file + "\necho out; echo err >&2\nexit 7\n")
}

func runs(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("run\n"))
}

func TestScript(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01jscript")
	file := filepath.Join(t.TempDir(), "runs")
	run := finish(t, d, i.ID, counting(file))
	if run.ExitCode != 7 || string(run.Output) != "out\nerr\n" {
		t.Errorf("exit code %d and output %q", run.ExitCode, run.Output)
	}
	if again := finish(t, s.driver(t, nil), i.ID, []byte("#!/bin/sh\n# rendered anew\n")); again.ExitCode != 7 {
		t.Errorf("a later controller reads exit code %d", again.ExitCode)
	}
	if n := runs(t, file); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
	id, _ := parseID(i.ID)
	entries, _ := os.ReadDir(s.GuestFiles(id.vmid))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 && !e.IsDir() {
			t.Errorf("others can read %s (%v): scripts hold tokens", e.Name(), info.Mode())
		}
		if strings.HasSuffix(e.Name(), ".0") {
			t.Errorf("part %s is left", e.Name())
		}
	}
}

func TestScriptOfManyParts(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01jlarge")
	for _, size := range []int{maxPart - 1, maxPart, maxPart + 1, 10*maxPart + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := newSite(t, nil)
			d := s.driver(t, nil)
			i := running(t, d, "01jlarge")
			head := []byte("#!/bin/sh\nwc -c < \"$0\"\nexit 0\n# ünïcode \x00\xff ")
			script := append(head, bytes.Repeat([]byte("x"), size-len(head))...)
			run := finish(t, d, i.ID, script)
			if got := strings.TrimSpace(string(run.Output)); got != fmt.Sprint(size) || run.ExitCode != 0 {
				t.Errorf("%s bytes arrived, exit code %d", got, run.ExitCode)
			}
		})
	}
	_, err := step(t, d, i.ID, make([]byte, maxScript+1), "")
	if provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a script above the limit: %v", err)
	}
}

func TestScriptOutputIsCut(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01jchatty")
	run := finish(t, d, i.ID, []byte("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo last\n"))
	if len(run.Output) > maxTail || !strings.HasSuffix(string(run.Output), "last\n") {
		t.Errorf("%d bytes of output, ending in %q", len(run.Output), run.Output[max(0, len(run.Output)-20):])
	}
}

// TestScriptCutOffAnywhere loses the answer of each call in turn, repeats the
// step with the old progress or with none, and still the script runs once.
func TestScriptCutOffAnywhere(t *testing.T) {
	t.Parallel()
	for _, call := range []string{listCall, "POST /nodes/{node}/qemu/{vmid}/agent/ping", execCall, writeCall, readCall} {
		for _, forget := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s forget %v", call, forget), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, nil)
				d := s.driver(t, nil)
				i := running(t, d, "01jcut")
				file := filepath.Join(t.TempDir(), "runs")
				progress := ""
				var run provider.ScriptRun
				for n := 0; n < 8 && !run.Done; n++ {
					s.Inject(call, fakeproxmox.Fault{Lost: true})
					got, err := step(t, d, i.ID, counting(file), progress)
					switch {
					case err == nil:
						run = got
						progress = run.Progress
					case provider.ClassOf(err).MadeNothing():
						t.Errorf("a lost answer: %v", err)
					case forget:
						progress = ""
					}
				}
				if run = finish(t, d, i.ID, counting(file)); run.ExitCode != 7 {
					t.Errorf("exit code %d", run.ExitCode)
				}
				if n := runs(t, file); n != 1 {
					t.Errorf("the script ran %d times", n)
				}
			})
		}
	}
}

// TestSlowAgent: an agent that takes minutes is waited for, by notes and not
// by errors.
func TestSlowAgent(t *testing.T) {
	t.Parallel()
	for _, release := range []int{8, 9} {
		t.Run(fmt.Sprint(release), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(o *fakeproxmox.Options) { o.AgentTime, o.Release = 300*time.Millisecond, release })
			d := s.driver(t, nil)
			made, err := d.Create(t.Context(), request("01jslow"))
			if err != nil {
				t.Fatal(err)
			}
			if run, err := step(t, d, made.ID, []byte("exit 0"), ""); err != nil || run.Done || run.Progress != "" || run.Note == "" {
				t.Errorf("before it runs: %+v, %v", run, err)
			}
			until(t, func() string {
				if i := list(t, d)[made.ID]; i.State != provider.StateRunning {
					return "machine is " + string(i.State)
				}
				return ""
			})
			if run, err := step(t, d, made.ID, []byte("exit 0"), ""); err == nil && run.Note != "the guest agent does not answer yet" && len(run.Progress) == 0 {
				t.Errorf("while it boots: %+v, %v", run, err)
			}
			if run := finish(t, d, made.ID, []byte("#!/bin/sh\nexit 0\n")); run.ExitCode != 0 {
				t.Errorf("exit code %d", run.ExitCode)
			}
			until(t, func() string {
				if len(list(t, d)[made.ID].Addresses) == 0 {
					return "no addresses"
				}
				return ""
			})
		})
	}
}

func TestAgentTroubles(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01jtrouble")
	id, _ := parseID(i.ID)
	s.SetConfig(id.vmid, map[string]string{"agent": "0"})
	if _, err := step(t, d, i.ID, []byte("exit 0"), ""); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "No QEMU guest agent configured") {
		t.Errorf("without agent: %v", err)
	}
	s.SetConfig(id.vmid, map[string]string{"agent": "1"})
	s.SetGrants(without(9, privGuestAgent))
	if _, err := step(t, d, i.ID, []byte("exit 0"), ""); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "VM.GuestAgent") {
		t.Errorf("without the right: %v", err)
	}
	s.SetGrants(fakeproxmox.Administrator(9))
	s.Inject(execCall, fakeproxmox.Fault{Status: http.StatusInternalServerError, Text: "VM 1000 qga command 'guest-exec' failed - got timeout"})
	run, err := step(t, d, i.ID, []byte("exit 0"), "")
	if err != nil || run.Done || run.Note == "" {
		t.Errorf("an agent that hangs: %+v, %v", run, err)
	}
	for _, garbage := range []string{"{", "null", `{"sum":"ffffffffffff","next":99}`, `{"next":-5}`} {
		if _, err := step(t, d, i.ID, []byte("exit 0"), garbage); err != nil {
			t.Errorf("with the progress %s: %v", garbage, err)
		}
	}
}

// TestWindows looks at the requests: there is no Windows here to run them.
func TestWindows(t *testing.T) {
	t.Parallel()
	for script, extension := range map[string]string{"Write-Host hello": "ps1", "@echo off\r\necho hello": "cmd", "rem cmd\r\n": "cmd", "#ps1_sysnative\r\n": "ps1"} {
		if got := windowsExtension([]byte(script)); got != extension {
			t.Errorf("%q is run as %s", script, got)
		}
	}
	g := guest{windows: true, dir: `C:\Windows\Temp`, name: "headroom-x"}
	name, text := g.runner()
	if g.file(name) != `C:\Windows\Temp\headroom-x.run.ps1` || len(text) > maxPart || !bytes.Contains(text, []byte("$LASTEXITCODE")) {
		t.Errorf("the runner is %s with %d bytes", g.file(name), len(text))
	}
	s := newSite(t, nil)
	d := s.driver(t, func(c *Settings) { c.OSType = Windows })
	i := running(t, d, "01jwindows")
	if c := Kind().ScriptChannel(&Settings{OSType: Windows}); c.System != "windows" || !c.AfterBoot {
		t.Errorf("channel %+v", c)
	}
	run, err := step(t, d, i.ID, []byte("Write-Host hello"), "")
	var p delivery
	if err != nil || json.Unmarshal([]byte(run.Progress), &p) != nil || p.Sum == "" {
		t.Errorf("first step: %+v, %v", run, err)
	}
	if n := slices.Index(s.Log(), execCall); n >= 0 {
		t.Errorf("a directory was made on Windows")
	}
}
