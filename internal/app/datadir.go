package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// The files of a data directory.
const (
	lockFile  = "lock"
	keyFile   = "secret.key"
	tokenFile = "admin.token"
	urlFile   = "server.url"
)

const (
	// lockPatience is how long a held lock is waited for: the system needs a
	// moment to clean up after a controller that was killed.
	lockPatience = 2 * time.Second
	lockRetry    = 50 * time.Millisecond
)

// lockDataDir takes a data directory for this process, for as long as the file
// that it returns is open. The lock ends with the process, however it ends.
func lockDataDir(ctx context.Context, c clock.WithTicker, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "the data directory %s cannot be made: %w", dir, err)
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "the data directory %s cannot be used: %w", dir, err)
	}
	if err := flock(ctx, c, f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for the data directory %s: %w", dir, context.Cause(ctx))
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fleet.Errorf(fleet.CodeUnavailable, "the data directory %s cannot be locked: %w", dir, err)
		}
		who := "another controller"
		if pid := strings.TrimSpace(string(holder)); pid != "" {
			who = "another controller (process " + pid + ")"
		}
		return nil, fleet.Errorf(fleet.CodeConflict, "the data directory %s is in use by %s: stop that one, or give this one a --data-dir of its own", dir, who)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			_ = f.Close()
			return nil, fleet.Errorf(fleet.CodeUnavailable, "the data directory %s cannot be written: %w", dir, err)
		}
	}
	return f, nil
}

// flock takes the lock, and waits for a while when another has it.
func flock(ctx context.Context, c clock.WithTicker, f *os.File) error {
	try := func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
	err := try()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	tick, end := c.NewTicker(lockRetry), c.Now().Add(lockPatience)
	defer tick.Stop()
	for errors.Is(err, unix.EWOULDBLOCK) && c.Now().Before(end) {
		select {
		case <-ctx.Done():
			return err
		case <-tick.C():
			err = try()
		}
	}
	return err
}

// writeFile replaces a file so that a crash leaves the old or the new one.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
