package oci_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	for _, v := range []any{&oci.Settings{}, &oci.DNSSettings{}} {
		for _, p := range settings.CheckDefinition(v) {
			t.Error(p)
		}
	}
}

// with is a document of settings that are good but for what is changed; nil
// takes a key away.
func with(t *testing.T, changes map[string]any) string {
	t.Helper()
	doc := map[string]any{
		"tenancy_ocid": "ocid1.tenancy.oc1..aaaa1", "user_ocid": "ocid1.user.oc1..aaaa1", "fingerprint": "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34",
		"private_key": open(t).fake.Key(), "region": "eu-frankfurt-1", "compartment_ocid": "ocid1.compartment.oc1..aaaa1", "availability_domains": []string{"Uocm:EU-FRANKFURT-1-AD-1"},
		"image_ocid": "ocid1.image.oc1.eu-frankfurt-1.aaaa1", "shape": []string{"VM.Standard.E5.Flex"}, "flex_ocpus": 2, "subnet_ocid": "ocid1.subnet.oc1.eu-frankfurt-1.aaaa1",
	}
	for key, value := range changes {
		if value == nil {
			delete(doc, key)
			continue
		}
		doc[key] = value
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for n := range 7 {
		many[fmt.Sprintf("k%d", n)] = "v"
	}
	defined := map[string]map[string]string{"Space": {}}
	for n := range 65 {
		defined["Space"][fmt.Sprintf("k%d", n)] = "v"
	}
	principal := map[string]any{"auth": "instance_principal", "tenancy_ocid": nil, "user_ocid": nil, "fingerprint": nil, "private_key": nil}
	for _, c := range []struct {
		changes map[string]any
		path    string
		says    string
	}{
		{map[string]any{}, "", ""},
		{principal, "", ""},
		{map[string]any{"auth": "instance_principal"}, "", "remove it or change auth"},
		{map[string]any{"auth": "password"}, "auth", ""},
		{map[string]any{"tenancy_ocid": nil}, "tenancy_ocid", ""},
		{map[string]any{"tenancy_ocid": "desktops"}, "tenancy_ocid", "OCID of a tenancy"},
		{map[string]any{"user_ocid": "ocid1.tenancy.oc1..aaaa1"}, "user_ocid", "OCID of a user"},
		{map[string]any{"user_ocid": "ocid1.user.oc4..aaaa1"}, "user_ocid", "realm"},
		{map[string]any{"fingerprint": "203b9713551c5b0dd337d8504ec53a34"}, "fingerprint", "colons"},
		{map[string]any{"private_key": nil}, "private_key", ""},
		{map[string]any{"private_key": "/home/ann/.oci/key.pem"}, "private_key", "is no PEM"},
		{map[string]any{"region": "fra"}, "region", "identifier of a region"},
		{map[string]any{"region": "eu-frankfurt-1.oraclecloud.com"}, "region", "identifier of a region"},
		{map[string]any{"region": "eu-dcc-milan-1", "image_ocid": "ocid1.image.oc1.fra.aaaa1", "subnet_ocid": "ocid1.subnet.oc1.fra.aaaa1"}, "", ""},
		{map[string]any{"endpoint": "oraclecloud.com"}, "endpoint", "is not a URL"},
		{map[string]any{"endpoint": "https://{service}.example.com/20160918"}, "endpoint", "leave the rest out"},
		{map[string]any{"endpoint": "https://ann:x@example.com"}, "endpoint", "leave the rest out"},
		{map[string]any{"endpoint": "https://{service}.example.com/"}, "", ""},
		{map[string]any{"ca_bundle": "x"}, "ca_bundle", "no certificate"},
		{map[string]any{"compartment_ocid": "desktops"}, "compartment_ocid", "OCID of a compartment"},
		{map[string]any{"compartment_ocid": "ocid1.tenancy.oc1..aaaa1"}, "", ""},
		{map[string]any{"compartment_ocid": "ocid1.compartment.oc2..aaaa1"}, "", "realm"},
		{map[string]any{"availability_domains": []string{}}, "availability_domains", ""},
		{map[string]any{"availability_domains": []string{"EU-FRANKFURT-1-AD-1"}}, "availability_domains[0]", "the tenancy's prefix"},
		{map[string]any{"availability_domains": []string{"1"}}, "availability_domains[0]", "the tenancy's prefix"},
		{map[string]any{"image_ocid": "Oracle Linux 9"}, "image_ocid", "OCID of an image"},
		{map[string]any{"image_ocid": "ocid1.image.oc1.us-ashburn-2.aaaa1"}, "image_ocid", "region is eu-frankfurt-1"},
		{map[string]any{"subnet_ocid": "ocid1.subnet.oc1.eu-zurich-1.aaaa1"}, "subnet_ocid", "is in region eu-zurich-1"},
		{map[string]any{"subnet_ocid": "ocid1.subnet.oc8.eu-frankfurt-1.aaaa1"}, "subnet_ocid", "realm oc8"},
		{map[string]any{"nsg_ocids": []string{"ocid1.subnet.oc1.eu-frankfurt-1.aaaa1"}}, "nsg_ocids[0]", "network security group"},
		{map[string]any{"nsg_ocids": []string{"ocid1.networksecuritygroup.oc1.eu-zurich-1.aaaa1"}}, "nsg_ocids[0]", "eu-zurich-1"},
		{map[string]any{"shape": []string{"E5.Flex"}}, "shape[0]", "is no shape"},
		{map[string]any{"flex_ocpus": nil}, "flex_ocpus", "is missing"},
		{map[string]any{"flex_ocpus": -1}, "flex_ocpus", ""},
		{map[string]any{"shape": []string{"VM.Standard2.1"}}, "shape", "no flexible shape"},
		{map[string]any{"shape": []string{"VM.Standard2.1"}, "flex_ocpus": nil}, "", ""},
		{map[string]any{"shape": []string{"VM.Standard2.1", "VM.Standard.E5.Flex"}}, "", ""},
		{map[string]any{"shape": []string{"VM.Standard2.1"}, "flex_ocpus": nil, "baseline_ocpu_utilization": "BASELINE_1_2"}, "baseline_ocpu_utilization", "flexible shapes only"},
		{map[string]any{"baseline_ocpu_utilization": "BASELINE_1_4"}, "baseline_ocpu_utilization", ""},
		{map[string]any{"baseline_ocpu_utilization": "BASELINE_1_8"}, "", ""},
		{map[string]any{"baseline_ocpu_utilization": "BASELINE_1_8", "preemptible": true}, "baseline_ocpu_utilization", "cannot be preemptible"},
		{map[string]any{"baseline_ocpu_utilization": "BASELINE_1_1", "preemptible": true}, "", ""},
		{map[string]any{"shape": []string{"BM.Standard.E5.192"}, "flex_ocpus": nil, "preemptible": true}, "shape[0]", "cannot be preemptible"},
		{map[string]any{"boot_volume_size": 20}, "boot_volume_size", ""},
		{map[string]any{"boot_volume_vpus_per_gb": 15}, "boot_volume_vpus_per_gb", "multiple of 10"},
		{map[string]any{"boot_volume_vpus_per_gb": 130}, "boot_volume_vpus_per_gb", ""},
		{map[string]any{"ssh_public_key": "ssh-ed25519 AAAA ann\nssh-rsa BBBB bob\n"}, "", ""},
		{map[string]any{"ssh_public_key": "ssh-ed25519 \u2026"}, "ssh_public_key", "copy it anew"},
		{map[string]any{"freeform_tags": map[string]string{"team": "Pult \u00fcber alles"}}, "", ""},
		{map[string]any{"freeform_tags": map[string]string{"a.b": "x"}}, "freeform_tags.a.b", "is no key"},
		{map[string]any{"freeform_tags": map[string]string{"a b": "x"}}, "freeform_tags.a b", "is no key"},
		{map[string]any{"freeform_tags": map[string]string{"a": strings.Repeat("x", 257)}}, "freeform_tags.a", "256"},
		{map[string]any{"freeform_tags": map[string]string{"headroom-server": "x"}}, "freeform_tags.headroom-server", "own"},
		{map[string]any{"freeform_tags": many}, "freeform_tags", "6 fit"},
		{map[string]any{"defined_tags": map[string]map[string]string{"Operations": {"CostCenter": "42"}}}, "", ""},
		{map[string]any{"defined_tags": map[string]map[string]string{"Ope.rations": {"CostCenter": "42"}}}, "defined_tags.Ope.rations", "namespace"},
		{map[string]any{"defined_tags": map[string]map[string]string{"Operations": {"Cost Center": "42"}}}, "defined_tags.Operations.Cost Center", "is no key"},
		{map[string]any{"defined_tags": map[string]any{"Operations": "x"}}, "defined_tags.Operations", ""},
		{map[string]any{"defined_tags": defined}, "defined_tags", "64"},
		{map[string]any{"os_type": "macos"}, "os_type", ""},
		{map[string]any{"flavor": "x"}, "flavor", ""},
	} {
		found := settings.DecodeJSON([]byte(with(t, c.changes)), &oci.Settings{}, settings.Options{})
		switch {
		case c.path == "" && c.says != "": // several, all of one kind
			for _, f := range found {
				if !strings.Contains(f.Message, c.says) {
					t.Errorf("%v: %v", c.changes, f)
				}
			}
			if len(found) == 0 {
				t.Errorf("%v: nothing is found", c.changes)
			}
		case c.path == "" && len(found) > 0:
			t.Errorf("%v: found %v, expected nothing", c.changes, found)
		case c.path != "" && (len(found) == 0 || !strings.HasPrefix(found[0].Path, c.path) || !strings.Contains(found[0].Message, c.says)):
			t.Errorf("%.200v: found %.500v, expected a fault at %s that says %q", c.changes, found, c.path, c.says)
		case c.path != "" && len(found) > 1:
			t.Errorf("%.200v: found %.500v, expected one fault", c.changes, found)
		}
		for _, f := range found {
			if strings.Contains(fmt.Sprint(f), "PRIVATE KEY-----\nMII") {
				t.Errorf("a fault quotes the key: %v", f)
			}
		}
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    oci.Settings
		want fleet.Resources
	}{
		{oci.Settings{}, fleet.Resources{}},
		{oci.Settings{Shapes: []string{"VM.Standard2.1"}}, fleet.Resources{}},
		{oci.Settings{Shapes: []string{"VM.Standard.E5.Flex"}, FlexOCPUs: 2, FlexMemory: 16}, fleet.Resources{Cores: 4 * fleet.Core, MemoryMiB: 16 << 10}},
		{oci.Settings{Shapes: []string{"VM.Standard.A1.Flex"}, FlexOCPUs: 2, FlexMemory: 1.5}, fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 1536}},
	} {
		if got := c.s.Shape(); got != c.want {
			t.Errorf("%+v offers %+v, expected %+v", c.s.Shapes, got, c.want)
		}
	}
	if c := oci.Kind().ScriptChannel(&oci.Settings{OSType: "windows"}); c.Form != startup.FormCloudbase || c.System != startup.Windows {
		t.Errorf("the channel of Windows is %+v", c)
	}
	if c := oci.Kind().ScriptChannel(&oci.Settings{}); c.Form != startup.FormCloudInit || c.Limit < 23000 || c.Limit > 24000 {
		t.Errorf("the channel of Linux is %+v", c)
	}
}
