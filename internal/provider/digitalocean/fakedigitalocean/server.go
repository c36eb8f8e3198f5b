// Package fakedigitalocean is a stateful stand-in for DigitalOcean's API, for
// tests: Droplets that boot and vanish after a while, tags, firewalls, keys,
// images, sizes, networks and DNS records. Each token is an account of its own.
// Tests put the vendor's OpenAPI description in front of it, so that neither the
// driver nor the fake can say what the API would not.
package fakedigitalocean

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is the API. It is safe for concurrent use.
type Server struct {
	mu       sync.Mutex
	accounts map[string]*Account // by token
	serial   int
}

// New makes an API without accounts.
func New() *Server { return &Server{accounts: map[string]*Account{}, serial: 1000} }

// Account is what one token sees.
type Account struct {
	server *Server

	droplets  []*droplet
	tags      map[string]bool
	firewalls []*firewall
	records   map[string][]*record // by domain
	calls     int64
	faults    []Fault
	expired   bool
	lacking   map[string]bool // scopes
	limit     int
	soldOut   map[string]bool
	settled   map[int]bool // Droplets that are shown; nil: all
	boot      time.Duration
	vanish    time.Duration
}

// Fault spoils one call.
type Fault struct {
	Method, Path string // the path's beginning; empty: any
	Status       int    // answered instead
	Message      string
	Header       map[string]string
	Lose         bool            // the call takes effect, and its answer is a broken connection
	Hang         <-chan struct{} // the call waits for it, without an effect
	After        int             // calls that fit are let through before it
}

// NewAccount makes an account and its token.
func (s *Server) NewAccount() (token string, a *Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	token = fmt.Sprintf("dop_v1_%060d", s.serial)
	a = &Account{
		server: s, tags: map[string]bool{}, limit: 1000, lacking: map[string]bool{}, soldOut: map[string]bool{},
		records: map[string][]*record{"example.com": {{ID: s.id(), Type: "NS", Name: "@", Data: "ns1.digitalocean.com", TTL: 1800}}},
		boot:    20 * time.Millisecond, vanish: 20 * time.Millisecond,
	}
	a.firewalls = []*firewall{{ID: uuid(s.id()), Name: "web", Status: "succeeded", Tags: []string{}}}
	s.accounts[token] = a
	return token, a
}

func (s *Server) id() int { s.serial++; return s.serial }

func uuid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	a := s.accounts[token]
	if a == nil || a.expired {
		s.mu.Unlock()
		fail(w, http.StatusUnauthorized, "unauthorized", "Unable to authenticate you")
		return
	}
	a.calls++
	f, spoiled := a.fault(r)
	s.mu.Unlock()
	switch {
	case spoiled && f.Hang != nil:
		select {
		case <-f.Hang:
		case <-r.Context().Done():
		}
		return
	case spoiled && f.Status != 0:
		for k, v := range f.Header {
			w.Header().Set(k, v)
		}
		fail(w, f.Status, "fault", f.Message)
		return
	}
	out := &answer{header: http.Header{}, status: http.StatusOK}
	s.mu.Lock()
	a.route(out, r)
	s.mu.Unlock()
	if spoiled && f.Lose {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
				return
			}
		}
	}
	for k, v := range out.header {
		w.Header()[k] = v
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body)
}

// fault takes the next fault that fits a call.
func (a *Account) fault(r *http.Request) (Fault, bool) {
	for i := range a.faults {
		f := &a.faults[i]
		if f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.Path, f.Path) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		out := *f
		a.faults = append(a.faults[:i], a.faults[i+1:]...)
		return out, true
	}
	return Fault{}, false
}

// answer is what will be sent.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (o *answer) send(status int, v any) {
	o.status = status
	// The rate limit is told with every answer.
	o.header.Set("Ratelimit-Limit", "5000")
	o.header.Set("Ratelimit-Remaining", "4999")
	o.header.Set("Ratelimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	if v == nil {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	o.header.Set("Content-Type", "application/json")
	o.body = b
}

func (o *answer) fail(status int, id, format string, args ...any) {
	o.send(status, map[string]string{"id": id, "message": fmt.Sprintf(format, args...), "request_id": uuid(1)})
}

func (o *answer) notFound() {
	o.fail(http.StatusNotFound, "not_found", "The resource you were accessing could not be found.")
}

func (o *answer) unprocessable(format string, args ...any) {
	o.fail(http.StatusUnprocessableEntity, "unprocessable_entity", format, args...)
}

func fail(w http.ResponseWriter, status int, id, message string) {
	o := &answer{header: http.Header{}}
	o.fail(status, id, "%s", message)
	for k, v := range o.header {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	_, _ = w.Write(o.body)
}

// paged cuts a page out of a list and says where the next is.
func paged[T any](r *http.Request, key string, items []T) map[string]any {
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("per_page"))
	if size <= 0 || size > 200 {
		size = 20
	}
	at, _ := strconv.Atoi(q.Get("page"))
	at = max(at, 1)
	from, to := min((at-1)*size, len(items)), min(at*size, len(items))
	out := map[string]any{key: append([]T{}, items[from:to]...), "meta": map[string]int{"total": len(items)}, "links": map[string]any{}}
	link := func(n int) string {
		q.Set("page", strconv.Itoa(n))
		q.Set("per_page", strconv.Itoa(size))
		return "https://api.digitalocean.com" + r.URL.Path + "?" + q.Encode()
	}
	if last := (len(items) + size - 1) / size; last > 1 {
		pages := map[string]string{}
		if at > 1 {
			pages["first"], pages["prev"] = link(1), link(at-1)
		}
		if at < last {
			pages["next"], pages["last"] = link(at+1), link(last)
		}
		out["links"] = map[string]any{"pages": pages}
	}
	return out
}
