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
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	agentAnswerLimit = 1 << 20 // bytes of an answer that are read at most
	agentRetryLimit  = 5 * time.Minute
)

// AgentOptions say how an agent reaches its controller.
type AgentOptions struct {
	URL     string        // base URL of the controller, http or https
	CA      []byte        // PEM certificates to trust besides those of the system; may be empty
	Timeout time.Duration // of each call, 0: 15 s
	Version string        // of the agent, for the User-Agent header
}

// AgentClient makes the calls of an agent. Each call has a deadline and reads
// a bounded answer; redirects are refused, because the calls bear secrets.
// Errors are [*AgentError].
type AgentClient struct {
	base      string
	timeout   time.Duration
	userAgent string
	transport *http.Transport
	http      *http.Client
}

// AgentLogLine is one line of a machine's log.
type AgentLogLine struct {
	At     time.Time `json:"at"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// AgentError is a call that failed.
type AgentError struct {
	Status     int           // HTTP status; 0: no answer came
	Documented bool          // the answer was a problem document of a controller, not one of a proxy in between
	RetryAfter time.Duration // how long the controller asks to wait; 0: it did not say
	Err        *fleet.Error
}

// Error is the safe text.
func (e *AgentError) Error() string { return e.Err.Error() }

// Unwrap gives the fleet error with its code.
func (e *AgentError) Unwrap() error { return e.Err }

// NewAgentClient makes a client. It calls no network; a URL or certificate
// that cannot be used is an invalid error.
func NewAgentClient(o AgentOptions) (*AgentClient, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" {
		return nil, fleet.Invalid("agent settings", []fleet.FieldError{{
			Path: "controller_url", Value: o.URL,
			Message: "is not the URL of a controller: write for example https://headroom.example.com",
		}})
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, fleet.Invalid("agent settings", []fleet.FieldError{{
				Path: "ca_file", Message: "holds no PEM certificate: give the file of the authority that signed the controller's certificate",
			}})
		}
		tlsConfig.RootCAs = pool
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	return &AgentClient{
		base:      strings.TrimRight(o.URL, "/"),
		timeout:   fleet.Or(o.Timeout, 15*time.Second),
		userAgent: "headroom-agent/" + fleet.Or(o.Version, "unknown"),
		transport: transport,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close lets go of idle connections.
func (c *AgentClient) Close() { c.transport.CloseIdleConnections() }

// Register makes the machine known. The same registration may be repeated.
func (c *AgentClient) Register(ctx context.Context, r fleet.AgentRegistration) (fleet.AgentIdentity, error) {
	var identity fleet.AgentIdentity
	err := c.post(ctx, "/api/v1/agent/register", "", r, &identity)
	return identity, err
}

// Report gives a sign of life and brings back orders.
func (c *AgentClient) Report(ctx context.Context, credential string, r fleet.AgentReport) (fleet.AgentOrders, error) {
	var orders fleet.AgentOrders
	err := c.post(ctx, "/api/v1/agent/report", credential, r, &orders)
	return orders, err
}

// Rotate replaces the credential. The same rotation may be repeated.
func (c *AgentClient) Rotate(ctx context.Context, credential, next string) error {
	return c.post(ctx, "/api/v1/agent/rotate", credential, map[string]string{"credential": next}, nil)
}

// Logs hands over lines of the machine's log.
func (c *AgentClient) Logs(ctx context.Context, credential string, lines []AgentLogLine) error {
	return c.post(ctx, "/api/v1/agent/logs", credential, map[string]any{"lines": lines}, nil)
}

func (c *AgentClient) post(ctx context.Context, path, credential string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return &AgentError{Err: fleet.Errorf(fleet.CodeInternal, "encoding the call %s: %w", path, err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return &AgentError{Err: fleet.Errorf(fleet.CodeInternal, "making the call %s: %w", path, err)}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", c.userAgent)
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &AgentError{Err: c.unreachable(err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, agentAnswerLimit+1))
	switch {
	case err != nil:
		return &AgentError{Err: c.unreachable(err)}
	case len(answer) > agentAnswerLimit:
		return &AgentError{Status: resp.StatusCode, Err: fleet.Errorf(fleet.CodeUnavailable,
			"the answer of %s to %s is longer than %d bytes: is this the URL of a controller?", c.base, path, agentAnswerLimit)}
	case resp.StatusCode/100 != 2:
		return c.refusal(resp, path, answer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &AgentError{Status: resp.StatusCode, Err: fleet.Errorf(fleet.CodeUnavailable,
			"the answer of %s to %s is not what a controller says: %w", c.base, path, err)}
	}
	return nil
}

// unreachable drops the URL that net/http repeats in its errors.
func (c *AgentClient) unreachable(err error) *fleet.Error {
	cause := err
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		cause = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &fleet.Error{Code: fleet.CodeUnavailable, Cause: err, Message: fmt.Sprintf("the controller at %s did not answer within %s", c.base, c.timeout)}
	}
	return &fleet.Error{Code: fleet.CodeUnavailable, Cause: err, Message: fmt.Sprintf("the controller at %s cannot be reached: %v", c.base, cause)}
}

func (c *AgentClient) refusal(resp *http.Response, path string, answer []byte) *AgentError {
	e := &AgentError{Status: resp.StatusCode, Err: &fleet.Error{Code: codeOfStatus(resp.StatusCode)}}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, agentRetryLimit)
	}
	var problem struct {
		Code   fleet.Code         `json:"code"`
		Title  string             `json:"title"`
		Detail string             `json:"detail"`
		Errors []fleet.FieldError `json:"errors"`
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" && json.Unmarshal(answer, &problem) == nil && problem.Code != "" {
		e.Documented = true
		e.Err.Code = problem.Code
		e.Err.Message = fleet.Or(fleet.Or(problem.Detail, problem.Title), resp.Status)
		e.Err.Fields = problem.Errors
		return e
	}
	e.Err.Message = fmt.Sprintf("%s answered %s with %s: is a proxy in between, or is this not the URL of a controller?", c.base, path, resp.Status)
	return e
}

func codeOfStatus(status int) fleet.Code {
	switch status {
	case http.StatusUnauthorized:
		return fleet.CodeUnauthenticated
	case http.StatusForbidden:
		return fleet.CodeForbidden
	case http.StatusNotFound, http.StatusGone:
		return fleet.CodeNotFound
	case http.StatusConflict:
		return fleet.CodeConflict
	case http.StatusRequestEntityTooLarge:
		return fleet.CodeTooLarge
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fleet.CodeInvalid
	}
	return fleet.CodeUnavailable
}
