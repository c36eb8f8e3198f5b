// Package fakeaws is a stateful stand-in for AWS, for tests: EC2 with instances
// that boot, volumes, interfaces, images, subnets and spot requests; the token
// service; and hosted zones in Route 53. Each access key is an account of its own.
// Signatures are verified. Requests and answers are held against the service
// models that AWS publishes with botocore, so that neither the driver nor the fake
// can say what the APIs would not.
package fakeaws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Server is the cloud. It is safe for concurrent use.
type Server struct {
	model *Model

	mu       sync.Mutex
	accounts map[string]*login // by access key
	serial   int
	broken   []string // what broke the model
}

// login is an access key.
type login struct {
	account       *Account
	secret, token string
	role          string // empty: the user's own
	ends          time.Time
}

// New makes a cloud without accounts.
func New(model *Model) *Server {
	return &Server{model: model, accounts: map[string]*login{}}
}

// Violations lists the requests and answers that broke the model so far.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.broken)
}

// Keys are what a config names.
type Keys struct{ ID, Secret, Token string }

// NewAccount makes an account with one access key.
func (s *Server) NewAccount() (Keys, *Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	k := Keys{ID: fmt.Sprintf("AKIAFAKE%012d", s.serial), Secret: fmt.Sprintf("secret/of+account%022d", s.serial)}
	a := newAccount(s, fmt.Sprintf("%012d", 123456780000+s.serial))
	s.accounts[k.ID] = &login{account: a, secret: k.Secret}
	return k, a
}

// call is one request, taken apart.
type call struct {
	service, name string
	op            *operation
	in            map[string]any
	account       *Account
	login         *login
}

// refusal is an error of the API.
type refusal struct {
	status        int
	code, message string
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return
	}
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	c := &call{}
	who, service, no := s.authenticate(r, body)
	c.service, c.login = service, who
	if no != nil {
		s.send(w, c, nil, no)
		return
	}
	c.account = who.account
	s.mu.Lock()
	if service != "sts" {
		c.account.calls++
	}
	s.mu.Unlock()
	wrong := s.takeApart(c, r, body)
	s.mu.Lock()
	f, spoiled := c.account.fault(c)
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
		for k, v := range f.Header {
			w.Header().Set(k, v)
		}
		s.send(w, c, nil, refuse(f.Status, f.Code, "%s", f.Message))
		return
	}
	s.mu.Lock()
	var out map[string]any
	if len(wrong) > 0 {
		s.broken = append(s.broken, wrong...)
		no = refuse(400, "InvalidParameterValue", "%s", strings.Join(wrong, "; "))
	} else {
		c.account.tick()
		out, no = c.account.route(c)
	}
	s.mu.Unlock()
	if spoiled && f.Lose {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
				return
			}
		}
	}
	s.send(w, c, out, no)
}

var authRule = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/([0-9]{8})/([a-z0-9-]+)/([a-z0-9]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

// authenticate verifies the signature of a request (Signature Version 4).
func (s *Server) authenticate(r *http.Request, body []byte) (*login, string, *refusal) {
	m := authRule.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return nil, "ec2", refuse(403, "MissingAuthenticationToken", "Missing Authentication Token")
	}
	service := m[4]
	s.mu.Lock()
	l := s.accounts[m[1]]
	unknown := l == nil || l.account.expired && l.role == ""
	s.mu.Unlock()
	if unknown {
		if service == "ec2" {
			return nil, service, refuse(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
		}
		return nil, service, refuse(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if l.token != "" && (l.token != r.Header.Get("X-Amz-Security-Token") || l.account.expired) || !l.ends.IsZero() && time.Now().After(l.ends) {
		code := "ExpiredToken"
		if service == "ec2" {
			code = "RequestExpired"
		}
		return nil, service, refuse(400, code, "The security token included in the request is expired")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if skew := time.Since(at); err != nil || skew > 5*time.Minute || skew < -5*time.Minute {
		return nil, service, refuse(400, "RequestExpired", "Request has expired.")
	}
	again, err := http.NewRequest(r.Method, "https://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, service, refuse(400, "IncompleteSignature", "%v", err)
	}
	for _, name := range strings.Split(m[5], ";") {
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	again.Header.Del("Authorization")
	sum := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: m[1], SecretAccessKey: l.secret, SessionToken: l.token}
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, again, hex.EncodeToString(sum[:]), service, m[3], at); err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return nil, service, refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
	}
	return l, service, nil
}

// takeApart finds the operation of a request, reads its input, and says what is
// wrong with it.
func (s *Server) takeApart(c *call, r *http.Request, body []byte) []string {
	if c.service == "route53" {
		return s.takeApartREST(c, r, body)
	}
	m := s.model.services[c.service]
	if m == nil {
		return []string{"no service is called " + c.service}
	}
	q, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" {
		return []string{fmt.Sprintf("%s %s is no request of a query API", r.Method, r.URL)}
	}
	values := map[string]string{}
	for key, list := range q {
		values[key] = list[0]
		if len(list) > 1 {
			return []string{"parameter " + key + " is given twice"}
		}
	}
	c.name = values["Action"]
	if c.op = m.Operations[c.name]; c.op == nil {
		return []string{"no operation is called " + c.name}
	}
	var wrong []string
	c.in, wrong = m.query(c.op, values)
	return wrong
}

// send answers in the form of the service's protocol.
func (s *Server) send(w http.ResponseWriter, c *call, out map[string]any, no *refusal) {
	const id = "59dbff89-35bd-4eac-99ed-be587EXAMPLE"
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	var b strings.Builder
	if no != nil {
		b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
		if c.service == "ec2" {
			b.WriteString("<Response><Errors><Error><Code>" + no.code + "</Code><Message>")
			_ = escape(&b, no.message)
			b.WriteString("</Message></Error></Errors><RequestID>" + id + "</RequestID></Response>")
		} else {
			b.WriteString("<ErrorResponse><Error><Type>Sender</Type><Code>" + no.code + "</Code><Message>")
			_ = escape(&b, no.message)
			b.WriteString("</Message></Error><RequestId>" + id + "</RequestId></ErrorResponse>")
		}
		w.WriteHeader(no.status)
		_, _ = io.WriteString(w, b.String())
		return
	}
	m := s.model.services[c.service]
	root := c.name + "Response"
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=%q>", root, m.Metadata.Namespace)
	if c.op.Output != nil {
		wrapper := c.op.Output.ResultWrapper
		if wrapper != "" {
			b.WriteString("<" + wrapper + ">")
		}
		if wrong := m.writeXML(&b, c.op.Output, out, c.name); len(wrong) > 0 {
			s.mu.Lock()
			s.broken = append(s.broken, wrong...)
			s.mu.Unlock()
		}
		if wrapper != "" {
			b.WriteString("</" + wrapper + ">")
		}
	}
	if c.service == "ec2" {
		b.WriteString("<requestId>" + id + "</requestId>")
	}
	b.WriteString("</" + root + ">")
	_, _ = io.WriteString(w, b.String())
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
