package oci_test

import (
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

func TestStormOfOne(t *testing.T) {
	t.Parallel()
	providertest.Storm(t, func(t *testing.T) providertest.Weather {
		s, of := tenancy(t)
		return providertest.Weather{
			Open: func() provider.Driver { return opened(t, s) }, Request: request("a"), Machines: of.Instances, Objects: of.Objects,
			Stir: func(random *rand.Rand) {
				switch f := (fakeoci.Fault{After: random.IntN(2)}); random.IntN(6) {
				case 0:
					f.Status, f.Code, f.Message = http.StatusTooManyRequests, "TooManyRequests", "slow down"
					of.Spoil(f)
				case 1:
					f.Status, f.Code, f.Message = http.StatusServiceUnavailable, "ServiceUnavailable", "not now"
					of.Spoil(f)
				case 2:
					f.Lose = true
					of.Spoil(f)
				case 3:
					f.Status, f.Text = http.StatusBadGateway, "<html>bad gateway</html>"
					of.Spoil(f)
				}
			},
		}
	})
}
