package sim_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the garbage of histories pile up: a world is a few megabytes,
// and a quarter of its time went into collecting them.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
