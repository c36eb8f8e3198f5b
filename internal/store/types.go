package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// The answers of the store that callers decide on; compare with errors.Is.
var (
	ErrNotFound = errors.New("not found")                     // no such row
	ErrStale    = errors.New("changed by somebody meanwhile") // the version differs from the stored one
	ErrExists   = errors.New("already exists")                // the name, id or key is taken
)

// Object is a configured object of any kind. Its name is its identity.
type Object struct {
	Kind      fleet.Kind
	Name      string
	Labels    map[string]string
	Spec      json.RawMessage // without secrets
	Secrets   []byte          // sealed by package secret; nil: none
	Revision  int64           // grows when Spec or Secrets change, also over delete and re-create of the same name
	Version   int64           // grows with every change, likewise
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Spec decodes the spec of an object.
func Spec[S any](o *Object) (S, error) {
	var s S
	if err := json.Unmarshal(o.Spec, &s); err != nil {
		return s, fmt.Errorf("decoding the spec of %s %q: %w", o.Kind, o.Name, err)
	}
	return s, nil
}

// ServerFilter selects servers; zero fields select all. Servers that are gone
// are left out unless IncludeGone is set or Phases names them.
type ServerFilter struct {
	Pool, Zone, AutoscaleConfig, VMProvider string
	Phases                                  []fleet.Phase
	IncludeGone                             bool
	After                                   string // id of the last server seen
	Limit                                   int    // 0: all
}

// ClaimQuery says what a session needs and where it may be placed.
type ClaimQuery struct {
	Pool, Zone  string // Zone "": any
	Need        fleet.Resources
	User        string // "": somebody unknown, who counts as a user of their own
	Spread      bool   // the emptiest server that fits; otherwise the fullest
	PreferFixed bool   // fixed servers first
	ServerID    string // only this server, if set
}

// SessionFilter selects sessions; zero fields select all. Sessions that have
// ended are left out unless IncludeEnded is set or States names them.
type SessionFilter struct {
	Pool, User, ServerID, Owner, Staging string
	States                               []fleet.SessionState
	IncludeEnded                         bool
	After                                string // id of the last session seen
	Limit                                int    // 0: all
}

// EventFilter selects events; zero fields select all.
type EventFilter struct {
	After      int64 // only later numbers
	Before     int64 // only earlier numbers; 0: no bound
	Types      []fleet.EventType
	Kind, Name string
	Pool       string
	Limit      int  // 0: all
	Newest     bool // newest first
}

// AutoscaleState is what the loop of an autoscale config remembers.
type AutoscaleState struct {
	Config       string
	SurplusSince time.Time       // zero: no surplus
	Spare        json.RawMessage // how many machines could be spared and since when; empty: an older version wrote the row
	Decision     json.RawMessage
	DecidedAt    time.Time
}

// ProviderState is what the loops of a VM provider remember.
type ProviderState struct {
	Provider      string
	Circuit       string // closed or open
	Failures      int64  // in a row
	OpenUntil     time.Time
	Error         string
	ErrorClass    string
	BlockedUntil  time.Time
	BlockedReason string
	Tokens        float64 // left in the bucket of creations
	TokensAt      time.Time
	ListedAt      time.Time // last complete listing
	ListError     string
	SweepError    string // why the sweep of machines, or of a DNS provider's names, has stopped
	RemnantError  string // why the sweep of disks, addresses and other objects has stopped
	Stillborn     int64  // machines in a row that failed before any was ready
	StillbornAt   time.Time
}

// Sighting is a thing that the cloud showed and that no record explained.
type Sighting struct {
	Provider, Kind, CloudID, Name string
	ServerID                      string
	FirstSeen                     time.Time
	LastSeen                      time.Time
	Count                         int64
}

// SightingMachine is the kind of a sighting that is a machine; others are kinds
// of remnants.
const SightingMachine = "machine"

// LogLine is a line of output of a machine.
type LogLine struct {
	At     time.Time
	Stream string // agent, script, console or status
	Text   string
}
