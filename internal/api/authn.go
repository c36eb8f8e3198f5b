package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// authenticate finds out who asks, as the operation demands it.
func (a *api) authenticate(ctx huma.Context, next func(huma.Context)) {
	scheme := ""
	for _, one := range ctx.Operation().Security {
		for name := range one {
			scheme = name
		}
	}
	r, w := humago.Unwrap(ctx)
	switch scheme {
	case tokenScheme:
		p, problem := a.principal(r)
		if problem != nil {
			deny(w, problem)
			return
		}
		ctx = huma.WithValue(ctx, principalKey, p)
	case agentScheme:
		ctx = huma.WithValue(ctx, credentialKey, bearer(r))
	}
	next(ctx)
}

// principal is who bears the token of a request.
func (a *api) principal(r *http.Request) (auth.Principal, *Problem) {
	token, ip := bearer(r), remoteIP(r)
	hash := auth.Hash(token)
	if a.throttle.refuses(ip, hash) {
		return auth.Principal{}, newProblem(http.StatusTooManyRequests, fleet.CodeUnavailable, "too many requests without a valid token from "+ip+": try again later")
	}
	p, err := a.Service.Authenticate(r.Context(), token)
	if err != nil {
		if fleet.CodeOf(err) == fleet.CodeUnauthenticated {
			a.throttle.failed(ip, hash)
		}
		return p, a.problem(r.Context(), err)
	}
	a.throttle.good(hash)
	if req, ok := r.Context().Value(requestKey).(*request); ok {
		req.actor = p.Actor()
	}
	return p, nil
}

func deny(w http.ResponseWriter, p *Problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="headroom"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "5")
	}
	writeProblem(w, p)
}

func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// who is the principal of a request whose operation demands a token.
func who(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(principalKey).(auth.Principal)
	return p
}

// credential is what an agent bears.
func credential(ctx context.Context) string {
	c, _ := ctx.Value(credentialKey).(string)
	return c
}

// Failed attempts that an address has, and how fast it gets new ones.
const (
	failBurst   = 30
	failRefill  = time.Second
	failTracked = 10_000 // addresses and good tokens
)

// throttle keeps an address that guesses tokens from loading the database.
// Tokens that have been good lately pass in any case, since many clients can
// share an address with one that is broken.
type throttle struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	fails map[string]*rate.Limiter
	known map[string]struct{} // hashes of good tokens
}

func newThrottle(c clock.PassiveClock) *throttle {
	return &throttle{clock: c, fails: map[string]*rate.Limiter{}, known: map[string]struct{}{}}
}

func (t *throttle) refuses(ip, hash string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.known[hash]; ok {
		return false
	}
	l, ok := t.fails[ip]
	return ok && l.TokensAt(t.clock.Now()) < 1
}

func (t *throttle) failed(ip, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, hash)
	l, ok := t.fails[ip]
	if !ok {
		if len(t.fails) >= failTracked {
			clear(t.fails)
		}
		l = rate.NewLimiter(rate.Every(failRefill), failBurst)
		t.fails[ip] = l
	}
	l.AllowN(t.clock.Now(), 1)
}

func (t *throttle) good(hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= failTracked {
		clear(t.known)
	}
	t.known[hash] = struct{}{}
}
