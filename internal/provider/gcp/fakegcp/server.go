// Package fakegcp is a stateful stand-in for Google Cloud, for tests: the token
// service, instances that are made by operations and boot, disks, zones, images,
// subnetworks, permissions, and names in Cloud DNS. Each service account is a
// project of its own. Requests and answers are held against the discovery
// documents that Google publishes, so that neither the driver nor the fake can
// say what the APIs would not.
package fakegcp

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is the cloud. It is safe for concurrent use.
type Server struct {
	model *Model // nil: requests are not checked
	key   *rsa.PrivateKey
	pem   string

	mu       sync.Mutex
	projects map[string]*Project // by id
	byEmail  map[string]*Project
	byToken  map[string]*Project
	serial   int
	broken   []string // what broke the model
}

// New makes a cloud without projects. Without a model nothing is checked.
func New(model *Model) (*Server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &Server{
		model: model, key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		projects: map[string]*Project{}, byEmail: map[string]*Project{}, byToken: map[string]*Project{},
	}, nil
}

// Violations lists the requests and answers that broke the model so far.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.broken...)
}

// NewProject makes a project with one service account, whose key is the
// credentials. url is where the fake is reached.
func (s *Server) NewProject(url string) (credentials string, p *Project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	p = newProject(s, fmt.Sprintf("desktops-%d", s.serial))
	email := "headroom@" + p.ID + ".iam.gserviceaccount.com"
	s.projects[p.ID], s.byEmail[email] = p, p
	key, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": p.ID, "private_key_id": fmt.Sprintf("%040d", s.serial), "private_key": s.pem,
		"client_email": email, "client_id": strconv.Itoa(s.serial), "auth_uri": url + "/auth", "token_uri": url + "/token",
	})
	if err != nil {
		panic(err)
	}
	return string(key), p
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return
	}
	if r.URL.Path == "/token" {
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.issue(w, r)
		return
	}
	s.mu.Lock()
	p := s.byToken[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if p == nil || p.expired {
		s.mu.Unlock()
		send(w, fault(http.StatusUnauthorized, "authError", "Request had invalid authentication credentials. Expected OAuth 2 access token."))
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
		send(w, fault(f.Status, f.Reason, "%s", f.Message))
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

// answer checks a request, lets it take effect, and checks what comes of it.
func (s *Server) answer(p *Project, r *http.Request, body []byte) reply {
	call := &Call{}
	if s.model != nil {
		found, wrong := s.model.Request(r, body)
		if len(wrong) > 0 {
			s.mu.Lock()
			s.broken = append(s.broken, wrong...)
			s.mu.Unlock()
			return fault(http.StatusBadRequest, "invalid", "Invalid value: %s", strings.Join(wrong, "; "))
		}
		call = found
	}
	if wait, until := p.waitsFor(r); wait { // a long poll holds no lock
		select {
		case <-until:
		case <-r.Context().Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.tick()
	out := p.route(r, body)
	if s.model != nil && out.status < 300 {
		text, err := json.Marshal(out.body)
		if err != nil {
			panic(err)
		}
		if out.body == nil {
			text = nil
		}
		s.broken = append(s.broken, call.Answer(text)...)
	}
	return out
}

// issue is the token service: a signed assertion for an access token (RFC 7523).
func (s *Server) issue(w http.ResponseWriter, r *http.Request) {
	refuse := func(text string) {
		send(w, reply{status: http.StatusBadRequest, body: map[string]any{"error": "invalid_grant", "error_description": text}})
	}
	parts := strings.Split(r.PostFormValue("assertion"), ".")
	if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
		refuse("Invalid grant.")
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		refuse("Invalid JWT Signature.")
		return
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		Expires  int64  `json:"exp"`
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if json.Unmarshal(text, &claims) != nil || claims.Scope == "" || !strings.HasSuffix(claims.Audience, r.Host+"/token") || claims.Expires < time.Now().Unix() {
		refuse("Invalid JWT: it must be for this service and of now.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byEmail[claims.Issuer]
	if p == nil || p.expired {
		refuse("Invalid grant: account not found")
		return
	}
	s.serial++
	token := fmt.Sprintf("ya29.%d.%s", s.serial, p.ID)
	s.byToken[token] = p
	p.tokens++
	send(w, reply{status: http.StatusOK, body: map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3599}})
}

// reply is what will be sent.
type reply struct {
	status int
	body   any
}

func send(w http.ResponseWriter, o reply) {
	if o.body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text, err := json.Marshal(o.body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(o.status)
	_, _ = w.Write(text)
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// fault is an error in the form that all of Google's APIs of this age share.
func fault(status int, reason, format string, args ...any) reply {
	message := fmt.Sprintf(format, args...)
	return reply{status: status, body: map[string]any{"error": map[string]any{
		"code": status, "message": message,
		"errors": []any{map[string]any{"message": message, "domain": "global", "reason": reason}},
	}}}
}

func absent(resource string) reply {
	return fault(http.StatusNotFound, "notFound", "The resource '%s' was not found", resource)
}
