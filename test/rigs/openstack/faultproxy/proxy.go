// Package faultproxy stands between a client and the OpenStack rig: it speaks TLS
// with a certificate of an authority of its own, offers all services at one
// address as a gateway does, writes down every call, and lets calls fail in ways
// in which a healthy cloud does not.
package faultproxy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Call is a request that came in. Path is what the service gets.
type Call struct {
	Service string // identity, compute, image, network, volume
	Method  string
	Path    string
	Query   string
	Status  int    // 0: none was given
	Body    []byte // of the request
	Token   string // that the client sent
	Answer  []byte // as the service gave it
}

func (c Call) String() string { return c.Method + " " + c.Service + " " + c.Path }

// Fault is what happens to a call that it matches.
type Fault struct {
	// Service, Method and Path select calls; empty means any. Path is a regular
	// expression for the whole path.
	Service, Method, Path string
	// Skip is how many of the calls pass before the first that is hit.
	Skip int
	// Times is how many calls are hit; 0: one, below 0: all.
	Times int

	// One of these:
	Status     int         // answered with Body and Header; the service gets nothing
	Header     http.Header // of that answer
	Body       string
	Lose       bool      // the service does it, and the connection breaks instead of the answer
	Cut        bool      // the connection breaks in the middle of the answer
	Hang       bool      // nothing happens until the client goes away or Release is called
	BadToken   bool      // the service gets a token that nobody issued
	BadSecret  bool      // keystone gets a wrong secret
	Unroutable bool      // the connection breaks before the service gets anything
	Swap       [2]string // the service gets the second instead of the first in the request's body

	path *regexp.Regexp
}

// Proxy is one proxy; each test has its own.
type Proxy struct {
	server   *httptest.Server
	backends map[string]string // base URL by service

	mu      sync.Mutex
	faults  []*Fault
	calls   []Call
	release chan struct{}
}

// New starts a proxy before services, which are base URLs by name. It ends with
// the test.
func New(t testing.TB, services map[string]string) *Proxy {
	t.Helper()
	p := &Proxy{backends: services, release: make(chan struct{})}
	p.server = httptest.NewTLSServer(http.HandlerFunc(p.serve))
	p.server.Config.ErrorLog = nil
	t.Cleanup(func() {
		p.Release()
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// URL is the address of a service.
func (p *Proxy) URL(service string) string { return p.server.URL + "/" + service }

// CA is the certificate of the authority that signed the proxy's, as PEM.
func (p *Proxy) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))
}

// Certificate is the proxy's certificate.
func (p *Proxy) Certificate() *x509.Certificate { return p.server.Certificate() }

// Inject lets coming calls fail. The newest fault that matches is the one that
// counts. cure takes it away.
func (p *Proxy) Inject(f Fault) (cure func()) {
	if f.Path != "" {
		f.path = regexp.MustCompile("^(?:" + f.Path + ")$")
	}
	if f.Times == 0 {
		f.Times = 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = slices.DeleteFunc(p.faults, func(g *Fault) bool { return g == &f })
	}
}

// Release ends every call that hangs.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.release)
	p.release = make(chan struct{})
}

// Calls are all calls so far.
func (p *Proxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

func (p *Proxy) match(c Call) (Fault, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range slices.Backward(p.faults) {
		switch {
		case f.Times == 0,
			f.Service != "" && f.Service != c.Service,
			f.Method != "" && f.Method != c.Method,
			f.path != nil && !f.path.MatchString(c.Path):
			continue
		case f.Skip > 0:
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f, p.release
	}
	return Fault{}, p.release
}

func (p *Proxy) record(c Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	service, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	backend, ok := p.backends[service]
	if !ok {
		http.Error(w, "the gateway knows no service "+strconv.Quote(service), http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := Call{Service: service, Method: r.Method, Path: "/" + rest, Query: r.URL.RawQuery, Body: body, Token: r.Header.Get("X-Auth-Token")}
	f, release := p.match(c)
	switch {
	case f.Unroutable:
		p.record(c)
		panic(http.ErrAbortHandler)
	case f.Hang:
		p.record(c)
		select {
		case <-r.Context().Done():
		case <-release:
		}
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		for key, values := range f.Header {
			w.Header()[key] = values
		}
		c.Status = f.Status
		p.record(c)
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
		return
	case f.Swap[0] != "":
		body = bytes.ReplaceAll(body, []byte(f.Swap[0]), []byte(f.Swap[1]))
	case f.BadSecret:
		body = spoil.ReplaceAll(body, []byte(`${1}wrong"`))
	}
	resp, text, err := p.forward(r, backend+c.Path, body, f.BadToken) //nolint:bodyclose // it is read and closed there
	if err != nil {
		p.record(c)
		panic(http.ErrAbortHandler) // as the service itself would: the connection is gone
	}
	c.Status, c.Answer = resp.StatusCode, text
	p.record(c)
	if f.Lose {
		panic(http.ErrAbortHandler)
	}
	text = p.rewrite(text)
	for key, values := range resp.Header {
		if key != "Content-Length" && key != "Connection" {
			w.Header()[key] = values
		}
	}
	if len(text) > 0 || r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(resp.StatusCode)
	if f.Cut {
		_, _ = w.Write(text[:len(text)/2])
		// Without a byte of an answer, Go's client would quietly ask again.
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(text)
}

// spoil finds the secret of a request for a token.
var spoil = regexp.MustCompile(`("(?:secret|password)"\s*:\s*")[^"]*"`)

func (p *Proxy) forward(r *http.Request, url string, body []byte, badToken bool) (*http.Response, []byte, error) {
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = r.Header.Clone()
	req.Header.Del("Accept-Encoding")
	if badToken && req.Header.Get("X-Auth-Token") != "" {
		req.Header.Set("X-Auth-Token", "gAAAAABnobodyIssuedThisToken")
	}
	client := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, text, err
}

// rewrite makes the addresses in answers, first of all those of the catalog,
// lead through the proxy.
func (p *Proxy) rewrite(text []byte) []byte {
	for service, base := range p.backends {
		text = bytes.ReplaceAll(text, []byte(base+"/"), []byte(p.URL(service)+"/"))
		text = bytes.ReplaceAll(text, []byte(base+`"`), []byte(p.URL(service)+`"`))
	}
	return text
}
