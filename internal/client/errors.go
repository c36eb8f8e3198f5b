package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// UnreachableError says that no answer of a controller was had.
type UnreachableError struct {
	URL    string // base URL of the controller
	Reason string // what happened, for people: "connection refused"
	Err    error

	dial      bool // no connection came about, so nothing was sent
	permanent bool // trying again cannot help
}

// Error is "cannot reach URL: reason".
func (e *UnreachableError) Error() string { return "cannot reach " + e.URL + ": " + e.Reason }

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// busyError is an answer that asks to come back later.
type busyError struct {
	err   error
	after time.Duration
}

func (e *busyError) Error() string { return e.err.Error() }

func (e *busyError) Unwrap() error { return e.err }

var errTimeout = errors.New("the time for the call is over")

// netError explains a failed exchange. ctx is the caller's context and callCtx
// the one of the exchange with its own deadline.
func (c *Client) netError(ctx, callCtx context.Context, req *http.Request, err error, limit time.Duration) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, ctx.Err())
	}
	e := &UnreachableError{URL: c.URL(), Reason: err.Error(), Err: err}
	var op *net.OpError
	e.dial = errors.As(err, &op) && op.Op == "dial"
	var dns *net.DNSError
	var unknownCA x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var badCert x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(context.Cause(callCtx), errTimeout):
		e.Reason = "no answer within " + fleet.Duration(limit).String()
	case errors.As(err, &dns):
		e.Reason = fmt.Sprintf("the host name %s cannot be resolved", dns.Name)
	case errors.As(err, &unknownCA):
		e.Reason, e.permanent = "its certificate is signed by an authority that is not trusted here", true
	case errors.As(err, &wrongHost), errors.As(err, &badCert):
		e.Reason, e.permanent = "its certificate is not valid: "+rootOf(err).Error(), true
	case errors.As(err, &record):
		e.Reason, e.permanent = "it does not speak TLS; is the URL one with http:// ?", true
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Reason = "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason = "the connection was lost before the answer was complete"
	case op != nil:
		e.Reason = op.Err.Error()
	}
	return e
}

func rootOf(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// problem turns an answer that is no success into an error.
func (c *Client) problem(req *http.Request, resp *http.Response) error {
	if resp.StatusCode < 400 {
		if to := resp.Header.Get("Location"); to != "" {
			err := fmt.Errorf("%s redirects to %s: use that URL", req.URL, to)
			return &UnreachableError{URL: c.URL(), Reason: err.Error(), Err: err, permanent: true}
		}
		return c.strange(req, resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var body struct {
		Title  string             `json:"title"`
		Detail string             `json:"detail"`
		Code   fleet.Code         `json:"code"`
		Errors []fleet.FieldError `json:"errors"`
	}
	if err != nil || !isJSON(resp.Header.Get("Content-Type")) || json.Unmarshal(data, &body) != nil {
		if strings.Contains(string(data), "HTTP request to an HTTPS server") { // what Go's servers say
			return &UnreachableError{URL: c.URL(), Reason: "it speaks TLS; is the URL one with https:// ?", permanent: true}
		}
		return busy(resp, c.strange(req, resp))
	}
	e := &fleet.Error{Code: body.Code, Message: body.Detail, Fields: body.Errors}
	if e.Message == "" {
		e.Message = body.Title
	}
	if e.Message == "" {
		e.Message = "the controller answered " + resp.Status
	}
	if e.Code == "" {
		e.Code = codeOf(resp.StatusCode)
	}
	return busy(resp, e)
}

// busy marks the answers after which the same call may succeed later.
func busy(resp *http.Response, e error) error {
	if fleet.CodeOf(e) == fleet.CodeQueueFull { // somebody's session has to end first
		return e
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.ParseInt(resp.Header.Get("Retry-After"), 10, 32)
		return &busyError{err: e, after: time.Duration(max(seconds, 0)) * time.Second}
	}
	return e
}

// strange is an answer that Headroom does not give: a proxy or another program
// listens there. No status of such an answer says anything about an object.
func (c *Client) strange(req *http.Request, resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	if kind == "" {
		kind = "no content type"
	}
	code := codeOf(resp.StatusCode)
	if resp.StatusCode < 400 || code == fleet.CodeNotFound {
		code = fleet.CodeUnavailable
	}
	e := &UnreachableError{
		URL:       c.URL(),
		Reason:    fmt.Sprintf("%s answered %s (%s), which is not an answer of Headroom's API: check the URL", req.URL.Path, resp.Status, kind),
		permanent: true,
	}
	e.Err = &fleet.Error{Code: code, Message: e.Reason}
	return e
}

// codeOf is the code that fits a status when the answer names none.
func codeOf(status int) fleet.Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return fleet.CodeInvalid
	case http.StatusUnauthorized:
		return fleet.CodeUnauthenticated
	case http.StatusForbidden:
		return fleet.CodeForbidden
	case http.StatusNotFound:
		return fleet.CodeNotFound
	case http.StatusConflict:
		return fleet.CodeConflict
	case http.StatusPreconditionFailed:
		return fleet.CodeVersionMismatch
	case http.StatusRequestEntityTooLarge:
		return fleet.CodeTooLarge
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fleet.CodeUnavailable
	}
	return fleet.CodeInternal
}
