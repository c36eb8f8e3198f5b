//go:build linux

package local

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
)

// startController starts a controller of its own and reads n of its lines.
func startController(t *testing.T, dataDir string, count, n int) *exec.Cmd {
	t.Helper()
	c := exec.Command(testHost("").Executable, "controller", dataDir, strconv.Itoa(count))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines := bufio.NewScanner(out)
	for range n {
		if !lines.Scan() {
			t.Fatal("the controller ended early")
		}
	}
	return c
}

func TestMachinesOutliveTheController(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startController(t, dir, 3, 3)
	d := driverOn(t, Settings{}, testHost(dir))
	before := map[string]int{}
	for id := range list(t, d) {
		inState(t, d, id, provider.StateRunning)
		before[id] = pidOf(t, d, id)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	after := map[string]int{}
	for i := range 3 {
		id := mustCreate(t, d, wish(i)).ID
		inState(t, d, id, provider.StateRunning)
		after[id] = pidOf(t, d, id)
	}
	if diff := cmp.Diff(before, after); diff != "" || len(after) != 3 {
		t.Errorf("the processes changed:\n%s", diff)
	}
}

// A controller is killed at moments that nobody chose; whatever it left, the
// same requests lead to one process each.
func TestControllerKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const machines = 12
	dir := t.TempDir()
	d := driverOn(t, Settings{}, testHost(dir))
	for round := range 6 {
		c := startController(t, dir, machines, 2*round)
		tick := time.NewTimer(time.Duration(round*3) * time.Millisecond)
		<-tick.C
		_ = c.Process.Kill()
		_ = c.Wait()
		for _, i := range list(t, d) { // every directory that shows is whole
			if i.Tags.Owner() != testOwner() || i.CreatedAt.IsZero() {
				t.Errorf("half a machine: %+v", i)
			}
		}
	}
	for i := range machines {
		mustCreate(t, d, wish(i))
	}
	for id := range list(t, d) {
		inState(t, d, id, provider.StateRunning)
	}
	if n := len(processesIn(t, d.root)); n != machines {
		t.Errorf("%d processes for %d machines", n, machines)
	}
	d.now = func() time.Time { return time.Now().Add(2 * stagingAge) }
	list(t, d)
	if left, _ := filepath.Glob(filepath.Join(d.root, ".*")); len(left) > 0 {
		t.Errorf("left by the crashes: %v", left)
	}
}

func TestManyAtOnceLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := driverOn(t, Settings{}, testHost(dir))
	mustCreate(t, d, wish(100)) // what is opened once is open now
	var wg sync.WaitGroup
	for i := range 20 {
		for range 2 {
			wg.Go(func() {
				if _, err := d.Create(t.Context(), wish(i)); err != nil && provider.ClassOf(err) != provider.Conflict {
					t.Errorf("create %d: %v", i, err)
				}
			})
		}
		wg.Go(func() {
			for _, err := range d.List(t.Context(), testOwner()) {
				if err != nil {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for id := range list(t, d) {
		inState(t, d, id, provider.StateRunning)
	}
	if n := len(processesIn(t, d.root)); n != 21 {
		t.Errorf("%d processes for 21 machines", n)
	}
	for i := range 20 {
		wg.Go(func() {
			until(t, func() string {
				_ = d.Delete(t.Context(), wish(i).Name)
				if _, err := d.Get(t.Context(), wish(i).Name); provider.ClassOf(err) != provider.NotFound {
					return "machine " + wish(i).Name + " is still there"
				}
				return ""
			})
		})
	}
	wg.Wait()
	if n := len(list(t, d)); n != 1 {
		t.Errorf("%d machines are left, expected 1", n)
	}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, l := range links {
		if target, _ := os.Readlink(l); strings.HasPrefix(target, dir) {
			t.Errorf("descriptor left open: %s", target)
		}
	}
	until(t, func() string { // controllers that other tests have killed are waited for by those
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, f := range stats {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			if s := statOf(pid); s.parent == os.Getpid() && s.state == "Z" && processName(pid) == processName(os.Getpid()) {
				return "process " + strconv.Itoa(pid) + " is a zombie of ours"
			}
		}
		return ""
	})
}
