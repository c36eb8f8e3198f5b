package client

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/price"
)

// Resource is a configured object of any kind as the API shows it.
type Resource struct {
	fleet.Object[json.RawMessage]
	Status     json.RawMessage `json:"status,omitempty"`
	SecretsSet []string        `json:"secrets_set,omitempty"`
}

// SpecOf decodes the spec of a resource.
func SpecOf[S any](r *Resource) (S, error) {
	var s S
	if err := json.Unmarshal(r.Spec, &s); err != nil {
		return s, fmt.Errorf("reading the spec of %s %s: %w", r.Kind, r.Meta.Name, err)
	}
	return s, nil
}

// ResourceInput is what a PUT sends.
type ResourceInput struct {
	Metadata ResourceMeta `json:"metadata"`
	Spec     any          `json:"spec"`
}

// ResourceMeta is the part of the metadata that can be changed.
type ResourceMeta struct {
	Labels map[string]string `json:"labels,omitempty"`
}

// Document is one file of manifests.
type Document struct {
	Source string `json:"source"`
	Text   string `json:"text"`
}

// ApplyRequest asks for a set of objects.
type ApplyRequest struct {
	Documents []Document `json:"documents"`
	DryRun    bool       `json:"dry_run,omitempty"`
	Prune     bool       `json:"prune,omitempty"`
}

// ObjectRef names a configured object.
type ObjectRef struct {
	Kind fleet.Kind `json:"kind"`
	Name string     `json:"name"`
}

// DeleteRequest asks for a set of objects to be deleted.
type DeleteRequest struct {
	Objects       []ObjectRef `json:"objects"`
	Drain         bool        `json:"drain,omitempty"`
	DryRun        bool        `json:"dry_run,omitempty"`
	IgnoreMissing bool        `json:"ignore_missing,omitempty"`
}

// DeleteResult says what was deleted, or would be.
type DeleteResult struct {
	Deleted bool     `json:"deleted"`
	Changes []Change `json:"changes"`
}

// Action is what applying does to one object.
type Action string

// The actions.
const (
	ActionCreate    Action = "create"
	ActionUpdate    Action = "update"
	ActionDelete    Action = "delete"
	ActionUnchanged Action = "unchanged"
)

// ApplyResult says what was done, or would be.
type ApplyResult struct {
	Applied bool     `json:"applied"`
	Changes []Change `json:"changes"`
}

// Change is what happens to one object.
type Change struct {
	Kind   fleet.Kind  `json:"kind"`
	Name   string      `json:"name"`
	Action Action      `json:"action"`
	Source string      `json:"source,omitempty"`
	Diff   []FieldDiff `json:"diff,omitempty"`
	Notes  []string    `json:"notes,omitempty"`
}

// FieldDiff is a changed field; a side that is absent is null.
type FieldDiff struct {
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// ServerInput registers a fixed machine that has no agent.
type ServerInput struct {
	Name      string          `json:"name,omitempty"`
	Pool      string          `json:"pool"`
	Zone      string          `json:"zone,omitempty"`
	Addresses []string        `json:"addresses"`
	Capacity  fleet.Resources `json:"capacity"`
	MaxUsers  int64           `json:"max_users,omitempty"`
}

// LogLine is a line that a machine wrote.
type LogLine struct {
	At     time.Time `json:"at"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// ServerLogin is how a person enters a machine.
type ServerLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// SessionRequest asks for capacity.
type SessionRequest struct {
	Pool           string         `json:"pool"`
	Zone           string         `json:"zone,omitempty"`
	Cores          fleet.Cores    `json:"cores,omitempty"`
	Memory         fleet.Memory   `json:"memory,omitempty"`
	GPUs           int64          `json:"gpus,omitempty"`
	User           string         `json:"user,omitempty"`
	TTL            fleet.Duration `json:"ttl,omitempty"`
	Wait           fleet.Duration `json:"wait,omitempty"`
	QueueTimeout   fleet.Duration `json:"queue_timeout,omitempty"`
	NoQueue        bool           `json:"no_queue,omitempty"`
	IdempotencyKey string         `json:"idempotency_key,omitempty"`
}

// Session is a session with what is known of its waiting.
type Session struct {
	fleet.Session
	QueuePosition int64  `json:"queue_position,omitempty"`
	Explanation   string `json:"explanation,omitempty"`
}

// PricedPlan is what would be done with a pool now, and what that costs.
type PricedPlan struct {
	plan.Decision
	Cost PlanCost `json:"cost"`
}

// PlanCost is what a pool costs now, and when the plan has been carried out.
type PlanCost struct {
	Now       price.Bill      `json:"now"`
	After     price.Bill      `json:"after"`
	Providers []ProviderPrice `json:"providers"`
}

// ProviderPrice is what a machine costs that is made with a VM provider.
type ProviderPrice struct {
	Provider string      `json:"provider"`
	Price    price.Quote `json:"price"`
}

// CostReport is what machines cost that exist now.
type CostReport struct {
	At       time.Time      `json:"at"`
	Machines []MachinesCost `json:"machines"`
	Total    price.Bill     `json:"total"`
}

// MachinesCost is what those machines of one autoscale config cost that have the
// same price.
type MachinesCost struct {
	Pool            string      `json:"pool"`
	AutoscaleConfig string      `json:"autoscale_config"`
	VMProvider      string      `json:"vm_provider"`
	Offer           string      `json:"offer,omitempty"`
	Price           price.Quote `json:"price"`
	Cost            price.Bill  `json:"cost"`
	Staying         int64       `json:"staying"`
}

// Explanation says why something is as it is.
type Explanation struct {
	Subject string        `json:"subject"`
	State   string        `json:"state"`
	Summary string        `json:"summary"`
	Lines   []ExplainLine `json:"lines"`
	Events  []fleet.Event `json:"events"`
}

// ExplainLine is one reason.
type ExplainLine struct {
	Level string    `json:"level"` // info, warn or error
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"`
}

// TokenRequest asks for a new API token.
type TokenRequest struct {
	Name string         `json:"name"`
	Role fleet.Role     `json:"role"`
	Pool string         `json:"pool,omitempty"`
	TTL  fleet.Duration `json:"ttl,omitempty"`
}

// NewToken is a token that was just made; its secret is never shown again.
type NewToken struct {
	Token string `json:"token"`
	fleet.APIToken
}

// Identity is who bears a token.
type Identity struct {
	ID   string     `json:"id"`
	Name string     `json:"name"`
	Role fleet.Role `json:"role"`
	Pool string     `json:"pool,omitempty"`
}

// ProviderKind describes a kind of cloud.
type ProviderKind struct {
	Name     string          `json:"name"`
	Title    string          `json:"title"`
	About    string          `json:"about"`
	VM       bool            `json:"vm"`
	Schema   json.RawMessage `json:"schema,omitempty"`
	Defaults json.RawMessage `json:"defaults,omitempty"`
}

// CheckReport is the outcome of checking a provider.
type CheckReport struct {
	Findings []Finding `json:"findings"`
}

// Finding is one line of a CheckReport; the verdict is ok, warning or failed.
type Finding struct {
	Subject string `json:"subject"`
	Verdict string `json:"verdict"`
	Message string `json:"message,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// VersionInfo describes a build of Headroom.
type VersionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"`
	Go      string `json:"go,omitempty"`
}

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}
