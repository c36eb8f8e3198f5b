package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func itoa(n int) string { return strconv.Itoa(n) }

const meminfo = "MemTotal:        8388608 kB\nMemFree:          100 kB\nMemAvailable:    6291456 kB\n"

func TestDetect(t *testing.T) {
	t.Parallel()
	const v2Mount = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
	for name, tt := range map[string]struct {
		files  map[string]string
		cores  fleet.Cores
		memory fleet.Memory
	}{
		"no control groups": {nil, 8000, 8192},
		"version 2, limits at two levels": {map[string]string{
			"proc/self/cgroup":                       "0::/machines/one\n",
			"proc/self/mountinfo":                    v2Mount,
			"sys/fs/cgroup/machines/one/cpu.max":     "max 100000\n",
			"sys/fs/cgroup/machines/cpu.max":         "150000 100000\n",
			"sys/fs/cgroup/machines/one/memory.max":  "2147483648\n",
			"sys/fs/cgroup/machines/memory.max":      "4294967296\n",
			"sys/fs/cgroup/machines/unused/cpu.max":  "1000 100000\n",
			"sys/fs/cgroup/machines/other/mem.other": "1",
		}, 1500, 2048},
		"version 2 without limits": {map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": v2Mount,
			"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n",
		}, 8000, 8192},
		"version 2 in a container that sees its own group as the root": {map[string]string{
			"proc/self/cgroup":         "0::/pods/one\n",
			"proc/self/mountinfo":      "30 24 0:26 /pods/one /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/cpu.max":    "50000 100000\n",
			"sys/fs/cgroup/memory.max": "1073741824\n",
		}, 500, 1024},
		"version 1": {map[string]string{
			"proc/self/cgroup": "4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n",
			"proc/self/mountinfo": "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
				"32 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
			"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "536870912\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
			"sys/fs/cgroup/cpu/box/cpu.cfs_quota_us":         "300000\n",
			"sys/fs/cgroup/cpu/box/cpu.cfs_period_us":        "100000\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":             "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":            "100000\n",
		}, 3000, 512},
	} {
		root := t.TempDir()
		tt.files = withFile(tt.files, "proc/meminfo", meminfo)
		for path, text := range withFile(tt.files, "proc/loadavg", "1.50 1.00 0.50 1/100 4242\n") {
			full := filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d := detector{root: root, numCPU: 8}
		if c, m := d.cores(), d.memory(); c != tt.cores || m != tt.memory {
			t.Errorf("%s: %v cores and %v, expected %v and %v", name, c, m, tt.cores, tt.memory)
		}
		if u := d.usage(); u != (fleet.AgentUsage{Load1: 1.5, MemoryUsedMiB: 2048}) {
			t.Errorf("%s: usage %+v", name, u)
		}
	}
	if m := (detector{root: t.TempDir()}).memory(); m != 0 {
		t.Errorf("memory %v found where there is nothing", m)
	}
}

func withFile(files map[string]string, path, text string) map[string]string {
	out := map[string]string{path: text}
	for p, t := range files {
		out[p] = t
	}
	return out
}

func TestDetectsThisMachine(t *testing.T) {
	t.Parallel()
	d := newDetector()
	if d.cores() <= 0 || d.memory() < 16 || len(addresses()) == 0 {
		t.Errorf("found %v cores, %v, addresses %v", d.cores(), d.memory(), addresses())
	}
}

func TestGPUs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if n := newDetector().gpus(t.Context()); n != 0 {
		t.Errorf("%d GPUs without the tool", n)
	}
	tool := filepath.Join(dir, "nvidia-smi")
	for script, want := range map[string]int64{
		"echo 'GPU 0: NVIDIA A16 (UUID: GPU-1)'; echo 'GPU 1: NVIDIA A16 (UUID: GPU-2)'": 2,
		"echo 'No devices were found'":         0,
		"echo 'GPU 0: half an answer'; exit 9": 0,
	} {
		if err := os.WriteFile(tool, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if n := newDetector().gpus(t.Context()); n != want {
			t.Errorf("%q: %d GPUs, expected %d", script, n, want)
		}
	}
	if err := os.WriteFile(tool, []byte("#!/bin/sh\nexec /bin/sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n := newDetector().gpus(ctx); n != 0 {
		t.Errorf("%d GPUs from a tool that hangs", n)
	}
}

func TestTrimLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agent.log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 2000 {
		fmt.Fprintf(f, "line %04d\n", i)
		if err := trimLog(path, 1000); err != nil {
			t.Fatal(err)
		}
		if info, _ := f.Stat(); info.Size() > 1000 {
			t.Fatalf("the log has %d bytes after line %d", info.Size(), i)
		}
	}
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) < 45 || lines[len(lines)-1] != "line 1999" {
		t.Fatalf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	for i, line := range lines {
		if want := fmt.Sprintf("line %04d", 2000-len(lines)+i); line != want {
			t.Fatalf("line %d is %q, expected %q", i, line, want)
		}
	}
}

func TestLogBufferIsBounded(t *testing.T) {
	t.Parallel()
	b := &logBuffer{}
	for i := range bufferLines + 5 {
		b.add(client.AgentLogLine{Text: "line " + itoa(i)})
	}
	lines, mark := b.batch()
	if len(lines) != bufferLines+1 || !strings.Contains(lines[0].Text, "5 older lines") || lines[1].Text != "line 5" {
		t.Fatalf("%d lines, beginning with %q, %q", len(lines), lines[0].Text, lines[1].Text)
	}
	b.add(client.AgentLogLine{Text: "meanwhile"}) // pushes line 5 out while the batch is on its way
	b.done(mark)
	if lines, _ := b.batch(); len(lines) != 1 || lines[0].Text != "meanwhile" {
		t.Errorf("left: %+v", lines)
	}
	for range 200 {
		b.add(client.AgentLogLine{Text: strings.Repeat("x", 3*lineBytes)})
	}
	size := 0
	lines, _ = b.batch()
	for _, l := range lines {
		size += len(l.Text)
	}
	if size > batchBytes || size < batchBytes/2 {
		t.Errorf("a batch has %d bytes, at most %d are right", size, batchBytes)
	}
}

func TestTeeRendersAttributes(t *testing.T) {
	t.Parallel()
	b := &logBuffer{}
	log := slog.New(newTee(slog.DiscardHandler, b)).With("server", "hr-one").WithGroup("g")
	log.Info("hello", "n", 1)
	log.Debug("not posted")
	lines, _ := b.batch()
	if len(lines) != 1 || lines[0].Text != `level=INFO msg=hello server=hr-one g.n=1` || lines[0].Stream != "agent" || lines[0].At.IsZero() {
		t.Errorf("lines: %+v", lines)
	}
}
