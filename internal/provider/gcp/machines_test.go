package gcp_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

const firstOffer = "e2-standard-2@europe-west3-a"

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	providertest.Eventually(t, 20*time.Second, look)
}
