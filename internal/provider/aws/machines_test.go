package aws_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	providertest.Eventually(t, 20*time.Second, look)
}

func create(t *testing.T, d provider.Driver, server string) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), request(server))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func listed(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	out := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil {
			t.Fatal(err)
		}
		out[i.ID] = i
	}
	return out
}
