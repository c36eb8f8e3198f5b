package api

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// The ways in which a caller says who it is.
const (
	tokenScheme = "token"
	agentScheme = "agent"
)

// route describes an operation.
type route struct {
	id, method, path string
	tag, summary     string
	description      string
	auth             string // tokenScheme, agentScheme or empty: none
	status           int    // of success; 0: 200, or 204 without a body
	body             reflect.Type
	bodyOptional     bool
	limit            int64        // bytes of the body; 0: MaxBody
	answer           reflect.Type // documented body of the answer; nil: that of the handler
	also             map[int]string
}

// register adds an operation. Errors of the handler become problem details.
func register[I, O any](a *api, r route, handle func(context.Context, *I) (*O, error)) {
	schemas := a.huma.OpenAPI().Components.Schemas
	o := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Tags: []string{r.tag}, Summary: r.summary, Description: r.description,
		DefaultStatus: r.status, Responses: map[string]*huma.Response{},
		SkipValidateBody: true, MaxBodyBytes: fleet.Or(r.limit, MaxBody) + 1, BodyReadTimeout: a.BodyTimeout,
	}
	if r.auth != "" {
		o.Security = []map[string][]string{{r.auth: {}}}
	}
	if r.answer != nil {
		o.Responses[strconv.Itoa(fleet.Or(r.status, http.StatusOK))] = &huma.Response{
			Description: http.StatusText(fleet.Or(r.status, http.StatusOK)), Content: jsonContent(schemas, r.answer),
		}
	}
	if r.body != nil {
		o.RequestBody = &huma.RequestBody{Required: !r.bodyOptional, Content: jsonContent(schemas, r.body)}
	}
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
	if r.body != nil {
		o.RequestBody.Required = !r.bodyOptional
		delete(o.RequestBody.Content, "application/octet-stream")
	}
	a.describe(r, schemas)
}

// describe adds what huma does not know: further statuses and the problem.
func (a *api) describe(r route, schemas huma.Registry) {
	item := a.huma.OpenAPI().Paths[r.path]
	if item == nil {
		return
	}
	op := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post, http.MethodDelete: item.Delete,
	}[r.method]
	success := op.Responses[strconv.Itoa(op.DefaultStatus)]
	for status, text := range r.also {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: text, Content: success.Content, Headers: success.Headers}
	}
	op.Responses["default"] = &huma.Response{
		Description: "Error",
		Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")},
		},
	}
}

func jsonContent(schemas huma.Registry, t reflect.Type) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(t, true, t.Name())}}
}

// decode reads a request body strictly; everything that is wrong is reported
// at once. An empty body is the zero value.
func decode[T any](raw []byte) (T, error) {
	var v T
	if len(raw) == 0 {
		return v, nil
	}
	return v, fleet.Invalid("request body", settings.DecodeJSON(raw, &v, settings.Options{}))
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next" doc:"Pass it as cursor to get the following page; empty at the end."`
}

// pageOutput is the answer of a list.
type pageOutput[T any] struct{ Body Page[T] }

func newPage[T any](items []T, next string) *pageOutput[T] {
	return &pageOutput[T]{Body: Page[T]{Items: items, Next: encodeCursor(next)}}
}

// Paging holds the parameters of a list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"Items of a page."`
	Cursor string `query:"cursor" maxLength:"512" doc:"The next of the page before."`
}

// out is the answer with nothing but a body.
type out[T any] struct{ Body T }

// duration reads a duration of the query.
func duration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := fleet.ParseDuration(text)
	if err != nil {
		return 0, fleet.Invalid("query", []fleet.FieldError{{Path: name, Value: text, Message: err.Error()}})
	}
	return d.D(), nil
}

// list splits a parameter with comma-separated values.
func list[T ~string](text string) []T {
	var values []T
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, T(v))
		}
	}
	return values
}
