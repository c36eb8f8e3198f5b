package fleet

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is where a server stands in its life.
type Phase string

// The phases, in order. Failed can follow any phase before ready and leads to
// deleting.
const (
	PhasePlanned     Phase = "planned"     // recorded; the cloud has not been called
	PhaseCreating    Phase = "creating"    // the cloud may have been called
	PhaseBooting     Phase = "booting"     // the cloud accepted; the machine starts
	PhaseConfiguring Phase = "configuring" // the machine runs; its script works or its agent is awaited
	PhaseReady       Phase = "ready"       // takes sessions
	PhaseDraining    Phase = "draining"    // takes no new session and is deleted when empty
	PhaseDeleting    Phase = "deleting"    // delete is repeated until the cloud says not found
	PhaseFailed      Phase = "failed"      // will be deleted; evidence is being kept
	PhaseGone        Phase = "gone"        // nothing is left in the cloud
)

// Phases lists every phase in order of life.
func Phases() []Phase {
	return []Phase{
		PhasePlanned, PhaseCreating, PhaseBooting, PhaseConfiguring,
		PhaseReady, PhaseDraining, PhaseFailed, PhaseDeleting, PhaseGone,
	}
}

var nextPhases = map[Phase][]Phase{
	PhasePlanned:     {PhaseCreating, PhaseFailed, PhaseDeleting, PhaseGone},
	PhaseCreating:    {PhaseBooting, PhaseConfiguring, PhaseReady, PhasePlanned, PhaseFailed, PhaseDeleting},
	PhaseBooting:     {PhaseConfiguring, PhaseReady, PhaseFailed, PhaseDeleting},
	PhaseConfiguring: {PhaseReady, PhaseFailed, PhaseDeleting},
	PhaseReady:       {PhaseDraining, PhaseDeleting, PhaseFailed},
	PhaseDraining:    {PhaseDeleting, PhaseFailed, PhaseReady},
	PhaseFailed:      {PhaseDeleting},
	PhaseDeleting:    {PhaseGone},
}

// CanFollow says whether to may follow from.
func CanFollow(from, to Phase) bool { return slices.Contains(nextPhases[from], to) }

// ComingUp says that the server is on its way to ready.
func (p Phase) ComingUp() bool {
	return p == PhasePlanned || p == PhaseCreating || p == PhaseBooting || p == PhaseConfiguring
}

// Leaving says that the server will not take a session again.
func (p Phase) Leaving() bool {
	return p == PhaseDraining || p == PhaseFailed || p == PhaseDeleting || p == PhaseGone
}

// MayExist says that a machine of this phase may exist in the cloud.
func (p Phase) MayExist() bool { return p != PhaseGone }

// Origin says how a server came to be.
type Origin string

// The origins.
const (
	OriginAutoscaled Origin = "autoscaled" // made by an autoscale config
	OriginFixed      Origin = "fixed"      // registered by hand
)

// CapacitySource says where the capacity of a server is known from.
type CapacitySource string

// The sources of capacity, from weakest to strongest.
const (
	CapacityAssumed  CapacitySource = "assumed"  // the provider's own shape, or nothing yet
	CapacityReported CapacitySource = "reported" // what the agent reported
	CapacityOverride CapacitySource = "override" // set in the autoscale config or by hand
)

