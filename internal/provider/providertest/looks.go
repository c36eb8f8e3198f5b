package providertest

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Eventually repeats look until it says nothing, for as long as patience lasts.
func Eventually(t *testing.T, patience time.Duration, look func() (wrong string)) {
	t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer over.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("still after %v: %s", patience, wrong)
		}
	}
}

// Made is the machine of a create that must succeed.
func Made(t *testing.T, d provider.Driver, req provider.Request) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Listed is what a listing that must succeed shows, by id.
func Listed(t *testing.T, d provider.Driver, owner provider.Owner) map[string]provider.Instance {
	t.Helper()
	out := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), owner) {
		if err != nil {
			t.Fatal(err)
		}
		out[i.ID] = i
	}
	return out
}
