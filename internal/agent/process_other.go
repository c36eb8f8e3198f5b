//go:build !unix

package agent

import (
	"os"

	"github.com/headroom-dev/headroom/internal/fleet"
)

func leadsSession() bool { return false }

func startDetached(int) error {
	return fleet.Errorf(fleet.CodeInvalid, "detach works on Unix only: leave it out and run the agent as a service")
}

func keepFromChildren(int) error {
	return fleet.Errorf(fleet.CodeInvalid, "lock_fd works on Unix only: leave it out")
}

// tryLock takes no lock: nothing keeps two agents apart here.
func tryLock(*os.File) (held bool, err error) { return false, nil }

func syncDir(string) error { return nil }
