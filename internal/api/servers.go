package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// LogLine is a line that a machine wrote.
type LogLine struct {
	At     time.Time `json:"at,omitzero"`
	Stream string    `json:"stream,omitempty" maxLength:"32" doc:"agent, script, console or status."`
	Text   string    `json:"text"`
}

// LogLines are lines of a machine's log.
type LogLines struct {
	Lines []LogLine `json:"lines" maxItems:"10000"`
}

// DrainRequest bounds a drain.
type DrainRequest struct {
	Deadline fleet.Duration `json:"deadline,omitempty" doc:"When sessions that remain are ended. 0: never, or when an earlier drain has said." example:"10m"`
}

// ServerName names a server in a path.
type ServerName struct {
	Name string `path:"name" doc:"Name or id of the server."`
}

func (a *api) servers() {
	const base, tag = "/api/v1/servers", "Servers"
	register(a, route{
		id: "list_servers", method: http.MethodGet, path: base, tag: tag, summary: "List servers by age", auth: tokenScheme,
	}, func(ctx context.Context, in *struct {
		Paging
		Pool            string `query:"pool"`
		Zone            string `query:"zone"`
		AutoscaleConfig string `query:"autoscale_config"`
		VMProvider      string `query:"vm_provider"`
		Phase           string `query:"phase" doc:"Phases, separated by commas." example:"ready,draining"`
		IncludeGone     bool   `query:"include_gone" doc:"Servers that are gone too."`
	},
	) (*pageOutput[fleet.Server], error) {
		after, err := decodeCursor(in.Cursor)
		if err != nil {
			return nil, err
		}
		phases := list[fleet.Phase](in.Phase)
		if err := known("phase", phases, fleet.Phases()); err != nil {
			return nil, err
		}
		items, next, err := a.Service.Servers(ctx, who(ctx), store.ServerFilter{
			Pool: in.Pool, Zone: in.Zone, AutoscaleConfig: in.AutoscaleConfig, VMProvider: in.VMProvider,
			Phases: phases, IncludeGone: in.IncludeGone, After: after, Limit: in.Limit,
		})
		return newPage(items, next), err
	})
	register(a, route{
		id: "get_server", method: http.MethodGet, path: base + "/{name}", tag: tag, summary: "Read one server", auth: tokenScheme,
	}, func(ctx context.Context, in *ServerName) (*out[fleet.Server], error) {
		s, err := a.Service.Server(ctx, who(ctx), in.Name)
		return &out[fleet.Server]{s}, err
	})
	register(a, route{
		id: "register_server", method: http.MethodPost, path: base, tag: tag, summary: "Register a fixed machine without an agent", auth: tokenScheme,
		body: reflect.TypeFor[service.ServerInput](), status: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[fleet.Server], error) {
		r, err := decode[service.ServerInput](in.RawBody)
		if err != nil {
			return nil, err
		}
		s, err := a.Service.RegisterServer(ctx, who(ctx), r)
		return &out[fleet.Server]{s}, err
	})
	register(a, route{
		id: "drain_server", method: http.MethodPost, path: base + "/{name}/drain", tag: tag, summary: "Stop new sessions; give the server up when it is empty", auth: tokenScheme,
		body: reflect.TypeFor[DrainRequest](), bodyOptional: true,
	}, func(ctx context.Context, in *struct {
		ServerName
		RawBody []byte
	},
	) (*out[fleet.Server], error) {
		r, err := decode[DrainRequest](in.RawBody)
		if err != nil {
			return nil, err
		}
		s, err := a.Service.Drain(ctx, who(ctx), in.Name, r.Deadline.D())
		return &out[fleet.Server]{s}, err
	})
	register(a, route{
		id: "retry_server", method: http.MethodPost, path: base + "/{name}/retry", tag: tag, summary: "Try at once what would be tried later", auth: tokenScheme,
		description: "A failed server is deleted, a deletion that meets errors is tried again, a draining server is taken back.",
	}, func(ctx context.Context, in *ServerName) (*out[fleet.Server], error) {
		s, err := a.Service.Retry(ctx, who(ctx), in.Name)
		return &out[fleet.Server]{s}, err
	})
	register(a, route{
		id: "forget_server", method: http.MethodPost, path: base + "/{name}/forget", tag: tag, summary: "Let go of a server that cannot be deleted", auth: tokenScheme,
		description: "The server is gone and no longer counts, and its machine is left to you: one that still bears its marks is swept as an orphan, any other one stays. Refused unless the server is being deleted. Only the role admin may.",
	}, func(ctx context.Context, in *ServerName) (*out[fleet.Server], error) {
		s, err := a.Service.Forget(ctx, who(ctx), in.Name)
		return &out[fleet.Server]{s}, err
	})
	register(a, route{
		id: "delete_server", method: http.MethodDelete, path: base + "/{name}", tag: tag, summary: "Give a server up", auth: tokenScheme,
		description: "Refused while it holds sessions, unless force ends them.",
	}, func(ctx context.Context, in *struct {
		ServerName
		Force bool `query:"force" doc:"End its sessions."`
	},
	) (*out[fleet.Server], error) {
		s, err := a.Service.DeleteServer(ctx, who(ctx), in.Name, in.Force)
		return &out[fleet.Server]{s}, err
	})
	register(a, route{
		id: "read_server_password", method: http.MethodPost, path: base + "/{name}/password", tag: tag, auth: tokenScheme,
		summary:     "Read the password of a server's administrator",
		description: "As the cloud made it, on clouds that make passwords for Windows. It is asked for at each call, never stored, and each reading is an event.",
	}, func(ctx context.Context, in *ServerName) (*out[service.ServerLogin], error) {
		l, err := a.Service.ServerPassword(ctx, who(ctx), in.Name)
		return &out[service.ServerLogin]{l}, err
	})
	register(a, route{
		id: "get_server_logs", method: http.MethodGet, path: base + "/{name}/logs", tag: tag, summary: "Read what a server has logged", auth: tokenScheme,
	}, func(ctx context.Context, in *ServerName) (*out[LogLines], error) {
		lines, err := a.Service.ServerLog(ctx, who(ctx), in.Name)
		o := &out[LogLines]{LogLines{Lines: []LogLine{}}}
		for _, l := range lines {
			o.Body.Lines = append(o.Body.Lines, LogLine(l))
		}
		return o, err
	})
}

// known refuses values of a parameter that mean nothing.
func known[T ~string](path string, values, all []T) error {
	var fields []fleet.FieldError
	for _, v := range values {
		found := false
		names := ""
		for _, one := range all {
			found = found || one == v
			names += " " + string(one)
		}
		if !found {
			fields = append(fields, fleet.FieldError{Path: path, Value: v, Message: "is none of" + names})
		}
	}
	return fleet.Invalid("query", fields)
}
