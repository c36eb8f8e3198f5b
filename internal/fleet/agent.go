package fleet

import "time"

// AgentRegistration is what an agent says of itself when it registers. The
// agent makes its own credential and sends it here, so that a repeated call
// after a lost answer changes nothing.
type AgentRegistration struct {
	Token      string    `json:"token" maxLength:"512" doc:"Registration token of this machine, or a join token for a fixed machine."`
	Credential string    `json:"credential" minLength:"32" maxLength:"128" doc:"Secret that the agent made and kept; later calls bear it."`
	Hostname   string    `json:"hostname,omitempty" maxLength:"255"`
	Addresses  []string  `json:"addresses,omitempty" maxItems:"32" doc:"Addresses at which sessions reach the machine."`
	Capacity   Resources `json:"capacity" doc:"Cores, memory and GPUs of the machine."`
	Version    string    `json:"version,omitempty" maxLength:"64" doc:"Version of the agent."`
}

// AgentIdentity answers a registration.
type AgentIdentity struct {
	ServerID  string   `json:"server_id"`
	Server    string   `json:"server" doc:"Name of the server."`
	Pool      string   `json:"pool"`
	Heartbeat Duration `json:"heartbeat" doc:"Interval in which to report."`
}

// AgentReport is a sign of life.
type AgentReport struct {
	Capacity  Resources  `json:"capacity"`
	Usage     AgentUsage `json:"usage,omitempty"`
	Addresses []string   `json:"addresses,omitempty" maxItems:"32"`
	Version   string     `json:"version,omitempty" maxLength:"64"`
}

// AgentUsage is the load of a machine.
type AgentUsage struct {
	Load1         float64 `json:"load1" doc:"Load average of the last minute."`
	MemoryUsedMiB int64   `json:"memory_used_mib"`
}

// AgentOrders answers a report.
type AgentOrders struct {
	Phase            Phase    `json:"phase" doc:"Where the controller sees the server."`
	Drain            bool     `json:"drain" doc:"Accept no new work."`
	RotateCredential bool     `json:"rotate_credential" doc:"Make a new credential and send it."`
	Heartbeat        Duration `json:"heartbeat" doc:"Interval until the next report."`
	Sessions         []string `json:"sessions" doc:"Sessions that the controller has placed here."`
}

// CheckinStatus is what a startup script reports of its progress.
type CheckinStatus struct {
	Status   string `json:"status" maxLength:"64" doc:"starting, running or failed; running makes the server ready."`
	Message  string `json:"status_message,omitempty" maxLength:"4096"`
	Progress int64  `json:"status_progress,omitempty" minimum:"0" maximum:"100"`
}

// APIToken is a credential of a person or a program.
type APIToken struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Role       Role       `json:"role" enum:"admin,operator,session,viewer,join"`
	Pool       string     `json:"pool,omitempty" doc:"Only for this pool (roles session and join)."`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"To the minute."`
}

// Role says what a token may do.
type Role string

// The roles.
const (
	RoleAdmin    Role = "admin"    // everything
	RoleOperator Role = "operator" // read all; drain, delete, retry servers; sessions
	RoleSession  Role = "session"  // take, renew and end its own sessions
	RoleViewer   Role = "viewer"   // read all
	RoleJoin     Role = "join"     // register fixed agents in one pool
)
