package fakenutanix

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The credentials that are accepted.
const (
	Username = "headroom@example.com"
	Password = "pa55-word-of-prism" //nolint:gosec // of the fake
	APIKey   = "key-of-a-service-account"
)

// Options change how the fake behaves; the zero value is a quick Prism with
// small pages.
type Options struct {
	PageLength int           // objects on a page at most; 0: 2
	CloneTime  time.Duration // until a clone runs; 0: 30 ms
	DeleteTime time.Duration // until a machine is gone; 0: 30 ms
	OwnUUIDs   bool          // the UUIDs of create requests are ignored
	Uncounted  bool          // listings of categories do not say how many there are
}

// Server is a Prism Central.
type Server struct {
	*httptest.Server
	contract *contract
	options  Options

	mu       sync.Mutex
	vms      map[string]*vm
	order    []string // of the VMs, oldest first
	keys     map[string]string
	values   map[string]map[string]string // key → value → description
	clusters []cluster
	subnets  []subnet
	projects []project
	rights   []string // permissions of the user's role; nil: no policy is shown
	tasks    map[string]string
	serial   int
	wrong    []string // requests and answers that the contract refuses
	calls    int64
	log      []string
	expired  bool
	lose     string // name of the operation whose next answer is lost
	hang     bool
	refuse   []refusal
	ended    chan struct{}
}

// refusal makes requests fail.
type refusal struct {
	operation string
	after     int // so many of them are let through before
	times     int
	status    int
	reason    string
	message   string
	header    http.Header
	raw       *string // instead of an answer of the API
}

// New starts a Prism Central with one cluster, one subnet, one project, and a
// virtual machine to clone. An error says that the API description is missing.
func New(o Options) (*Server, error) {
	c, err := loaded()
	if err != nil {
		return nil, err
	}
	if o.PageLength == 0 {
		o.PageLength = 2
	}
	if o.CloneTime == 0 {
		o.CloneTime = 30 * time.Millisecond
	}
	if o.DeleteTime == 0 {
		o.DeleteTime = 30 * time.Millisecond
	}
	s := &Server{
		contract: c, options: o, vms: map[string]*vm{}, keys: map[string]string{}, values: map[string]map[string]string{},
		tasks: map[string]string{}, ended: make(chan struct{}),
	}
	s.furnish()
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that tests break on purpose
	s.StartTLS()
	return s, nil
}

// Close ends the server, hanging answers included.
func (s *Server) Close() {
	close(s.ended)
	s.Server.Close()
}

// Authority is the certificate of the server's authority as PEM.
func (s *Server) Authority() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// Address is where the server listens.
func (s *Server) Address() (host string, port int64) {
	u, err := url.Parse(s.URL)
	if err != nil {
		panic(err) // httptest made it
	}
	port, err = strconv.ParseInt(u.Port(), 10, 64)
	if err != nil {
		panic(err)
	}
	return u.Hostname(), port
}

// Wrong lists requests and answers that are not as the API description says.
func (s *Server) Wrong() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.wrong...)
}

// Calls counts the requests so far.
func (s *Server) Calls() int64 { s.mu.Lock(); defer s.mu.Unlock(); return s.calls }

// Log lists the operations that were called, oldest first.
func (s *Server) Log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

// reply is an answer before it is written.
type reply struct {
	status int
	body   any
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	path, under := strings.CutPrefix(r.URL.Path, root)
	s.mu.Lock()
	s.calls++
	if s.hang {
		s.hang = false
		s.mu.Unlock()
		select {
		case <-r.Context().Done():
		case <-s.ended:
		}
		return
	}
	if !s.authentic(r) {
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "<html><body>An Authentication object was not found in the SecurityContext</body></html>")
		return
	}
	name, values, err := s.contract.request(r, path, body)
	if !under {
		err = fmt.Errorf("nothing of the API is at %s", r.URL.Path)
	}
	if err != nil {
		s.wrong = append(s.wrong, "request: "+err.Error())
		s.mu.Unlock()
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	s.log = append(s.log, name)
	if f, refused := s.refused(name); refused {
		s.mu.Unlock()
		for key := range f.header {
			w.Header().Set(key, f.header.Get(key))
		}
		if f.raw != nil {
			w.WriteHeader(f.status)
			fmt.Fprint(w, *f.raw)
			return
		}
		s.write(w, r.Method, path, failure(name, f.status, f.reason, f.message))
		return
	}
	answer := s.operate(name, values, body)
	lost := s.lose == name
	if lost {
		s.lose = ""
	}
	s.mu.Unlock()
	if lost {
		panic(http.ErrAbortHandler)
	}
	s.write(w, r.Method, path, answer)
}

func (s *Server) write(w http.ResponseWriter, method, path string, a reply) {
	var text []byte
	if a.body != nil {
		var err error
		if text, err = json.Marshal(a.body); err != nil {
			panic(err)
		}
	}
	if err := s.contract.answer(method, path, a.status, text); err != nil {
		s.mu.Lock()
		s.wrong = append(s.wrong, "answer: "+err.Error()+"\n"+string(text))
		s.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(text)
}

func (s *Server) authentic(r *http.Request) bool {
	if s.expired {
		return false
	}
	if key := r.Header.Get("X-Ntnx-Api-Key"); key != "" {
		return key == APIKey
	}
	user, password, ok := r.BasicAuth()
	return ok && user == Username && password == Password
}

// failure is an answer of the API that refuses something.
func failure(name string, status int, reason, message string) reply {
	return reply{status, map[string]any{
		"state": "ERROR", "code": status, "kind": kindOf(name), "api_version": "3.1.0",
		"message_list": []any{map[string]any{"reason": reason, "message": message}},
	}}
}

// kindOf names the kind of object that an operation is about.
func kindOf(name string) string {
	_, path, _ := strings.Cut(name, " ")
	switch noun, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); noun {
	case "categories":
		return "category"
	case "access_control_policies":
		return "access_control_policy"
	default:
		return strings.TrimSuffix(noun, "s")
	}
}

func (s *Server) refused(name string) (refusal, bool) {
	for i := range s.refuse {
		f := &s.refuse[i]
		if f.operation != name || f.times == 0 {
			continue
		}
		if f.after > 0 {
			f.after--
			continue
		}
		f.times--
		return *f, true
	}
	return refusal{}, false
}
