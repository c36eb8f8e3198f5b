package oci_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

var firstOffer = "VM.Standard.E5.Flex@" + fakeoci.Domain(1)

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	providertest.Eventually(t, 20*time.Second, look)
}

func created(t *testing.T, d provider.Driver, server string) provider.Instance {
	t.Helper()
	return providertest.Made(t, d, request(server))
}

func listed(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	return providertest.Listed(t, d, request("a").Tags.Owner())
}

func running(t *testing.T, d provider.Driver, id string) provider.Instance {
	t.Helper()
	var i provider.Instance
	eventually(t, func() string {
		if i = listed(t, d)[id]; i.State != provider.StateRunning {
			return "the machine is " + string(i.State)
		}
		return ""
	})
	return i
}
