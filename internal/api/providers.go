package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

// cloudTime is how long a request may wait for a cloud.
const cloudTime = time.Minute

// providers adds what looks at clouds and makes nothing in them. Each takes a
// stored config by its name, or a document that has not been stored.
func (a *api) providers() {
	preview(a, "check", "Check credentials, permissions and references of a VM provider config",
		func(ctx context.Context, d service.Draft, _ string) (provider.Report, error) {
			return a.Service.CheckProvider(ctx, who(ctx), d)
		})
	preview(a, "render", "Show the requests by which a machine would be made, without secrets",
		func(ctx context.Context, d service.Draft, _ string) (Items[provider.RenderedCall], error) {
			calls, err := a.Service.RenderProvider(ctx, who(ctx), d)
			return Items[provider.RenderedCall]{calls}, err
		})
	preview(a, "catalog", "List live choices for the settings of a VM provider config",
		func(ctx context.Context, d service.Draft, setting string) (Items[service.Lookup], error) {
			all, err := a.Service.Catalog(ctx, who(ctx), d, setting)
			return Items[service.Lookup]{all}, err
		})
	preview(a, "price", "Say what a machine of a VM provider config costs, for each size and place",
		func(ctx context.Context, d service.Draft, _ string) (Items[service.OfferPrice], error) {
			prices, err := a.Service.PriceProvider(ctx, who(ctx), d)
			return Items[service.OfferPrice]{prices}, err
		})
	preview(a, "script", "Show the startup script of a VM provider config with sample values, secrets masked",
		func(ctx context.Context, d service.Draft, _ string) (service.ScriptPreview, error) {
			return a.Service.RenderScript(ctx, who(ctx), d)
		})
	register(a, route{
		id: "check_dns_provider", method: http.MethodPost, path: "/api/v1/dns-providers/{name}/check", tag: "Configuration",
		summary: "Check credentials, permissions and the zone of a DNS provider config", description: "Writes nothing.", auth: tokenScheme,
	}, func(ctx context.Context, in *struct {
		Name string `path:"name"`
	},
	) (*out[provider.Report], error) {
		ctx, cancel := context.WithTimeout(ctx, cloudTime)
		defer cancel()
		r, err := a.Service.CheckDNS(ctx, who(ctx), in.Name)
		return &out[provider.Report]{r}, err
	})
	register(a, route{
		id: "list_dns_kinds", method: http.MethodGet, path: "/api/v1/dns-kinds", tag: "Configuration", summary: "List the kinds of DNS services that this build knows", auth: tokenScheme,
	}, func(ctx context.Context, _ *struct{}) (*out[[]ProviderKind], error) {
		kinds, err := a.Service.DNSKinds(ctx, who(ctx))
		if err != nil {
			return nil, err
		}
		list := []ProviderKind{}
		for _, k := range kinds {
			schema, err := json.Marshal(settings.Schema(k.NewSettings()))
			if err != nil {
				return nil, fmt.Errorf("encoding the schema of %s: %w", k.Name, err)
			}
			list = append(list, ProviderKind{Name: k.Name, Title: k.Title, About: k.About, Schema: schema, Defaults: ProviderDefaults{RateLimit: k.RateLimit}})
		}
		return &out[[]ProviderKind]{list}, nil
	})
	register(a, route{
		id: "list_script_variables", method: http.MethodGet, path: "/api/v1/script-variables", tag: "Configuration", summary: "List the variables of startup scripts", auth: tokenScheme,
	}, func(context.Context, *struct{}) (*out[Items[startup.Variable]], error) {
		return &out[Items[startup.Variable]]{Items[startup.Variable]{startup.Variables()}}, nil
	})
}

// preview adds one operation in its two forms.
func preview[T any](a *api, what, summary string, look func(ctx context.Context, d service.Draft, setting string) (T, error)) {
	const tag = "Configuration"
	run := func(ctx context.Context, d service.Draft, setting string) (*out[T], error) {
		ctx, cancel := context.WithTimeout(ctx, cloudTime)
		defer cancel()
		v, err := look(ctx, d, setting)
		return &out[T]{v}, err
	}
	register(a, route{
		id: what + "_vm_provider", method: http.MethodPost, path: "/api/v1/vm-providers/{name}/" + what, tag: tag,
		summary: summary, description: "Makes nothing in the cloud.", auth: tokenScheme,
	}, func(ctx context.Context, in *struct {
		Name    string `path:"name"`
		Setting string `query:"setting" maxLength:"128" doc:"For the catalog: only this setting."`
	},
	) (*out[T], error) {
		return run(ctx, service.Draft{Name: in.Name}, in.Setting)
	})
	register(a, route{
		id: what + "_draft", method: http.MethodPost, path: "/api/v1/drafts/" + what, tag: tag,
		summary: summary + ": of a document that has not been stored", description: "Makes nothing in the cloud and stores nothing.", auth: tokenScheme,
		body: reflect.TypeFor[service.Draft](),
	}, func(ctx context.Context, in *struct {
		Setting string `query:"setting" maxLength:"128" doc:"For the catalog: only this setting."`
		RawBody []byte
	},
	) (*out[T], error) {
		d, err := decode[service.Draft](in.RawBody)
		if err != nil {
			return nil, err
		}
		return run(ctx, d, in.Setting)
	})
}
