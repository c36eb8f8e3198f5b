//go:build !unix

package pgtest

import (
	"errors"
	"syscall"
)

func asOtherUser(string) (*syscall.SysProcAttr, error) {
	return nil, errors.New("PostgreSQL for tests can be started on Unix only")
}
