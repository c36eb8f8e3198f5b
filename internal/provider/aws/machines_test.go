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
	return providertest.Made(t, d, request(server))
}

func listed(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	return providertest.Listed(t, d, request("a").Tags.Owner())
}
