package client

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// ServerFilter selects servers; empty fields select all.
type ServerFilter struct {
	Pool, Zone, AutoscaleConfig, VMProvider string
	Phases                                  []fleet.Phase
	IncludeGone                             bool
}

// Servers lists every server that the filter selects.
func (c *Client) Servers(ctx context.Context, f ServerFilter) ([]fleet.Server, error) {
	return all[fleet.Server](ctx, c, set(
		"pool", f.Pool, "zone", f.Zone, "autoscale_config", f.AutoscaleConfig, "vm_provider", f.VMProvider,
		"phase", commas(f.Phases), "include_gone", flag(f.IncludeGone)), "servers")
}

// Server reads one server by its name or id.
func (c *Client) Server(ctx context.Context, name string) (*fleet.Server, error) {
	s, err := get[fleet.Server](ctx, c, nil, "servers", name)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// RegisterServer adds a fixed machine that has no agent.
func (c *Client) RegisterServer(ctx context.Context, in ServerInput) (*fleet.Server, error) {
	var out fleet.Server
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"servers"}, body: in, out: &out})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// DrainServer stops new sessions on a server and deletes it when it is empty.
// Sessions that remain after the deadline are ended; 0: there is none.
func (c *Client) DrainServer(ctx context.Context, name string, deadline time.Duration) error {
	body := struct {
		Deadline fleet.Duration `json:"deadline,omitempty"`
	}{fleet.Duration(deadline)}
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"servers", name, "drain"}, body: body, repeat: true})
	return err
}

// RetryServer tries again at once what failed with a server, or takes a
// draining server back into service.
func (c *Client) RetryServer(ctx context.Context, name string) error {
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"servers", name, "retry"}, repeat: true})
	return err
}

// ForgetServer lets go of a server whose machine cannot be deleted.
func (c *Client) ForgetServer(ctx context.Context, name string) error {
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"servers", name, "forget"}, repeat: true})
	return err
}

// DeleteServer deletes a server. With live sessions it is refused, unless
// forced: then they end.
func (c *Client) DeleteServer(ctx context.Context, name string, force bool) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"servers", name}, query: set("force", flag(force)), repeat: true})
	return err
}

// ServerLogs reads what is kept of the logs of a server, oldest first.
func (c *Client) ServerLogs(ctx context.Context, name string) ([]LogLine, error) {
	out, err := get[struct {
		Lines []LogLine `json:"lines"`
	}](ctx, c, nil, "servers", name, "logs")
	return out.Lines, err
}

// ServerPassword reads the password of a server's administrator.
func (c *Client) ServerPassword(ctx context.Context, name string) (out ServerLogin, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"servers", name, "password"}, out: &out, repeat: true})
	return out, err
}

// MaxWait is the longest time for which the API holds an answer.
const MaxWait = 60 * time.Second

// CreateSession asks for capacity. The session is active or queued; with
// in.Wait (at most MaxWait) the answer is held while it is queued. With an
// idempotency key the call is repeated after a lost answer.
func (c *Client) CreateSession(ctx context.Context, in SessionRequest) (*Session, error) {
	in.Wait = min(in.Wait, fleet.Duration(MaxWait))
	var out Session
	_, err := c.do(ctx, request{
		method: http.MethodPost, path: []string{"sessions"}, body: in, out: &out,
		repeat: in.IdempotencyKey != "", wait: in.Wait.D(),
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// SessionFilter selects sessions; empty fields select all that have not ended.
type SessionFilter struct {
	Pool, User, Server string
	States             []fleet.SessionState
	IncludeEnded       bool
}

// Sessions lists every session that the filter selects.
func (c *Client) Sessions(ctx context.Context, f SessionFilter) ([]Session, error) {
	return all[Session](ctx, c, set("pool", f.Pool, "user", f.User, "server", f.Server,
		"state", commas(f.States), "include_ended", flag(f.IncludeEnded)), "sessions")
}

// Session reads a session. While it is queued the answer is held for wait, at
// most MaxWait.
func (c *Client) Session(ctx context.Context, id string, wait time.Duration) (*Session, error) {
	wait = min(wait, MaxWait)
	r := request{method: http.MethodGet, path: []string{"sessions", id}, repeat: true, wait: wait}
	if wait > 0 {
		r.query = set("wait", fleet.Duration(wait).String())
	}
	var out Session
	r.out = &out
	if _, err := c.do(ctx, r); err != nil {
		return nil, err
	}
	return &out, nil
}

// RenewSession lets the life time of a session start anew; 0 keeps its length.
func (c *Client) RenewSession(ctx context.Context, id string, ttl time.Duration) (*Session, error) {
	body := struct {
		TTL fleet.Duration `json:"ttl,omitempty"`
	}{fleet.Duration(ttl)}
	var out Session
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"sessions", id, "renew"}, body: body, out: &out, repeat: true})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// EndSession ends a session; one that has ended stays as it is.
func (c *Client) EndSession(ctx context.Context, id string) (*Session, error) {
	var out Session
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"sessions", id}, out: &out, repeat: true})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	After, Before    int64 // sequence numbers, exclusive; 0: no bound
	Types            []fleet.EventType
	Kind, Name, Pool string
	Limit            int  // of one page; 0: the API's default
	Newest           bool // the newest that fit, instead of the oldest
}

func (f EventFilter) query() map[string][]string {
	return set("type", commas(f.Types), "kind", f.Kind, "name", f.Name, "pool", f.Pool,
		"after", number(f.After), "before", number(f.Before), "limit", number(int64(f.Limit)), "newest", flag(f.Newest))
}

func number(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func commas[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ",")
}
