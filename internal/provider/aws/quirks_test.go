package aws_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
)

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

func create(t *testing.T, d provider.Driver, server string) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), request(server))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func listed(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	out := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil {
			t.Fatal(err)
		}
		out[i.ID] = i
	}
	return out
}

// TestErrorClasses: each code of the service has the class of what it means.
func TestErrorClasses(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	d := opened(t, s)
	for code, want := range map[string]provider.Class{
		"InsufficientInstanceCapacity": provider.NoCapacity, "InsufficientFreeAddressesInSubnet": provider.NoCapacity, "Unsupported": provider.NoCapacity, "InsufficientHostCapacity": provider.NoCapacity, "SpotMaxPriceTooLow": provider.NoCapacity,
		"VcpuLimitExceeded": provider.Quota, "InstanceLimitExceeded": provider.Quota, "MaxSpotInstanceCountExceeded": provider.Quota, "VolumeLimitExceeded": provider.Quota, "NetworkInterfaceLimitExceeded": provider.Quota,
		"RequestLimitExceeded": provider.RateLimited, "Throttling": provider.RateLimited, "RequestThrottled": provider.RateLimited,
		"InvalidAMIID.NotFound": provider.Invalid, "InvalidAMIID.Malformed": provider.Invalid, "InvalidAMIID.Unavailable": provider.Invalid, "InvalidSubnetID.NotFound": provider.Invalid, "InvalidGroup.NotFound": provider.Invalid,
		"InvalidKeyPair.NotFound": provider.Invalid, "InvalidParameterValue": provider.Invalid, "InvalidParameterCombination": provider.Invalid, "MissingParameter": provider.Invalid, "UnknownParameter": provider.Invalid, "VPCIdNotSpecified": provider.Invalid, "InvalidSnapshot.NotFound": provider.Invalid,
		"UnauthorizedOperation": provider.Forbidden, "AccessDenied": provider.Forbidden, "OptInRequired": provider.Forbidden, "Blocked": provider.Forbidden, "PendingVerification": provider.Forbidden,
		"AuthFailure": provider.Unauthenticated, "InvalidClientTokenId": provider.Unauthenticated, "SignatureDoesNotMatch": provider.Unauthenticated, "ExpiredToken": provider.Unauthenticated, "RequestExpired": provider.Unauthenticated,
		"IncorrectInstanceState": provider.Conflict, "UnsupportedOperation": provider.Unsupported, "InternalError": provider.Unavailable, "Unavailable": provider.Unavailable, "ServiceUnavailable": provider.Unavailable,
		"SomethingNew": provider.Unavailable, // by the status
	} {
		a.Spoil(fakeaws.Fault{Name: "RunInstances", Status: http.StatusServiceUnavailable, Code: code, Message: "The service's own words."})
		_, err := d.Create(t.Context(), request(code))
		if provider.ClassOf(err) != want || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, expected %s", code, err, want)
		}
	}
	a.Spoil(fakeaws.Fault{Name: "RunInstances", Status: 401, Code: "AuthFailure", Message: "Not authorized for images: [ami-1]"})
	if _, err := d.Create(t.Context(), request("image")); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("an image that is not shared: %v", err)
	}
	// With on-demand machines to turn to, the quota of spot machines is no end.
	s.Spot, s.OnDemandFallback = true, true
	for _, code := range []string{"MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"} {
		a.Spoil(fakeaws.Fault{Name: "RunInstances", Status: 400, Code: code, Message: "Max spot instance count exceeded"})
		if _, err := opened(t, s).Create(t.Context(), request("x")); provider.ClassOf(err) != provider.NoCapacity {
			t.Errorf("%s of a spot machine: %v", code, err)
		}
	}
	if n := a.Instances(); n != 0 {
		t.Errorf("%d instances", n)
	}
}

