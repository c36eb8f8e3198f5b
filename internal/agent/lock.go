package agent

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const lockFile = "lock"

// lockState takes the state directory for this process, for as long as the
// file that it returns is open: two agents with one identity would rotate the
// credential under each other and report as one machine.
func lockState(cfg Config) (*os.File, error) {
	dir := cfg.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "making the agent's state directory: %w", withoutOp(err))
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "locking the agent's state directory: %w", withoutOp(err))
	}
	held, err := tryLock(f)
	switch {
	case err != nil:
		_ = f.Close()
		return nil, fleet.Errorf(fleet.CodeUnavailable, "locking the agent's state directory %s: %w", dir, err)
	case held:
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		who := "another agent"
		if pid := strings.TrimSpace(string(holder)); pid != "" {
			who += " (process " + pid + ")"
		}
		return nil, fleet.Errorf(fleet.CodeConflict, "the state directory %s is in use by %s: stop that one, or give this one a %s of its own", dir, who, cfg.setting("state_dir"))
	}
	// Whose lock it is only helps people; a full disk does not stop the agent.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
