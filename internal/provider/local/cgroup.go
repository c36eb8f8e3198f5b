//go:build linux

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// cgroupPeriod is the time in microseconds over which cpu.max counts.
const cgroupPeriod = 100_000

// cgroupParent finds the control group below which machines can have theirs:
// the controller's own, or the one around it, whichever hands cpu and memory
// down and may be written to. The error says why there is none.
func cgroupParent(root string) (string, error) {
	mount, own, err := ownCgroup(root)
	if err != nil {
		return "", err
	}
	candidates := []string{own}
	if own != mount {
		candidates = append(candidates, filepath.Dir(own))
	}
	for _, dir := range candidates {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			continue
		}
		given := strings.Fields(string(text))
		if slices.Contains(given, "cpu") && slices.Contains(given, "memory") && unix.Access(dir, unix.W_OK) == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("neither %s nor the group around it hands cpu and memory down to groups that the controller may make", own)
}

// ownCgroup finds where version 2 control groups are mounted and which one the
// controller is in.
func ownCgroup(root string) (mount, own string, err error) {
	mounts, err := readSmall(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return "", "", err
	}
	top := ""
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			top, mount = fields[3], filepath.Join(root, fields[4])
		}
	}
	if mount == "" {
		return "", "", errors.New("version 2 control groups are not mounted")
	}
	groups, err := readSmall(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(groups)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			inside, ok := strings.CutPrefix(path, strings.TrimSuffix(top, "/"))
			if !ok {
				return "", "", fmt.Errorf("the controller's control group %s is not visible", path)
			}
			return mount, filepath.Join(mount, inside), nil
		}
	}
	return "", "", errors.New("the controller is in no version 2 control group")
}

// openCgroup makes the group of a machine, sets its limits and opens it; nil
// when the machine has none.
func openCgroup(r record) (*os.File, error) {
	if r.Cgroup == "" {
		return nil, nil
	}
	if err := os.Mkdir(r.Cgroup, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for file, value := range cgroupLimits(r.Shape) {
		if err := os.WriteFile(filepath.Join(r.Cgroup, file), []byte(value), 0o600); err != nil {
			return nil, err
		}
	}
	return os.Open(r.Cgroup)
}

func cgroupLimits(shape fleet.Resources) map[string]string {
	quota := max(int64(shape.Cores)*cgroupPeriod/int64(fleet.Core), 1000)
	return map[string]string{
		"cpu.max":    strconv.FormatInt(quota, 10) + " " + strconv.Itoa(cgroupPeriod),
		"memory.max": strconv.FormatInt(shape.MemoryMiB<<20, 10),
	}
}

// dropCgroup ends what is left in a machine's group and removes it. EBUSY
// means that something has not ended yet.
func dropCgroup(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o600); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the control group %s: %w", dir, err)
	}
	return nil
}
