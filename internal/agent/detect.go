package agent

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	addressLimit = 32
	gpuTimeout   = 5 * time.Second
	procLimit    = 4 << 20 // bytes of a file below /proc or of a program's output
)

// detector finds out what the machine has. Root is "/" but for tests.
type detector struct {
	root   string
	numCPU int
}

func newDetector() detector { return detector{root: "/", numCPU: runtime.NumCPU()} }

func (d detector) read(path string) string {
	f, err := os.Open(filepath.Join(d.root, path))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, procLimit))
	return string(text)
}

// cores is the number of usable CPUs, less if a control group allows less.
func (d detector) cores() fleet.Cores {
	cores := fleet.Cores(d.numCPU) * fleet.Core
	limit := func(quota, period string) {
		q, err1 := strconv.ParseFloat(quota, 64)
		p, err2 := strconv.ParseFloat(period, 64)
		if err1 == nil && err2 == nil && q > 0 && p > 0 {
			cores = min(cores, max(fleet.Cores(q/p*1000), 1))
		}
	}
	for _, dir := range d.groups("cpu") {
		if fields := strings.Fields(d.read(dir + "/cpu.max")); len(fields) == 2 {
			limit(fields[0], fields[1])
		}
		limit(strings.TrimSpace(d.read(dir+"/cpu.cfs_quota_us")), strings.TrimSpace(d.read(dir+"/cpu.cfs_period_us")))
	}
	return cores
}

// memory is the machine's memory, less if a control group allows less; 0 when
// it cannot be found.
func (d detector) memory() fleet.Memory {
	total := d.meminfo("MemTotal")
	for _, dir := range d.groups("memory") {
		for _, file := range []string{"/memory.max", "/memory.limit_in_bytes"} {
			n, err := strconv.ParseInt(strings.TrimSpace(d.read(dir+file)), 10, 64)
			if err == nil && n > 0 && total > 0 {
				total = min(total, n)
			}
		}
	}
	return fleet.Memory(total >> 20)
}

// meminfo is a line of /proc/meminfo in bytes.
func (d detector) meminfo(key string) int64 {
	for line := range strings.Lines(d.read("proc/meminfo")) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == key+":" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// groups lists the directories of the control groups that this process is in
// and of all groups around them, for version 2 and for the controller's
// hierarchy of version 1.
func (d detector) groups(controller string) []string {
	var dirs []string
	for line := range strings.Lines(d.read("proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		v2 := parts[0] == "0" && parts[1] == ""
		if !v2 && !contains(parts[1], controller) {
			continue
		}
		root, mount := d.groupMount(controller, v2)
		if mount == "" {
			continue
		}
		inside, ok := strings.CutPrefix(parts[2], strings.TrimSuffix(root, "/"))
		if !ok {
			inside = ""
		}
		for dir := filepath.Join(mount, inside); ; dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
			if dir == filepath.Clean(mount) || dir == "/" || dir == "." {
				break
			}
		}
	}
	return dirs
}

// groupMount finds where a hierarchy is mounted and which of its groups shows
// there as the root.
func (d detector) groupMount(controller string, v2 bool) (root, mount string) {
	for line := range strings.Lines(d.read("proc/self/mountinfo")) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		if v2 && kind[0] == "cgroup2" || !v2 && kind[0] == "cgroup" && contains(kind[2], controller) {
			return fields[3], fields[4]
		}
	}
	return "", ""
}

func contains(list, word string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == word {
			return true
		}
	}
	return false
}

// gpus counts the graphics cards that the NVIDIA tool lists; 0 without the
// tool, or when it does not answer in time.
func (d detector) gpus(ctx context.Context) int64 {
	path, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, gpuTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--list-gpus")
	cmd.WaitDelay = time.Second
	out := &limitedBuffer{}
	cmd.Stdout = out
	if cmd.Run() != nil {
		return 0
	}
	var n int64
	for lines := bufio.NewScanner(&out.Buffer); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "GPU ") {
			n++
		}
	}
	return min(n, 1000)
}

// limitedBuffer drops what exceeds procLimit.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := procLimit - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// usage is the present load.
func (d detector) usage() fleet.AgentUsage {
	var u fleet.AgentUsage
	if fields := strings.Fields(d.read("proc/loadavg")); len(fields) > 0 {
		u.Load1, _ = strconv.ParseFloat(fields[0], 64)
	}
	u.MemoryUsedMiB = max(d.meminfo("MemTotal")-d.meminfo("MemAvailable"), 0) >> 20
	return u
}

// addresses lists where the machine can be reached: its global addresses,
// IPv4 first; the loopback address when it has no other.
func addresses() []string {
	found, _ := net.InterfaceAddrs()
	var v4, v6 []string
	for _, a := range found {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			v4 = append(v4, n.IP.String())
		} else {
			v6 = append(v6, n.IP.String())
		}
	}
	all := append(v4, v6...)
	if len(all) == 0 {
		return []string{"127.0.0.1"}
	}
	return all[:min(len(all), addressLimit)]
}
