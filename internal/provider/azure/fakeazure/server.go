// Package fakeazure is a stateful stand-in for Microsoft Azure, for tests: the
// token service, virtual machines with their interfaces, addresses, disks and
// extensions, images, sizes, networks, permissions, and names in Azure DNS. Each
// app registration is a subscription of its own. Requests reach the state through
// the fake servers of Microsoft's own SDK, which take them apart by the types of
// the API; what those types do not know, the SDK drops, so that each body is
// compared with what is left of it, and each query with the operation's parameters.
package fakeazure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Server is the cloud. It is safe for concurrent use.
type Server struct {
	mu      sync.Mutex
	all     map[string]*Subscription // by id
	byToken map[string]*Subscription
	serial  int
	broken  []string // what broke the model
}

// New makes a cloud without subscriptions.
func New() *Server {
	return &Server{all: map[string]*Subscription{}, byToken: map[string]*Subscription{}}
}

// Violations lists the requests that broke the model so far.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.broken...)
}

// NewSubscription makes a subscription with one app registration.
func (s *Server) NewSubscription() *Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	id := func(kind int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", kind, s.serial) }
	p := newSubscription(s, id(1), id(2), id(3), fmt.Sprintf("s3cr3t~of.app-%d", s.serial))
	s.all[p.ID] = p
	return p
}

// Fault lets one call fail. The first that fits a request is used up by it.
type Fault struct {
	Method string // empty: any
	Path   string // a part of path and query
	After  int    // calls that fit and pass before

	Status  int    // with Code and Message
	Code    string // of Azure's error
	Message string
	Text    string // an answer that is none of Azure's, with Status
	Header  map[string]string
	Lose    bool            // let it take effect, and break the connection
	Hang    <-chan struct{} // answer nothing until then
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"), strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		s.login(w, r)
		return
	case strings.HasPrefix(r.URL.Path, "/blob/"):
		s.blob(w, r)
		return
	}
	s.mu.Lock()
	p := s.byToken[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if p == nil || p.expired {
		s.mu.Unlock()
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://`+r.Host+`/", error="invalid_token", error_description="The access token is invalid."`)
		send(w, refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid."))
		return
	}
	p.calls++
	f, spoiled := p.fault(r)
	s.mu.Unlock()
	switch {
	case spoiled && f.Hang != nil:
		select {
		case <-f.Hang:
		case <-r.Context().Done():
		}
		return
	case spoiled && f.Text != "":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Text)
		return
	case spoiled && f.Status != 0:
		send(w, &refusal{status: f.Status, code: f.Code, message: f.Message, header: f.Header})
		return
	}
	out := s.answer(p, r, body)
	if spoiled && f.Lose {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
				return
			}
		}
	}
	send(w, out)
}

// answer checks a request and lets it take effect.
func (s *Server) answer(p *Subscription, r *http.Request, body []byte) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.tick()
	resp, err := p.route(r, body)
	var no *refusal
	switch {
	case errors.As(err, &no):
		return no
	case err != nil:
		s.broken = append(s.broken, fmt.Sprintf("%s %s: %v", r.Method, r.URL, err))
		return refuse(http.StatusInternalServerError, "FakeIsBroken", "%v", err)
	}
	return resp
}

// login is the token service: client credentials for an access token.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var p *Subscription
	known := false
	for _, id := range sorted(s.all) {
		if c := s.all[id]; c.Tenant == tenant {
			known = true
			if r.PostFormValue("client_id") == c.Client {
				p = c
			}
		}
	}
	no := func(status int, kind string, code int, text string) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		doc, err := json.Marshal(map[string]any{
			"error": kind, "error_codes": []int{code}, "correlation_id": "c", "trace_id": "t",
			"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: 0 Correlation ID: 0 Timestamp: 2026-01-01 00:00:00Z", code, text),
		})
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(doc)
	}
	if !known {
		no(http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '"+tenant+"' not found. Check to make sure you have the correct tenant ID.")
		return
	}
	base := "https://" + r.Host + "/" + tenant
	if rest == "v2.0/.well-known/openid-configuration" {
		reply(w, http.StatusOK, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
		return
	}
	secret, signed := r.PostFormValue("client_secret"), r.PostFormValue("client_assertion")
	switch {
	case p == nil:
		no(http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '"+r.PostFormValue("client_id")+"' was not found in the directory 'Contoso'.")
	case r.PostFormValue("grant_type") != "client_credentials" || !strings.Contains(r.PostFormValue("scope"), "/.default"):
		no(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the grant type and the scope.")
	case !strings.HasPrefix(r.PostFormValue("scope"), "https://"+r.Host):
		no(http.StatusBadRequest, "invalid_resource", 500011, "The resource principal named "+r.PostFormValue("scope")+" was not found in the tenant.")
	case p.expired:
		no(http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys for app '"+p.Client+"' are expired.")
	case signed != "" && signed != p.Federated:
		no(http.StatusUnauthorized, "invalid_client", 700213, "No matching federated identity record found for presented assertion subject.")
	case signed == "" && secret != p.Secret:
		no(http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '"+p.Client+"'.")
	default:
		s.serial++
		token := fmt.Sprintf("eyJ0.%d.%s", s.serial, p.ID)
		s.byToken[token] = p
		p.tokens++
		reply(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})
	}
}

// blob is the storage service, which looks at the signature in the address only.
func (s *Server) blob(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/blob/"), "/")
	p := s.all[parts[0]]
	switch {
	case p == nil || len(parts) != 2 || r.Header.Get("Authorization") != "" || r.URL.Query().Get("sig") != signature:
		w.WriteHeader(http.StatusForbidden)
	case p.console[parts[1]] == "":
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, p.console[parts[1]])
	}
}

// signature is what protects the addresses of console logs.
const signature = "c29tZSBzaWduYXR1cmU="

// refusal is an error of Azure.
type refusal struct {
	status        int
	code, message string
	header        map[string]string
}

// Error implements error.
func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// send writes a refusal, an answer of the SDK's fakes, or a document.
func send(w http.ResponseWriter, out any) {
	switch o := out.(type) {
	case *refusal:
		for k, v := range o.header {
			w.Header().Set(k, v)
		}
		reply(w, o.status, map[string]any{"error": map[string]any{"code": o.code, "message": o.message}})
	case *http.Response:
		defer func() { _ = o.Body.Close() }()
		for k, v := range o.Header {
			if !strings.HasPrefix(k, "Fake-") {
				w.Header()[k] = v
			}
		}
		w.WriteHeader(o.StatusCode)
		_, _ = io.Copy(w, o.Body)
	default:
		reply(w, http.StatusOK, o)
	}
}

var versionRule = regexp.MustCompile(`^20[0-9]{2}-[01][0-9]-[0-3][0-9](-preview)?$`)

func stamp() time.Time { return time.Now().UTC().Truncate(time.Second) }
