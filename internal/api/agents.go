package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// RotateRequest replaces an agent's credential.
type RotateRequest struct {
	Credential string `json:"credential" minLength:"32" maxLength:"128" secret:"true" doc:"The new secret, made by the agent."`
}

func (a *api) agents() {
	const base, tag = "/api/v1/agent", "Agents"
	register(a, route{
		id: "register_agent", method: http.MethodPost, path: base + "/register", tag: tag, summary: "Register the agent of a machine",
		description: "A registration token works once; the same call may be repeated with the same credential.",
		body:        reflect.TypeFor[fleet.AgentRegistration](),
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[fleet.AgentIdentity], error) {
		r, err := decode[fleet.AgentRegistration](in.RawBody)
		if err != nil {
			return nil, hideValues(err)
		}
		id, err := a.Service.Register(ctx, r)
		return &out[fleet.AgentIdentity]{id}, err
	})
	register(a, route{
		id: "report_agent", method: http.MethodPost, path: base + "/report", tag: tag, summary: "Give a sign of life and get orders", auth: agentScheme,
		body: reflect.TypeFor[fleet.AgentReport](),
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[fleet.AgentOrders], error) {
		r, err := decode[fleet.AgentReport](in.RawBody)
		if err != nil {
			return nil, err
		}
		orders, err := a.Service.Report(ctx, credential(ctx), r)
		return &out[fleet.AgentOrders]{orders}, err
	})
	register(a, route{
		id: "rotate_agent_credential", method: http.MethodPost, path: base + "/rotate", tag: tag, summary: "Replace the credential", auth: agentScheme,
		description: "The old one stays valid until the new one has been used.",
		body:        reflect.TypeFor[RotateRequest](),
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*struct{}, error) {
		r, err := decode[RotateRequest](in.RawBody)
		if err != nil {
			return nil, hideValues(err)
		}
		return nil, a.Service.Rotate(ctx, credential(ctx), r.Credential)
	})
	register(a, route{
		id: "append_agent_logs", method: http.MethodPost, path: base + "/logs", tag: tag, summary: "Hand over lines of the machine's log", auth: agentScheme,
		description: "At most 256 KiB of text at once; the last 64 KiB of each stream are kept.",
		body:        reflect.TypeFor[LogLines](),
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*struct{}, error) {
		r, err := decode[LogLines](in.RawBody)
		if err != nil {
			return nil, err
		}
		lines := make([]store.LogLine, len(r.Lines))
		for i, l := range r.Lines {
			lines[i] = store.LogLine(l)
		}
		return nil, a.Service.AgentLog(ctx, credential(ctx), lines)
	})
}

// hideValues takes the values out of field errors of a body with secrets.
func hideValues(err error) error {
	var e *fleet.Error
	if errors.As(err, &e) {
		for i := range e.Fields {
			e.Fields[i].Value = nil
		}
	}
	return err
}
