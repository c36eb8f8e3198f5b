//go:build linux

package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	fileRecord   = "machine.json"
	fileLock     = "lock"
	fileConfig   = "agent.json"
	fileToken    = "token"
	filePID      = "pid"
	fileLog      = "agent.log"
	fileDeleting = "deleting"
	fileUserData = "user-data"

	recordLimit = 64 << 10 // bytes of a file that is read whole
	logLimit    = 4 << 20  // bytes of agent.log
)

// machine is the directory of one machine; it need not exist.
type machine struct {
	name string
	dir  string
}

func (m machine) path(file string) string { return filepath.Join(m.dir, file) }

func (m machine) exists() bool {
	_, err := os.Lstat(m.dir)
	return err == nil
}

// load reads machine.json. fs.ErrNotExist means that the machine does not
// exist or that its directory is not one of ours.
func (m machine) load() (record, error) {
	var r record
	text, err := readSmall(m.path(fileRecord))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", m.path(fileRecord), err)
	}
	if r.Name != m.name {
		return r, fmt.Errorf("%s describes another machine, %q", m.path(fileRecord), r.Name)
	}
	return r, nil
}

// lay makes the directory with everything that the agent needs, out of sight
// first. It gives back the lock of the machine, taken. fs.ErrExist means that
// another was faster.
func (m machine) lay(r record, c agentConfig, b provider.Bootstrap) (_ *os.File, err error) {
	parent := filepath.Dir(m.dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	staging, err := os.MkdirTemp(parent, stagingPrefix+m.name+"-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(staging)
		}
	}()
	lock, err := os.OpenFile(filepath.Join(staging, fileLock), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			dropLock(lock)
		}
	}()
	if err := takeLock(lock); err != nil {
		return nil, err
	}
	about, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	config, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{fileRecord, about},
		{fileConfig, config},
		{fileToken, []byte(b.RegistrationToken + "\n")},
		{fileUserData, b.UserData},
	} {
		if err := writeNew(filepath.Join(staging, f.name), f.text); err != nil {
			return nil, err
		}
	}
	if err := syncDir(staging); err != nil {
		return nil, err
	}
	if err := os.Rename(staging, m.dir); err != nil {
		if errors.Is(err, unix.ENOTEMPTY) {
			err = fs.ErrExist
		}
		return nil, err
	}
	return lock, syncDir(parent)
}

// observe says where the machine stands.
func (m machine) observe(r record) (provider.Instance, error) {
	held, err := lockHeld(m.path(fileLock))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return provider.Instance{}, err
	}
	_, deleting := m.deletingSince()
	started := m.started()
	switch {
	case deleting:
		return r.instance(provider.StateDeleting, ""), nil
	case held && started:
		return r.instance(provider.StateRunning, ""), nil
	case held:
		return r.instance(provider.StatePending, ""), nil
	case started:
		return r.instance(provider.StateFailed, m.fault("the agent process has ended")), nil
	}
	return r.instance(provider.StateFailed, m.fault("the agent process never started")), nil
}

// started says whether the agent has got as far as to write its process id.
func (m machine) started() bool {
	_, err := os.Stat(m.path(filePID))
	return err == nil
}

func (m machine) fault(what string) string {
	tail, err := readTail(m.path(fileLog), 4<<10)
	if err != nil {
		return what
	}
	tail = bytes.TrimSpace(tail)
	last := strings.ToValidUTF8(string(tail[bytes.LastIndexByte(tail, '\n')+1:]), "")
	switch {
	case last == "":
		return what
	case len(last) > 400:
		last = strings.ToValidUTF8(last[:400], "") + "…"
	}
	return what + "; its last words: " + last
}

// markDeleting notes the moment of the first delete.
func (m machine) markDeleting(now time.Time) error {
	if _, ok := m.deletingSince(); ok {
		return nil
	}
	temp := m.path("." + fileDeleting)
	_ = os.Remove(temp)
	if err := writeNew(temp, []byte(now.UTC().Format(time.RFC3339Nano)+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(temp, m.path(fileDeleting)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (m machine) deletingSince() (time.Time, bool) {
	text, err := readSmall(m.path(fileDeleting))
	if err != nil {
		return time.Time{}, false
	}
	at, _ := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(text)))
	return at, true // an unreadable moment is the zero time: long ago
}

// config is what the agent of this machine reads.
func (m machine) config(r record, b provider.Bootstrap, delay fleet.Duration) agentConfig {
	return agentConfig{
		URL: b.ControllerURL, TokenFile: m.path(fileToken), StateDir: m.path("state"),
		Idle:  b.ControllerURL == "" || b.RegistrationToken == "",
		Cores: r.Shape.Cores, Memory: fleet.Memory(r.Shape.MemoryMiB), GPUs: r.Shape.GPUs,
		Addresses: addresses, Hostname: m.name, Delay: delay,
		Detach: true, PIDFile: m.path(filePID), LockFD: lockFD,
		LogFile: m.path(fileLog), LogLimit: logLimit,
	}
}

// writeNew writes a file that must not exist and brings it to the disk.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, recordLimit+1))
	if err == nil && len(text) > recordLimit {
		err = fmt.Errorf("%s is longer than %d bytes", path, recordLimit)
	}
	return text, err
}

// readTail reads the last limit bytes of a file.
func readTail(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(size-limit, 0), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
