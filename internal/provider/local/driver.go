//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	stagingPrefix = ".new-"  // directories that are being filled
	gonePrefix    = ".gone-" // directories that are being removed

	killAfter  = 5 * time.Second // from SIGTERM to SIGKILL
	stagingAge = time.Minute     // from which a staging directory was left by a crash
)

type driver struct {
	settings   Settings
	root       string // of the directories of the machines
	executable string
	now        func() time.Time
	cgroups    func() (parent string, err error) // where machines get their control groups
}

var (
	_ provider.Driver        = (*driver)(nil)
	_ provider.ConsoleReader = (*driver)(nil)
)

func open(_ context.Context, s Settings, host provider.Host) (provider.Driver, error) {
	dataDir, err := filepath.Abs(host.DataDir)
	if err != nil {
		return nil, failure("finding the data directory", err)
	}
	executable, err := filepath.Abs(host.Executable)
	if err != nil {
		return nil, failure("finding the headroom program", err)
	}
	return &driver{
		settings: s, root: filepath.Join(dataDir, "machines"), executable: executable, now: host.Now,
		cgroups: func() (string, error) { return cgroupParent("/") },
	}, nil
}

// machine gives the machine of a name; false for what can be no name.
func (d *driver) machine(name string) (machine, bool) {
	if fleet.CheckName(name) != nil {
		return machine{}, false
	}
	return machine{name: name, dir: filepath.Join(d.root, name)}, true
}

// Create makes the directory of a machine and starts its process. A machine
// that was started before is answered as it is, even when it has ended.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	m, ok := d.machine(req.Name)
	switch {
	case !ok:
		return provider.Instance{}, provider.Errorf(provider.Invalid, "making a machine: %v", fleet.CheckName(req.Name))
	case req.Token == "":
		return provider.Instance{}, provider.Errorf(provider.Invalid, "making machine %s: the request has no token", req.Name)
	case ctx.Err() != nil:
		return provider.Instance{}, failure("making machine "+req.Name, ctx.Err())
	}
	i, err := d.create(ctx, m, req)
	if err != nil {
		return provider.Instance{}, failure("making machine "+req.Name, err)
	}
	return i, nil
}

func (d *driver) create(ctx context.Context, m machine, req provider.Request) (provider.Instance, error) {
	d.tidy()
	r, err := m.load()
	var lock *os.File
	if errors.Is(err, fs.ErrNotExist) {
		r = d.record(req)
		lock, err = m.lay(r, m.config(r, req.Bootstrap, d.settings.StartDelay), req.Bootstrap)
		if errors.Is(err, fs.ErrExist) { // a rival was faster
			if r, err = m.load(); errors.Is(err, fs.ErrNotExist) {
				err = provider.Errorf(provider.Conflict, "its directory %s appears and disappears, or holds no %s", m.dir, fileRecord)
			}
		}
	}
	if err != nil {
		return provider.Instance{}, err
	}
	if r.Token != req.Token {
		return provider.Instance{}, provider.Errorf(provider.Conflict, "a machine %s exists that another request made", m.name)
	}
	if _, deleting := m.deletingSince(); deleting {
		return provider.Instance{}, provider.Errorf(provider.Conflict, "machine %s is being deleted", m.name)
	}
	if lock == nil {
		lock, err = m.acquire()
		switch {
		case errors.Is(err, errHeld):
			return m.observe(r)
		case errors.Is(err, fs.ErrNotExist):
			return provider.Instance{}, provider.Errorf(provider.Conflict, "machine %s is being deleted", m.name)
		case err != nil:
			return provider.Instance{}, err
		}
	}
	if !m.started() {
		err = d.spawn(ctx, m, r, lock)
	}
	dropLock(lock) // the process has its own descriptor of the same lock
	if err != nil {
		return provider.Instance{}, err
	}
	return m.observe(r)
}

func (d *driver) record(req provider.Request) record {
	r := record{
		Name: req.Name, Token: req.Token, Tags: tagsToMap(req.Tags), Offer: req.Offer,
		Shape: d.settings.shape(req.Shape), CreatedAt: d.now().UTC(),
	}
	if d.settings.CgroupLimits != CgroupOff {
		if parent, err := d.cgroups(); err == nil {
			r.Cgroup = filepath.Join(parent, "headroom-"+req.Name)
		}
	}
	return r
}

