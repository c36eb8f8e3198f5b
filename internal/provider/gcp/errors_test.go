package gcp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
)

// TestRefusals: reasons of the service, as its pages list them and as inserts
// have been seen to be answered. Some have the same status and mean different
// things.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	for _, c := range []struct {
		status       int
		reason, text string
		class        provider.Class
	}{
		{503, "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone 'projects/p/zones/europe-west3-a' does not have enough resources available to fulfill the request.", provider.NoCapacity},
		{503, "zoneResourcePoolExhausted", "The zone does not have it now.", provider.NoCapacity},
		{503, "stockout", "The zone does not have it now.", provider.NoCapacity},
		{400, "invalidUsage", "Specified reservations [r] do not have available resources for the request.", provider.NoCapacity},
		{403, "quotaExceeded", "Quota 'CPUS' exceeded. Limit: 24.0 in region europe-west3.", provider.Quota},
		{403, "QUOTA_EXCEEDED", "Quota 'GPUS_ALL_REGIONS' exceeded. Limit: 0.0 globally.", provider.Quota},
		{400, "ipSpaceExhausted", "IP space of 'projects/p/regions/europe-west3/subnetworks/desktops' is exhausted.", provider.Quota},
		{403, "rateLimitExceeded", "Rate Limit Exceeded", provider.RateLimited},
		{429, "rateLimitExceeded", "Rate Limit Exceeded", provider.RateLimited},
		{403, "userRateLimitExceeded", "User Rate Limit Exceeded", provider.RateLimited},
		{403, "quotaExceeded", "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'.", provider.RateLimited},
		{403, "quotaExceeded", "Quota exceeded for quota group 'ReadGroup' and limit 'Read requests per 100 seconds per user'.", provider.RateLimited},
		{429, "RESOURCE_OPERATION_RATE_EXCEEDED", "Operation rate exceeded for resource 'x'. Too frequent operations from the source resource.", provider.RateLimited},
		{403, "concurrentOperationsQuotaExceeded", "Too many operations at once.", provider.RateLimited},
		{429, "somethingNew", "Slower.", provider.RateLimited},
		{400, "resourceNotReady", "The resource 'projects/p/regions/europe-west3/subnetworks/desktops' is not ready", provider.Conflict},
		{400, "resourceInUseByAnotherResource", "The disk resource is already being used.", provider.Conflict},
		{412, "conditionNotMet", "Constraint constraints/compute.vmExternalIpAccess violated for project 1.", provider.Invalid},
		{403, "accessNotConfigured", "Compute Engine API has not been used in project 1 before or it is disabled.", provider.Forbidden},
		{403, "forbidden", "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/i'", provider.Forbidden},
		{401, "authError", "Invalid Credentials", provider.Unauthenticated},
		{500, "internalError", "Internal Error", provider.Unavailable},
		{503, "backendError", "Backend Error", provider.Unavailable},
		{404, "notFound", "The resource 'projects/p/regions/r/subnetworks/s' was not found", provider.Invalid},
		{404, "notFound", "The resource 'projects/p/zones/z/machineTypes/c4-standard-2' was not found", provider.NoCapacity},
	} {
		p.Spoil(fakegcp.Fault{Method: http.MethodPost, Path: "/instances", Status: c.status, Reason: c.reason, Message: c.text, Header: map[string]string{"Retry-After": "9"}})
		_, err := d.Create(t.Context(), request("x"))
		if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%d %s %s: %v, expected %s", c.status, c.reason, c.text, err, c.class)
		}
		if after := provider.RetryAfter(err); c.class == provider.RateLimited && after != 9*time.Second {
			t.Errorf("%d %s: to be repeated after %v, the service says 9s", c.status, c.reason, after)
		}
	}
	p.Spoil(fakegcp.Fault{Path: "/instances", Status: http.StatusTooManyRequests, Text: "<html>slow down</html>", Header: map[string]string{"Retry-After": "9"}})
	if _, err := d.Create(t.Context(), request("x")); provider.ClassOf(err) != provider.RateLimited || provider.RetryAfter(err) != 9*time.Second {
		t.Errorf("a gateway that is overrun: %v, to be repeated after %v", err, provider.RetryAfter(err))
	}
	if left := p.Objects(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
