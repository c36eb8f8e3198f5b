package cli

import (
	"github.com/headroom-dev/headroom/internal/fleet"
)

// The parts of the status of configured objects that the tables show.

type poolStatus struct {
	Servers  phases                       `json:"servers"`
	Sessions map[fleet.SessionState]int64 `json:"sessions"`
	Free     fleet.Resources              `json:"free"`
}

// active counts the sessions that hold capacity.
func (s poolStatus) active() int64 {
	return s.Sessions[fleet.SessionActive] + s.Sessions[fleet.SessionStaged]
}

type autoscaleStatus struct {
	Servers phases `json:"servers"`
}

// phases counts servers by phase.
type phases map[fleet.Phase]int64

func (p phases) total() int64 {
	var n int64
	for phase, c := range p {
		if phase.MayExist() {
			n += c
		}
	}
	return n
}

type providerStatus struct {
	Total         int64  `json:"total"`
	Circuit       string `json:"circuit"`
	Error         string `json:"error"`
	BlockedReason string `json:"blocked_reason"`
	ListError     string `json:"list_error"`
	SweepError    string `json:"sweep_error"`
	RemnantError  string `json:"remnant_error"`
}

func (s providerStatus) state(spec fleet.VMProviderSpec) string {
	switch {
	case spec.Frozen:
		return "frozen"
	case s.Circuit == "open" || s.Circuit == "half_open":
		return s.Circuit
	case s.BlockedReason != "":
		return "blocked"
	case s.trouble() != "":
		return "warning"
	}
	return "ok"
}

func (s providerStatus) trouble() string {
	if s.Circuit == "closed" || s.Circuit == "" {
		return first(s.BlockedReason, s.ListError, s.SweepError, s.RemnantError)
	}
	return first(s.Error, s.BlockedReason, s.ListError, s.SweepError, s.RemnantError)
}
