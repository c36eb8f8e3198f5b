package aws_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
)

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
