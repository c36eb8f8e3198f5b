package aws_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

func sortedTexts(list []string) []string { return slices.Sorted(slices.Values(list)) }

func TestDefinition(t *testing.T) {
	t.Parallel()
	for _, p := range settings.CheckDefinition(&aws.Settings{}) {
		t.Error(p)
	}
}

// with are settings that work, and what is changed in them; nil removes.
func with(t *testing.T, changes map[string]any) []byte {
	t.Helper()
	doc := map[string]any{
		"access_key_id": "AKIAFAKE", "secret_access_key": "secret", "region": "eu-central-1", "ami_id": "ami-000000000000000a0", "instance_types": []string{"m6i.large"},
		"subnet_ids": []string{"subnet-0000000000000000a"},
	}
	maps.Copy(doc, changes)
	maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFaults(t *testing.T) {
	t.Parallel()
	override := func(doc map[string]any) map[string]any { return map[string]any{"config_override": doc} }
	spot := func(doc map[string]any) map[string]any {
		return map[string]any{"config_override": doc, "spot": true}
	}
	key := pemOf(testKey(t))
	for _, c := range []struct {
		changes    map[string]any
		path, says string // empty: nothing is wrong
	}{
		{nil, "", ""},
		{map[string]any{"access_key_id": nil, "secret_access_key": nil}, "", ""},
		{map[string]any{"access_key_id": nil}, "access_key_id", "is missing"},
		{map[string]any{"secret_access_key": nil}, "secret_access_key", "is missing"},
		{map[string]any{"access_key_id": "ASIAFAKE"}, "session_token", "is missing"},
		{map[string]any{"access_key_id": "ASIAFAKE", "session_token": "x"}, "", ""},
		{map[string]any{"session_token": "x"}, "session_token", "does not belong"},
		{map[string]any{"secret_access_key": "se cret"}, "secret_access_key", "copy it anew"},
		{map[string]any{"assume_role_arn": "headroom"}, "assume_role_arn", "the ARN of a role"},
		{map[string]any{"assume_role_arn": "arn:aws-us-gov:iam::123456789012:role/ops/headroom"}, "", ""},
		{map[string]any{"external_id": "x1"}, "external_id", "assume_role_arn"},
		{map[string]any{"endpoint": "ec2.amazonaws.com"}, "endpoint", "base URL"},
		{map[string]any{"sts_endpoint": "ftp://x"}, "sts_endpoint", "base URL"},
		{map[string]any{"region": "Frankfurt"}, "region", "the name of a region"},
		{map[string]any{"region": "us-gov-west-1"}, "", ""},
		{map[string]any{"ami_id": nil}, "ami_id", "required"},
		{map[string]any{"ami_id": "ami-xyz"}, "ami_id", "is no id of an image"},
		{map[string]any{"ami_id": "debian-12-*"}, "ami_owner", "anybody may publish"},
		{map[string]any{"ami_id": "debian-12-*", "ami_owner": "debian"}, "ami_owner", "12 digits"},
		{map[string]any{"ami_id": "debian-12-*", "ami_owner": "136693071363"}, "", ""},
		{map[string]any{"ami_owner": "self"}, "ami_owner", "leave it out"},
		{map[string]any{"ami_id": "resolve:ssm:/aws/service/x"}, "root_device_name", "/dev/xvda"},
		{map[string]any{"ami_id": "resolve:ssm:/aws/service/x y", "root_device_name": "/dev/xvda"}, "ami_id", "is no SSM parameter"},
		{map[string]any{"ami_id": "resolve:ssm:/aws/service/x:3", "root_device_name": "/dev/xvda"}, "", ""},
		{map[string]any{"instance_types": []string{"large"}}, "instance_types[0]", "is no instance type"},
		{map[string]any{"instance_types": []string{}}, "instance_types", ""},
		{map[string]any{"subnet_ids": []string{"10.0.0.0/8"}}, "subnet_ids[0]", "is no id of a subnet"},
		{map[string]any{"security_group_ids": []string{"default"}}, "security_group_ids[0]", "not its name"},
		{map[string]any{"public_ip": true, "subnet_ids": nil}, "subnet_ids", "public_ip"},
		{map[string]any{"public_ip": false}, "", ""},
		{map[string]any{"root_volume_type": "ssd"}, "root_volume_type", ""},
		{map[string]any{"iam_instance_profile": "a b"}, "iam_instance_profile", "instance profile"},
		{map[string]any{"tags": map[string]string{"aws:x": "y"}}, "tags.aws:x", "keeps for itself"},
		{map[string]any{"tags": map[string]string{"headroom-server": "y"}}, "tags.headroom-server", "own"},
		{map[string]any{"tags": map[string]string{"Name": "y"}}, "tags.Name", "host name"},
		{map[string]any{"tags": map[string]string{"a": "<b>"}}, "tags.a", "is no value"},
		{map[string]any{"tags": map[string]string{"cost centre": "Zürich 7"}}, "", ""},
		{map[string]any{"on_demand_fallback": true}, "on_demand_fallback", "spot"},
		{map[string]any{"spot": true, "on_demand_fallback": true}, "", ""},
		{map[string]any{"retrieve_windows_password": true, "key_name": "desk", "private_key": key}, "", ""},
		{map[string]any{"retrieve_windows_password": true, "private_key": key}, "key_name", "is missing"},
		{map[string]any{"retrieve_windows_password": true, "key_name": "desk"}, "private_key", "is missing"},
		{map[string]any{"retrieve_windows_password": true, "key_name": "desk", "private_key": key, "os_type": "linux"}, "retrieve_windows_password", "os_type is linux"},
		{map[string]any{"private_key": "ssh-rsa AAAA"}, "private_key", "PEM"},
		{map[string]any{"private_key": edKey}, "private_key", "no RSA key"},
		{override(map[string]any{"MetadataOptions": map[string]any{"HttpToken": "required"}}), "config_override.MetadataOptions.HttpToken", "HttpTokens"},
		{override(map[string]any{"instance_config": map[string]any{"Placment": map[string]any{}}}), "config_override.instance_config.Placment", "Placement"},
		{override(map[string]any{"instance_config": map[string]any{}, "Placement": map[string]any{}}), "config_override", "beside it"},
		{override(map[string]any{"instance_config": []any{}}), "config_override.instance_config", "no object"},
		{override(map[string]any{"metadataOptions": map[string]any{}}), "config_override.metadataOptions", "MetadataOptions"},
		{override(map[string]any{"Placement": "dedicated"}), "config_override.Placement", "an object"},
		{override(map[string]any{"EbsOptimized": "yes"}), "config_override.EbsOptimized", "true or false"},
		{override(map[string]any{"CpuOptions": map[string]any{"CoreCount": "2"}}), "config_override.CpuOptions.CoreCount", "a number"},
		{override(map[string]any{"ClientToken": "x"}), "config_override.ClientToken", "Headroom's"},
		{override(map[string]any{"MaxCount": 5}), "config_override.MaxCount", "always 1"},
		{override(map[string]any{"TagSpecifications": []any{}}), "config_override.TagSpecifications", "tags"},
		{override(map[string]any{"UserData": "x"}), "config_override.UserData", "startup_script"},
		{override(map[string]any{"ImageId": "ami-1"}), "config_override.ImageId", "ami_id"},
		{override(map[string]any{"InstanceType": "m5.large"}), "config_override.InstanceType", "instance_types"},
		{override(map[string]any{"SubnetId": "subnet-1"}), "config_override.SubnetId", "subnet_ids"},
		{override(map[string]any{"DisableApiTermination": true}), "config_override.DisableApiTermination", "deleted"},
		{override(map[string]any{"InstanceMarketOptions": map[string]any{"MarketType": "spot"}}), "config_override.InstanceMarketOptions", "spot: true"},
		{spot(map[string]any{"InstanceMarketOptions": map[string]any{"SpotOptions": map[string]any{"ValidUntil": "2027-01-01T00:00:00+02:00", "MaxPrice": "0.1"}}}), "", ""},
		{spot(map[string]any{"InstanceMarketOptions": map[string]any{"SpotOptions": map[string]any{"ValidUntil": "tomorrow"}}}), "config_override", "cannot be laid"},
		{override(map[string]any{"CpuOptions": map[string]any{"CoreCount": 1.5}}), "config_override", "cannot be laid"},
		{override(map[string]any{"CpuOptions": map[string]any{"CoreCount": 99999999999}}), "config_override", "cannot be laid"},
		{override(map[string]any{"CreditSpecification": map[string]any{"CpuCredits": "unlimited"}, "EbsOptimized": false, "Placement": nil, "LicenseSpecifications": []any{}, "Monitoring": map[string]any{"Enabled": true}}), "", ""},
		{override(map[string]any{"noSmithyDocumentSerde": map[string]any{}}), "config_override.noSmithyDocumentSerde", ""},
	} {
		found := settings.DecodeJSON(with(t, c.changes), &aws.Settings{}, settings.Options{})
		switch {
		case c.path == "" && len(found) > 0:
			t.Errorf("%v: found %v, expected nothing", c.changes, found)
		case c.path != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Path, c.path) || !strings.Contains(found[0].Message, c.says)):
			t.Errorf("%.200v: found %.500v, expected one fault at %s that says %q", c.changes, found, c.path, c.says)
		}
		for _, f := range found {
			if text := fmt.Sprint(f); strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "AKIAFAKE") {
				t.Errorf("%v: the fault shows a secret: %s", c.changes, text)
			}
		}
	}
}

