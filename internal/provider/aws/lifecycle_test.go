package aws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestEnds: what ended, and why.
func TestEnds(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.Spot = true
	d := opened(t, s)
	a.Vanish(time.Hour)
	spot := create(t, d, "spot")
	stopped := create(t, d, "stopped")
	unborn := create(t, d, "unborn")
	retired := create(t, d, "retired")
	moved := create(t, d, "moved")
	eventually(t, func() string {
		for id, i := range listed(t, d) {
			if i.State != provider.StateRunning {
				return id + " does not run"
			}
		}
		return ""
	})
	a.TakeBack(spot.ID)
	a.Stop(stopped.ID)
	a.Schedule(retired.ID, "instance-retirement", "The instance is running on degraded hardware", time.Date(2026, 12, 6, 7, 0, 0, 0, time.UTC))
	a.Schedule(moved.ID, "instance-stop", "[Completed] The instance is running on degraded hardware", time.Date(2026, 12, 6, 7, 0, 0, 0, time.UTC))
	all := listed(t, d)
	if i := all[spot.ID]; i.State != provider.StateFailed || i.FaultClass != provider.NoCapacity || !strings.Contains(i.Fault, "SpotInstanceTermination") {
		t.Errorf("a spot machine that was taken back: %+v", i)
	}
	if i := all[stopped.ID]; i.State != provider.StateStopped || !strings.Contains(i.Fault, "Instance initiated shutdown") {
		t.Errorf("a machine that shut itself down: %+v", i)
	}
	if i := all[retired.ID]; i.State != provider.StateRunning || i.Interruption != "AWS has scheduled instance-retirement not before 2026-12-06T07:00:00Z: The instance is running on degraded hardware" {
		t.Errorf("a machine that will be retired: %+v", i)
	}
	if i := all[moved.ID]; i.Interruption != "" {
		t.Errorf("a machine whose event is over: %+v", i)
	}
	// An instance that ends at once is gone, and why is told.
	a.Fail(unborn.ID, "Client.InternalError", "Client.InternalError: Client error on launch")
	if i := listed(t, d)[unborn.ID]; i.State != provider.StateFailed || !strings.Contains(i.Fault, "Client error on launch") || i.FaultClass != "" {
		t.Errorf("a machine that ends at its launch: %+v", i)
	}
	a.Vanish(0)
	a.Fail(unborn.ID, "Client.InternalError", "Client.InternalError: Client error on launch")
	eventually(t, func() string {
		if _, err := d.Get(t.Context(), unborn.ID); provider.ClassOf(err) != provider.NotFound || !strings.Contains(err.Error(), "Client error on launch") {
			return fmt.Sprintf("get of it: %v", err)
		}
		return ""
	})
	if err := d.Delete(t.Context(), unborn.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of it: %v", err)
	}
	if i, there := listed(t, d)[unborn.ID]; there {
		t.Errorf("it is listed: %+v", i)
	}
}

// TestLag: the service does not show a new machine at once.
func TestLag(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	a.Lag(time.Hour)
	d := opened(t, s)
	i := create(t, d, "a")
	// Not shown yet is not gone: the error says for how long it proves nothing.
	for what, err := range map[string]error{"get": func() error { _, err := d.Get(t.Context(), i.ID); return err }(), "delete": d.Delete(t.Context(), i.ID)} {
		if provider.ClassOf(err) != provider.NotFound || provider.RetryAfter(err) != 2*time.Minute {
			t.Errorf("%s of a machine that is not shown yet: %v, after %v", what, err, provider.RetryAfter(err))
		}
	}
	if n := len(listed(t, d)); n != 0 {
		t.Errorf("the listing shows %d machines", n)
	}
	a.Show(i.ID)
	if again := create(t, d, "a"); again.ID != i.ID {
		t.Errorf("a second machine: %s, %s", i.ID, again.ID)
	}
	eventually(t, func() string {
		if got, err := d.Get(t.Context(), i.ID); err != nil || got.State != provider.StateRunning {
			return fmt.Sprintf("%+v, %v", got, err)
		}
		return ""
	})
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound || provider.RetryAfter(err) != 0 {
			return fmt.Sprintf("a machine that is shown as terminated is gone for certain: %v, after %v", err, provider.RetryAfter(err))
		}
		return ""
	})
}

// TestNothingStays: volumes and interfaces end with the machine, those of the
// image and those of an override.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.AMIID, s.RootVolumeSize = "ami-000000000000000d0", 30 // it brings a volume that was registered so that it stays
	s.ConfigOverride = map[string]any{
		"BlockDeviceMappings": []any{
			map[string]any{"DeviceName": "/dev/sdg", "Ebs": map[string]any{"VolumeSize": 100, "VolumeType": "gp3", "DeleteOnTermination": false}},
			map[string]any{"DeviceName": "/dev/sda1", "Ebs": map[string]any{"Iops": 6000}},
			map[string]any{"DeviceName": "/dev/sdh", "VirtualName": "ephemeral0"},
		},
		"NetworkInterfaces": []any{
			map[string]any{"DeviceIndex": 0, "DeleteOnTermination": false, "Ipv6AddressCount": 1},
			map[string]any{"DeviceIndex": 1, "Groups": []any{"sg-0000000000000000b"}},
		},
	}
	d := opened(t, s)
	i := create(t, d, "a")
	objects := a.Tags()
	if len(objects) != 6 { // the instance, three volumes, two interfaces
		t.Errorf("objects: %v", objects)
	}
	for name, got := range objects {
		want := tags(request("a").Tags)
		want["Name"] = "hr-a"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("tags of %s:\n%s", name, diff)
		}
	}
	asked := a.Asked(i.ID)
	want := map[string]any{
		"BlockDeviceMappings": []any{
			map[string]any{"DeviceName": "/dev/sdg", "Ebs": map[string]any{"VolumeSize": int64(100), "VolumeType": "gp3", "DeleteOnTermination": true}},
			map[string]any{"DeviceName": "/dev/sda1", "Ebs": map[string]any{"Iops": int64(6000), "VolumeSize": int64(30), "VolumeType": "gp3", "DeleteOnTermination": true}},
			map[string]any{"DeviceName": "/dev/sdh", "VirtualName": "ephemeral0"},
			map[string]any{"DeviceName": "/dev/sdf", "Ebs": map[string]any{"DeleteOnTermination": true}},
		},
		"NetworkInterfaces": []any{
			map[string]any{"DeviceIndex": int64(0), "DeleteOnTermination": true, "Ipv6AddressCount": int64(1), "SubnetId": "subnet-0000000000000000a", "Groups": []any{"sg-0000000000000000a"}},
			map[string]any{"DeviceIndex": int64(1), "DeleteOnTermination": true, "SubnetId": "subnet-0000000000000000a", "Groups": []any{"sg-0000000000000000b"}},
		},
	}
	for key, value := range want {
		if diff := cmp.Diff(value, asked[key]); diff != "" {
			t.Errorf("%s:\n%s", key, diff)
		}
	}
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return strings.Join(a.Objects(), ", ") })
}
