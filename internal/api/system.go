package api

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// readyTimeout bounds how long the database may take to answer.
const readyTimeout = 2 * time.Second

func (a *api) system() {
	const tag = "System"
	register(a, route{
		id: "version", method: http.MethodGet, path: "/api/v1/version", tag: tag, summary: "The build of the controller",
	}, func(context.Context, *struct{}) (*out[Version], error) {
		return &out[Version]{a.Version}, nil
	})
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	a.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := a.ready(r.Context()); err != nil {
			writeProblem(w, a.problem(r.Context(), err))
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ready\n"))
	})
	if a.Metrics != nil {
		a.mux.Handle("GET /metrics", a.private(promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{})))
	}
}

func (a *api) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return a.Service.Ready(ctx)
}

// private serves callers on the same host, and others with a token that may
// read. A request that a proxy passed on is not one of the same host.
func (a *api) private(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ip := net.ParseIP(remoteIP(r))
		proxied := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("X-Real-Ip") != ""
		if ip == nil || !ip.IsLoopback() || proxied {
			p, problem := a.principal(r)
			if problem == nil && !p.May(auth.Read) {
				problem = newProblem(http.StatusForbidden, fleet.CodeForbidden, "the token does not allow to read")
			}
			if problem != nil {
				deny(w, problem)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
