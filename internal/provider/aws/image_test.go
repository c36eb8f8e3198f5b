package aws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
)

// TestImages: an id, the newest of a name that its owner made, an SSM parameter.
func TestImages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, owner, root string
		image, device   string
		class           provider.Class
		calls           int64
	}{
		{id: "ami-000000000000000a0", image: "ami-000000000000000a0", device: "/dev/xvda", calls: 2},
		{id: "ubuntu/images/*noble-24.04-amd64-server-*", owner: "099720109477", image: "ami-000000000000000b2", device: "/dev/sda1", calls: 2},
		{id: "golden-7", owner: "self", image: "ami-000000000000000d0", device: "/dev/sda1", calls: 2},
		{id: "resolve:ssm:/aws/service/debian/release/12/latest/amd64", root: "/dev/xvda", image: "ami-000000000000000a0", device: "/dev/xvda", calls: 1},
		{id: "ubuntu/images/*warty*", owner: "099720109477", class: provider.Invalid},
		{id: "ami-00000000000000bad", class: provider.Invalid},
		{id: "resolve:ssm:/no/such", root: "/dev/xvda", class: provider.Invalid},
		{id: "ami-000000000000000c0", class: provider.Invalid}, // of another architecture
	} {
		s, a := account(t)
		s.AMIID, s.AMIOwner, s.RootDeviceName, s.RootVolumeSize = c.id, c.owner, c.root, 64
		from := a.Calls()
		i, err := opened(t, s).Create(t.Context(), request("a"))
		if c.class != "" {
			if provider.ClassOf(err) != c.class || a.Instances() != 0 {
				t.Errorf("%s: %v", c.id, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.id, err)
			continue
		}
		if n := a.Calls() - from; n != c.calls {
			t.Errorf("%s: %d calls, expected %d", c.id, n, c.calls)
		}
		asked := a.Asked(i.ID)
		devices, _ := asked["BlockDeviceMappings"].([]any)
		root, _ := devices[0].(map[string]any)
		want := map[string]any{"DeviceName": c.device, "Ebs": map[string]any{"VolumeSize": int64(64), "VolumeType": "gp3", "DeleteOnTermination": true}}
		if diff := cmp.Diff(want, root); diff != "" {
			t.Errorf("%s: the root volume:\n%s", c.id, diff)
		}
		if !strings.HasPrefix(c.id, "resolve") && asked["ImageId"] != c.image {
			t.Errorf("%s: image %v", c.id, asked["ImageId"])
		}
	}
}

// TestNewerImage: the answer of a create is lost, a newer image appears, and the
// repeated create finds the machine of the first.
func TestNewerImage(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.AMIID, s.AMIOwner = "ubuntu/images/*noble-24.04-amd64-server-*", "099720109477"
	d := opened(t, s)
	a.Spoil(fakeaws.Fault{Name: "RunInstances", Lose: true})
	if _, err := d.Create(t.Context(), request("a")); err == nil || provider.ClassOf(err).MadeNothing() {
		t.Fatalf("a lost answer: %v", err)
	}
	a.Publish("ami-00000000000000ccc", "ubuntu/images/hvm-ssd/ubuntu-noble-24.04-amd64-server-20261124")
	i := create(t, d, "a")
	if a.Instances() != 1 || i.Tags != request("a").Tags || a.Asked(i.ID)["ImageId"] != "ami-000000000000000b2" {
		t.Errorf("adopted: %+v; %d instances", i, a.Instances())
	}
	if next := create(t, d, "b"); a.Asked(next.ID)["ImageId"] != "ami-00000000000000ccc" {
		t.Errorf("the next machine has image %v", a.Asked(next.ID)["ImageId"])
	}
	// The machine of the token has ended: the answer is a machine that failed.
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			return fmt.Sprintf("get: %v", err)
		}
		return ""
	})
	if again := create(t, d, "a"); again.ID != i.ID || again.State != provider.StateFailed || !strings.Contains(again.Fault, "terminated") {
		t.Errorf("the machine of a token that has ended: %+v", again)
	}
	// The same without a changed parameter, and when the service has forgotten the machine.
	s.AMIID, s.AMIOwner = "ami-000000000000000a0", ""
	d = opened(t, s)
	i = create(t, d, "c")
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if again, err := d.Create(t.Context(), request("c")); err != nil || again.ID != i.ID || again.State != provider.StateFailed && again.State != provider.StateDeleting {
			t.Fatalf("the machine of a token that has ended: %+v, %v", again, err)
		}
		if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			return fmt.Sprintf("get: %v", err)
		}
		return ""
	})
	a.ForgetTerminated()
	if _, err := d.Create(t.Context(), request("c")); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("a token whose machine is forgotten: %v", err)
	}
	if a.Instances() != 1 { // that of b
		t.Errorf("%d instances", a.Instances())
	}
}
