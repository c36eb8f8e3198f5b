package sim_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cret-of-the-simulated-cloud"

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]sim.Settings{
		"prompt": {BootTime: fleet.Duration(time.Millisecond)},
		"slow": {
			BootTime: fleet.Duration(30 * time.Millisecond), BootLaw: sim.Lognormal, Latency: fleet.Duration(2 * time.Millisecond),
			LatencyLaw: sim.Exponential, ListLag: fleet.Duration(200 * time.Millisecond), DeleteTime: fleet.Duration(50 * time.Millisecond),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Harness{New: func(*testing.T) providertest.Account { return account(settings) }})
		})
	}
}

func account(settings sim.Settings) providertest.Account {
	settings.APIToken = secret
	settings.Offers = []string{"small@zone-a", "small@zone-b"}
	cloud := sim.NewCloud(sim.Options{Clock: clock.RealClock{}, Seed: 1, Token: secret})
	next := func(op sim.Operation, f sim.Fault) func(*testing.T) {
		return func(*testing.T) { once(cloud, op, f) }
	}
	refuse := func(class provider.Class) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			once(cloud, sim.OpGet, sim.Refuse(class))
			_, err := d.Get(t.Context(), "sim-000001")
			return err
		}
	}
	create := func(t *testing.T, d provider.Driver, offer string) error {
		_, err := d.Create(t.Context(), provider.Request{Token: t.Name(), Name: "m", Offer: offer, Tags: provider.Tags{Installation: "x", Provider: "y", Server: "z"}})
		return err
	}
	return providertest.Account{
		Kind:     sim.Kind(func(string) *sim.Cloud { return cloud }),
		Settings: &settings,
		Secrets:  []string{secret},
		Patience: 10 * time.Second,
		Pages:    101, // a page has 100
		Foreign:  func(*testing.T) string { return cloud.Plant("somebody-elses", provider.Tags{}) },
		Exists: func(_ *testing.T, id string) bool {
			for _, m := range cloud.Instances() {
				if m.ID == id {
					return true
				}
			}
			return false
		},
		Interrupt: func(t *testing.T, id string) {
			if !cloud.Interrupt(id, "capacity is wanted back in two minutes") {
				t.Fatalf("there is no machine %s", id)
			}
		},
		Password: func(_ *testing.T, id string) provider.Login {
			cloud.SetPassword(id, "Pa55word")
			return provider.Login{User: "Administrator", Password: "Pa55word"}
		},
		Leftovers: func(*testing.T) []string {
			var all []string
			for _, m := range cloud.Instances() {
				all = append(all, m.ID)
			}
			for _, r := range cloud.Remnants() {
				all = append(all, r.ID)
			}
			return all
		},
		LoseCreate:   next(sim.OpCreate, sim.Fault{Lost: true}),
		LoseDelete:   next(sim.OpDelete, sim.Fault{Lost: true}),
		BreakList:    next(sim.OpList, sim.Fault{FailList: true, After: 1}),
		LeaveRemnant: func(_ *testing.T, tags provider.Tags) { cloud.PlantRemnant(tags) },
		UserData: func(t *testing.T, id string) []byte {
			for _, m := range cloud.Instances() {
				if m.ID == id {
					return m.Bootstrap.UserData
				}
			}
			t.Errorf("machine %s does not exist", id)
			return nil
		},
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error { return d.Delete(t.Context(), "sim-999999") },
			provider.Invalid:  func(t *testing.T, d provider.Driver) error { return create(t, d, "huge@nowhere") },
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				cloud.SetToken("another")
				defer cloud.SetToken(secret)
				_, err := d.Get(t.Context(), "sim-000001")
				return err
			},
			provider.Quota: func(t *testing.T, d provider.Driver) error {
				cloud.Plant("filler", provider.Tags{})
				cloud.SetQuota(1)
				defer cloud.SetQuota(0)
				return create(t, d, "")
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				cloud.SetStock("small@zone-a", 0)
				return create(t, d, "small@zone-a")
			},
			provider.Unavailable: func(t *testing.T, d provider.Driver) error {
				once(cloud, sim.OpCreate, sim.Fault{Hang: true})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				_, err := d.Create(ctx, provider.Request{Token: "t", Name: "m"})
				return err
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				once(cloud, sim.OpGet, sim.Throttle(7*time.Second))
				_, err := d.Get(t.Context(), "sim-000001")
				if after := provider.RetryAfter(err); after != 7*time.Second {
					return fmt.Errorf("the time to wait is %v, expected 7s: %w", after, err)
				}
				return err
			},
			provider.Forbidden:   refuse(provider.Forbidden),
			provider.Conflict:    refuse(provider.Conflict),
			provider.Unsupported: refuse(provider.Unsupported),
		},
	}
}

// once lets the next call of the operation meet the fault.
func once(c *sim.Cloud, op sim.Operation, f sim.Fault) {
	used := false
	c.Script(func(call sim.Call) sim.Fault {
		if used || call.Op != op {
			return sim.Fault{}
		}
		used = true
		return f
	})
}
