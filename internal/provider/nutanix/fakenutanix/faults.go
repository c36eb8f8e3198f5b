package fakenutanix

import "net/http"

// The operations that faults are made for, as the API description spells them.
const (
	CreateVM    = "POST /vms"
	DeleteVM    = "DELETE /vms/{uuid}"
	GetVM       = "GET /vms/{uuid}"
	ListVMs     = "POST /vms/list"
	ListMarks   = "POST /categories/{name}/list"
	PutMark     = "PUT /categories/{name}/{value}"
	GetMark     = "GET /categories/{name}/{value}"
	DeleteMark  = "DELETE /categories/{name}/{value}"
	ListSubnets = "POST /subnets/list"
)

// Expire makes the server refuse all credentials, or accept them again.
func (s *Server) Expire(expired bool) { s.mu.Lock(); defer s.mu.Unlock(); s.expired = expired }

// Lose lets the next call of the operation take effect while its answer is lost.
func (s *Server) Lose(operation string) { s.mu.Lock(); defer s.mu.Unlock(); s.lose = operation }

// Hang accepts the next request and answers nothing.
func (s *Server) Hang() { s.mu.Lock(); defer s.mu.Unlock(); s.hang = true }

// Refuse fails the next calls of an operation, after some that are let through,
// with a reason and a message of the API.
func (s *Server) Refuse(operation string, after, times, status int, reason, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = append(s.refuse, refusal{operation: operation, after: after, times: times, status: status, reason: reason, message: message})
}

// RefuseRaw fails the next calls with an answer that is none of the API, as
// proxies give them.
func (s *Server) RefuseRaw(operation string, times, status int, header http.Header, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = append(s.refuse, refusal{operation: operation, times: times, status: status, header: header, raw: &text})
}

// Grant gives the user a role with exactly these permissions.
func (s *Server) Grant(permissions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rights = append([]string{}, permissions...)
}
