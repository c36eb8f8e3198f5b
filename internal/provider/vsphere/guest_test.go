package vsphere

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/vsphere/fakevsphere"
)

// machineWithGuest is a machine that runs, and its reference.
func machineWithGuest(t *testing.T, change map[string]any) (*driver, *fakevsphere.Server, string, types.ManagedObjectReference) {
	t.Helper()
	d, s := newDriver(t, change)
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	isRunning(t, d, i.ID)
	return d, s, i.ID, s.Machines()[0].Self
}

func runToEnd(t *testing.T, d *driver, id, script string) provider.ScriptRun {
	t.Helper()
	var run provider.ScriptRun
	within(t, 20*time.Second, func() string {
		var err error
		if run, err = d.RunScript(t.Context(), id, []byte(script), run.Progress); err != nil {
			t.Fatal(err)
		}
		if !run.Done {
			return run.Note
		}
		return ""
	})
	return run
}

func TestScriptResult(t *testing.T) {
	t.Parallel()
	d, s, id, vm := machineWithGuest(t, nil)
	// More output than is kept, without a first line, with an error at the end.
	run := runToEnd(t, d, id, "i=0; while [ $i -lt 3000 ]; do echo 'a line of some forty characters of output'; i=$((i+1)); done; echo the end >&2; exit 7\n")
	if run.ExitCode != 7 || len(run.Output) != maxOutput || !bytes.HasSuffix(run.Output, []byte("the end\n")) {
		t.Errorf("exit code %d with %d bytes of output that end with %q", run.ExitCode, len(run.Output), run.Output[max(0, len(run.Output)-20):])
	}
	if n := s.ScriptRuns(vm); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
	// The script holds the token of its machine: it does not stay.
	if _, err := os.Stat(s.GuestFile(vm, "/var/lib/headroom-startup/hr-1/script")); !os.IsNotExist(err) {
		t.Errorf("the script is left in the guest: %v", err)
	}
}

// Every answer of a step may get lost, and everything be started twice.
func TestScriptRunsOnceWhateverIsLost(t *testing.T) {
	t.Parallel()
	d, s, id, vm := machineWithGuest(t, nil)
	script := "#!/bin/sh\necho hello\n"
	for _, method := range []string{"MakeDirectoryInGuest", "InitiateFileTransferToGuest", "StartProgramInGuest", "StartProgramInGuest"} {
		s.Lose(method)
		within(t, 10*time.Second, func() string {
			if _, err := d.RunScript(t.Context(), id, []byte(script), ""); err != nil {
				return ""
			}
			if s.ScriptRuns(vm) > 0 {
				return ""
			}
			return "the answer of " + method + " is not lost yet"
		})
	}
	if run := runToEnd(t, d, id, script); run.ExitCode != 0 || string(run.Output) != "hello\n" {
		t.Errorf("%+v", run)
	}
	if n := s.ScriptRuns(vm); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
}

func TestGuestThatIsNotReady(t *testing.T) {
	t.Parallel()
	d, s, id, _ := machineWithGuest(t, nil)
	s.SetTools(false)
	run, err := d.RunScript(t.Context(), id, []byte("true"), "as before")
	if err != nil || run.Done || run.Progress != "as before" || !strings.Contains(run.Note, "VMware Tools") {
		t.Errorf("%+v, %v", run, err)
	}
	s.SetTools(true)
	if run := runToEnd(t, d, id, "true"); run.ExitCode != 0 {
		t.Errorf("%+v", run)
	}
}

func TestWrongGuestPassword(t *testing.T) {
	t.Parallel()
	d, _, id, _ := machineWithGuest(t, map[string]any{"guest_password": "another-word"})
	_, err := d.RunScript(t.Context(), id, []byte("true"), "")
	if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "guest_username and guest_password") || strings.Contains(err.Error(), "another-word") {
		t.Errorf("a wrong password of the guest: %v", err)
	}
}

