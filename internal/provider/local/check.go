//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Check looks at the directory, the program, the limits and who reaps.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	if ctx.Err() != nil {
		return provider.Report{}, failure("checking the host", ctx.Err())
	}
	return provider.Report{Findings: []provider.Finding{
		d.checkDirectory(), d.checkProgram(), d.checkLimits(), checkReaper(os.Getpid()),
	}}, nil
}

func (d *driver) checkDirectory() provider.Finding {
	f := provider.Finding{Subject: "data directory", Verdict: provider.VerdictOK, Message: "machines are kept in " + d.root}
	dir := d.root
	for {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		switch {
		case err == nil:
			return f
		case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
			dir = filepath.Dir(dir) // it is made with the first machine
			continue
		}
		f.Verdict = provider.VerdictFailed
		f.Message = fmt.Sprintf("%s cannot be written to: %v", dir, err)
		f.Remedy = "give the user that runs the controller the right to write there"
		return f
	}
}

func (d *driver) checkProgram() provider.Finding {
	f := provider.Finding{Subject: "headroom program", Verdict: provider.VerdictOK, Message: "machines run " + d.executable}
	info, err := os.Stat(d.executable)
	switch {
	case err != nil:
		f.Message = err.Error()
	case !info.Mode().IsRegular() || unix.Access(d.executable, unix.X_OK) != nil:
		f.Message = d.executable + " cannot be run"
	default:
		return f
	}
	f.Verdict = provider.VerdictFailed
	f.Remedy = "put the program back, or restart the controller from where it is now"
	return f
}

func (d *driver) checkLimits() provider.Finding {
	f := provider.Finding{Subject: "limits", Verdict: provider.VerdictOK}
	if d.settings.CgroupLimits == CgroupOff {
		f.Message = "cgroup_limits is off: machines are not held to their cores and memory"
		return f
	}
	parent, err := d.cgroups()
	if err != nil {
		f.Verdict = provider.VerdictWarning
		f.Message = "machines are not held to their cores and memory: " + err.Error()
		f.Remedy = "run the controller as a systemd service with Delegate=yes and DelegateSubgroup=controller, or set cgroup_limits to off"
		return f
	}
	f.Message = "machines are held to their cores and memory by control groups below " + parent
	return f
}

// checkReaper warns when the controller itself is the process that would have
// to reap the machines.
func checkReaper(pid int) provider.Finding {
	f := provider.Finding{Subject: "process reaping", Verdict: provider.VerdictOK, Message: "the host's first process reaps machines that have ended"}
	if pid == 1 {
		f.Verdict = provider.VerdictWarning
		f.Message = "the controller is the first process here and does not reap machines that have ended: they stay in the process table"
		f.Remedy = "start the container with an init, for example docker run --init"
	}
	return f
}
