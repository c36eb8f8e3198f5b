package settings_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// An API that uses the registry and Raw publishes the schema and leaves the
// body to DecodeJSON.
func TestRawBehindAnAPI(t *testing.T) {
	t.Parallel()
	config := huma.DefaultConfig("test", "1")
	config.Components.Schemas = settings.Registry()
	mux := http.NewServeMux()
	api := humago.New(mux, config)
	type input struct {
		Body settings.Raw[fleet.AutoscaleConfigSpec]
	}
	type output struct {
		Body fleet.Object[fleet.AutoscaleConfigSpec]
	}
	huma.Register(api, huma.Operation{Method: http.MethodPut, Path: "/x", SkipValidateBody: true},
		func(_ context.Context, in *input) (*output, error) {
			out := &output{}
			for _, e := range settings.DecodeJSON(in.Body, &out.Body.Spec, settings.Options{Path: "spec"}) {
				return nil, huma.Error422UnprocessableEntity(e.String())
			}
			return out, nil
		})
	call := func(method, path, body string) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		mux.ServeHTTP(w, r)
		return w.Body.String()
	}
	if got := call(http.MethodPut, "/x", `{"pool":"p","zone":"z","vm_providers":["v"],"downscale_backoff":300}`); !strings.Contains(got, `"downscale_backoff":"5m"`) {
		t.Error(got)
	}
	if got := call(http.MethodPut, "/x", `{"pool":"p","zone":"z","vm_providers":["v"],"dwonscale_backoff":300}`); !strings.Contains(got, "did you mean downscale_backoff?") {
		t.Error(got)
	}
	for _, want := range []string{`"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/AutoscaleConfigSpec"}}}`, `"Duration":{"anyOf"`} {
		if got := call(http.MethodGet, "/openapi.json", ""); !strings.Contains(got, want) {
			t.Errorf("no %s in %.3000s", want, got)
		}
	}
}
