package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/headroom-dev/headroom/internal/service"
)

// The routes that take sets of objects.
const (
	applyPath  = "/api/v1/apply"
	deletePath = "/api/v1/delete"
)

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
	register(a, route{
		id: "delete_objects", method: http.MethodPost, path: deletePath, tag: "Configuration", summary: "Delete a set of objects", auth: tokenScheme,
		description: "All of them are deleted in one transaction or none; they may refer to one another. Everything that is in the way is reported at once: " +
			"409 when an object is needed, 404 when all that is wrong is that objects do not exist. With drain the machines that depend on them begin to leave " +
			"if they are all that is in the way; the answer is still 409 until none is left, and the call can be repeated.",
		body: reflect.TypeFor[service.DeleteRequest](), limit: MaxApplyBody,
	}, func(ctx context.Context, in *struct{ RawBody []byte }) (*out[service.DeleteResult], error) {
		r, err := decode[service.DeleteRequest](in.RawBody)
		if err != nil {
			return nil, err
		}
		result, err := a.Service.DeleteObjects(ctx, who(ctx), r)
		return &out[service.DeleteResult]{result}, err
	})
}