func TestESXiHostOutOfReach(t *testing.T) {
	t.Parallel()
	d, s, id, _ := machineWithGuest(t, nil)
	address := s.HostAddress()
	s.ForgetHost()
	_, err := d.RunScript(t.Context(), id, []byte("true"), "")
	if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), address) {
		t.Errorf("a host with another certificate: %v, expected unauthenticated and its name", err)
	}
	s.StopHost()
	_, err = d.RunScript(t.Context(), id, []byte("true"), "")
	if provider.ClassOf(err) != provider.Unavailable || !strings.Contains(err.Error(), "HTTPS to ESXi host "+address) {
		t.Errorf("a host that is down: %v, expected unavailable and its name", err)
	}
	r, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range r.Findings {
		found = found || f.Verdict == provider.VerdictFailed && f.Subject == "HTTPS to ESXi host "+address && f.Remedy != ""
	}
	if !found {
		t.Errorf("the check does not name the host: %+v", r)
	}
}

// Windows guests do not run here: what is put into them is looked at.
func TestWindowsGuest(t *testing.T) {
	t.Parallel()
	d, s, id, vm := machineWithGuest(t, map[string]any{"os_type": "windows"})
	for range 2 {
		if _, err := d.RunScript(t.Context(), id, []byte("Write-Output hello\r\n"), ""); err != nil {
			t.Fatal(err)
		}
	}
	programs := s.Programs(vm)
	if len(programs) != 1 || !strings.HasSuffix(programs[0].ProgramPath, "powershell.exe") || !strings.Contains(programs[0].Arguments, `-File "C:\ProgramData\headroom-startup\hr-1\run.ps1"`) {
		t.Errorf("started: %+v", programs)
	}
	text, err := os.ReadFile(s.GuestFile(vm, `C:\ProgramData\headroom-startup\hr-1\run.ps1`))
	if err != nil || !strings.Contains(string(text), "-File script.ps1 > output.all 2>&1") || strings.Contains(string(text), "%!") {
		t.Errorf("%s, %v", text, err)
	}
	for script, want := range map[string]string{"@echo off\r\n": "call script.cmd", "\r\nREM x\r\n": "call script.cmd", "Get-Item x": "-File script.ps1"} {
		if got := guestOf(Windows, "hr-1", []byte(script)); !bytes.Contains(got.text, []byte(want)) {
			t.Errorf("%q is run with %s", script, got.text)
		}
	}
}

// One right missing at a time: the check names exactly that one.
func TestMissingPrivileges(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, map[string]any{"network": fakevsphere.Network, "resource_pool": fakevsphere.ResourcePool})
	tried := 0
	for setting, all := range d.settings.privileges() {
		for _, p := range all {
			s.Deny(p.id)
			r, err := d.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var bad []string
			for _, f := range r.Findings {
				if f.Verdict != provider.VerdictOK {
					bad = append(bad, fmt.Sprintf("%s: %s; %s", f.Subject, f.Message, f.Remedy))
				}
			}
			if len(bad) != 1 || !strings.HasPrefix(bad[0], p.id+" on "+setting+": ") || !strings.Contains(bad[0], p.title) || r.OK() != (p.spare != "") {
				t.Errorf("without %s: %q", p.id, bad)
			}
			tried++
		}
	}
	if tried != 21 {
		t.Errorf("%d privileges were tried", tried)
	}
}

func TestChoices(t *testing.T) {
	t.Parallel()
	d, _ := newDriver(t, nil)
	for setting, want := range map[string]string{
		"datacenter": fakevsphere.Datacenter, "cluster": fakevsphere.Cluster, "resource_pool": fakevsphere.ResourcePool, "datastore": fakevsphere.Datastore,
		"folder": fakevsphere.Folder, "template": fakevsphere.Template, "source_vm": fakevsphere.SourceVM, "network": fakevsphere.Network,
	} {
		all, err := d.Choices(t.Context(), setting)
		found := false
		for _, c := range all {
			found = found || c.Value == want
		}
		if err != nil || !found {
			t.Errorf("%s: %+v, %v, expected %s among them", setting, all, err, want)
		}
	}
	if _, err := d.Choices(t.Context(), "password"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("choices for a password: %v", err)
	}
}