// Server is one machine.
type Server struct {
	ID               string         `json:"id" doc:"Made before the machine; marks it in the cloud."`
	Name             string         `json:"name" doc:"Host name of the machine, derived from the id; valid on every system (at most 15 characters)."`
	Origin           Origin         `json:"origin" enum:"autoscaled,fixed"`
	Pool             string         `json:"pool"`
	Zone             string         `json:"zone"`
	AutoscaleConfig  string         `json:"autoscale_config,omitempty"`
	VMProvider       string         `json:"vm_provider,omitempty"`
	ProviderRevision int64          `json:"provider_revision,omitempty" doc:"Revision of the provider config with which the machine was made; it is deleted with the same one."`
	Phase            Phase          `json:"phase" enum:"planned,creating,booting,configuring,ready,draining,failed,deleting,gone"`
	PhaseSince       time.Time      `json:"phase_since"`
	Reason           string         `json:"reason" doc:"Why the server is in this phase."`
	Missing          bool           `json:"missing" doc:"The agent has been silent for longer than missing_after: no new session is placed here."`
	ProviderID       string         `json:"provider_id,omitempty" doc:"Identity of the machine in the cloud."`
	Offer            string         `json:"offer,omitempty" doc:"Size and location in which the cloud made the machine."`
	Addresses        []string       `json:"addresses"`
	Capacity         Resources      `json:"capacity"`
	CapacitySource   CapacitySource `json:"capacity_source"`
	Claimed          Resources      `json:"claimed"`
	Sessions         int64          `json:"sessions" doc:"Sessions that hold a claim here."`
	Users            int64          `json:"users" doc:"Different users among those sessions."`
	MaxUsers         int64          `json:"max_users,omitempty"`
	OneShot          bool           `json:"one_shot,omitempty" doc:"Retired when its last session has ended."`
	Used             bool           `json:"used" doc:"Has held a session."`
	DrainDeadline    *time.Time     `json:"drain_deadline,omitempty" doc:"At this moment sessions that remain are ended."`
	Attempts         int64          `json:"attempts,omitempty" doc:"Create calls so far."`
	Unseen           int64          `json:"unseen,omitempty" doc:"Complete listings in a row in which the cloud did not show the machine."`
	AgentVersion     string         `json:"agent_version,omitempty"`
	CreatedAt        time.Time      `json:"created_at"`
	CallAt           *time.Time     `json:"call_at,omitempty" doc:"First create call; provision_timeout counts from here."`
	AskedAt          *time.Time     `json:"asked_at,omitempty" doc:"Last create call. Until the cloud must show what came of it, its absence proves nothing."`
	ReadyAt          *time.Time     `json:"ready_at,omitempty"`
	LastSeenAt       *time.Time     `json:"last_seen_at,omitempty" doc:"Last sign of life of the agent."`
	RegisteredAt     *time.Time     `json:"registered_at,omitempty"`
	GoneAt           *time.Time     `json:"gone_at,omitempty"`
	Version          int64          `json:"version"`
}

// Open says that the server takes new sessions.
func (s *Server) Open() bool { return s.Phase == PhaseReady && !s.Missing && !s.Spent() }

// Spent says that a one-shot server has had its use: it must not be given to
// anybody again.
func (s *Server) Spent() bool { return s.OneShot && s.Used && s.Sessions == 0 }

// Free is what the server can still give out; never negative.
func (s *Server) Free() Resources {
	if s.MaxUsers > 0 && s.Users >= s.MaxUsers {
		return Resources{}
	}
	return s.Capacity.Sub(s.Claimed).Floor()
}

// Move sets the phase and its reason. A move that the life of a server does
// not allow is an error and changes nothing.
func (s *Server) Move(to Phase, reason string, now time.Time) error {
	if !CanFollow(s.Phase, to) {
		return fmt.Errorf("server %s cannot go from %s to %s", s.Name, s.Phase, to)
	}
	s.Phase, s.Reason, s.PhaseSince = to, reason, now
	switch to {
	case PhaseReady:
		if s.ReadyAt == nil {
			s.ReadyAt = &now
		}
		s.DrainDeadline = nil
	case PhaseGone:
		s.GoneAt = &now
	default:
	}
	return nil
}

// ServerName derives the host name of a server from its id: lower-case letters
// and digits after "hr-", 15 characters in all, so that it is a valid NetBIOS
// name, DNS label and cloud resource name alike.
func ServerName(id string) string {
	sum := sha256.Sum256([]byte("server name " + id))
	return "hr-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:12]
}
