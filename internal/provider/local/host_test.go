//go:build linux

package local

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// processesIn lists the processes that run with settings below root.
func processesIn(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if args := strings.Split(string(text), "\x00"); len(args) > 3 && args[1] == "agent" && strings.HasPrefix(args[3], root+"/") {
			found = append(found, filepath.Base(filepath.Dir(f)))
		}
	}
	return found
}

// until repeats look until it says nothing.
func until(t *testing.T, look func() (wrong string)) {
	t.Helper()
	providertest.Eventually(t, 20*time.Second, look)
}

func inState(t *testing.T, d provider.Driver, id string, want provider.State) (i provider.Instance) {
	t.Helper()
	until(t, func() string {
		var err error
		if i, err = d.Get(t.Context(), id); err != nil || i.State != want {
			return "machine " + id + " is " + string(i.State) + ", not " + string(want)
		}
		return ""
	})
	return i
}

func list(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	all := map[string]provider.Instance{}
	for i, err := range d.List(context.WithoutCancel(t.Context()), testOwner()) {
		if err != nil {
			t.Fatal(err)
		}
		all[i.ID] = i
	}
	return all
}

func removeAll(t *testing.T, d provider.Driver) {
	t.Helper()
	until(t, func() string {
		all := list(t, d)
		for id := range all {
			if err := d.Delete(context.WithoutCancel(t.Context()), id); err != nil && provider.ClassOf(err) != provider.NotFound {
				return err.Error()
			}
		}
		if len(all) > 0 {
			return "machines are left"
		}
		return ""
	})
}

// newDriver opens a driver whose machines end with the test.
func newDriver(t *testing.T, s Settings) *driver {
	t.Helper()
	return driverOn(t, s, testHost(t.TempDir()))
}

func driverOn(t *testing.T, s Settings, h provider.Host) *driver {
	t.Helper()
	d, err := open(t.Context(), s, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, d) })
	return d.(*driver)
}

func mustCreate(t *testing.T, d provider.Driver, req provider.Request) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func pidOf(t *testing.T, d *driver, name string) int {
	t.Helper()
	m, _ := d.machine(name)
	pid, err := m.process()
	if err != nil || pid == 0 {
		t.Fatalf("machine %s has no process: %v", name, err)
	}
	return pid
}

type procStat struct {
	state                  string
	parent, group, session int
}

func statOf(pid int) procStat {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 4 {
		return procStat{}
	}
	n := func(s string) int { v, _ := strconv.Atoi(s); return v }
	return procStat{f[0], n(f[1]), n(f[2]), n(f[3])}
}

func processName(pid int) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return string(text)
}
