package gcp

import (
	"context"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/option"

	resources "google.golang.org/api/cloudresourcemanager/v3"
	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "gcp"

// scriptLimit is what one metadata value holds.
// https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations
const scriptLimit = 256 << 10

// Kind describes instances of Compute Engine.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name: KindName, Title: "Google Cloud", About: "Machines are Compute Engine instances.", VM: true,
		// 1,500 requests a minute of each group are allowed for a project.
		// https://cloud.google.com/compute/api-quota
		Defaults: provider.Defaults{
			RateLimit: 10, Concurrency: 16, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 5 * time.Second, RestInterval: time.Minute, Grace: 2 * time.Minute,
			CreateBurst: 20, CreateRate: 2,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	c := startup.Channel{Form: startup.FormPlain, Limit: scriptLimit, EveryBoot: true}
	if s.system() == startup.Windows {
		c.System = startup.Windows
	}
	return c
}

func open(ctx context.Context, s Settings, host provider.Host) (*driver, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	api, err := compute.NewService(ctx, s.options(client, "/compute/v1/")...)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the connection to Google Cloud cannot be set up: %w", err)
	}
	iam, err := resources.NewService(ctx, s.options(client, "/")...)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the connection to Google Cloud cannot be set up: %w", err)
	}
	return &driver{settings: s, api: api, iam: iam, now: host.Now}, nil
}

// client adds the account's access tokens to requests.
func (a Account) client() (*http.Client, error) {
	c, err := a.HTTPClient()
	if err != nil {
		return nil, err
	}
	c.Transport = newAuthorized(a.Credentials, c.Transport)
	return c, nil
}

func (a Account) options(c *http.Client, path string) []option.ClientOption {
	out := []option.ClientOption{option.WithHTTPClient(c), option.WithUserAgent("headroom")}
	if a.Endpoint != "" {
		out = append(out, option.WithEndpoint(strings.TrimSuffix(a.Endpoint, "/")+path))
	}
	return out
}
