package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
)

// The configured kinds as the OpenAPI document shows them.
type (
	// Zone is a zone.
	Zone struct{ fleet.Object[fleet.ZoneSpec] }
	// Pool is a pool.
	Pool struct {
		fleet.Object[fleet.PoolSpec]
		Status service.PoolStatus `json:"status"`
	}
	// VMProvider is a VM provider config.
	VMProvider struct {
		fleet.Object[fleet.VMProviderSpec]
		Status     service.VMProviderStatus `json:"status"`
		SecretsSet []string                 `json:"secrets_set,omitempty" doc:"Secrets that are stored; they are never shown." example:"settings.token"`
	}
	// DNSProvider is a DNS provider config.
	DNSProvider struct {
		fleet.Object[fleet.DNSProviderSpec]
		Status     service.DNSProviderStatus `json:"status"`
		SecretsSet []string                  `json:"secrets_set,omitempty" doc:"Secrets that are stored; they are never shown."`
	}
	// AutoscaleConfig is an autoscale config.
	AutoscaleConfig struct {
		fleet.Object[fleet.AutoscaleConfigSpec]
		Status     service.AutoscaleConfigStatus `json:"status"`
		SecretsSet []string                      `json:"secrets_set,omitempty" doc:"Secrets that are stored; they are never shown." example:"connection_password"`
	}
	// Schedule is a schedule.
	Schedule struct {
		fleet.Object[fleet.ScheduleSpec]
	}
	// Staging is a staging.
	Staging struct {
		fleet.Object[fleet.StagingSpec]
	}
)

// objectInput is the body of a PUT. Kind, version and name may be repeated, so
// that what was read can be sent back.
type objectInput[S any] struct {
	APIVersion string     `json:"apiVersion,omitempty" example:"headroom.dev/v1"`
	Kind       fleet.Kind `json:"kind,omitempty"`
	Metadata   inputMeta  `json:"metadata,omitempty"`
	Spec       S          `json:"spec"`
}

type inputMeta struct {
	Name   string            `json:"name,omitempty" doc:"The name in the path, if given."`
	Labels map[string]string `json:"labels,omitempty" doc:"Free key-value pairs to find objects by."`
}

// The bodies of PUT as the OpenAPI document shows them.
type (
	// ZoneInput is a zone.
	ZoneInput objectInput[fleet.ZoneSpec]
	// PoolInput is a pool.
	PoolInput objectInput[fleet.PoolSpec]
	// VMProviderInput is a VM provider config.
	VMProviderInput objectInput[fleet.VMProviderSpec]
	// DNSProviderInput is a DNS provider config.
	DNSProviderInput objectInput[fleet.DNSProviderSpec]
	// AutoscaleConfigInput is an autoscale config.
	AutoscaleConfigInput objectInput[fleet.AutoscaleConfigSpec]
	// ScheduleInput is a schedule.
	ScheduleInput objectInput[fleet.ScheduleSpec]
	// StagingInput is a staging.
	StagingInput objectInput[fleet.StagingSpec]
)

func (a *api) objects() {
	kind[Zone, ZoneInput](a, fleet.KindZone)
	kind[Pool, PoolInput](a, fleet.KindPool)
	kind[VMProvider, VMProviderInput](a, fleet.KindVMProvider)
	kind[DNSProvider, DNSProviderInput](a, fleet.KindDNSProvider)
	kind[AutoscaleConfig, AutoscaleConfigInput](a, fleet.KindAutoscaleConfig)
	kind[Schedule, ScheduleInput](a, fleet.KindSchedule)
	kind[Staging, StagingInput](a, fleet.KindStaging)
}

type objectOutput struct {
	Status int
	ETag   string `header:"ETag" doc:"Version of the object."`
	Body   service.Resource
}

