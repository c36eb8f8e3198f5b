package vsphere

import (
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// A clone takes minutes: until it has ended nothing shows it but its task and
// its events, which another driver must find as well.
func TestCloneUnderWay(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	s.HoldClones()
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	other, err := open(t.Context(), d.settings, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := other.Get(t.Context(), i.ID)
	if err != nil || got.State != provider.StatePending || got.Tags != wish(1).Tags || got.ID != i.ID {
		t.Errorf("while it is cloned the machine is %+v, %v", got, err)
	}
	if _, err := other.Get(t.Context(), markOf(wish(2)).id()); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a machine that nobody makes, while another is cloned: %v", err)
	}
	s.ReleaseClones(nil)
	if got := isRunning(t, other, i.ID); got.Tags != wish(1).Tags || len(got.Addresses) != 1 {
		t.Errorf("the machine is %+v", got)
	}
}

func TestDeleteOfACloneUnderWay(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	s.HoldClones()
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	s.ReleaseClones(nil)
	within(t, 10*time.Second, func() string {
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound || err == nil {
			return "delete of a cancelled clone answers something else than not_found"
		}
		return ""
	})
	if all := s.Machines(); len(all) != 0 {
		t.Errorf("the clone was not cancelled: %d machines", len(all))
	}
}

// What a task says at once is the answer to the create, with its class.
func TestCloneThatFailsAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault types.BaseMethodFault
		want  provider.Class
		says  string
	}{
		"datastore full":       {&types.NoDiskSpace{Datastore: "LocalDS_0"}, provider.NoCapacity, "datastore LocalDS_0 is full"},
		"no host":              {&types.NoCompatibleHost{}, provider.NoCapacity, "NoCompatibleHost"},
		"pool used up":         {&types.InsufficientCpuResourcesFault{}, provider.Quota, "InsufficientCpuResourcesFault"},
		"failover":             {&types.InsufficientFailoverResourcesFault{}, provider.NoCapacity, "InsufficientFailoverResourcesFault"},
		"host gone":            {&types.HostNotConnected{}, provider.Unavailable, "HostNotConnected"},
		"network not there":    {&types.CannotUseNetwork{}, provider.Invalid, "CannotUseNetwork"},
		"no right":             {&types.NoPermission{PrivilegeId: "Network.Assign"}, provider.Forbidden, "lacks the privilege Network.Assign"},
		"name taken":           {&types.DuplicateName{Name: "hr-1"}, provider.Conflict, "hr-1 is taken"},
		"something unheard of": {&types.VimFault{}, provider.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := newDriver(t, nil)
			s.FailClone(tt.fault)
			var err error
			within(t, 10*time.Second, func() string {
				// The look at the task may come before it has failed; then it is
				// told by Get, and the next create is made with another token.
				if _, err = d.Create(t.Context(), wish(1)); err == nil {
					s.FailClone(tt.fault)
					return "the task has not failed at once"
				}
				return ""
			})
			if provider.ClassOf(err) != tt.want || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("create answered %v, expected %s with %q", err, tt.want, tt.says)
			}
		})
	}
}

// A clone that fails later is told by Get, and by the next create.
func TestCloneThatFailsLater(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	s.HoldClones()
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	s.ReleaseClones(&types.NoDiskSpace{Datastore: "LocalDS_0"})
	got, err := d.Get(t.Context(), i.ID)
	if err != nil || got.State != provider.StateFailed || !strings.Contains(got.Fault, "datastore LocalDS_0 is full") || got.Tags != wish(1).Tags {
		t.Errorf("the machine is %+v, %v", got, err)
	}
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of what was never made: %v", err)
	}
	before := len(s.Clones())
	s.FailClone(&types.NoDiskSpace{Datastore: "LocalDS_0"}) // this time it leaves a task with the time of its end
	within(t, 10*time.Second, func() string {
		_, err := d.Create(t.Context(), wish(2))
		if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "failed a moment ago") {
			return "the next create does not know of it: " + errorText(err)
		}
		return ""
	})
	if now := len(s.Clones()); now > before+2 {
		t.Errorf("%d further clones were begun", now-before)
	}
	// Two minutes later it is tried again.
	later, err := open(t.Context(), d.settings, provider.Host{Now: func() time.Time { return time.Now().Add(2 * failuresFor) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Create(t.Context(), wish(3)); err != nil {
		t.Errorf("create after a while: %v", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// A power cut of the controller between two steps of a removal leaves a machine
// that is switched off; the next driver finishes it.
func TestRemovalInSteps(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	isRunning(t, d, i.ID)
	gone := func(d *driver) string {
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) == provider.NotFound {
			return ""
		}
		return "not gone yet"
	}
	off := func() string {
		all := s.Machines()
		if len(all) == 1 && all[0].Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
			return ""
		}
		if err := d.Delete(t.Context(), i.ID); err != nil {
			return err.Error()
		}
		return "the machine is not switched off"
	}
	within(t, 10*time.Second, off)
	other, err := open(t.Context(), d.settings, provider.Host{Now: func() time.Time { return time.Now().Add(2 * settleTime) }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Get(t.Context(), i.ID); err != nil || got.State != provider.StateStopped {
		t.Errorf("a machine that is off: %+v, %v", got, err)
	}
	within(t, 10*time.Second, func() string { return gone(other) })
	if len(s.Machines()) != 0 {
		t.Error("the machine is left")
	}
}

// A machine whose files cannot be reached is not forgotten: they would be left.
func TestMachineOutOfReach(t *testing.T) {
	t.Parallel()
	for state, want := range map[types.VirtualMachineConnectionState]provider.Class{
		types.VirtualMachineConnectionStateInaccessible: provider.Unavailable,
		types.VirtualMachineConnectionStateDisconnected: provider.Unavailable,
		types.VirtualMachineConnectionStateOrphaned:     "",
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			d, s := newDriver(t, nil)
			i, err := d.Create(t.Context(), wish(1))
			if err != nil {
				t.Fatal(err)
			}
			isRunning(t, d, i.ID)
			within(t, 10*time.Second, func() string { // switched off, so that it can be unregistered
				if all := s.Machines(); len(all) == 1 && all[0].Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
					return ""
				}
				if err := d.Delete(t.Context(), i.ID); err != nil {
					return err.Error()
				}
				return "still on"
			})
			s.SetConnection("hr-1", state)
			err = d.Delete(t.Context(), i.ID)
			if want == "" && err != nil && provider.ClassOf(err) != provider.NotFound || want != "" && provider.ClassOf(err) != want {
				t.Errorf("delete: %v, expected %q", err, want)
			}
			if left := len(s.Machines()); want == "" && left != 0 || want != "" && left != 1 {
				t.Errorf("%d machines are left", left)
			}
			s.SetConnection("hr-1", types.VirtualMachineConnectionStateConnected)
		})
	}
}
