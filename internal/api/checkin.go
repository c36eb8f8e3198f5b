package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// ComponentLog is what a starting machine logs.
type ComponentLog struct {
	Token string            `json:"token" doc:"Check-in token of the machine."`
	Logs  []json.RawMessage `json:"logs" doc:"Text, or objects that are kept as JSON."`
}

// ok answers startup scripts.
type ok struct {
	OK bool `json:"ok"`
}

// checkin adds the paths that startup scripts in the field use. They are read
// leniently: scripts send what they always have.
func (a *api) checkin() {
	const tag = "Agents"
	register(a, route{
		id: "set_server_status", method: http.MethodPost, path: "/api/set_server_status", tag: tag, summary: "Report the progress of a startup script",
		description: "running makes a server of a server pool ready; failed fails a machine that is not ready yet.",
		body:        reflect.TypeFor[fleet.CheckinStatus](),
	}, func(ctx context.Context, in *struct {
		Token   string `query:"token" maxLength:"512" doc:"Check-in token of the machine."`
		RawBody []byte
	},
	) (*out[ok], error) {
		var loose struct {
			Status   any `json:"status"`
			Message  any `json:"status_message"`
			Progress any `json:"status_progress"`
		}
		if err := json.Unmarshal(in.RawBody, &loose); err != nil {
			return nil, fleet.Invalid("request body", []fleet.FieldError{{Message: "is not JSON"}})
		}
		c := fleet.CheckinStatus{}
		c.Status, _ = loose.Status.(string)
		c.Message, _ = loose.Message.(string)
		if n, isNumber := loose.Progress.(float64); isNumber {
			c.Progress = min(max(int64(n), 0), 100)
		}
		if c.Status == "" {
			return nil, fleet.Invalid("request body", []fleet.FieldError{{Path: "status", Message: "is required: starting, running or failed"}})
		}
		return &out[ok]{ok{true}}, a.Service.Checkin(ctx, in.Token, c)
	})
	register(a, route{
		id: "component_log", method: http.MethodPost, path: "/api/component_log", tag: tag, summary: "Hand over log lines of a starting machine",
		body: reflect.TypeFor[ComponentLog](),
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[ok], error) {
		var l ComponentLog
		if err := json.Unmarshal(in.RawBody, &l); err != nil {
			return nil, fleet.Invalid("request body", []fleet.FieldError{{Message: "is not JSON with token and logs"}})
		}
		return &out[ok]{ok{true}}, a.Service.ComponentLog(ctx, l.Token, l.Logs)
	})
	register(a, route{
		id: "healthcheck", method: http.MethodGet, path: "/api/__healthcheck", tag: tag, summary: "Whether the controller can serve",
	}, func(ctx context.Context, _ *struct{}) (*out[ok], error) {
		return &out[ok]{ok{true}}, a.ready(ctx)
	})
}
