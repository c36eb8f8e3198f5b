package dns

import (
	"context"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	callTimeout  = provider.MaxCallTimeout
	listTimeout  = 2 * time.Minute // a zone of many pages
	defaultRate  = 5
	defaultBatch = 50
)

// Client calls a service on behalf of the control loop: with deadlines, within
// the service's rate limit, and with errors that hold no secret. A call that the
// limit does not admit at once is refused with RateLimited and the time to wait.
type Client struct {
	Zone    string
	Batch   int // names that one call carries
	service Service
	secrets []string
	clock   clock.PassiveClock
	limiter *rate.Limiter
}

// NewClient makes a client for a zone of an account.
func NewClient(kind Kind, service Service, zone string, secrets []string, c clock.PassiveClock) *Client {
	perSecond := fleet.Or(kind.RateLimit, defaultRate)
	return &Client{
		Zone: zone, Batch: fleet.Or(kind.Batch, defaultBatch), service: service, secrets: secrets, clock: c,
		limiter: rate.NewLimiter(rate.Limit(perSecond), max(2, int(perSecond))),
	}
}

func call[T any](ctx context.Context, c *Client, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	var zero T
	now := c.clock.Now()
	r := c.limiter.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return zero, &provider.Error{Class: provider.RateLimited, Message: "waiting for this service's own rate limit", After: wait}
	}
	return provider.Guarded(ctx, limit, c.secrets, f)
}

// Check looks at credentials, permissions and the zone.
func (c *Client) Check(ctx context.Context) (provider.Report, error) {
	return call(ctx, c, callTimeout, func(ctx context.Context) (provider.Report, error) { return c.service.Check(ctx, c.Zone) })
}

// Records lists every record of the zone.
func (c *Client) Records(ctx context.Context) ([]Record, error) {
	return call(ctx, c, listTimeout, func(ctx context.Context) ([]Record, error) { return c.service.Records(ctx, c.Zone) })
}

// Set makes the records of each name and type be exactly those given.
func (c *Client) Set(ctx context.Context, records []Record) error {
	_, err := call(ctx, c, callTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.service.Set(ctx, c.Zone, records)
	})
	return err
}

// Delete removes every record of each name and type.
func (c *Client) Delete(ctx context.Context, names []Key) error {
	_, err := call(ctx, c, callTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.service.Delete(ctx, c.Zone, names)
	})
	if provider.ClassOf(err) == provider.NotFound {
		return nil
	}
	return err
}
