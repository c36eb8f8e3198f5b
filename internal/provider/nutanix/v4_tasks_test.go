package nutanix

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
)

// Whatever request of a machine's life is the last whose answer arrives, the
// repeated calls make one machine, and nothing stays of it.
func TestV4LostAnswers(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{
		fake4.CreateCategory, fake4.CloneVM, fake4.UpdateCategory, fake4.Associate, fake4.PowerOn, fake4.DeleteVM, fake4.DeleteCategory,
	} {
		s := centralV4(t, fake4.Options{})
		d := driverV4(t, settingsV4(s))
		req := wish("lost")
		s.Lose(operation)
		if _, err := d.Create(t.Context(), req); err != nil && provider.ClassOf(err).MadeNothing() {
			t.Errorf("%s lost: %v says that nothing was made", operation, err)
		}
		again := driverV4(t, settingsV4(s)) // the controller was killed
		i := createV4(t, again, req)
		untilV4(t, again, i.ID, is(provider.StateRunning))
		if all := listedV4(t, again); len(all) != 1 || all[i.ID].Tags != req.Tags {
			t.Errorf("%s lost: the listing shows %v", operation, all)
		}
		if n := s.Machines(); n != 1 {
			t.Errorf("%s lost: %d machines", operation, n)
		}
		goneV4(t, s, again, i.ID)
	}
}

// A clone whose answer was lost and that nobody asks for again is found by its
// name, finished, and can be removed.
func TestV4CloneOfWhichNobodyKnows(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	req := wish("unknown")
	s.Lose(fake4.CloneVM)
	if _, err := d.Create(t.Context(), req); err == nil {
		t.Fatal("the answer was to be lost")
	}
	id := machineID(req)
	untilV4(t, d, id, is(provider.StateRunning))
	copied := s.AddVM(req.Name) // somebody names a machine as ours, which is an hour old
	if all := listedV4(t, d); len(all) != 1 {
		t.Errorf("the listing shows %v", all)
	}
	untilV4(t, d, id, func(provider.Instance, error) bool { return isNotFound(d.Delete(t.Context(), id)) })
	if _, ok := s.Find("", copied); !ok {
		t.Error("the machine of somebody is gone")
	}
	s.Remove(copied)
	goneV4(t, s, d, id)
}

// What Prism could not make or switch on says why, and whether others may have
// what is missing.
func TestV4TasksThatFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		operation, group, message string
		class                     provider.Class
	}{
		{fake4.CloneVM, "RESOURCE_SHORTAGE", "no room", provider.NoCapacity},
		{fake4.CloneVM, "VM_CLONE_ERROR", "the golden disk is broken", ""},
		{fake4.PowerOn, "VM_POWER_ON_ERROR", "No host has enough available memory for VM", provider.NoCapacity},
		{fake4.PowerOn, "INSUFFICIENT_RESOURCES_ERROR", "Failed to perform the operation", provider.NoCapacity},
		{fake4.PowerOn, "VM_ERROR", "Failed to perform the operation 'VmPowerOn' on the VM, as no host has enough resources.", provider.NoCapacity},
		{fake4.PowerOn, "INTERNAL", "Quota exceeded", provider.Quota},
	} {
		s := centralV4(t, fake4.Options{})
		d := driverV4(t, settingsV4(s))
		s.FailTask(tt.operation, tt.group, tt.message)
		id := createV4(t, d, wish("failed")).ID
		i := untilV4(t, d, id, is(provider.StateFailed))
		if !strings.Contains(i.Fault, tt.message) || i.FaultClass != tt.class {
			t.Errorf("%s: %q of class %q", tt.message, i.Fault, i.FaultClass)
		}
		if all := listedV4(t, d); len(all) != 1 || all[id].State != provider.StateFailed || all[id].FaultClass != tt.class {
			t.Errorf("%s: the listing shows %v", tt.message, all)
		}
		goneV4(t, s, d, id)
	}
}

// A machine that is off although it was switched on is not switched on again.
func TestV4Stopped(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	id := createV4(t, d, wish("stopped")).ID
	untilV4(t, d, id, is(provider.StateRunning))
	vm, _ := s.Find(markKey, id)
	for _, power := range []string{"OFF", "PAUSED"} {
		s.Change(vm.ID, "Ann's favourite", power) // and somebody has renamed it
		if i := untilV4(t, d, id, is(provider.StateStopped)); i.Fault != "its power is "+power {
			t.Errorf("the fault is %q", i.Fault)
		}
	}
	s.Change(vm.ID, "Ann's favourite", "OFF")
	s.Forget()
	untilV4(t, d, id, is(provider.StateStopped))
	s.Change(vm.ID, "Ann's favourite", "UNDETERMINED")
	untilV4(t, d, id, is(provider.StateRunning))
	if all := listedV4(t, laterV4(d, grace)); len(all) != 1 || all[id].State != provider.StateRunning {
		t.Errorf("after a machine was renamed, the listing shows %v", all)
	}
	if n := len(slices.DeleteFunc(s.Log(), func(o string) bool { return o != fake4.PowerOn })); n != 1 {
		t.Errorf("it was switched on %d times", n)
	}
	goneV4(t, s, d, id)
}

// A machine that is still being cloned is removed once it is there, and its mark
// is no remnant before.
func TestV4DeletedWhileCloned(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{CloneTime: 300 * time.Millisecond})
	d := driverV4(t, settingsV4(s))
	id := createV4(t, d, wish("early")).ID
	if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "still being cloned") {
		t.Errorf("delete: %v", err)
	}
	for r, err := range laterV4(d, time.Hour).ListRemnants(t.Context(), owner()) {
		t.Errorf("remnant %+v, %v", r, err)
	}
	goneV4(t, s, d, id)
}

// Prism forgets tasks after a while; what is there is found without them.
func TestV4ForgottenTask(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	req := wish("forgotten")
	s.Refuse(fake4.Associate, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "not allowed")
	id := createV4(t, d, req).ID
	i := untilV4(t, d, id, func(i provider.Instance, err error) bool { return err == nil && i.Fault != "" })
	if i.State != provider.StatePending || !strings.Contains(i.Fault, "not allowed") {
		t.Errorf("a machine that cannot be put into its categories is %+v", i)
	}
	s.Forget()
	untilV4(t, d, id, is(provider.StateRunning))
	goneV4(t, s, d, id)
}
