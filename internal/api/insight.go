package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/settings"
)

// ProviderKind describes a kind of cloud.
type ProviderKind struct {
	Name     string           `json:"name"`
	Title    string           `json:"title"`
	About    string           `json:"about"`
	VM       bool             `json:"vm" doc:"The machines are virtual machines."`
	Schema   json.RawMessage  `json:"schema" doc:"JSON Schema of the settings."`
	Defaults ProviderDefaults `json:"defaults"`
}

// ProviderDefaults are operating values that fit a kind.
type ProviderDefaults struct {
	RateLimit   float64        `json:"rate_limit,omitempty" doc:"Calls per second."`
	Concurrency int            `json:"concurrency,omitempty" doc:"Calls under way at once."`
	CallTimeout fleet.Duration `json:"call_timeout,omitempty"`
	CreateBurst int            `json:"create_burst,omitempty"`
	CreateRate  float64        `json:"create_rate,omitempty"`
}

// Items is a list that has no pages.
type Items[T any] struct {
	Items []T `json:"items"`
}

func (a *api) insight() {
	const tag = "Insight"
	register(a, route{
		id: "plan", method: http.MethodGet, path: "/api/v1/plan", tag: tag, summary: "What would be done now, and why nothing else", auth: tokenScheme,
		description: "Nothing is done.",
	}, func(ctx context.Context, in *struct {
		Pool string `query:"pool" doc:"Empty: every pool."`
	},
	) (*out[Items[service.PricedPlan]], error) {
		decisions, err := a.Service.PlanPools(ctx, who(ctx), in.Pool)
		if err != nil {
			return nil, err
		}
		priced, err := a.Service.PricePlans(ctx, who(ctx), decisions)
		return &out[Items[service.PricedPlan]]{Items[service.PricedPlan]{priced}}, err
	})
	register(a, route{
		id: "costs", method: http.MethodGet, path: "/api/v1/costs", tag: tag, summary: "What the machines cost that exist now", auth: tokenScheme,
		description: "By autoscale config, provider and size. Prices are those of VM provider configs, of the table given to serve, and list prices of vendors without discounts and taxes. What has no price is said to have none and is not in the sums; currencies are summed apart.",
	}, func(ctx context.Context, in *struct {
		Pool string `query:"pool" doc:"Empty: every pool."`
	},
	) (*out[service.CostReport], error) {
		r, err := a.Service.Costs(ctx, who(ctx), in.Pool)
		return &out[service.CostReport]{r}, err
	})
	for _, e := range []struct {
		plural, one string
		explain     func(context.Context, string) (service.Explanation, error)
	}{
		{"pools", "pool", func(ctx context.Context, name string) (service.Explanation, error) {
			return a.Service.ExplainPool(ctx, who(ctx), name)
		}},
		{"servers", "server", func(ctx context.Context, name string) (service.Explanation, error) {
			return a.Service.ExplainServer(ctx, who(ctx), name)
		}},
		{"sessions", "session", func(ctx context.Context, name string) (service.Explanation, error) {
			return a.Service.ExplainSession(ctx, who(ctx), name)
		}},
	} {
		register(a, route{
			id: "explain_" + e.one, method: http.MethodGet, path: "/api/v1/explain/" + e.plural + "/{name}", tag: tag,
			summary: "Why a " + e.one + " is as it is", auth: tokenScheme,
		}, func(ctx context.Context, in *struct {
			Name string `path:"name"`
		},
		) (*out[service.Explanation], error) {
			x, err := e.explain(ctx, in.Name)
			return &out[service.Explanation]{x}, err
		})
	}
	register(a, route{
		id: "list_provider_kinds", method: http.MethodGet, path: "/api/v1/provider-kinds", tag: "Configuration", summary: "List the kinds of clouds that this build knows", auth: tokenScheme,
	}, func(ctx context.Context, _ *struct{}) (*out[[]ProviderKind], error) {
		kinds, err := a.Service.ProviderKinds(ctx, who(ctx))
		if err != nil {
			return nil, err
		}
		body, err := describeKinds(kinds)
		return &out[[]ProviderKind]{body}, err
	})
}

func describeKinds(kinds []provider.Kind) ([]ProviderKind, error) {
	list := []ProviderKind{}
	for _, k := range kinds {
		schema, err := json.Marshal(settings.Schema(k.NewSettings()))
		if err != nil {
			return nil, fmt.Errorf("encoding the schema of %s: %w", k.Name, err)
		}
		list = append(list, ProviderKind{
			Name: k.Name, Title: k.Title, About: k.About, VM: k.VM, Schema: schema,
			Defaults: ProviderDefaults{
				RateLimit: k.Defaults.RateLimit, Concurrency: k.Defaults.Concurrency, CallTimeout: fleet.Duration(k.Defaults.CallTimeout),
				CreateBurst: fleet.Or(k.Defaults.CreateBurst, fleet.DefaultCreateBurst), CreateRate: fleet.Or(k.Defaults.CreateRate, fleet.DefaultCreateRate),
			},
		})
	}
	return list, nil
}
