package pools_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/test/pools"
)

// TestLocal shows that the pool test itself works, with machines that are
// processes of this host.
func TestLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alive := func(t *testing.T) []string {
		t.Helper()
		entries, err := os.ReadDir("/proc")
		if err != nil {
			t.Skipf("machines of this host cannot be counted: %v", err)
		}
		var found []string
		for _, e := range entries {
			line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			if err == nil && strings.Contains(string(line), "\x00agent\x00") && strings.Contains(string(line), dir) {
				found = append(found, e.Name())
			}
		}
		return found
	}
	pools.Run(t, pools.Pool{
		Kind: "local", Settings: map[string]any{"cores": 1}, Dir: dir,
		Machines:  func(t *testing.T) int { return len(alive(t)) },
		Leftovers: alive,
	})
}
