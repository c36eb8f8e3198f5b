package kuberig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands in front of the API server, speaks TLS with an authority of its
// own, counts the requests, and makes trouble when told to. Listings come in
// pages of two, made by the API server itself.
type Proxy struct {
	URL   string
	CA    string // PEM, of the proxy's authority
	calls atomic.Int64

	mu      sync.Mutex
	faults  []*fault
	expired bool
	log     []string
	ended   chan struct{}
}

// Match chooses requests.
type Match func(*http.Request) bool

// To matches requests by method and the name of the resource in their path.
func To(method, resource string) Match {
	return func(r *http.Request) bool {
		return r.Method == method && slices.Contains(strings.Split(r.URL.Path, "/"), resource)
	}
}

// Any matches every request.
func Any(*http.Request) bool { return true }

type fault struct {
	match Match
	left  int // how often it strikes; below 0: always
	do    func(w http.ResponseWriter, r *http.Request, forward http.Handler)
}

// Page is how many objects a page of a listing has behind a proxy.
const Page = 2

// Proxy makes one for the test.
func (r *Rig) Proxy(t testing.TB) *Proxy {
	t.Helper()
	target, err := url.Parse(r.Host)
	must(t, "reading the API server's address", err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 16}
	p := &Proxy{ended: make(chan struct{})}
	forward := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			if p.isExpired() {
				pr.Out.Header.Set("Authorization", "Bearer no-longer-valid")
			}
			if q := pr.Out.URL.Query(); q.Get("limit") != "" {
				q.Set("limit", "2")
				pr.Out.URL.RawQuery = q.Encode()
			}
		},
		Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // as a load balancer answers while the API server is away
		},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		p.calls.Add(1)
		if f := p.strike(req); f != nil {
			f.do(w, req, forward)
			return
		}
		forward.ServeHTTP(w, req)
	}))
	t.Cleanup(func() {
		close(p.ended)
		server.Close()
		transport.CloseIdleConnections()
	})
	p.URL = server.URL
	p.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return p
}

// Calls counts the requests so far.
func (p *Proxy) Calls() int64 { return p.calls.Load() }

// Log lists the requests so far.
func (p *Proxy) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

func (p *Proxy) isExpired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expired
}

// Expire lets every request bear a token that the API server does not know,
// until restore is called.
func (p *Proxy) Expire() (restore func()) {
	set := func(expired bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.expired = expired
	}
	set(true)
	return func() { set(false) }
}

func (p *Proxy) strike(r *http.Request) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, r.Method+" "+r.URL.RequestURI())
	for i, f := range p.faults {
		if !f.match(r) {
			continue
		}
		if f.left--; f.left == 0 {
			p.faults = slices.Delete(p.faults, i, i+1)
		}
		return f
	}
	return nil
}

func (p *Proxy) add(times int, match Match, do func(http.ResponseWriter, *http.Request, http.Handler)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault{match, times, do})
}

// Lose lets the next matching request take effect while its answer is lost.
func (p *Proxy) Lose(match Match) {
	p.add(1, match, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		forward.ServeHTTP(httptest.NewRecorder(), r)
		hangUp(w)
	})
}

// Drop breaks the connection of the next matching request before it gets
// anywhere.
func (p *Proxy) Drop(match Match) {
	p.add(1, match, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { hangUp(w) })
}

// Answer gives the next times matching requests an answer that is not the API
// server's.
func (p *Proxy) Answer(times int, match Match, status int, header http.Header, body string) {
	p.add(times, match, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		for key, values := range header {
			w.Header()[key] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// Hang lets the next matching request wait for ten seconds, or until the test or
// the caller ends.
func (p *Proxy) Hang(match Match) {
	p.add(1, match, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		select {
		case <-p.ended:
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
		hangUp(w)
	})
}

// Instead sends the next matching request to another path.
func (p *Proxy) Instead(match Match, path string) {
	p.add(1, match, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		r = r.Clone(r.Context())
		r.URL.Path = path
		forward.ServeHTTP(w, r)
	})
}

// Before calls do when the next matching request arrives, and forwards it then.
func (p *Proxy) Before(match Match, do func()) {
	p.add(1, match, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		do()
		forward.ServeHTTP(w, r)
	})
}

// hangUp closes the connection in the middle of an answer.
func hangUp(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}
