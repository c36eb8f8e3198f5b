package fakenutanixv4

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
	"sync"
	"time"
)

// The credentials that are accepted.
const (
	Username = "headroom@example.com"
	Password = "pa55-word-of-prism" //nolint:gosec // of the fake
	APIKey   = "key-of-a-service-account"
)

// The operations that faults are made for.
const (
	CloneVM        = "POST /vmm/ahv/config/vms/{extId}/$actions/clone"
	DeployTemplate = "POST /vmm/content/templates/{extId}/$actions/deploy"
	Associate      = "POST /vmm/ahv/config/vms/{extId}/$actions/associate-categories"
	PowerOn        = "POST /vmm/ahv/config/vms/{extId}/$actions/power-on"
	GetVM          = "GET /vmm/ahv/config/vms/{extId}"
	ListVMs        = "GET /vmm/ahv/config/vms"
	DeleteVM       = "DELETE /vmm/ahv/config/vms/{extId}"
	CreateCategory = "POST /prism/config/categories"
	ListCategories = "GET /prism/config/categories"
	GetCategory    = "GET /prism/config/categories/{extId}"
	UpdateCategory = "PUT /prism/config/categories/{extId}"
	DeleteCategory = "DELETE /prism/config/categories/{extId}"
	GetTask        = "GET /prism/config/tasks/{extId}"
	ListTasks      = "GET /prism/config/tasks"
	ListClusters   = "GET /clustermgmt/config/clusters"
)

// Options change how the fake behaves; the zero value is a quick Prism with
// small pages.
type Options struct {
	PageLength int           // objects on a page at most; 0: 3
	CloneTime  time.Duration // until a clone is there; 0: 20 ms
	ChangeTime time.Duration // until another change has happened; 0: 5 ms
	DeleteTime time.Duration // until a machine is gone; 0: 20 ms
}

// Server is a Prism Central.
type Server struct {
	*httptest.Server
	contract *contract
	options  Options

	mu         sync.Mutex
	vms        map[string]*vm
	order      []string // of the VMs, oldest first
	templates  []template
	categories map[string]*category
	clusters   []cluster
	subnets    []subnet
	tasks      map[string]*task
	tokens     map[string]reply // what requests with a token were answered
	due        []event
	serial     int
	wrong      []string // requests and answers that the contract refuses
	calls      int64
	log        []string
	expired    bool
	lose       string // name of the operation whose next answer is lost
	hang       bool
	refuse     []refusal
	fail       []refusal // tasks that fail
	ended      chan struct{}
}

// event is something that happens later.
type event struct {
	at time.Time
	do func()
}

// refusal makes requests or tasks fail.
type refusal struct {
	operation string
	after     int // so many of them are let through before
	times     int
	status    int
	group     string
	message   string
	header    http.Header
	raw       *string // instead of an answer of the API
}

// New starts a Prism Central with two clusters, a subnet, a virtual machine and a
// template to clone. An error says that the SDK is missing.
func New(o Options) (*Server, error) {
	c, err := loaded()
	if err != nil {
		return nil, err
	}
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{{&o.CloneTime, 20 * time.Millisecond}, {&o.ChangeTime, 5 * time.Millisecond}, {&o.DeleteTime, 20 * time.Millisecond}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if o.PageLength == 0 {
		o.PageLength = 3
	}
	s := &Server{
		contract: c, options: o, vms: map[string]*vm{}, categories: map[string]*category{}, tasks: map[string]*task{},
		tokens: map[string]reply{}, ended: make(chan struct{}),
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
	if port, err = strconv.ParseInt(u.Port(), 10, 64); err != nil {
		panic(err)
	}
	return u.Hostname(), port
}

// Wrong lists requests and answers that are not as the SDK says.
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

// Expire makes the server refuse all credentials, or accept them again.
func (s *Server) Expire(expired bool) { s.mu.Lock(); defer s.mu.Unlock(); s.expired = expired }

// Lose lets the next call of the operation take effect while its answer is lost.
func (s *Server) Lose(operation string) { s.mu.Lock(); defer s.mu.Unlock(); s.lose = operation }

// Hang accepts the next request and answers nothing.
func (s *Server) Hang() { s.mu.Lock(); defer s.mu.Unlock(); s.hang = true }

// Refuse fails the next calls of an operation, after some that are let through.
func (s *Server) Refuse(operation string, after, times, status int, group, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = append(s.refuse, refusal{operation: operation, after: after, times: times, status: status, group: group, message: message})
}

// RefuseRaw fails the next calls with an answer that is none of the API, as
// proxies give them.
func (s *Server) RefuseRaw(operation string, times, status int, header http.Header, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = append(s.refuse, refusal{operation: operation, times: times, status: status, header: header, raw: &text})
}

// FailTask accepts the next call of the operation and lets its task fail.
func (s *Server) FailTask(operation, group, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = append(s.fail, refusal{operation: operation, times: 1, group: group, message: message})
}

// reply is an answer before it is written.
type reply struct {
	status int
	etag   string
	body   map[string]any
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
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
	o, values, err := s.contract.request(r, body)
	if err != nil {
		s.wrong = append(s.wrong, "request: "+err.Error())
		s.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.log = append(s.log, o.name)
	if f, refused := take(s.refuse, o.name); refused {
		s.mu.Unlock()
		for key := range f.header {
			w.Header().Set(key, f.header.Get(key))
		}
		if f.raw != nil {
			w.WriteHeader(f.status)
			fmt.Fprint(w, *f.raw)
			return
		}
		s.write(w, o, failure(o, f.status, f.group, f.message))
		return
	}
	answer := s.once(o, r, values, body)
	lost := s.lose == o.name
	if lost {
		s.lose = ""
	}
	s.mu.Unlock()
	if lost {
		panic(http.ErrAbortHandler)
	}
	s.write(w, o, answer)
}

// once answers a request with a token that was used for the same before with the
// first one's answer.
func (s *Server) once(o operation, r *http.Request, values map[string]string, body []byte) reply {
	s.settle()
	token := r.Header.Get("NTNX-Request-Id")
	if token == "" {
		return s.operate(o, r, values, body)
	}
	key := o.name + " " + token
	if before, done := s.tokens[key]; done {
		return before
	}
	answer := s.operate(o, r, values, body)
	if answer.status < http.StatusBadRequest {
		s.tokens[key] = answer
	}
	return answer
}

func (s *Server) write(w http.ResponseWriter, o operation, a reply) {
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	if a.body == nil {
		return
	}
	text, err := json.Marshal(a.body)
	if err != nil {
		panic(err)
	}
	if err := o.check(text); err != nil {
		s.mu.Lock()
		s.wrong = append(s.wrong, "answer: "+err.Error()+"\n"+string(text))
		s.mu.Unlock()
	}
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

func take(all []refusal, name string) (refusal, bool) {
	for i := range all {
		f := &all[i]
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

// later lets something happen after a while.
func (s *Server) later(after time.Duration, do func()) {
	s.due = append(s.due, event{time.Now().Add(after), do}) //nolint:forbidigo // the fake runs on the real clock, as the service does
}

// settle lets time pass: what was to happen by now has happened.
func (s *Server) settle() {
	now := time.Now() //nolint:forbidigo // see later
	for i := 0; i < len(s.due); i++ {
		if e := s.due[i]; !now.Before(e.at) {
			s.due = append(s.due[:i], s.due[i+1:]...)
			e.do()
			i = -1 // it may have added some
		}
	}
}
