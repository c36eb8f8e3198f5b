//go:build linux

package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/agent"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func TestMachineIsAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Settings{Cores: 500, GPUs: 1})
	req := wish(1)
	req.Shape = fleet.Resources{MemoryMiB: 300}
	mustCreate(t, d, req)
	i := inState(t, d, "hr-1", provider.StateRunning)
	if want := (fleet.Resources{Cores: 500, MemoryMiB: 300, GPUs: 1}); i.Capacity != want {
		t.Errorf("capacity is %v, expected %v", i.Capacity, want)
	}
	pid := pidOf(t, d, "hr-1")
	if text, _ := os.ReadFile(filepath.Join(d.root, "hr-1", filePID)); strings.TrimSpace(string(text)) != strconv.Itoa(pid) {
		t.Errorf("pid file says %q, the process is %d", text, pid)
	}
	stat := statOf(pid)
	if stat.session != pid || stat.group != pid || stat.parent == os.Getpid() {
		t.Errorf("process %d is %+v: it must lead its session and group and be no child of ours", pid, stat)
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
		if err != nil || strings.Contains(string(text), "registration-") {
			t.Errorf("%s shows the registration token: %q, %v", file, text, err)
		}
	}
	_ = filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		info, infoErr := e.Info()
		if err != nil || infoErr != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may look: %v, %v, %v", path, info.Mode(), err, infoErr)
		}
		return nil
	})
}

