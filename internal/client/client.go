// Package client is the typed Go client of Headroom's REST API. The command
// line and the agent speak to a controller through it and through nothing else.
//
// Every call takes a context, has a deadline of its own and a limit on the size
// of the answer. Calls that can be repeated without harm are repeated with
// backoff when the network or the controller fails. An error that the
// controller reports is a [*fleet.Error]; a controller that cannot be reached
// is an [*UnreachableError].
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// Limits and defaults of a client.
const (
	DefaultURL     = "http://127.0.0.1:8080"
	DefaultTimeout = 30 * time.Second

	maxAnswer   = 64 << 20 // bytes of one answer
	maxProblem  = 4 << 20  // bytes of one error answer
	maxAttempts = 5        // of a call that may be repeated
)

// Options say how to reach a controller.
type Options struct {
	URL     string        // base URL; empty: DefaultURL
	Token   string        // bearer token; empty: none is sent
	CAFile  string        // PEM file with authorities to trust instead of the system's
	Timeout time.Duration // of one call, apart from the time that it is asked to wait; 0: DefaultTimeout
	Version string        // of the program, for the User-Agent header

	Clock clock.WithTickerAndDelayedExecution // nil: the real one
}

// Client speaks to one controller. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	token   string
	agent   string
	timeout time.Duration
	clock   clock.WithTickerAndDelayedExecution
	http    *http.Client
}

// New makes a client. It opens no connection; a bad URL or CA file is an error.
func New(o Options) (*Client, error) {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	base, err := url.Parse(o.URL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a controller: write for example https://headroom.example.com", o.URL)
	}
	if base.User != nil {
		return nil, errors.New("the URL of the controller must not contain a user or a password: pass the token apart from it")
	}
	base.RawQuery, base.Fragment = "", ""
	base.Path = strings.TrimRight(base.Path, "/")
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the CA file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s holds no PEM certificate", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Client{
		base:    base,
		token:   strings.TrimSpace(o.Token),
		agent:   "headroom/" + o.Version,
		timeout: o.Timeout,
		clock:   o.Clock,
		http: &http.Client{
			Transport: transport,
			// A redirect would drop the token or the body; it is reported instead.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// WithToken is the same client, with the same connections, that bears another
// token.
func (c *Client) WithToken(token string) *Client {
	d := *c
	d.token = strings.TrimSpace(token)
	return &d
}

// URL is the base URL of the controller.
func (c *Client) URL() string { return c.base.String() }

// Close drops idle connections. Calls that are under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one call of the API.
type request struct {
	method string
	path   []string // segments after /api/v1; they are escaped
	raw    string   // a path of its own, from the root; overrides path
	query  url.Values
	header http.Header
	body   any           // JSON; nil: none
	out    any           // filled from the JSON answer; nil: the answer is dropped
	repeat bool          // a second call after a lost answer does no harm
	wait   time.Duration // how long the controller is asked to hold the answer
}

// answer is what matters of a response beside its body.
type answer struct {
	status int
	header http.Header
}

// do makes the call, and makes it again where that is safe and can help.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	var payload []byte
	if r.body != nil {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r.body); err != nil {
			return answer{}, fmt.Errorf("encoding the request: %w", err)
		}
		payload = buf.Bytes()
	}
	reached := false
	for attempt := 1; ; attempt++ {
		a, err := c.once(ctx, r, payload)
		if err == nil || ctx.Err() != nil {
			return a, err
		}
		pause, again := c.again(r, err, attempt, &reached)
		if !again {
			return a, err
		}
		timer := c.clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return a, err
		}
	}
}

// again says whether and after which pause a failed call is repeated. A
// controller that has not been reached at all is not waited for: most likely it
// does not run, and the user should hear that at once.
func (c *Client) again(r request, err error, attempt int, reached *bool) (time.Duration, bool) {
	if attempt >= maxAttempts {
		return 0, false
	}
	pause := min(250*time.Millisecond<<(attempt-1), 4*time.Second)
	pause += time.Duration(rand.Int64N(int64(pause) / 4))
	var gone *UnreachableError
	var busy *busyError
	switch {
	case errors.As(err, &busy): // refused before anything was done
		*reached = true
		return max(pause, min(busy.after, 10*time.Second)), r.repeat
	case errors.As(err, &gone):
		if gone.permanent {
			return 0, false
		}
		*reached = *reached || !gone.dial
		return pause, r.repeat && *reached
	}
	return 0, false
}

// once makes one HTTP exchange.
func (c *Client) once(ctx context.Context, r request, payload []byte) (answer, error) {
	limit := c.timeout + r.wait
	callCtx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	req, err := c.newRequest(callCtx, r, payload)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, c.netError(ctx, callCtx, req, err, limit)
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a, c.problem(req, resp)
	}
	if r.out == nil || resp.StatusCode == http.StatusNoContent {
		_, _ = io.CopyN(io.Discard, resp.Body, maxProblem)
		return a, nil
	}
	if !isJSON(resp.Header.Get("Content-Type")) {
		return a, c.strange(req, resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return a, c.netError(ctx, callCtx, req, err, limit)
	}
	if len(data) > maxAnswer {
		return a, fmt.Errorf("the answer of %s is larger than %d MiB: ask for less", req.URL, maxAnswer>>20)
	}
	if err := json.Unmarshal(data, r.out); err != nil {
		return a, &UnreachableError{URL: c.URL(), Reason: fmt.Sprintf("the answer of %s is not one of Headroom's API (%v): check the URL", req.URL.Path, err), Err: err, permanent: true}
	}
	return a, nil
}

func (c *Client) newRequest(ctx context.Context, r request, payload []byte) (*http.Request, error) {
	if slices.Contains(r.path, "") {
		return nil, errors.New("a name is empty: say which object is meant")
	}
	u := *c.base
	if r.raw != "" {
		u.Path += r.raw
	} else {
		u = *u.JoinPath(append([]string{"api", "v1"}, escaped(r.path)...)...)
	}
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if payload != nil {
		body = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json, application/problem+json")
	}
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// escaped makes each segment safe inside of a path, so that no name can reach
// another route.
func escaped(segments []string) []string {
	out := make([]string, len(segments))
	for i, s := range segments {
		out[i] = url.PathEscape(s)
		if s == "." || s == ".." {
			out[i] = strings.ReplaceAll(s, ".", "%2E")
		}
	}
	return out
}

func isJSON(contentType string) bool {
	mime, _, _ := strings.Cut(contentType, ";")
	mime = strings.TrimSpace(strings.ToLower(mime))
	return mime == "application/json" || strings.HasSuffix(mime, "+json")
}