// TestErrorTexts: what people read says what to do.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	a.Lack("ec2:CreateTags")
	_, err := opened(t, s).Create(t.Context(), request("a"))
	if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "lack ec2:CreateTags on arn:aws:ec2") || strings.Contains(err.Error(), "Xy9") {
		t.Errorf("without the right to tag: %v", err)
	}
	a.Lack()
	wrong := *s
	wrong.SecretAccessKey = "another"
	if _, err := opened(t, &wrong).Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "secret_access_key does not belong") {
		t.Errorf("a wrong secret: %v", err)
	}
	wrong.AccessKeyID = "AKIANOBODY"
	if _, err := opened(t, &wrong).Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Unauthenticated || strings.Contains(err.Error(), "AKIANOBODY") {
		t.Errorf("an unknown key: %v", err)
	}
	a.Spoil(fakeaws.Fault{Status: 400, Code: "RequestExpired", Message: "Request has expired."})
	if _, err := opened(t, s).Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "clock is wrong") || !strings.Contains(err.Error(), "AWS's clock says 20") {
		t.Errorf("a wrong clock: %v", err)
	}
	for status, want := range map[int]provider.Class{502: provider.Unavailable, 403: provider.Unavailable, 404: provider.Unavailable, 429: provider.RateLimited, 407: provider.Unavailable} {
		a.Spoil(fakeaws.Fault{Status: status, Text: "<html><body>proxy</body></html>"})
		if _, err := opened(t, s).Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != want || !strings.Contains(err.Error(), "none of AWS's") {
			t.Errorf("a proxy's answer with status %d: %v", status, err)
		}
	}
	for _, rubbish := range []string{"hello", "{}", "<", "", "<html><body>welcome</body></html>", "<DescribeInstancesResponse><reservationSet>", `<?xml version="1.0"?>`} {
		a.Spoil(fakeaws.Fault{Status: 200, Text: rubbish + " "})
		if _, err := opened(t, s).Get(t.Context(), "i-0123456789abcdef0"); err == nil || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("the answer %q: %v", rubbish, err)
		}
		a.Spoil(fakeaws.Fault{Name: "DescribeInstances", Status: 200, Text: rubbish + " "})
		for i, err := range opened(t, s).List(t.Context(), request("a").Tags.Owner()) {
			if err == nil {
				t.Errorf("the listing %q shows %+v", rubbish, i)
			}
		}
	}
}

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

// TestFallThrough: offers are in order of preference, spot before on demand, and
// each machine begins with another subnet.
func TestFallThrough(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.Spot, s.OnDemandFallback = true, true
	d, ok := opened(t, s).(provider.Offerer)
	if !ok {
		t.Fatal("has no offers")
	}
	got := d.Offers()
	const x, y = "subnet-0000000000000000a", "subnet-0000000000000000b"
	want := []string{
		"m6i.large@" + x + "/spot", "m6i.large@" + y + "/spot", "m5.large@" + x + "/spot", "m5.large@" + y + "/spot",
		"m6i.large@" + x, "m6i.large@" + y, "m5.large@" + x, "m5.large@" + y,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, o := range want[:5] {
		a.SellOut(o, "InsufficientInstanceCapacity")
	}
	var made provider.Instance
	for n, o := range want {
		req := request("a")
		req.Token, req.Offer = fmt.Sprintf("t-%d", n), o
		var err error
		if made, err = opened(t, s).Create(t.Context(), req); err == nil {
			break
		}
		if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), o) {
			t.Errorf("%s: %v", o, err)
		}
	}
	if made.Offer != want[5] || a.Asked(made.ID)["InstanceMarketOptions"] != nil {
		t.Errorf("the machine was made as %q", made.Offer)
	}
	// A type that the zone does not have is no fault of the settings.
	s.InstanceTypes = []string{"g4dn.xlarge"}
	req := request("b")
	req.Offer = "g4dn.xlarge@" + y
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.NoCapacity {
		t.Errorf("a type that the zone does not have: %v", err)
	}
	first := map[string]bool{}
	for n := range 8 {
		spread, err := aws.Kind().Open(t.Context(), s, provider.Host{Now: time.Now, Random: strings.NewReader(string(rune(n)))})
		if err != nil {
			t.Fatal(err)
		}
		offers, ok := spread.(provider.Offerer)
		if !ok {
			t.Fatal("has no offers")
		}
		got := offers.Offers()
		if len(got) != 4 {
			t.Fatal(got)
		}
		first[got[0]] = true
	}
	if len(first) != 2 {
		t.Errorf("machines are not spread over the subnets: they begin with %v", first)
	}
}

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

// TestDeviceTakenAway: an override can keep a volume of the image from being
// made, which the API writes as an empty text.
func TestDeviceTakenAway(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.AMIID = "ami-000000000000000d0"
	s.ConfigOverride = map[string]any{"BlockDeviceMappings": []any{map[string]any{"DeviceName": "/dev/sdf", "NoDevice": ""}}}
	devices, _ := a.Asked(create(t, opened(t, s), "a").ID)["BlockDeviceMappings"].([]any)
	if diff := cmp.Diff(map[string]any{"DeviceName": "/dev/sdf", "NoDevice": ""}, devices[1]); diff != "" {
		t.Error(diff)
	}
}

