// Package plan decides what a pool needs: which machines to make, which to
// retire, and why nothing else is done. It is a pure function of values that
// include the present moment; the running system, the dry run, explain and the
// policy back-test all call the same [For].
package plan

import (
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Input is everything that a decision depends on.
type Input struct {
	Now time.Time
	// HearingSince is since when the controller could hear agents: silence
	// before proves nothing. Zero: always.
	HearingSince time.Time
	Pool         string
	Spec         fleet.PoolSpec
	Configs      []Config        // in order of name
	Servers      []*fleet.Server // of the pool, without those that are gone
	Queued       []Demand        // first come first
	Stagings     []Staging
	Excess       int64               // staged sessions that no staging wishes for any more
	Providers    map[string]Provider // every provider that a config names
}

// Config is an autoscale config with what is remembered of it.
type Config struct {
	Name      string
	Spec      fleet.AutoscaleConfigSpec
	Schedules []Schedule
	Shapes    map[string]fleet.Resources // what a machine of each provider is expected to offer; zero: unknown
	Spare     []Spare                    // what was decided before
}

// Spare says that so many machines at least could be spared since a moment
// without a break.
type Spare struct {
	Machines int64     `json:"machines"`
	Since    time.Time `json:"since"`
}

// Schedule is a named schedule of a config.
type Schedule struct {
	Name string
	Spec fleet.ScheduleSpec
}

// Demand is a session that waits.
type Demand struct {
	Session   string
	User      string // empty: somebody unknown
	Zone      string // where it is to run; empty: anywhere
	FallsOver bool   // elsewhere too, when the zone has no room
	Need      fleet.Resources
}

// Staging is a wish for ready-made sessions.
type Staging struct {
	Name    string
	Zone    string // where they must be; empty: anywhere
	Need    fleet.Resources
	Missing int64 // how many are not made yet
}

// Provider is what limits creations on one provider config.
type Provider struct {
	Name           string
	Revision       int64
	Alike          []int64 // older revisions whose machines are as those of Revision
	Exists         int64   // servers of every pool that may exist in the cloud
	Max            int64
	Frozen         bool
	BlockedUntil   time.Time // circuit open or capacity short until then
	BlockedReason  string
	Tokens         float64       // creations that the rate allows now
	TokenEvery     time.Duration // time in which one more becomes allowed
	Trial          bool          // its circuit has been open: one machine at a time is tried
	Trying         bool          // that machine is under way
	Overshoot      string        // why it makes no more machines although there is room: more exist than anybody explains
	MissingSetting string        // why the provider cannot be used at all, e.g. it does not exist
}

// Decision is the outcome for one pool.
type Decision struct {
	Pool    string           `json:"pool"`
	At      time.Time        `json:"at"`
	Configs []ConfigDecision `json:"configs"`
	Reasons []Reason         `json:"reasons,omitempty" doc:"What holds for the pool as a whole."`
	NextAt  time.Time        `json:"next_at,omitzero" doc:"When the passing of time alone can change the decision."`
}

// ConfigDecision is the outcome for one autoscale config.
type ConfigDecision struct {
	Config  string    `json:"config"`
	Zone    string    `json:"zone"`
	Window  string    `json:"window,omitempty" doc:"The schedule and window in force."`
	Supply  Supply    `json:"supply"`
	Demand  Need      `json:"demand"`
	Creates []Create  `json:"creates"`
	Retires []Retire  `json:"retires"`
	Reasons []Reason  `json:"reasons" doc:"Why nothing else is done."`
	Surplus time.Time `json:"surplus_since,omitzero" doc:"Since when a machine could be spared without a break."`
	Spare   []Spare   `json:"spare,omitempty" doc:"How many could be spared, and since when: each entry counts those before it too."`
}

// Supply is what a config has.
type Supply struct {
	Servers  int64           `json:"servers" doc:"Machines that count against max_servers."`
	Ready    int64           `json:"ready"`
	ComingUp int64           `json:"coming_up"`
	Leaving  int64           `json:"leaving"`
	Capacity fleet.Resources `json:"capacity" doc:"Of ready machines and of those coming up."`
	Claimed  fleet.Resources `json:"claimed"`
	Free     fleet.Resources `json:"free" doc:"Capacity without claims, those coming up included."`
}

// Need is what a config must keep free.
type Need struct {
	Standby fleet.Resources `json:"standby"`
	Queued  fleet.Resources `json:"queued"`
	Staging fleet.Resources `json:"staging"`
	Total   fleet.Resources `json:"total"`
}

// Create is a machine to be made.
type Create struct {
	Provider string          `json:"provider"`
	Capacity fleet.Resources `json:"capacity" doc:"What it is expected to offer."`
	Reason   string          `json:"reason"`
}

// Retire is a machine to be given up.
type Retire struct {
	Server string    `json:"server" doc:"Id of the server."`
	Name   string    `json:"name"`
	Cause  CauseCode `json:"cause"`
	Reason string    `json:"reason"`
}

// CauseCode says why a machine is given up.
type CauseCode string

// The causes of a retirement.
const (
	CauseSurplus  CauseCode = "surplus"  // nobody needs it
	CauseOneShot  CauseCode = "one_shot" // its only use is over
	CauseRotation CauseCode = "rotation" // it is too old
	CauseDrift    CauseCode = "drift"    // the provider's settings have changed
	CauseDead     CauseCode = "dead"     // its agent has been silent for too long
	CauseOverMax  CauseCode = "over_max" // more machines exist than max_servers allows
)

// Reason explains something that was not done, or bounds what was.
type Reason struct {
	Code    ReasonCode `json:"code"`
	Message string     `json:"message"`
	Until   time.Time  `json:"until,omitzero" doc:"When it ends by itself."`
}

// ReasonCode classifies a reason.
type ReasonCode string

// The reason codes.
const (
	ReasonSatisfied   ReasonCode = "satisfied"     // free capacity covers the need
	ReasonMaxServers  ReasonCode = "max_servers"   // the config's ceiling
	ReasonMaxStandby  ReasonCode = "max_standby"   // standby shrinks under max_total_standby
	ReasonMax         ReasonCode = "max_instances" // the provider's ceiling
	ReasonBlocked     ReasonCode = "provider_blocked"
	ReasonOvershoot   ReasonCode = "overshoot" // more machines exist than the records explain
	ReasonRate        ReasonCode = "create_rate"
	ReasonFrozen      ReasonCode = "frozen"
	ReasonDisabled    ReasonCode = "disabled"
	ReasonBackoff     ReasonCode = "downscale_backoff"
	ReasonMinServers  ReasonCode = "min_servers"
	ReasonInUse       ReasonCode = "in_use" // spare capacity sits on machines with sessions
	ReasonUnavailable ReasonCode = "max_unavailable"
	ReasonReplacing   ReasonCode = "replacement" // old machines are kept until others are ready
	ReasonSchedule    ReasonCode = "schedule"
	ReasonTooLarge    ReasonCode = "too_large"          // a session exceeds any machine
	ReasonGradual     ReasonCode = "aggressive_scaling" // who waits is served from standby alone
	ReasonNoConfig    ReasonCode = "no_config"          // nothing makes machines for the pool
	ReasonNoShape     ReasonCode = "unknown_shape"      // the capacity of a machine is not known yet
	ReasonProvider    ReasonCode = "provider"           // the provider cannot be used
	ReasonBatch       ReasonCode = "batch"              // the rest follows in the next pass
)
