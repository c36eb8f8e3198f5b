package api

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

type contextKey int

const (
	requestKey    contextKey = iota // *request
	principalKey                    // auth.Principal
	credentialKey                   // string: of an agent
)

// request is what is known of a request for its log line.
type request struct {
	id    string
	actor string
}

func requestID(ctx context.Context) string {
	if r, ok := ctx.Value(requestKey).(*request); ok {
		return r.id
	}
	return ""
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// middleware does what every request needs: an id, security headers, the limit
// of the body, an answer to a panic, the log line and the metric.
func (a *api) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.Clock.Now()
		req := &request{id: goodID(r.Header.Get("X-Request-Id"))}
		rec := &recorder{ResponseWriter: w}
		r = r.WithContext(context.WithValue(r.Context(), requestKey, req))
		headers(rec.Header(), req.id, r.URL.Path)
		defer a.finish(rec, r, req, start)
		if limit := bodyLimit(r.URL.Path); r.ContentLength > limit {
			rec.Header().Set("Connection", "close") // rather than to read it all
			writeProblem(rec, newProblem(http.StatusRequestEntityTooLarge, fleet.CodeTooLarge, tooLarge(limit)))
			return
		}
		next.ServeHTTP(rec, r)
	})
}

func bodyLimit(path string) int64 {
	if path == applyPath || path == deletePath {
		return MaxApplyBody
	}
	return MaxBody
}

func headers(h http.Header, id, path string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if strings.HasPrefix(path, "/api/") {
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	}
}

// goodID takes an id of a proxy over if it cannot do harm in a log.
func goodID(id string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if len(id) >= 8 && len(id) <= 64 && strings.Trim(id, harmless) == "" {
		return id
	}
	return strings.ToLower(rand.Text()[:16])
}

// finish answers a panic and writes the log line. Queries and bodies are not
// logged: they hold tokens.
func (a *api) finish(rec *recorder, r *http.Request, req *request, start time.Time) {
	if p := recover(); p != nil {
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		a.Log.ErrorContext(r.Context(), "panic in a request", "request_id", req.id, "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		if rec.status == 0 {
			problem := newProblem(http.StatusInternalServerError, fleet.CodeInternal, "internal error; the controller's log has the cause under reference "+req.id)
			problem.Ref = req.id
			writeProblem(rec, problem)
		}
	}
	took := a.Clock.Since(start)
	route := r.Pattern
	if _, path, ok := strings.Cut(route, " "); ok {
		route = path
	}
	if a.requests != nil {
		a.requests.WithLabelValues(methodLabel(r.Method), fleet.Or(route, "none"), strconv.Itoa(rec.status)).Observe(took.Seconds())
	}
	level := slog.LevelInfo
	switch {
	case rec.status >= 500:
		level = slog.LevelWarn
	case rec.status < 400: // what it changed is logged as an event
		level = slog.LevelDebug
	}
	a.Log.Log(r.Context(), level, "request", "method", r.Method, "path", r.URL.Path, "status", rec.status,
		"ms", float64(took.Microseconds())/1000, "bytes", rec.bytes, "actor", req.actor, "remote", remoteIP(r), "request_id", req.id)
}

func methodLabel(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
