package fleet

import "time"

// SessionState is where a session stands.
type SessionState string

// The states of a session.
const (
	SessionQueued SessionState = "queued" // waits for capacity; holds none
	SessionStaged SessionState = "staged" // made ahead by a staging; holds capacity and belongs to nobody
	SessionActive SessionState = "active" // holds capacity
	SessionEnded  SessionState = "ended"
)

// HoldsCapacity says that a session of this state has a claim on a server.
func (s SessionState) HoldsCapacity() bool { return s == SessionActive || s == SessionStaged }

// Session is a claim on capacity of a pool.
type Session struct {
	ID             string       `json:"id"`
	Pool           string       `json:"pool"`
	Zone           string       `json:"zone,omitempty" doc:"The zone that was asked for."`
	User           string       `json:"user,omitempty"`
	State          SessionState `json:"state" enum:"queued,staged,active,ended"`
	Reason         string       `json:"reason" doc:"Why the session is in this state."`
	Need           Resources    `json:"need" doc:"What it claims."`
	Staging        string       `json:"staging,omitempty" doc:"The staging that made it."`
	ServerID       string       `json:"server_id,omitempty"`
	Server         string       `json:"server,omitempty" doc:"Name of the server."`
	Addresses      []string     `json:"addresses,omitempty" doc:"Addresses of the server."`
	TTL            Duration     `json:"ttl,omitempty" doc:"Life time; each renewal starts it anew. 0: until ended."`
	CreatedAt      time.Time    `json:"created_at"`
	QueueOrder     int64        `json:"queue_order,omitempty" doc:"Position in the order of the pool's queue; smaller is served first."`
	AssignedAt     *time.Time   `json:"assigned_at,omitempty"`
	ExpiresAt      *time.Time   `json:"expires_at,omitempty"`
	WaitUntil      *time.Time   `json:"wait_until,omitempty" doc:"A queued session is given up at this moment."`
	EndedAt        *time.Time   `json:"ended_at,omitempty"`
	Owner          string       `json:"owner" doc:"The token that asked for it."`
	IdempotencyKey string       `json:"idempotency_key,omitempty"`
	Version        int64        `json:"version"`
}

// Live says that the session has not ended.
func (s *Session) Live() bool { return s.State != SessionEnded }
