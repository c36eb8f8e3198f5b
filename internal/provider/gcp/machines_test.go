package gcp_test

import (
	"testing"
	"time"
)

const firstOffer = "e2-standard-2@europe-west3-a"

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.NewTimer(20*time.Second)
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
			t.Fatal(wrong)
		}
	}
}
