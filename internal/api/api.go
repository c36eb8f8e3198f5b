package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/settings"
)

// Limits of what is read from a request.
const (
	MaxBody      = 1 << 20 // bytes
	MaxApplyBody = 8 << 20

	defaultBodyTimeout = 15 * time.Second // to send a body
	heartbeat          = 15 * time.Second // of the event stream
	streamWrite        = 10 * time.Second // a reader that takes longer is cut off
)

// Version describes the build.
type Version struct {
	Version string `json:"version" example:"1.2.3"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"`
	Go      string `json:"go,omitempty"`
}

// Deps are what the API works with.
type Deps struct {
	Service *service.Service
	Log     *slog.Logger
	Clock   clock.PassiveClock // must follow the real time: deadlines of connections come from it
	Version Version
	// Metrics is served at /metrics and gets the metrics of the API itself;
	// nil: there are none.
	Metrics *prometheus.Registry
	// AgentFile opens the agent of a name such as headroom-linux-amd64; nil when
	// there is none of that name.
	AgentFile func(name string) (*os.File, error)
	// BodyTimeout is the time to send a request body; 0: 15 s.
	BodyTimeout time.Duration
}

// api is what the handlers share.
type api struct {
	Deps
	huma     huma.API
	mux      *http.ServeMux
	throttle *throttle
	requests *prometheus.HistogramVec
}

// New makes the handler of everything that the controller serves over HTTP.
//
// Answers are held back for up to service.MaxWait, so a WriteTimeout of the
// server must be above that; the event stream sets deadlines of its own. Bodies
// have BodyTimeout; headers need a ReadHeaderTimeout of the server. Closing the
// service ends streams and waits.
func New(d Deps) http.Handler {
	a := build(d)
	if d.Metrics != nil {
		a.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "headroom_http_request_duration_seconds", Help: "Duration of HTTP requests by route and status.",
			Buckets: []float64{.005, .025, .1, .5, 2.5, 30}, // every route has each of them
		}, []string{"method", "route", "status"})
		d.Metrics.MustRegister(a.requests)
	}
	return a.middleware(a.mux)
}

// OpenAPI is the OpenAPI 3.1 document of the API as indented JSON.
func OpenAPI() ([]byte, error) {
	a := build(Deps{Version: Version{Version: "1"}})
	raw, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("encoding the OpenAPI document: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("encoding the OpenAPI document: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func build(d Deps) *api {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Clock == nil {
		d.Clock = clock.RealClock{}
	}
	if d.BodyTimeout == 0 {
		d.BodyTimeout = defaultBodyTimeout
	}
	a := &api{Deps: d, mux: http.NewServeMux(), throttle: newThrottle(d.Clock)}
	registry := settings.Registry()
	registerProblem(registry)
	a.huma = humago.New(a.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Headroom", Version: "v1",
				Description: "Keeps warm capacity of virtual machines on any cloud. " +
					"Every route but the agents' takes an API token as `Authorization: Bearer`. " +
					"Errors are problem details (RFC 9457) with a `code` and all field errors.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Tags: []*huma.Tag{
				{Name: "Configuration", Description: "Zones, pools, providers and policies."},
				{Name: "Servers"},
				{Name: "Sessions"},
				{Name: "Events"},
				{Name: "Insight", Description: "What would be done, and why nothing is."},
				{Name: "Tokens"},
				{Name: "System"},
				{Name: "Agents", Description: "Called by agents and startup scripts with credentials of their own."},
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					tokenScheme: {Type: "http", Scheme: "bearer", Description: "API token: hr_…"},
					agentScheme: {Type: "http", Scheme: "bearer", Description: "Credential of an agent"},
				},
			},
		},
		OpenAPIPath:   "/openapi",
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{a.problems},

		RejectUnknownQueryParameters: true,
	})
	a.huma.UseMiddleware(a.authenticate)
	a.objects()
	a.apply()
	a.servers()
	a.sessions()
	a.events()
	a.insight()
	a.providers()
	a.tokens()
	a.agents()
	a.checkin()
	a.downloads()
	a.system()
	a.pages()
	for _, name := range []string{"Resource", "PageResource"} { // shown as the views of the kinds
		delete(registry.Map(), name)
	}
	return a
}
