package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Type   string             `json:"type" doc:"Always about:blank: the code says what it is."`
	Title  string             `json:"title"`
	Status int                `json:"status"`
	Detail string             `json:"detail" doc:"What went wrong and how to mend it."`
	Code   fleet.Code         `json:"code" enum:"invalid,not_found,conflict,version_mismatch,in_use,queue_full,unauthenticated,forbidden,too_large,unavailable,internal"`
	Errors []fleet.FieldError `json:"errors,omitempty" doc:"Everything that is wrong with the input."`
	Ref    string             `json:"reference,omitempty" doc:"Of an internal error: what to look for in the controller's log."`
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of problem details.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// registerProblem documents our problem wherever huma has its own.
func registerProblem(r huma.Registry) {
	r.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
}

// statusClientClosed is what nginx calls a request that its client gave up.
const statusClientClosed = 499

func statusOf(c fleet.Code) int {
	switch c {
	case fleet.CodeInvalid:
		return http.StatusUnprocessableEntity
	case fleet.CodeNotFound:
		return http.StatusNotFound
	case fleet.CodeConflict, fleet.CodeInUse:
		return http.StatusConflict
	case fleet.CodeVersionMismatch:
		return http.StatusPreconditionFailed
	case fleet.CodeQueueFull:
		return http.StatusTooManyRequests
	case fleet.CodeUnauthenticated:
		return http.StatusUnauthorized
	case fleet.CodeForbidden:
		return http.StatusForbidden
	case fleet.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case fleet.CodeUnavailable:
		return http.StatusServiceUnavailable
	case fleet.CodeInternal:
	}
	return http.StatusInternalServerError
}

func codeOf(status int) fleet.Code {
	switch status {
	case http.StatusNotFound:
		return fleet.CodeNotFound
	case http.StatusUnauthorized:
		return fleet.CodeUnauthenticated
	case http.StatusForbidden:
		return fleet.CodeForbidden
	case http.StatusRequestEntityTooLarge:
		return fleet.CodeTooLarge
	case http.StatusRequestTimeout, http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return fleet.CodeUnavailable
	}
	if status >= 500 {
		return fleet.CodeInternal
	}
	return fleet.CodeInvalid
}

func newProblem(status int, code fleet.Code, detail string) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = "Error"
	}
	return &Problem{Type: "about:blank", Title: title, Status: status, Detail: detail, Code: code}
}

// problem turns an error of the service into what the caller sees. What is not
// meant for callers is logged here and shown as a reference.
func (a *api) problem(ctx context.Context, err error) *Problem {
	var e *fleet.Error
	if errors.As(err, &e) && e.Code != fleet.CodeInternal {
		p := newProblem(statusOf(e.Code), e.Code, e.Message)
		p.Errors = e.Fields
		if e.Cause != nil && p.Status >= 500 {
			a.Log.WarnContext(ctx, "request failed", "request_id", requestID(ctx), "error", e.Message, "cause", e.Cause)
		}
		return p
	}
	switch {
	case errors.Is(err, context.Canceled):
		return newProblem(statusClientClosed, fleet.CodeUnavailable, "the request was given up")
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, fleet.CodeUnavailable, "the request took too long: try again")
	}
	a.Log.ErrorContext(ctx, "request failed", "request_id", requestID(ctx), "error", err)
	p := newProblem(http.StatusInternalServerError, fleet.CodeInternal, "internal error; the controller's log has the cause under reference "+requestID(ctx))
	p.Ref = requestID(ctx)
	return p
}

// problems turns the errors that huma finds itself into problems. Values are
// shown for parameters only: a body can hold secrets.
func (a *api) problems(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(e.Status, codeOf(e.Status), e.Detail)
	switch {
	case e.Status == http.StatusRequestEntityTooLarge:
		p.Detail = tooLarge(ctx.Operation().MaxBodyBytes - 1)
	case e.Status >= 500:
		a.Log.ErrorContext(ctx.Context(), "request failed", "request_id", requestID(ctx.Context()), "error", e.Detail)
		p.Detail, p.Ref = "internal error; the controller's log has the cause under reference "+requestID(ctx.Context()), requestID(ctx.Context())
		return p, nil
	}
	for _, d := range e.Errors {
		if d == nil {
			continue
		}
		f := fleet.FieldError{Path: d.Location, Message: d.Message}
		if where, name, ok := strings.Cut(d.Location, "."); ok && (where == "query" || where == "path") && name != "token" {
			f.Path, f.Value = name, d.Value
		}
		p.Errors = append(p.Errors, f)
	}
	return p, nil
}

func tooLarge(limit int64) string {
	return "the request body is larger than " + fleet.Memory(limit>>20).String() + "B, which is the limit here"
}

// writeProblem answers outside of huma.
func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if it fails
}
