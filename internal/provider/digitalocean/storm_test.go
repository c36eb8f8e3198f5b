package digitalocean_test

import (
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean/fakedigitalocean"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

func TestStorm(t *testing.T) {
	t.Parallel()
	providertest.Storm(t, func(t *testing.T) providertest.Weather {
		c := open(t)
		token, a := c.fake.NewAccount()
		s := settingsOf(c, token)
		return providertest.Weather{
			Open: func() provider.Driver { return opened(t, s) }, Request: request("a"), Machines: a.Droplets, Objects: func() []string { return costly(a) },
			Stir: func(random *rand.Rand) {
				switch f := (fakedigitalocean.Fault{After: random.IntN(2)}); random.IntN(5) {
				case 0:
					f.Status, f.Message = http.StatusTooManyRequests, "slow down"
					a.Spoil(f)
				case 1:
					f.Status, f.Message = http.StatusServiceUnavailable, "not now"
					a.Spoil(f)
				case 2:
					f.Lose = true
					a.Spoil(f)
				}
			},
		}
	})
}
