//go:build linux

package local

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func TestCgroupParent(t *testing.T) {
	t.Parallel()
	const mounts = "24 1 0:20 / /sys rw - sysfs sysfs rw\n30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	const control = "/cgroup.subtree_control"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string // below the root; empty: an error
	}{
		"a service with a group for the controller": {map[string]string{
			"proc/self/mountinfo": mounts, "proc/self/cgroup": "0::/system.slice/headroom.service/controller\n",
			"sys/fs/cgroup/system.slice/headroom.service/controller" + control: "",
			"sys/fs/cgroup/system.slice/headroom.service" + control:            "cpu memory pids\n",
		}, "sys/fs/cgroup/system.slice/headroom.service"},
		"a service that hands nothing down": {map[string]string{
			"proc/self/mountinfo": mounts, "proc/self/cgroup": "0::/system.slice/headroom.service\n",
			"sys/fs/cgroup/system.slice/headroom.service" + control: "",
			"sys/fs/cgroup/system.slice" + control:                  "memory pids\n",
		}, ""},
		"a container, whose root has processes": {map[string]string{
			"proc/self/mountinfo": mounts, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup" + control: "",
		}, ""},
		"the root of a host": {map[string]string{
			"proc/self/mountinfo": mounts, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup" + control: "cpuset cpu io memory\n",
		}, "sys/fs/cgroup"},
		"version 1 only": {map[string]string{
			"proc/self/mountinfo": "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "proc/self/cgroup": "4:memory:/box\n",
		}, ""},
	} {
		root := t.TempDir()
		for path, text := range tt.files {
			full := filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := cgroupParent(root)
		if tt.want == "" && err == nil || tt.want != "" && got != filepath.Join(root, tt.want) {
			t.Errorf("%s: %q, %v, expected %q", name, got, err, tt.want)
		}
	}
}

func TestCgroupLimits(t *testing.T) {
	t.Parallel()
	got := cgroupLimits(fleet.Resources{Cores: 1500, MemoryMiB: 512})
	if diff := cmp.Diff(map[string]string{"cpu.max": "150000 100000", "memory.max": "536870912"}, got); diff != "" {
		t.Error(diff)
	}
}

// A process is put into its control group, and what is left in the group ends
// with the machine. It needs a version 2 hierarchy that the test may write to.
func TestCgroupOfAMachine(t *testing.T) {
	t.Parallel()
	mount, _, err := ownCgroup("/")
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	parent, err := os.MkdirTemp(mount, "headroom-test-")
	if err != nil {
		t.Skipf("SKIPPED: control groups cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(parent); err != nil {
			t.Errorf("the test leaves a control group: %v", err)
		}
	})
	d := newDriver(t, Settings{})
	d.cgroups = func() (string, error) { return parent, nil }
	// Without cpu and memory below the parent, the limits cannot be set and
	// the machine runs without them.
	mustCreate(t, d, wish(1))
	inState(t, d, "hr-1", provider.StateRunning)
	m, _ := d.machine("hr-1")
	r, err := m.load()
	if err != nil || r.Cgroup != filepath.Join(parent, "headroom-hr-1") {
		t.Fatalf("the record names the group %q: %v", r.Cgroup, err)
	}
	// What the kernel does once the limits are set: the process begins in the
	// group.
	lay, group := machine{name: "hr-2", dir: filepath.Join(d.root, "hr-2")}, filepath.Join(parent, "headroom-hr-2")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	r2 := d.record(wish(2))
	lock, err := lay.lay(r2, lay.config(r2, wish(2).Bootstrap, 0), wish(2).Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(lay.path(fileLog))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	err = d.run(t.Context(), lay, lock, log, open)
	dropLock(lock)
	if err != nil {
		t.Fatalf("starting in a control group: %v", err)
	}
	inState(t, d, "hr-2", provider.StateRunning)
	if text, _ := os.ReadFile(filepath.Join(group, "cgroup.procs")); strings.TrimSpace(string(text)) != strconv.Itoa(pidOf(t, d, "hr-2")) {
		t.Errorf("in the group: %q, the machine is %d", text, pidOf(t, d, "hr-2"))
	}
	removeAll(t, d)
	for _, name := range []string{"headroom-hr-1", "headroom-hr-2"} {
		if _, err := os.Stat(filepath.Join(parent, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("group %s is left: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	verdicts := func(d *driver) map[string]provider.Verdict {
		t.Helper()
		r, err := d.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]provider.Verdict{}
		for _, f := range r.Findings {
			all[f.Subject] = f.Verdict
			if f.Message == "" || f.Verdict != provider.VerdictOK && f.Remedy == "" {
				t.Errorf("finding without message or remedy: %+v", f)
			}
		}
		return all
	}
	const ok, warning, failed = provider.VerdictOK, provider.VerdictWarning, provider.VerdictFailed
	d := newDriver(t, Settings{})
	d.cgroups = func() (string, error) { return "/groups", nil }
	want := map[string]provider.Verdict{"data directory": ok, "headroom program": ok, "limits": ok, "process reaping": ok}
	if diff := cmp.Diff(want, verdicts(d)); diff != "" {
		t.Error(diff)
	}
	d.cgroups = func() (string, error) { return "", errors.New("no control groups") }
	d.executable = filepath.Join(t.TempDir(), "absent")
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root := d.root
	d.root = filepath.Join(blocked, "machines")
	want = map[string]provider.Verdict{"data directory": failed, "headroom program": failed, "limits": warning, "process reaping": ok}
	if diff := cmp.Diff(want, verdicts(d)); diff != "" {
		t.Error(diff)
	}
	d.root = root
	d.settings.CgroupLimits = CgroupOff
	if v := verdicts(d)["limits"]; v != ok {
		t.Errorf("limits that are off are %s", v)
	}
	if f := checkReaper(1); f.Verdict != warning || f.Remedy == "" {
		t.Errorf("the controller as the first process: %+v", f)
	}
}