// The agent reads exactly what the driver writes.
func TestAgentKnowsItsSettings(t *testing.T) {
	t.Parallel()
	m := machine{name: "hr-1", dir: "/data/machines/hr-1"}
	r := record{Name: "hr-1", Shape: fleet.Resources{Cores: 2000, MemoryMiB: 2048, GPUs: 3}}
	text, err := json.Marshal(m.config(r, wish(1).Bootstrap, fleet.Duration(time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := agent.LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	gpus := int64(3)
	want := agent.Config{
		URL: "http://127.0.0.1:9", TokenFile: m.path("token"), StateDir: m.path("state"),
		Cores: 2000, Memory: 2048, GPUs: &gpus, Addresses: []string{"127.0.0.1"}, Hostname: "hr-1",
		Delay: fleet.Duration(time.Second), Detach: true, PIDFile: m.path("pid"), LockFD: 3,
		LogFile: m.path("agent.log"), LogLimit: logLimit,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeadProcessIsSeen(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Settings{})
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
	until(t, func() string {
		if text, _ := d.Console(t.Context(), "hr-1", 1<<16); !strings.Contains(string(text), "cannot be reached") {
			return "the agent has not complained of its controller"
		}
		return ""
	})
	if err := syscall.Kill(pidOf(t, d, "hr-1"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i := inState(t, d, "hr-1", provider.StateFailed)
	if !strings.Contains(i.Fault, "the agent process has ended") || !strings.Contains(i.Fault, "cannot be reached") {
		t.Errorf("fault does not say what happened and what the agent said last: %q", i.Fault)
	}
	if again := mustCreate(t, d, wish(1)); again.State != provider.StateFailed {
		t.Errorf("a machine that has ended was answered as %s by a repeated create", again.State)
	}
}

func TestDeleteKillsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	host := testHost(t.TempDir())
	var mu sync.Mutex
	now := time.Now()
	host.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	d := driverOn(t, Settings{}, host)
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
	pid := pidOf(t, d, "hr-1")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it can obey nothing but SIGKILL now
		t.Fatal(err)
	}
	until(t, func() string {
		if s := statOf(pid); s.state != "T" {
			return "the process is in state " + s.state
		}
		return ""
	})
	for range 3 {
		if err := d.Delete(t.Context(), "hr-1"); err != nil {
			t.Fatal(err)
		}
	}
	inState(t, d, "hr-1", provider.StateDeleting)
	if _, err := d.Create(t.Context(), wish(1)); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("create of a machine that is being deleted: %v, expected conflict", err)
	}
	if s := statOf(pid); s.state != "T" {
		t.Fatalf("the process is in state %q before its time", s.state)
	}
	mu.Lock()
	now = now.Add(killAfter)
	mu.Unlock()
	if err := d.Delete(t.Context(), "hr-1"); err != nil {
		t.Fatal(err)
	}
	until(t, func() string {
		if _, err := d.Get(t.Context(), "hr-1"); provider.ClassOf(err) != provider.NotFound {
			return "the machine is still there"
		}
		return ""
	})
	if err := d.Delete(t.Context(), "hr-1"); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of a machine that is gone: %v", err)
	}
}

// A process that took the number of a dead machine gets no signal.
func TestStrangerIsNotKilled(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Settings{})
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
	stranger := exec.Command("/bin/sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	pidFile := filepath.Join(d.root, "hr-1", filePID)
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(stranger.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), "hr-1"); err != nil {
		t.Fatal(err)
	}
	until(t, func() string {
		if left := processesIn(t, d.root); len(left) > 0 {
			return "the machine's own process lives"
		}
		return ""
	})
	if s := statOf(stranger.Process.Pid); s.state != "S" {
		t.Errorf("the stranger is in state %q", s.state)
	}
}

// A data directory that is reached by another path than before, as through a
// link, has the same machines: they can be deleted.
func TestDeleteByAnotherPath(t *testing.T) {
	t.Parallel()
	real := t.TempDir()
	d := driverOn(t, Settings{}, testHost(real))
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
	pid := pidOf(t, d, "hr-1")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	other := driverOn(t, Settings{}, testHost(link))
	if got := pidOf(t, other, "hr-1"); got != pid {
		t.Errorf("by the other path the process is %d, not %d", got, pid)
	}
	if err := other.Delete(t.Context(), "hr-1"); err != nil {
		t.Fatal(err)
	}
	until(t, func() string {
		if _, err := other.Get(t.Context(), "hr-1"); provider.ClassOf(err) != provider.NotFound {
			return "the machine is still there"
		}
		return ""
	})
}

func TestCrashBeforeTheProcessStarts(t *testing.T) {
	t.Parallel()
	host := testHost(t.TempDir())
	broken := host
	broken.Executable = filepath.Join(host.DataDir, "no-such-program")
	if _, err := driverOn(t, Settings{}, broken).Create(t.Context(), wish(1)); provider.ClassOf(err) != provider.Invalid {
		t.Fatalf("create without a program: %v, expected invalid", err)
	}
	d := driverOn(t, Settings{}, host)
	// A process that another test is starting holds copies of our descriptors, locks
	// included, until the kernel closes them; that is after its parent goes on.
	until(t, func() string {
		if i := list(t, d)["hr-1"]; i.State != provider.StateFailed || !strings.Contains(i.Fault, "never started") {
			return fmt.Sprintf("the machine is %s (%s), expected failed: never started", i.State, i.Fault)
		}
		return ""
	})
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
}

func TestAgentThatCannotStart(t *testing.T) {
	t.Parallel()
	host := testHost(t.TempDir())
	host.Executable = filepath.Join(host.DataDir, "program")
	if err := os.WriteFile(host.Executable, []byte("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := driverOn(t, Settings{}, host)
	_, err := d.Create(t.Context(), wish(1))
	if provider.ClassOf(err) != provider.Unavailable || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("create with a program that fails: %v", err)
	}
}

// A zombie has closed its files, so its lock is free.
func TestZombieHoldsNoLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), fileLock)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := takeLock(lock); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/sleep", "1000")
	child.ExtraFiles = []*os.File{lock}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Wait() })
	_ = lock.Close()
	if held, err := lockHeld(path); err != nil || !held {
		t.Fatalf("the child does not hold the lock: %v, %v", held, err)
	}
	rival, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rival.Close()
	if err := takeLock(rival); !errors.Is(err, errHeld) {
		t.Errorf("taking a lock that is held: %v", err)
	}
	_ = child.Process.Kill()
	until(t, func() string {
		if s := statOf(child.Process.Pid); s.state != "Z" {
			return "the child is in state " + s.state
		}
		return ""
	})
	until(t, func() string { // see TestCrashBeforeTheProcessStarts
		if held, err := lockHeld(path); err != nil || held {
			return fmt.Sprintf("the lock of a zombie is held: %v, %v", held, err)
		}
		return ""
	})
}

func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Settings{})
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
	about := filepath.Join(d.root, "hr-1", fileRecord)
	good, err := os.ReadFile(about)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(about, good[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range d.List(t.Context(), testOwner()) {
		last = err
	}
	if provider.ClassOf(last) != provider.Unavailable {
		t.Errorf("a listing that cannot say whose a living machine is: %v, expected unavailable", last)
	}
	if err := d.Delete(t.Context(), "hr-1"); err != nil {
		t.Errorf("delete: %v", err)
	}
	until(t, func() string {
		_ = d.Delete(t.Context(), "hr-1")
		if _, err := d.Get(t.Context(), "hr-1"); provider.ClassOf(err) != provider.NotFound {
			return "the machine is still there"
		}
		return ""
	})
}