// kind adds the routes of one kind. View and Input are its documentation.
func kind[View, Input any](a *api, k fleet.Kind) {
	base, plural := "/api/v1/"+k.Plural(), strings.ReplaceAll(k.Plural(), "-", "_")
	one := strings.TrimSuffix(plural, "s")
	const tag = "Configuration"
	register(a, route{
		id: "list_" + plural, method: http.MethodGet, path: base, tag: tag, summary: "List " + k.Plural(), auth: tokenScheme,
		answer: reflect.TypeFor[Page[View]](),
	}, func(ctx context.Context, in *struct {
		Paging
		Label []string `query:"label,explode" maxItems:"20" doc:"key=value, or key alone; several must all hold."`
	},
	) (*pageOutput[service.Resource], error) {
		after, err := decodeCursor(in.Cursor)
		if err != nil {
			return nil, err
		}
		labels := map[string]string{}
		for _, l := range in.Label {
			key, value, _ := strings.Cut(l, "=")
			labels[key] = value
		}
		items, next, err := a.Service.Objects(ctx, who(ctx), k, service.ObjectQuery{Labels: labels, After: after, Limit: in.Limit})
		return newPage(items, next), err
	})
	register(a, route{
		id: "get_" + one, method: http.MethodGet, path: base + "/{name}", tag: tag, summary: "Read one " + string(k), auth: tokenScheme,
		answer: reflect.TypeFor[View](),
	}, func(ctx context.Context, in *struct {
		Name string `path:"name"`
	},
	) (*objectOutput, error) {
		r, err := a.Service.Object(ctx, who(ctx), k, in.Name)
		return &objectOutput{Status: http.StatusOK, ETag: etag(r.Version), Body: r}, err
	})
	register(a, route{
		id: "put_" + one, method: http.MethodPut, path: base + "/{name}", tag: tag, summary: "Create or replace one " + string(k), auth: tokenScheme,
		description: "Secrets that the spec does not mention keep their value; null or an empty text clears one.",
		body:        reflect.TypeFor[Input](), answer: reflect.TypeFor[View](), also: map[int]string{http.StatusCreated: "Created"},
		limit: MaxBody,
	}, func(ctx context.Context, in *struct {
		Name        string `path:"name"`
		IfMatch     string `header:"If-Match" doc:"Only if the object has this ETag."`
		IfNoneMatch string `header:"If-None-Match" doc:"*: only if there is no such object."`
		RawBody     []byte
	},
	) (*objectOutput, error) {
		return a.put(ctx, k, in.Name, in.IfMatch, in.IfNoneMatch, in.RawBody)
	})
	register(a, route{
		id: "delete_" + one, method: http.MethodDelete, path: base + "/{name}", tag: tag, summary: "Delete one " + string(k), auth: tokenScheme,
		description: "Refused with a count while other objects refer to it or machines depend on it. With drain those machines begin to leave; " +
			"the answer is still 409 until none is left, and the call can be repeated.",
	}, func(ctx context.Context, in *struct {
		Name    string `path:"name"`
		Drain   bool   `query:"drain" doc:"Let the machines that depend on it leave first."`
		IfMatch string `header:"If-Match" doc:"Only if the object has this ETag."`
	},
	) (*struct{}, error) {
		version, err := versionOf(in.IfMatch)
		if err != nil {
			return nil, err
		}
		return nil, a.Service.DeleteObject(ctx, who(ctx), k, in.Name, service.Condition{Version: version}, in.Drain)
	})
}

func (a *api) put(ctx context.Context, k fleet.Kind, name, ifMatch, ifNoneMatch string, raw []byte) (*objectOutput, error) {
	in, err := decode[objectInput[map[string]any]](raw)
	if err != nil {
		return nil, err
	}
	var fields []fleet.FieldError
	same := func(path, got, want string) {
		if got != "" && got != want {
			fields = append(fields, fleet.FieldError{Path: path, Value: got, Message: fmt.Sprintf("must be %s here, or be left out", want)})
		}
	}
	same("apiVersion", in.APIVersion, fleet.APIVersion)
	same("kind", string(in.Kind), string(k))
	same("metadata.name", in.Metadata.Name, name)
	c := service.Condition{Absent: strings.TrimSpace(ifNoneMatch) == "*"}
	if ifNoneMatch != "" && !c.Absent {
		fields = append(fields, fleet.FieldError{Path: "If-None-Match", Value: ifNoneMatch, Message: "only * is understood here"})
	}
	if err := fleet.Invalid("request", fields); err != nil {
		return nil, err
	}
	if c.Version, err = versionOf(ifMatch); err != nil {
		return nil, err
	}
	if strings.TrimSpace(ifMatch) == "*" {
		if _, err := a.Service.Object(ctx, who(ctx), k, name); err != nil {
			return nil, err
		}
	}
	spec, err := json.Marshal(in.Spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the spec: %w", err)
	}
	r, created, err := a.Service.PutObject(ctx, who(ctx), k, fleet.Meta{Name: name, Labels: in.Metadata.Labels}, spec, c)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &objectOutput{Status: status, ETag: etag(r.Version), Body: r}, nil
}
