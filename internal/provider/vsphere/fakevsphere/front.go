package fakevsphere

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// fault is what happens to one of the next requests.
type fault struct {
	method string // of the API; empty: any
	status int    // answered instead of the call
	header http.Header
	lose   bool // the call takes effect, its answer is lost
	hang   bool // nothing is answered
}

var methodName = regexp.MustCompile(`<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)`)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		return
	}
	s.calls.Add(1)
	method := ""
	if m := methodName.FindSubmatch(body); m != nil {
		method = string(m[1])
	}
	if method == "Logout" {
		s.logouts.Add(1)
	}
	f := s.take(method)
	switch {
	case f != nil && f.hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return
	case f != nil && f.status != 0:
		for key, values := range f.header {
			w.Header()[key] = values
		}
		w.WriteHeader(f.status)
		return
	}
	s.dropRevoked(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if f == nil || !f.lose {
		s.handler.ServeHTTP(w, r)
		return
	}
	s.handler.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler) // the connection breaks
}

// dropRevoked takes the cookies of ended sessions out of a request.
func (s *Server) dropRevoked(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range cookies {
		if c.Name == soap.SessionCookieName {
			s.seen[c.Value] = true
			if s.revoked[c.Value] {
				continue
			}
		}
		r.AddCookie(c)
	}
}

func (s *Server) take(method string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.method == "" || f.method == method {
			s.faults = append(s.faults[:i], s.faults[i+1:]...)
			return f
		}
	}
	return nil
}

func (s *Server) next(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Lose lets the next call of the method take effect while its answer is lost.
func (s *Server) Lose(method string) { s.next(fault{method: method, lose: true}) }

// Hang lets the next call of the method wait until the client gives up.
func (s *Server) Hang(method string) { s.next(fault{method: method, hang: true}) }

// Status answers the next call of the method with an HTTP status.
func (s *Server) Status(method string, status int, header http.Header) {
	s.next(fault{method: method, status: status, header: header})
}

// Fault answers the next call of the method with a fault.
func (s *Server) Fault(method string, f types.BaseMethodFault) {
	s.model.Service.AddFaultRule(&simulator.FaultInjectionRule{
		MethodName: method, ObjectType: "*", ObjectName: "*", Probability: 1, MaxCount: 1, Enabled: true,
		FaultType: simulator.FaultTypeCustom, Fault: f, Message: "as the test wants it",
	})
}

func privilegeAnswer(body soap.HasFault) []types.EntityPrivilege {
	if b, ok := body.(*methods.HasPrivilegeOnEntitiesBody); ok && b.Res != nil {
		return b.Res.Returnval
	}
	return nil
}
