package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/headroom-dev/headroom/internal/service"
)

const applyPath = "/api/v1/apply"

func (a *api) apply() {
	register(a, route{
		id: "apply", method: http.MethodPost, path: applyPath, tag: "Configuration", summary: "Make objects be as documents say", auth: tokenScheme,
		description: "All changes are made in one transaction or none. Everything that is wrong is reported at once with file, line and path. " +
			"prune deletes objects that an earlier apply made and that the documents lack.",
		body: reflect.TypeFor[service.ApplyRequest](), limit: MaxApplyBody,
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[service.ApplyResult], error) {
		r, err := decode[service.ApplyRequest](in.RawBody)
		if err != nil {
			return nil, err
		}
		result, err := a.Service.Apply(ctx, who(ctx), r)
		return &out[service.ApplyResult]{result}, err
	})
}
