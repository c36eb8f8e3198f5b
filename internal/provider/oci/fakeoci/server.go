// Package fakeoci is a stateful stand-in for Oracle Cloud Infrastructure, for
// tests: signed requests, the identity of instances, availability domains,
// shapes, images, networks, instances with their boot volumes and interfaces,
// work requests, console histories, limits, and zones of OCI DNS. Each request is
// read into the struct that Oracle's SDK has for it, by the tags from which the
// SDK writes requests: what the struct has no place for, and what it says to be
// mandatory and is missing, is a violation. Answers are the SDK's own types.
package fakeoci

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Server is the cloud. It is safe for concurrent use.
type Server struct {
	key *rsa.PrivateKey
	pem string

	mu        sync.Mutex
	tenancies map[string]*Tenancy // by the id of the key
	leaf      *identityOf         // of the host that asks the metadata service
	serial    int
	broken    []string // what broke the model
	ahead     time.Duration
}

// New makes a cloud without tenancies.
func New() (*Server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &Server{
		key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), tenancies: map[string]*Tenancy{},
	}, nil
}

// Violations lists the requests that broke the model so far.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.broken...)
}

// Clock sets how far the service's clock is ahead of the caller's.
func (s *Server) Clock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

func (s *Server) now() time.Time { return time.Now().Add(s.ahead) }

// Key is the private key of every user, in PEM form.
func (s *Server) Key() string { return s.pem }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	s.mu.Unlock()
	w.Header().Set("Opc-Request-Id", "REQUEST/1")
	if r.URL.Path == "/v1/x509" {
		s.send(w, s.federate(r, body))
		return
	}
	t, refused := s.authenticate(r, body)
	if t == nil {
		s.send(w, refused)
		return
	}
	s.mu.Lock()
	t.calls++
	f, spoiled := t.fault(r)
	s.mu.Unlock()
	switch {
	case spoiled && f.Hang != nil:
		select {
		case <-f.Hang:
		case <-r.Context().Done():
		}
		return
	case spoiled && f.Text != "":
		for k, v := range f.Header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Text)
		return
	case spoiled && f.Status != 0:
		for k, v := range f.Header {
			w.Header().Set(k, v)
		}
		s.send(w, fault(f.Status, f.Code, f.Message))
		return
	}
	out := s.answer(t, r, body)
	if spoiled && f.Lose {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
				return
			}
		}
	}
	s.send(w, out)
}

// answer finds the operation, holds the request against its struct, and lets it
// take effect.
func (s *Server) answer(t *Tenancy, r *http.Request, body []byte) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.tick()
	for _, o := range operations() {
		parts, ok := matched(o.path, r.URL.Path)
		if !ok || o.method != r.Method {
			continue
		}
		req := reflect.New(reflect.TypeOf(o.request))
		if wrong := fill(req.Interface(), r, parts, body); len(wrong) > 0 {
			for _, text := range wrong {
				s.broken = append(s.broken, r.Method+" "+r.URL.Path+": "+text)
			}
			return fault(http.StatusBadRequest, "InvalidParameter", strings.Join(wrong, "; "))
		}
		for _, permission := range o.needs {
			if t.lacking[permission] {
				return absent()
			}
		}
		t.body = string(body)
		out := o.do(t, req.Elem().Interface())
		for _, text := range lacks(out.body) {
			s.broken = append(s.broken, r.Method+" "+r.URL.Path+": "+text)
		}
		if _, plain := out.body.(plainText); out.body != nil && !plain {
			out.body = shown(out.body) // before the lock is given back
		}
		return out
	}
	s.broken = append(s.broken, "no operation "+r.Method+" "+r.URL.Path)
	return fault(http.StatusNotFound, "NotFound", "Not Found")
}

// reply is what will be sent.
type reply struct {
	status int
	body   any
	next   string // page
	header map[string]string
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

func fault(status int, code, message string) reply {
	return reply{status: status, body: map[string]string{"code": code, "message": message}}
}

// absent is the answer to what is not there and to what may not be seen.
func absent() reply {
	return fault(http.StatusNotFound, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")
}

func (s *Server) send(w http.ResponseWriter, o reply) {
	for k, v := range o.header {
		w.Header().Set(k, v)
	}
	if o.next != "" {
		w.Header().Set("Opc-Next-Page", o.next)
	}
	if text, plain := o.body.(plainText); plain {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(o.status)
		_, _ = io.WriteString(w, string(text))
		return
	}
	if o.body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text, err := json.Marshal(o.body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(o.status)
	_, _ = w.Write(text)
}

type plainText string

// Fault spoils a later request.
type Fault struct {
	Method string // empty: any
	Path   string // part of the path; empty: any
	After  int    // how many such requests pass before

	Status  int
	Code    string
	Message string
	Header  map[string]string
	Text    string          // in place of an error of the API's form
	Lose    bool            // the request takes effect, the answer is lost
	Hang    <-chan struct{} // nothing is answered until it is closed
}

// fault takes the fault that is meant for a request.
func (t *Tenancy) fault(r *http.Request) (Fault, bool) {
	for i := range t.faults {
		f := &t.faults[i]
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		out := *f
		t.faults = append(t.faults[:i], t.faults[i+1:]...)
		return out, true
	}
	return Fault{}, false
}

func (s *Server) id(kind, region string) string {
	s.serial++
	return fmt.Sprintf("ocid1.%s.oc1.%s.aaaaaaaa%08d", kind, region, s.serial)
}