// edKey is a key of a kind that EC2 takes for Linux only. It opens nothing.
const edKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`

func TestShape(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]fleet.Resources{
		"m7i.large": {Cores: 2 * fleet.Core, MemoryMiB: 8192}, "c6gn.4xlarge": {Cores: 16 * fleet.Core, MemoryMiB: 32768}, "r7a.medium": {Cores: fleet.Core, MemoryMiB: 8192},
		"m7i-flex.xlarge": {Cores: 4 * fleet.Core, MemoryMiB: 16384}, "c5.9xlarge": {Cores: 36 * fleet.Core, MemoryMiB: 73728}, "t3.medium": {Cores: 2 * fleet.Core, MemoryMiB: 4096},
		"t2.small": {Cores: fleet.Core, MemoryMiB: 2048}, "t4g.nano": {Cores: 2 * fleet.Core, MemoryMiB: 512}, "m5.metal": {}, "c4.large": {}, "g5.xlarge": {}, "u-6tb1.metal": {}, "x2idn.16xlarge": {},
	} {
		s := aws.Settings{InstanceTypes: []string{name}}
		if diff := cmp.Diff(want, s.Shape()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if c := aws.Kind().Channel(&aws.Settings{OSType: "windows"}); c.Form != startup.FormEC2Launch || c.System != startup.Windows || c.Limit != 16384 {
		t.Errorf("the channel of Windows is %+v", c)
	}
	if c := aws.Kind().Channel(&aws.Settings{}); c.Form != startup.FormCloudInit || c.Limit != 16384 {
		t.Errorf("the channel of Linux is %+v", c)
	}
}

// newer are parameters of RunInstances that the SDK has and Debian's botocore,
// 1.29, does not: they came later. A newer botocore may know some of them.
var newer = []string{
	"BlockDeviceMappings.Ebs.AvailabilityZone", "BlockDeviceMappings.Ebs.AvailabilityZoneId", "BlockDeviceMappings.Ebs.EbsCardIndex", "BlockDeviceMappings.Ebs.VolumeInitializationRate",
	"CpuOptions.AmdSevSnp", "CpuOptions.NestedVirtualization", "EnablePrimaryIpv6", "Ipv6Addresses.IsPrimaryIpv6",
	"NetworkInterfaces.ConnectionTrackingSpecification", "NetworkInterfaces.ConnectionTrackingSpecification.TcpEstablishedTimeout",
	"NetworkInterfaces.ConnectionTrackingSpecification.UdpStreamTimeout", "NetworkInterfaces.ConnectionTrackingSpecification.UdpTimeout",
	"NetworkInterfaces.EnaQueueCount", "NetworkInterfaces.EnaSrdSpecification", "NetworkInterfaces.EnaSrdSpecification.EnaSrdEnabled",
	"NetworkInterfaces.EnaSrdSpecification.EnaSrdUdpSpecification", "NetworkInterfaces.EnaSrdSpecification.EnaSrdUdpSpecification.EnaSrdUdpEnabled",
	"NetworkInterfaces.Ipv6Addresses.IsPrimaryIpv6", "NetworkInterfaces.PrimaryIpv6",
	"NetworkPerformanceOptions", "NetworkPerformanceOptions.BandwidthWeighting", "Operator", "Operator.Principal", "Placement.AvailabilityZoneId",
	"SecondaryInterfaces", "SecondaryInterfaces.DeleteOnTermination", "SecondaryInterfaces.DeviceIndex", "SecondaryInterfaces.InterfaceType", "SecondaryInterfaces.NetworkCardIndex",
	"SecondaryInterfaces.PrivateIpAddressCount", "SecondaryInterfaces.PrivateIpAddresses", "SecondaryInterfaces.PrivateIpAddresses.PrivateIpAddress", "SecondaryInterfaces.SecondarySubnetId",
}

// TestNamesOfTheOverride: an override is written with boto3's names and read with
// those of the SDK for Go. They are the same, for every parameter at any depth.
func TestNamesOfTheOverride(t *testing.T) {
	t.Parallel()
	start(t)
	model, err := theModel()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() == "time" {
			return
		}
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() {
				paths = append(paths, prefix+f.Name)
				walk(prefix+f.Name+".", f.Type)
			}
		}
	}
	walk("", reflect.TypeFor[ec2.RunInstancesInput]())
	if len(paths) < 100 {
		t.Fatalf("only %d parameters were found", len(paths))
	}
	for _, p := range model.Lacks("ec2", "RunInstances", paths) {
		if !slices.Contains(newer, p) {
			t.Errorf("the SDK has the parameter %s, and the model lacks it", p)
		}
	}
}

// TestContinuousIntegration: on CI the models are there, so that nothing above is
// skipped.
func TestContinuousIntegration(t *testing.T) {
	t.Parallel()
	if os.Getenv("CI") != "true" {
		t.Skip("SKIPPED: this is not CI")
	}
	if _, err := theModel(); err != nil {
		t.Fatal(err)
	}
}
