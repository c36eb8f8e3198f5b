package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
)

// WhoAmI is who bears the token.
type WhoAmI struct {
	ID   string     `json:"id"`
	Name string     `json:"name"`
	Role fleet.Role `json:"role"`
	Pool string     `json:"pool,omitempty"`
}

func (a *api) tokens() {
	const base, tag = "/api/v1/tokens", "Tokens"
	register(a, route{
		id: "create_token", method: http.MethodPost, path: base, tag: tag, summary: "Make an API token", auth: tokenScheme,
		description: "The secret is in this answer and is never shown again.",
		body:        reflect.TypeFor[service.TokenRequest](), status: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[service.NewToken], error) {
		r, err := decode[service.TokenRequest](in.RawBody)
		if err != nil {
			return nil, err
		}
		t, err := a.Service.CreateToken(ctx, who(ctx), r)
		return &out[service.NewToken]{t}, err
	})
	register(a, route{
		id: "list_tokens", method: http.MethodGet, path: base, tag: tag, summary: "List API tokens", auth: tokenScheme,
	}, func(ctx context.Context, _ *Paging) (*pageOutput[fleet.APIToken], error) {
		t, err := a.Service.ListTokens(ctx, who(ctx))
		return newPage(t, ""), err
	})
	register(a, route{
		id: "revoke_token", method: http.MethodDelete, path: base + "/{id}", tag: tag, summary: "Revoke an API token", auth: tokenScheme,
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" doc:"Id or name of the token."`
	},
	) (*struct{}, error) {
		return nil, a.Service.RevokeToken(ctx, who(ctx), in.ID)
	})
	register(a, route{
		id: "whoami", method: http.MethodGet, path: "/api/v1/whoami", tag: tag, summary: "Who bears the token", auth: tokenScheme,
	}, func(ctx context.Context, _ *struct{}) (*out[WhoAmI], error) {
		p := who(ctx)
		return &out[WhoAmI]{WhoAmI{ID: p.TokenID, Name: p.Name, Role: p.Role, Pool: p.Pool}}, nil
	})
}
