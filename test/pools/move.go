package pools

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Place is where the machines of a pool are at one time.
type Place struct {
	Settings  map[string]any
	Machines  func(t *testing.T) int
	Leftovers func(t *testing.T) []string
}

// Move takes a pool to another place by applying its VM provider with other
// settings: machines of the old settings are replaced there, with the settings
// that they were made with, while the controller is killed in the middle. Nothing
// is left in either place.
func Move(t *testing.T, kind string, from, to Place) {
	t.Helper()
	p := Pool{
		Kind: kind, Settings: from.Settings, Patience: 3 * time.Minute, Policy: map[string]any{"replace_on_drift": true},
		Machines: func(t *testing.T) int { t.Helper(); return from.Machines(t) + to.Machines(t) },
	}
	s := newSite(t, p)
	s.start()
	s.headroom("apply", "-f", s.manifest())
	s.until("the standby is ready", func() string { return s.ready(standby) })
	if n := from.Machines(t); n != standby {
		t.Errorf("the first place has %d machines, expected %d", n, standby)
	}

	s.pool.Settings = to.Settings
	s.headroom("apply", "-f", s.manifest())
	s.until("a machine is made in the new place", func() string {
		if to.Machines(t) == 0 {
			return "there is none"
		}
		return ""
	})
	s.kill()
	s.start()
	s.until("the machines are in the new place alone", func() string {
		if old, now := from.Machines(t), to.Machines(t); old != 0 || now != standby {
			return fmt.Sprintf("%d machines in the old place and %d in the new one", old, now)
		}
		return s.ready(standby)
	})

	s.until("the autoscale config is drained and deleted", func() string {
		out, err := s.try("delete", "autoscale-config", objectsOf, "--drain", "--ignore-not-found")
		if err != nil {
			return string(out)
		}
		return ""
	})
	s.headroom("delete", "pool", objectsOf)
	s.headroom("delete", "vm-provider", objectsOf)
	s.until("nothing is left in either place", func() string {
		if left := append(from.Leftovers(t), to.Leftovers(t)...); len(left) > 0 {
			return "left: " + strings.Join(left, ", ")
		}
		return ""
	})
}
