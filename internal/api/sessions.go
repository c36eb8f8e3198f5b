package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
)

// RenewRequest starts a life time anew.
type RenewRequest struct {
	TTL fleet.Duration `json:"ttl,omitempty" doc:"New life time. 0: the session's own." example:"1h"`
}

type sessionOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     service.SessionView
}

// SessionID names a session in a path.
type SessionID struct {
	ID string `path:"id"`
}

func (a *api) sessions() {
	const base, tag = "/api/v1/sessions", "Sessions"
	register(a, route{
		id: "create_session", method: http.MethodPost, path: base, tag: tag, summary: "Take capacity of a pool", auth: tokenScheme,
		description: "201: the session is active. 202: it is queued; `wait` holds the answer back for that long, and the session's own route goes on waiting.",
		body:        reflect.TypeFor[service.AcquireRequest](), status: http.StatusCreated,
		also: map[int]string{http.StatusAccepted: "Queued"},
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*sessionOutput, error) {
		r, err := decode[service.AcquireRequest](in.RawBody)
		if err != nil {
			return nil, err
		}
		s, err := a.Service.Acquire(ctx, who(ctx), r)
		o := &sessionOutput{Status: http.StatusCreated, Location: base + "/" + s.ID, Body: s}
		if s.State == fleet.SessionQueued {
			o.Status = http.StatusAccepted
		}
		return o, err
	})
	register(a, route{
		id: "list_sessions", method: http.MethodGet, path: base, tag: tag, summary: "List sessions by age", auth: tokenScheme,
		description: "A token of role session sees its own.",
	}, func(ctx context.Context, in *struct {
		Paging
		Pool         string `query:"pool"`
		State        string `query:"state" doc:"States, separated by commas." example:"queued,active"`
		User         string `query:"user"`
		Server       string `query:"server" doc:"Name or id of a server."`
		IncludeEnded bool   `query:"include_ended"`
	},
	) (*pageOutput[service.SessionView], error) {
		after, err := decodeCursor(in.Cursor)
		if err != nil {
			return nil, err
		}
		states := list[fleet.SessionState](in.State)
		if err := known("state", states, []fleet.SessionState{fleet.SessionQueued, fleet.SessionStaged, fleet.SessionActive, fleet.SessionEnded}); err != nil {
			return nil, err
		}
		items, next, err := a.Service.Sessions(ctx, who(ctx), service.SessionQuery{
			Pool: in.Pool, User: in.User, Server: in.Server, States: states, IncludeEnded: in.IncludeEnded, After: after, Limit: in.Limit,
		})
		return newPage(items, next), err
	})
	register(a, route{
		id: "get_session", method: http.MethodGet, path: base + "/{id}", tag: tag, summary: "Read one session", auth: tokenScheme,
	}, func(ctx context.Context, in *struct {
		SessionID
		Wait string `query:"wait" maxLength:"20" doc:"How long the answer is held back while the session is queued; at most 60s." example:"30s"`
	},
	) (*out[service.SessionView], error) {
		wait, err := duration("wait", in.Wait)
		if err != nil {
			return nil, err
		}
		s, err := a.Service.Session(ctx, who(ctx), in.ID, wait)
		return &out[service.SessionView]{s}, err
	})
	register(a, route{
		id: "renew_session", method: http.MethodPost, path: base + "/{id}/renew", tag: tag, summary: "Start a session's life time anew", auth: tokenScheme,
		body: reflect.TypeFor[RenewRequest](), bodyOptional: true,
	}, func(ctx context.Context, in *struct {
		SessionID
		RawBody []byte
	},
	) (*out[service.SessionView], error) {
		r, err := decode[RenewRequest](in.RawBody)
		if err != nil {
			return nil, err
		}
		s, err := a.Service.Renew(ctx, who(ctx), in.ID, r.TTL)
		return &out[service.SessionView]{s}, err
	})
	register(a, route{
		id: "end_session", method: http.MethodDelete, path: base + "/{id}", tag: tag, summary: "End a session", auth: tokenScheme,
		description: "Ending a session that has ended changes nothing.",
	}, func(ctx context.Context, in *SessionID) (*out[service.SessionView], error) {
		s, err := a.Service.EndSession(ctx, who(ctx), in.ID)
		return &out[service.SessionView]{s}, err
	})
}
