package digitalocean_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean/fakedigitalocean"
)

// TestRefusals: what the texts of the API mean, as creates have been seen to be
// answered.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := open(t)
	token, a := c.fake.NewAccount()
	d := opened(t, settingsOf(c, token))
	for _, r := range []struct {
		status int
		text   string
		class  provider.Class
	}{
		{422, "creating this/these droplet(s) will exceed your droplet limit", provider.Quota},
		{403, "You have reached your droplet limit.", provider.Quota},
		{422, "Region is not available", provider.NoCapacity},
		{422, "Size is not available in this region.", provider.NoCapacity},
		{422, "size is unavailable", provider.NoCapacity},
		{422, "Due to limited availability we have temporarily disabled droplet creation in this region.", provider.NoCapacity},
		{422, "You specified an invalid size for Droplet creation.", provider.Invalid},
		{422, "You specified an invalid image for Droplet creation.", provider.Invalid},
		{422, "The image you specified is not available in the selected region, you can transfer it to this region from the images pages.", provider.Invalid},
		{422, "This size is currently restricted please send an additional payment to unlock.", provider.Forbidden},
		{422, "Droplet already has a pending event.", provider.Conflict},
		{404, "The resource you were accessing could not be found.", provider.Invalid},
		{401, "Unable to authenticate you", provider.Unauthenticated},
		{403, "You are not authorized to perform this operation", provider.Forbidden},
		{429, "API Rate limit exceeded.", provider.RateLimited},
		{500, "Server Error", provider.Unavailable},
		{503, "Service Unavailable", provider.Unavailable},
	} {
		a.Spoil(fakedigitalocean.Fault{Method: http.MethodPost, Path: "/v2/droplets", Status: r.status, Message: r.text})
		if _, err := d.Create(t.Context(), request("x")); provider.ClassOf(err) != r.class || !strings.Contains(err.Error(), r.text) {
			t.Errorf("%d %s: %v, expected %s", r.status, r.text, err, r.class)
		}
	}
	if n := a.Droplets(); n != 0 {
		t.Errorf("%d Droplets", n)
	}
}
