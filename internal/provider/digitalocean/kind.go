package digitalocean

import (
	"context"
	"net/http"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/sync/singleflight"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "digital_ocean"

const defaultEndpoint = "https://api.digitalocean.com"

// userDataLimit is what the API takes.
// https://docs.digitalocean.com/reference/api/reference/droplets/#droplets_create
const userDataLimit = 64 << 10

// Kind describes DigitalOcean's Droplets.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name: KindName, Title: "DigitalOcean", About: "Machines are Droplets.", VM: true,

		// 5,000 requests an hour and 250 a minute are allowed for one token.
		Defaults: provider.Defaults{
			RateLimit: 3, Concurrency: 8, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 5 * time.Second, RestInterval: time.Minute, Grace: 2 * time.Minute,
			CreateBurst: 10, CreateRate: 0.5,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(Settings) startup.Channel {
	return startup.Channel{Form: startup.FormCloudInit, Limit: userDataLimit}
}

func open(_ context.Context, s Settings, host provider.Host) (*driver, error) {
	api, err := s.client()
	if err != nil {
		return nil, err
	}
	return &driver{settings: s, api: api, now: host.Now, creates: &singleflight.Group{}}, nil
}

// client speaks to the API with the account's token. The SDK's own retries are
// off: what is repeated, and when, is not for a driver to say.
func (a Account) client() (*godo.Client, error) {
	c, err := a.HTTPClient()
	if err != nil {
		return nil, err
	}
	c.Transport = bearer{token: a.Token, next: c.Transport}
	api, err := godo.New(c, godo.SetBaseURL(fleet.Or(a.Endpoint, defaultEndpoint)+"/"), godo.SetUserAgent("headroom"))
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the endpoint cannot be used: %w", err)
	}
	return api, nil
}

type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}
