package oci_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestStates: what the lifecycle states mean here.
func TestStates(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.Preemptible = true
	spot := opened(t, s)
	plain := *s
	plain.Preemptible = false
	d := opened(t, &plain)
	id, preemptible := created(t, d, "a").ID, created(t, spot, "b").ID
	running(t, d, id)
	running(t, spot, preemptible)
	for _, one := range []string{id, preemptible} {
		of.Age(one, time.Hour)
	}
	for state, want := range map[string]provider.State{
		"PROVISIONING": provider.StatePending, "STARTING": provider.StatePending, "RUNNING": provider.StateRunning, "MOVING": provider.StateRunning,
		"STOPPING": provider.StateStopped, "STOPPED": provider.StateStopped, "CREATING_IMAGE": provider.StateStopped, "SOMETHING_NEW": provider.StatePending,
	} {
		of.Slow(time.Hour)
		of.State(id, state)
		got, err := d.Get(t.Context(), id)
		if err != nil || got.State != want || want == provider.StateStopped && !strings.Contains(got.Fault, state) {
			t.Errorf("%s is %+v, %v; expected %s", state, got, err, want)
		}
	}
	of.State(id, "TERMINATING")
	if got, err := d.Get(t.Context(), id); err != nil || got.State != provider.StateDeleting {
		t.Errorf("TERMINATING is %+v, %v", got, err)
	}
	of.State(preemptible, "TERMINATING")
	if got := listed(t, spot)[preemptible]; got.State != provider.StateStopped || !strings.Contains(got.Fault, "capacity back") {
		t.Errorf("a preemptible instance that is taken back is %+v", got)
	}
	of.State(preemptible, "TERMINATED")
	if _, err := spot.Get(t.Context(), preemptible); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a preemptible instance that was taken back: %v", err)
	}
}

// TestMaintenance is told before, and no longer once the machine has stopped.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	id := created(t, d, "a").ID
	running(t, d, id)
	of.Maintain(id, time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC))
	if got := listed(t, d)[id]; !strings.Contains(got.Interruption, "2026-12-24T18:00:00Z") {
		t.Errorf("%+v", got)
	}
	of.State(id, "STOPPED")
	if got := listed(t, d)[id]; got.Interruption != "" {
		t.Errorf("%+v", got)
	}
}