// List yields the owner's machines. A machine that was to be deleted and whose
// process has ended is removed on the way, and so is what crashes have left.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		d.tidy()
		entries, err := os.ReadDir(d.root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(provider.Instance{}, failure("listing machines", err))
			return
		}
		for _, e := range entries {
			m, ok := d.machine(e.Name())
			if !ok || !e.IsDir() {
				continue
			}
			i, err := d.look(ctx, m)
			switch {
			case provider.ClassOf(err) == provider.NotFound:
				continue
			case err != nil:
				yield(provider.Instance{}, err)
				return
			case i.Tags.Owner() != owner:
				continue
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Get looks at one machine.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	m, ok := d.machine(id)
	if !ok {
		return provider.Instance{}, notFound(id)
	}
	return d.look(ctx, m)
}

func (d *driver) look(ctx context.Context, m machine) (provider.Instance, error) {
	if ctx.Err() != nil {
		return provider.Instance{}, failure("looking at machine "+m.name, ctx.Err())
	}
	r, err := m.load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !m.exists():
		return provider.Instance{}, notFound(m.name)
	case err != nil:
		return d.unreadable(m, err)
	}
	if _, deleting := m.deletingSince(); deleting {
		if held, err := lockHeld(m.path(fileLock)); err == nil && !held {
			if err := d.remove(m); err != nil {
				return provider.Instance{}, failure("removing machine "+m.name, err)
			}
			if !m.exists() {
				return provider.Instance{}, notFound(m.name)
			}
		}
	}
	i, err := m.observe(r)
	if err != nil {
		return provider.Instance{}, failure("looking at machine "+m.name, err)
	}
	return i, nil
}

// unreadable answers for a directory whose record is missing or damaged. While
// a process lives in it nobody can say whose it is, and a listing without it
// would be wrong; a dead one belongs to nobody.
func (d *driver) unreadable(m machine, cause error) (provider.Instance, error) {
	if held, err := lockHeld(m.path(fileLock)); err == nil && held {
		return provider.Instance{}, provider.Errorf(provider.Unavailable,
			"a process lives in %s, but its record cannot be read: %w; end the process and remove the directory", m.dir, cause)
	}
	return record{Name: m.name}.instance(provider.StateFailed, "its record cannot be read: "+cause.Error()), nil
}

// Delete asks the process to end, makes it end when it has not after five
// seconds, and removes the directory once it has.
func (d *driver) Delete(ctx context.Context, id string) error {
	m, ok := d.machine(id)
	if !ok {
		return notFound(id)
	}
	if ctx.Err() != nil {
		return failure("deleting machine "+id, ctx.Err())
	}
	d.tidy()
	if _, err := os.Lstat(d.gone(m)); err == nil {
		return failure("deleting machine "+id, os.RemoveAll(d.gone(m)))
	}
	if !m.exists() {
		return notFound(id)
	}
	return failure("deleting machine "+id, d.delete(m))
}

func (d *driver) delete(m machine) error {
	held, err := lockHeld(m.path(fileLock))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !held {
		return d.remove(m)
	}
	if err := m.markDeleting(d.now()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sig := syscall.SIGTERM
	if since, ok := m.deletingSince(); ok && d.now().Sub(since) >= killAfter {
		sig = syscall.SIGKILL
	}
	return m.signal(sig)
}

// remove takes away a machine whose process has ended. It does nothing when
// the machine comes to life or goes away meanwhile.
func (d *driver) remove(m machine) error {
	lock, err := m.acquire()
	switch {
	case errors.Is(err, errHeld):
		return nil
	case err == nil:
		defer dropLock(lock)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !m.exists():
		return nil
	}
	if r, err := m.load(); err == nil {
		if err := dropCgroup(r.Cgroup); errors.Is(err, unix.EBUSY) {
			return m.markDeleting(d.now()) // the next call finds it empty
		} else if err != nil {
			return err
		}
	}
	if err := os.RemoveAll(d.gone(m)); err != nil {
		return err
	}
	if err := os.Rename(m.dir, d.gone(m)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDir(d.root); err != nil {
		return err
	}
	return os.RemoveAll(d.gone(m))
}

func (d *driver) gone(m machine) string { return filepath.Join(d.root, gonePrefix+m.name) }

// tidy removes what crashes have left: directories without a name. What cannot
// be removed is tried again by the next call.
func (d *driver) tidy() {
	entries, _ := os.ReadDir(d.root)
	for _, e := range entries {
		path := filepath.Join(d.root, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), gonePrefix):
			_ = os.RemoveAll(path)
		case strings.HasPrefix(e.Name(), stagingPrefix):
			if held, _ := lockHeld(filepath.Join(path, fileLock)); held {
				continue
			}
			if info, err := e.Info(); err == nil && d.now().Sub(info.ModTime()) > stagingAge {
				_ = os.RemoveAll(path)
			}
		}
	}
}

// Console returns the end of the agent's log.
func (d *driver) Console(_ context.Context, id string, limit int64) ([]byte, error) {
	m, ok := d.machine(id)
	if !ok || !m.exists() {
		return nil, notFound(id)
	}
	text, err := readTail(m.path(fileLog), limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, failure(fmt.Sprintf("reading the log of machine %s", id), err)
}
