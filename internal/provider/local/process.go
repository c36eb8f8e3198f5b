//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/provider"
)

// lockFD is the descriptor under which the process of a machine has its lock:
// the first of exec.Cmd.ExtraFiles.
const lockFD = 3

// errHeld says that another has the lock: the machine's process, or a driver
// that is about to start it.
var errHeld = errors.New("the lock is held")

func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK} }

func takeLock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errHeld
	}
	return err
}

// dropLock lets go of this driver's part in a lock. It waits for a program that
// is just being started: until it runs, the new process has copies of all our
// descriptors, and the lock would be held a moment longer than the caller
// believes. A moment remains: the kernel lets the parent go on before it closes
// the copies. A machine that never started can look as if it were starting until
// then; the next look tells.
func dropLock(f *os.File) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	_ = f.Close() // nothing was written
}

// lockHeld asks without taking the lock.
func lockHeld(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	q := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, q); err != nil {
		return false, fmt.Errorf("asking for the lock %s: %w", path, err)
	}
	return q.Type != unix.F_UNLCK, nil
}

// acquire takes the lock of a machine. errHeld means that it runs or is being
// started; fs.ErrNotExist that it is gone.
func (m machine) acquire() (*os.File, error) {
	f, err := os.OpenFile(m.path(fileLock), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = takeLock(f)
	if err == nil {
		// Between opening and locking, the machine may have been removed and
		// another been made under its name.
		err = sameFile(f, m.path(fileLock))
	}
	if err != nil {
		dropLock(f)
		return nil, err
	}
	return f, nil
}

func sameFile(f *os.File, path string) error {
	a, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(a, b) {
		return errHeld
	}
	return nil
}

// spawn starts the machine's process, which inherits the lock, and returns
// when it stands on its own.
func (d *driver) spawn(ctx context.Context, m machine, r record, lock *os.File) error {
	log, err := os.OpenFile(m.path(fileLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	group, err := openCgroup(r)
	if err == nil && group != nil {
		err = d.run(ctx, m, lock, log, group)
		_ = group.Close()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	// Limits are set where they can be; a group that cannot be used is no
	// reason to have no machine.
	return d.run(ctx, m, lock, log, nil)
}

func (d *driver) run(ctx context.Context, m machine, lock, log, group *os.File) error {
	cmd := exec.CommandContext(ctx, d.executable, "agent", "--config", m.path(fileConfig))
	cmd.Dir = m.dir
	cmd.Env = environment(m.dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return provider.Errorf(provider.Unavailable, "%s", m.fault("the agent could not start: "+exit.String()))
	}
	return err
}

// environment is what a machine sees of the controller's variables: nothing
// that could hold a secret.
func environment(home string) []string {
	env := []string{"HOME=" + home}
	for _, key := range []string{"PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	return env
}

// signal sends to the process of a machine and to its process group. It does
// nothing when the process ends meanwhile.
func (m machine) signal(sig syscall.Signal) error {
	pid, err := m.process()
	if err != nil {
		return err
	}
	if pid == 0 {
		held, err := lockHeld(m.path(fileLock))
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !held) {
			return nil
		}
		if err != nil {
			return err
		}
		return provider.Errorf(provider.Unavailable, "the process of machine %s is not to be seen yet", m.name)
	}
	target := pid
	if group, err := unix.Getpgid(pid); err == nil && group == pid {
		target = -pid
	}
	if err := unix.Kill(target, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), pid, err)
	}
	return nil
}

// process finds the living process of a machine; 0 when there is none. The
// process that the pid file names is looked at first; where the file is
// missing or old, every process of the host is.
func (m machine) process() (int, error) {
	lock, err := os.Stat(m.path(fileLock))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if text, err := readSmall(m.path(filePID)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && m.owns(pid, lock) {
			return pid, nil
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && m.owns(pid, lock) {
			return pid, nil
		}
	}
	return 0, nil
}

// owns proves that a process is the machine: it has the lock open where it was
// put, and it was started with the machine's settings. A controller that holds
// the lock for a moment has it elsewhere or has another command line.
func (m machine) owns(pid int, lock fs.FileInfo) bool {
	if pid <= 1 || pid == os.Getpid() {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	open, err := os.Stat(filepath.Join(proc, "fd", strconv.Itoa(lockFD)))
	if err != nil || !os.SameFile(open, lock) {
		return false
	}
	command, err := readSmall(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false
	}
	return m.startedWith(strings.Split(strings.TrimSuffix(string(command), "\x00"), "\x00"))
}

// startedWith says whether a command line names the settings of the machine,
// be it by another path: a controller may reach its data directory through a
// link at one time and not at another.
func (m machine) startedWith(args []string) bool {
	n := len(args)
	if n < 3 || args[n-3] != "agent" || args[n-2] != "--config" {
		return false
	}
	if args[n-1] == m.path(fileConfig) {
		return true
	}
	a, err := os.Stat(args[n-1])
	if err != nil {
		return false
	}
	b, err := os.Stat(m.path(fileConfig))
	return err == nil && os.SameFile(a, b)
}
