package azure_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestLateShortage: a machine that was accepted and then had no room is shown as
// failed, with the class that lets the next offer have its turn, and goes away.
func TestLateShortage(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]provider.Class{
		"AllocationFailed": provider.NoCapacity, "ZonalAllocationFailed": provider.NoCapacity, "OverconstrainedAllocationRequest": provider.NoCapacity,
		"SkuNotAvailable": provider.NoCapacity, "QuotaExceeded": provider.Quota, "OperationNotAllowed": provider.Quota, "InternalExecutionError": "",
	} {
		s, p := subscription(t)
		p.SellOut("Standard_D2s_v5@1", code, true)
		d := opened(t, s)
		i, err := d.Create(t.Context(), request("a"))
		if err != nil || i.State != provider.StatePending {
			t.Fatalf("%s: %+v, %v", code, i, err)
		}
		shown, listed := reaches(t, d, i.ID, provider.StateFailed)
		for _, got := range []provider.Instance{shown, listed} {
			if got.FaultClass != want || !strings.Contains(got.Fault, code) || got.Tags != request("a").Tags || got.Offer != "Standard_D2s_v5@1" {
				t.Errorf("%s: %+v, expected %q", code, got, want)
			}
		}
		again, err := d.Create(t.Context(), request("a")) // the same wish finds the failed machine
		if err != nil || again.State != provider.StateFailed || again.FaultClass != want {
			t.Errorf("%s: created again: %+v, %v", code, again, err)
		}
		if err := d.Delete(t.Context(), i.ID); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		eventually(t, func() string { return strings.Join(p.Objects(), ", ") })
	}
}

// TestStates: whether a machine runs is told by its power; a failed operation on a
// machine that runs, and a listing without statuses, end nothing.
func TestStates(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	s.Spot, s.EvictionPolicy, s.MaxPrice = true, "Deallocate", 0.5
	d := opened(t, s)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, d, i.ID, provider.StateRunning)
	for _, c := range []struct {
		power, state, code string
		want               provider.State
		says               string
	}{
		{"running", "Failed", "VMExtensionProvisioningError", provider.StateRunning, ""},
		{"running", "Updating", "", provider.StateRunning, ""},
		{"running", "Creating", "", provider.StatePending, ""},
		{"starting", "Succeeded", "", provider.StatePending, ""},
		{"starting", "Failed", "OSProvisioningTimedOut", provider.StatePending, ""},
		{"unknown", "Succeeded", "", provider.StatePending, ""},
		{"stopped", "Succeeded", "", provider.StateStopped, "the machine is stopped"},
		{"deallocating", "Succeeded", "", provider.StateStopped, "evicted"},
		{"deallocated", "Succeeded", "", provider.StateStopped, "evicted"},
		{"deallocated", "Failed", "AllocationFailed", provider.StateFailed, "AllocationFailed"},
		{"deallocated", "Failed", "InternalExecutionError", provider.StateStopped, "evicted"},
		{"running", "Deleting", "", provider.StateDeleting, ""},
	} {
		p.Slow(time.Hour)
		p.Hold(i.ID)
		p.Power(i.ID, c.power)
		p.Provisioning(i.ID, c.state, c.code)
		shown, listed := reaches(t, d, i.ID, c.want)
		if !strings.Contains(shown.Fault, c.says) || listed.Fault != shown.Fault || listed.FaultClass != shown.FaultClass || (c.says == "") != (shown.Fault == "") {
			t.Errorf("%+v: %q, listed %q", c, shown.Fault, listed.Fault)
		}
	}
	p.Provisioning(i.ID, "Failed", "VMExtensionProvisioningError")
	p.Power(i.ID, "running")
	p.Blind(true) // statuses are not told: nobody's session is ended for that
	for got, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil || got.State != provider.StatePending || got.Fault != "" {
			t.Errorf("without statuses: %+v, %v", got, err)
		}
	}
	p.Provisioning(i.ID, "Succeeded", "")
	for got, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil || got.State != provider.StatePending || !strings.Contains(got.Fault, "on the subscription") {
			t.Errorf("without statuses: %+v, %v", got, err)
		}
	}
}
