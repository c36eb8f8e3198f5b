package fleet

import "time"

// Event is an append-only record of a decision or a change. Events have one
// order: that of their sequence numbers, which is the order of their commits.
type Event struct {
	Seq     int64          `json:"seq" doc:"Grows with every event; a reader resumes after the last one it has."`
	At      time.Time      `json:"at"`
	Type    EventType      `json:"type"`
	Kind    string         `json:"kind" doc:"Kind of the object that it is about."`
	Name    string         `json:"name" doc:"Name of the object."`
	ID      string         `json:"id,omitempty" doc:"Id of the object, where it has one beside its name."`
	Pool    string         `json:"pool,omitempty"`
	Actor   string         `json:"actor" doc:"Who: a token, an agent, or the part of the system that decided."`
	Message string         `json:"message" doc:"What happened and why."`
	Data    map[string]any `json:"data,omitempty"`
}

// EventType says what happened.
type EventType string

// The event types.
const (
	EventObjectCreated    EventType = "object.created"
	EventObjectUpdated    EventType = "object.updated"
	EventObjectDeleted    EventType = "object.deleted"
	EventServerPlanned    EventType = "server.planned"
	EventServerPhase      EventType = "server.phase"
	EventServerUpdated    EventType = "server.updated"
	EventServerMissing    EventType = "server.missing"
	EventServerLost       EventType = "server.lost"
	EventSessionQueued    EventType = "session.queued"
	EventSessionStaged    EventType = "session.staged"
	EventSessionActive    EventType = "session.active"
	EventSessionRenewed   EventType = "session.renewed"
	EventSessionEnded     EventType = "session.ended"
	EventProviderError    EventType = "provider.error"
	EventProviderCircuit  EventType = "provider.circuit"
	EventProviderCapacity EventType = "provider.capacity"
	EventOrphanFound      EventType = "orphan.found"
	EventOrphanRemoved    EventType = "orphan.removed"
	EventSweepStopped     EventType = "sweep.stopped"
	EventPoolDecision     EventType = "pool.decision"
	EventDNSRegistered    EventType = "dns.registered"
	EventDNSRemoved       EventType = "dns.removed"
	EventDNSError         EventType = "dns.error"
	EventTokenCreated     EventType = "token.created"
	EventTokenRevoked     EventType = "token.revoked"
)

// The kinds of objects that are no configured kind and yet have events.
const (
	EventKindServer  = "Server"
	EventKindSession = "Session"
	EventKindToken   = "Token"
)
