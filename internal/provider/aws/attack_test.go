package aws_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestStorm(t *testing.T) {
	t.Parallel()
	providertest.Storm(t, func(t *testing.T) providertest.Weather {
		s, a := account(t)
		return providertest.Weather{
			Open: func() provider.Driver { return opened(t, s) }, Request: request("a"), Machines: a.Instances, Objects: a.Objects,
			Stir: func(random *rand.Rand) {
				f := fakeaws.Fault{After: random.IntN(2), Status: 503, Message: "not now"}
				switch random.IntN(7) {
				case 0:
					f.Code = "RequestLimitExceeded"
				case 1:
					f.Code = "InternalError"
				case 2:
					f.Status, f.Text = 502, "<html>bad gateway</html>"
				case 3:
					f.Status, f.Text = 200, "<html>please log in</html>"
				case 4:
					f = fakeaws.Fault{Lose: true, After: f.After}
				default:
					return
				}
				a.Spoil(f)
			},
		}
	})
}

// TestRubbishOverride: whatever is written there is refused when it is saved, or
// makes a request that still bears our marks and that the API can read.
func TestRubbishOverride(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"BlockDeviceMappings":null}`, `{"BlockDeviceMappings":[null]}`, `{"BlockDeviceMappings":[]}`, `{"BlockDeviceMappings":[{}]}`, `{"BlockDeviceMappings":[{"DeviceName":"/dev/xvda","NoDevice":""}]}`, `{"BlockDeviceMappings":[{"Ebs":null,"DeviceName":"/dev/sdb"}]}`,
		`{"NetworkInterfaces":null}`, `{"NetworkInterfaces":[{}]}`, `{"NetworkInterfaces":[[]]}`, `{"NetworkInterfaces":[{"Groups":[]}]}`, `{"NetworkInterfaces":[{"SubnetId":"subnet-0000000000000000f"}]}`,
		`{"MetadataOptions":null}`, `{"MetadataOptions":{}}`, `{"MetadataOptions":{"HttpTokens":null}}`, `{"MetadataOptions":{"HttpTokens":7}}`, `{"instance_config":null}`, `{"instance_config":{}}`, `{"instance_config":[]}`, `{"instance_config":{"instance_config":{}}}`,
		`{"InstanceMarketOptions":null}`, `{"InstanceMarketOptions":{"SpotOptions":{"SpotInstanceType":"persistent","InstanceInterruptionBehavior":"stop"}}}`, `{"InstanceMarketOptions":{"MarketType":"capacity-block"}}`,
		`{"":{}}`, `{"a.b":1}`, `{"EbsOptimized":1}`, `{"KeyName":""}`, `{"KeyName":[]}`, `{"CpuOptions":{"CoreCount":1e3}}`, `{"CpuOptions":{"CoreCount":-1}}`, `{"SecondaryInterfaces":[{"DeleteOnTermination":false}]}`, `{"ResultMetadata":{}}`,
		`{"LaunchTemplate":{"LaunchTemplateName":"x","Version":"3"}}`, `{"Placement":{"GroupName":"` + strings.Repeat("ü", 5000) + `"}}`, `{"PrivateDnsNameOptions":{"HostnameType":"ip-name"}}`, `{"LicenseSpecifications":[{"LicenseConfigurationArn":"arn"}]}`,
	} {
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		found := settings.DecodeJSON(with(t, map[string]any{"config_override": doc, "spot": true}), &aws.Settings{}, settings.Options{})
		s, _ := account(t)
		s.Spot, s.ConfigOverride = true, doc
		d, ok := opened(t, s).(provider.Renderer)
		if !ok {
			t.Fatal("shows no requests")
		}
		calls, err := d.Render(t.Context(), request("a"))
		if err != nil && len(found) == 0 {
			t.Errorf("%.80s passes when it is saved, and then: %v", text, err)
		}
		for _, f := range found {
			if !strings.HasPrefix(f.Path, "config_override") || f.Message == "" || strings.HasPrefix(f.Message, "invalid") {
				t.Errorf("%.80s: %+v", text, f)
			}
		}
		if err != nil || len(found) > 0 {
			continue
		}
		body, err := json.Marshal(calls[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		var shown struct {
			ClientToken           string
			MinCount, MaxCount    int
			TagSpecifications     []struct{ ResourceType string }
			NetworkInterfaces     []struct{ DeleteOnTermination bool }
			SecondaryInterfaces   []struct{ DeleteOnTermination bool }
			InstanceMarketOptions struct {
				MarketType  string
				SpotOptions struct{ SpotInstanceType, InstanceInterruptionBehavior string }
			}
			BlockDeviceMappings []struct {
				DeviceName string
				Ebs        *struct{ DeleteOnTermination bool }
			}
		}
		if err := json.Unmarshal(body, &shown); err != nil {
			t.Fatal(err)
		}
		m := shown.InstanceMarketOptions
		if shown.MinCount != 1 || shown.MaxCount != 1 || len(shown.ClientToken) != 64 || len(shown.TagSpecifications) != 4 || m.MarketType != "spot" || m.SpotOptions.SpotInstanceType != "one-time" || m.SpotOptions.InstanceInterruptionBehavior != "terminate" || len(shown.NetworkInterfaces) == 0 {
			t.Errorf("%.80s: %s", text, body)
		}
		for _, n := range append(shown.NetworkInterfaces, shown.SecondaryInterfaces...) {
			if !n.DeleteOnTermination {
				t.Errorf("%.80s: an interface stays: %s", text, body)
			}
		}
		for _, b := range shown.BlockDeviceMappings {
			if b.Ebs != nil && !b.Ebs.DeleteOnTermination {
				t.Errorf("%.80s: a volume stays: %s", text, body)
			}
		}
	}
}

// TestLimits: names as long as they can be, and ids that are none.
func TestLimits(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	d := opened(t, s)
	long := strings.Repeat("a", 62) + "9"
	req := request("a")
	req.Name, req.Token = long, strings.Repeat("tökén ", 100)
	req.Tags = provider.Tags{Installation: long, Provider: "p*?\\", AutoscaleConfig: long, Server: long}
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a tag with wildcards: %v", err)
	}
	req.Tags.Provider = long
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for got, err := range d.List(t.Context(), req.Tags.Owner()) {
		if err != nil || got.ID != i.ID || got.Tags != req.Tags {
			t.Errorf("%+v, %v", got, err)
		}
	}
	// Values of filters may hold wildcards; ours are plain.
	for got, err := range d.List(t.Context(), provider.Owner{Installation: "a*", Provider: "*"}) {
		t.Errorf("a wildcard selects: %+v, %v", got, err)
	}
	for _, id := range []string{"", "i-1", "i-0123456789ABCDEF0", "i-0123456789abcdef0,i-0123456789abcdef1", "vol-0123456789abcdef0", "*"} {
		if _, err := d.Get(t.Context(), id); provider.ClassOf(err) != provider.Invalid {
			t.Errorf("the id %q: %v", id, err)
		}
	}
	r, ok := d.(provider.Remnants)
	if !ok {
		t.Fatal("has no remnants")
	}
	for _, rem := range []provider.Remnant{{Kind: "disk", ID: i.ID}, {Kind: "machine", ID: i.ID}, {Kind: "network interface", ID: "vol-0123456789abcdef0"}} {
		if err := r.DeleteRemnant(t.Context(), rem); provider.ClassOf(err) != provider.Invalid {
			t.Errorf("%+v: %v", rem, err)
		}
	}
	if err := r.DeleteRemnant(t.Context(), provider.Remnant{Kind: "disk", ID: "vol-0123456789abcdef0"}); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a volume that is gone: %v", err)
	}
	for name := range a.Tags() { // a volume in use is no remnant
		if strings.HasPrefix(name, "vol-") {
			if err := r.DeleteRemnant(t.Context(), provider.Remnant{Kind: "disk", ID: name}); provider.ClassOf(err) != provider.Conflict {
				t.Errorf("a volume in use: %v", err)
			}
		}
	}
	if n := a.Instances(); n != 1 {
		t.Errorf("%d instances", n)
	}
}
