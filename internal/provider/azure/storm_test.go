package azure_test

import (
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

func TestStorm(t *testing.T) {
	t.Parallel()
	providertest.Storm(t, func(t *testing.T) providertest.Weather {
		s, p := subscription(t)
		return providertest.Weather{
			Open: func() provider.Driver { return opened(t, s) }, Request: request("a"), Machines: p.Machines, Objects: p.Objects,
			Stir: func(random *rand.Rand) {
				switch f := (fakeazure.Fault{After: random.IntN(2)}); random.IntN(6) {
				case 0:
					f.Status, f.Code, f.Message = http.StatusTooManyRequests, "TooManyRequests", "slow down"
					p.Spoil(f)
				case 1:
					f.Status, f.Code, f.Message = http.StatusServiceUnavailable, "ServiceUnavailable", "not now"
					p.Spoil(f)
				case 2:
					f.Lose = true
					p.Spoil(f)
				case 3:
					f.Status, f.Text = http.StatusBadGateway, "<html>bad gateway</html>"
					p.Spoil(f)
				}
			},
		}
	})
}
