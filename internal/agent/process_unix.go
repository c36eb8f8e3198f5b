//go:build unix

package agent

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// leadsSession says whether the process has a session of its own.
func leadsSession() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == os.Getpid()
}

// startDetached starts this program again in a session of its own, with the
// same arguments, output and lock. The new process belongs to nobody once the
// caller has ended: the system reaps it, and neither the end of the starter
// nor a signal to the starter's group reaches it.
func startDetached(lockFD int) error {
	exe, err := os.Executable()
	if err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "finding the program to detach: %w", err)
	}
	cmd := exec.Command(exe, os.Args[1:]...) //nolint:noctx // it outlives every context of its starter
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if lockFD > 0 {
		lock := os.NewFile(uintptr(lockFD), "lock")
		cmd.ExtraFiles = make([]*os.File, lockFD-2)
		cmd.ExtraFiles[lockFD-3] = lock
	}
	if err := cmd.Start(); err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "starting the detached agent: %w", err)
	}
	return cmd.Process.Release()
}

// keepFromChildren makes sure that no program which the agent runs inherits
// the lock: it must be free as soon as the agent itself has ended.
func keepFromChildren(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return fleet.Errorf(fleet.CodeInvalid, "lock_fd %d is not an open descriptor: %w; it is meant for a starter that passes one", fd, err)
	}
	return nil
}

// tryLock takes a lock that ends with the file or the process.
func tryLock(f *os.File) (held bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// syncDir makes a rename in the directory last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return withoutOp(err)
	}
	defer d.Close()
	// Some file systems cannot sync a directory; they need not.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return withoutOp(err)
	}
	return nil
}
