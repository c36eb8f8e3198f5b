package local

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/headroom-dev/headroom/internal/provider"
)

// failure classifies what the operating system said.
func failure(doing string, err error) error {
	var known *provider.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	}
	return provider.Errorf(classOf(err), "%s: %w", doing, err)
}

func classOf(err error) provider.Class {
	for _, c := range []struct {
		is    error
		class provider.Class
	}{
		{context.DeadlineExceeded, provider.Unavailable},
		{context.Canceled, provider.Unavailable},
		{syscall.ENOSPC, provider.NoCapacity},
		{syscall.EDQUOT, provider.NoCapacity},
		{syscall.EAGAIN, provider.NoCapacity}, // of a process start: the host's or the user's limit of processes
		{syscall.ENOMEM, provider.NoCapacity},
		{syscall.EMFILE, provider.Unavailable},
		{syscall.ENFILE, provider.Unavailable},
		{syscall.EROFS, provider.Forbidden},
		{fs.ErrPermission, provider.Forbidden},
		{syscall.ENOEXEC, provider.Invalid},
		{fs.ErrNotExist, provider.Invalid}, // of the data directory or of the program; a machine that is gone is found out before
	} {
		if errors.Is(err, c.is) {
			return c.class
		}
	}
	return provider.Unavailable
}

func notFound(id string) error {
	return provider.Errorf(provider.NotFound, "there is no machine %q", id)
}