// TestRequest: what the settings come to.
func TestRequest(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	yes, no := true, false
	s.PublicIP, s.IMDSv2Required, s.KeyName, s.IAMInstanceProfile = &yes, &no, "desk", "desktops"
	s.Tags = map[string]string{"team": "desk"}
	d := opened(t, s)
	asked := a.Asked(create(t, d, "a").ID)
	nic, _ := asked["NetworkInterfaces"].([]any)
	for key, want := range map[string]any{
		"KeyName": "desk", "IamInstanceProfile": map[string]any{"Name": "desktops"}, "MetadataOptions": map[string]any{"HttpTokens": "optional", "HttpEndpoint": "enabled"},
		"MinCount": int64(1), "MaxCount": int64(1),
	} {
		if diff := cmp.Diff(want, asked[key]); diff != "" {
			t.Errorf("%s:\n%s", key, diff)
		}
	}
	if first, _ := nic[0].(map[string]any); first["AssociatePublicIpAddress"] != true {
		t.Errorf("the interface: %v", first)
	}
	eventually(t, func() string {
		for _, i := range listed(t, d) {
			if i.State == provider.StateRunning && len(i.Addresses) == 2 && i.Addresses[0] == "203.0.113.7" {
				return ""
			}
		}
		return "the public address is not shown first"
	})
	for name, l := range a.Tags() {
		if l["team"] != "desk" {
			t.Errorf("%s lacks the tag: %v", name, l)
		}
	}
	// Without subnets the default one is EC2's to choose.
	s.SubnetIDs, s.PublicIP = nil, nil
	d = opened(t, s)
	i := create(t, d, "b")
	asked = a.Asked(i.ID)
	if i.Offer != "m6i.large" || asked["NetworkInterfaces"] != nil || asked["SecurityGroupIds"] == nil || asked["SubnetId"] != nil {
		t.Errorf("without subnets: %q, %v", i.Offer, asked)
	}
	if got, err := d.Get(t.Context(), i.ID); err != nil || got.Offer != "m6i.large" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"a<b", strings.Repeat("x", 257)} {
		req := request("c")
		req.Tags.AutoscaleConfig = bad
		if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
			t.Errorf("the tag %q: %v", bad, err)
		}
	}
}

// TestConsole: the last bytes; of old instance types what there is.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, _ := account(t)
	s.InstanceTypes = []string{"m6i.large", "t2.small"}
	for _, o := range []string{firstOffer, "t2.small@subnet-0000000000000000a"} {
		d := opened(t, s)
		req := request(strings.Split(o, ".")[0])
		req.Offer = o
		i, err := d.Create(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		c, ok := d.(provider.ConsoleReader)
		if !ok {
			t.Fatal("has no console")
		}
		for limit, want := range map[int64]string{7: "login: ", 0: "", 1 << 20: "[    0.000000] Linux version 6.1.0\ncloud-init: words of the script\nlogin: "} {
			got, err := c.Console(t.Context(), i.ID, limit)
			if err != nil || string(got) != want {
				t.Errorf("%s, the last %d bytes: %q, %v", o, limit, got, err)
			}
		}
	}
}

// TestRoles: the role's credentials are fetched once for many calls, renewed when
// they have ended, and whose fault it is when not is told.
func TestRoles(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.AssumeRoleARN, s.ExternalID = "arn:aws:iam::123456789012:role/headroom", "desk-7"
	d := opened(t, s)
	if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "trust policy") {
		t.Errorf("a role that may not be assumed: %v", err)
	}
	a.Role(s.AssumeRoleARN, "another")
	if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "external_id") {
		t.Errorf("another external id: %v", err)
	}
	a.Role(s.AssumeRoleARN, s.ExternalID)
	for range 3 {
		if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.NotFound {
			t.Fatal(err)
		}
	}
	if n := a.Minted(); n != 1 {
		t.Errorf("the role was assumed %d times", n)
	}
	a.EndRoles()
	for n, want := range []provider.Class{provider.Unauthenticated, provider.NotFound} {
		if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != want {
			t.Errorf("call %d after the end of the role's credentials: %v, expected %s", n, err, want)
		}
	}
	r, err := d.Check(t.Context())
	if err != nil || !slices.ContainsFunc(r.Findings, func(f provider.Finding) bool { return strings.Contains(f.Message, "assumed-role/headroom") }) {
		t.Errorf("check: %+v, %v", r, err)
	}
	if i, err := d.Create(t.Context(), request("a")); err != nil || i.ID == "" {
		t.Errorf("create by the role: %v", err)
	}
}

// TestPasswords: a key of another pair does not decrypt, and says so.
func TestPasswords(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	key := testKey(t)
	s.AMIID, s.KeyName, s.PrivateKey, s.RetrieveWindowsPassword = "ami-000000000000000e0", "desk", pemOf(key), true
	d := opened(t, s)
	id := create(t, d, "a").ID
	if err := a.MakePassword(id, "secret-7", &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	p, ok := d.(provider.PasswordReader)
	if !ok {
		t.Fatal("reads no passwords")
	}
	if got, err := p.Password(t.Context(), id); err != nil || got.Password != "secret-7" {
		t.Errorf("%v", err)
	}
	foreign := otherKey(t)
	if err := a.MakePassword(id, "secret-7", &foreign.PublicKey); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Password(t.Context(), id); provider.ClassOf(err) != provider.Unsupported || !strings.Contains(err.Error(), "key pair desk") || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("with another key: %v", err)
	}
}
