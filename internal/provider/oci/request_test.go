package oci_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
	"github.com/headroom-dev/headroom/internal/settings"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The two overrides that users of Oracle's Python tools have at hand.
const (
	legacyIMDS = `{"launch_instance_details": {"instance_options": {"OCI_MODEL_NAME": "InstanceOptions", "are_legacy_imds_endpoints_disabled": true}}}`
	plugin     = `{"launch_instance_details": {"agent_config": {"OCI_MODEL_NAME": "LaunchInstanceAgentConfigDetails", "is_monitoring_disabled": false,
		"is_management_disabled": false, "are_all_plugins_disabled": false, "plugins_config": [{"OCI_MODEL_NAME": "InstanceAgentPluginConfigDetails",
		"name": "Vulnerability Scanning", "desired_state": "ENABLED"}]}}}`
)

func document(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLaunchBody: the very bytes of launches, which the stand-in has held
// against the SDK's struct.
func TestLaunchBody(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oci.Settings){
		"plain": func(*oci.Settings) {},
		"full": func(s *oci.Settings) {
			s.BootVolumeSize, s.BootVolumeVPUsPerGB, s.Preemptible, s.SSHPublicKey = 100, 20, true, "ssh-ed25519 AAAA ann\n"
			s.FreeformTags, s.DefinedTags = map[string]string{"team": "desk"}, map[string]map[string]string{"Operations": {"CostCenter": "42"}}
		},
		"burstable":   func(s *oci.Settings) { s.Shapes, s.BaselineOCPUUtilization = s.Shapes[1:], "BASELINE_1_8" },
		"fixed_shape": func(s *oci.Settings) { s.Shapes = []string{"VM.Standard2.1", "VM.Standard.E4.Flex"} },
		"legacy_imds": func(s *oci.Settings) { s.ConfigOverride = document(t, legacyIMDS) },
		"plugin":      func(s *oci.Settings) { s.ConfigOverride = document(t, plugin) },
		"bare": func(s *oci.Settings) { // without the wrapper; all that stands for one of several
			s.BootVolumeSize = 100
			s.ConfigOverride = document(t, `{
				"source_details": {"OCI_MODEL_NAME": "InstanceSourceViaImageDetails", "boot_volume_size_in_gbs": 200, "kms_key_id": "ocid1.key.oc1.eu-frankfurt-1.x"},
				"platform_config": {"OCI_MODEL_NAME": "AmdVmLaunchInstancePlatformConfig", "type": "AMD_VM", "is_secure_boot_enabled": true},
				"launch_options": {"boot_volume_type": "PARAVIRTUALIZED", "network_type": "VFIO"},
				"create_vnic_details": {"assign_public_ip": false, "nsg_ids": null, "skip_source_dest_check": true},
				"shape_config": {"memory_in_gbs": 24.5},
				"licensing_configs": [{"type": "WINDOWS", "license_type": "BRING_YOUR_OWN_LICENSE"}],
				"metadata": {"Some_Key": "value"}, "extended_metadata": {"Nested_Key": {"a_b": [1, 2.5]}}, "defined_tags": {"Name_Space": {"some_key": "x"}},
				"is_pv_encryption_in_transit_enabled": false, "is_ai_enterprise_enabled": true
			}`)
		},
	} {
		s, of := tenancy(t)
		change(s)
		if found := s.Validate(); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
			continue
		}
		if _, err := opened(t, s).Create(t.Context(), request("a")); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body := of.Body()
		for _, r := range [][2]string{{of.Tenancy, "TENANCY"}, {of.Compartment, "COMPARTMENT"}, {of.Subnet, "SUBNET"}, {of.NSG, "NSG"}, {of.Image, "IMAGE"}} {
			body = strings.ReplaceAll(body, r[0], r[1])
		}
		golden(t, filepath.Join("testdata", "launch_"+name+".json"), body+"\n")
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s:\n%s", file, diff)
	}
}

// TestRendered: what is shown is what is sent.
func TestRendered(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.ConfigOverride = document(t, plugin)
	d := opened(t, s)
	shows, ok := d.(provider.Renderer)
	if !ok {
		t.Fatal("the driver shows no requests")
	}
	calls, err := shows.Render(t.Context(), request("a"))
	if err != nil || len(calls) != 1 {
		t.Fatalf("render: %v, %v", calls, err)
	}
	if of.Calls() != 0 {
		t.Error("render called the service")
	}
	if _, err := d.Create(t.Context(), request("a")); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(calls[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(document(t, of.Body()), document(t, string(text))); diff != "" {
		t.Error(diff)
	}
}

func TestOverrideFaults(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	public, _, err := settings.SplitSecrets(s, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ override, path, says string }{
		{`{}`, "", ""},
		{legacyIMDS, "", ""},
		{plugin, "", ""},
		{`{"OCI_MODEL_NAME": "LaunchInstanceDetails", "launch_instance_details": {}}`, "", ""},
		{`{"instance_options": {"are_legacy_imds_endpoints_disabled": true}}`, "", ""},
		{`{"launch_instance_details": {"instance_option": {}}}`, "config_override.launch_instance_details.instance_option", "instance_options"},
		{`{"launch_instance_details": {"instanceOptions": {}}}`, "config_override.launch_instance_details.instanceOptions", "instance_options"},
		{`{"launch_instance_details": {"agent_config": {"plugins_config": [{"nam": "x"}]}}}`, "config_override.launch_instance_details.agent_config.plugins_config[0].nam", "name"},
		{`{"launch_instance_details": {"instance_options": {"are_legacy_imds_endpoints_disabled": "yes"}}}`, "config_override.launch_instance_details.instance_options.are_legacy_imds_endpoints_disabled", "true or false"},
		{`{"launch_instance_details": {}, "fault_domain": "FAULT-DOMAIN-1"}`, "config_override.launch_instance_details", "unknown"},
		{`{"agent_config": []}`, "config_override.agent_config", "a list where"},
		{`{"platform_config": {"type": "AMD_VM", "is_secure_bot_enabled": true}}`, "config_override.platform_config.is_secure_bot_enabled", "is_secure_boot_enabled"},
		{`{"platform_config": {"type": "AMD_VN"}}`, "config_override.platform_config.type", "is no type"},
		{`{"platform_config": {"is_secure_boot_enabled": true}}`, "config_override.platform_config.type", "is no type"},
		{`{"platform_config": {"type": "AMD_VM", "is_secure_boot_enabled": "yes"}}`, "config_override", ""},
		{`{"source_details": {"kms_key": "x"}}`, "config_override.source_details.kms_key", "kms_key_id"},
		{`{"source_details": {"kms_key_id": "x", "instance_source_image_filter_details": {"compartment": "x"}}}`, "config_override.source_details.instance_source_image_filter_details.compartment", "compartment_id"},
		{`{"source_details": {"source_type": "image", "kms_key_id": "x"}}`, "", ""},
		{`{"source_details": {"source_type": "bootVolume"}}`, "config_override.source_details.source_type", "must be image"},
		{`{"source_details": null}`, "config_override.source_details", "cannot be taken away"},
		{`{"image_id": "x"}`, "config_override.image_id", "image_ocid"},
		{`{"shape": "x"}`, "config_override.shape", "is chosen among shape"},
		{`{"compartment_id": "x"}`, "config_override.compartment_id", "compartment_ocid"},
		{`{"availability_domain": "x"}`, "config_override.availability_domain", "availability_domains"},
		{`{"display_name": "x"}`, "config_override.display_name", "Headroom's"},
		{`{"create_vnic_details": {"subnet_id": "x"}}`, "config_override.create_vnic_details.subnet_id", "subnet_ocid"},
		{`{"create_vnic_details": {"private_ip": "10.0.0.1"}}`, "config_override.create_vnic_details.private_ip", "every machine"},
		{`{"create_vnic_details": {"freeform_tags": {"headroom-server": "x"}}}`, "config_override.create_vnic_details.freeform_tags.headroom-server", "own"},
		{`{"freeform_tags": {"headroom-server": "x"}}`, "config_override.freeform_tags.headroom-server", "own"},
		{`{"metadata": {"user_data": "eA=="}}`, "config_override.metadata.user_data", "startup_script"},
		{`{"metadata": {"n": 1}}`, "config_override.metadata.n", "text"},
		{`{"preemptible_instance_config": {"preemption_action": {"type": "TERMINATE"}}}`, "config_override.preemptible_instance_config", "preemptible"},
		{`{"launch_volume_attachments": []}`, "config_override.launch_volume_attachments", "no tags"},
		{`{"instance_configuration_id": "x"}`, "config_override.instance_configuration_id", "cannot be seen"},
		{`{"licensing_configs": [{"type": "WINDOWS", "licence_type": "x"}]}`, "config_override.licensing_configs[0].licence_type", "unknown key"},
		{`{"shape_config": {"ocpus": 3, "memory_in_gbs": 24.5, "memory_in_g_bs": 1}}`, "config_override.shape_config.memory_in_g_bs", "memory_in_gbs"},
	} {
		doc := map[string]any{}
		for key, value := range public {
			doc[key] = value
		}
		doc["private_key"], doc["config_override"] = s.PrivateKey, document(t, c.override)
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		found := settings.DecodeJSON(text, &oci.Settings{}, settings.Options{})
		switch {
		case c.path == "" && len(found) > 0:
			t.Errorf("%s: found %v, expected nothing", c.override, found)
		case c.path != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Path, c.path) || !strings.Contains(found[0].Message, c.says)):
			t.Errorf("%s: found %v, expected one fault at %s that says %q", c.override, found, c.path, c.says)
		}
	}
}

// TestOverrideKeepsWhatIsOurs, also where it is laid over without having been
// checked before.
func TestOverrideKeepsWhatIsOurs(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.ConfigOverride = document(t, `{"display_name": "x", "shape": "y", "compartment_id": "z", "availability_domain": "a", "freeform_tags": {"headroom-server": "evil", "headroom-installation": null},
		"metadata": {"user_data": "ZXZpbA=="}, "create_vnic_details": {"subnet_id": "b", "display_name": "c", "freeform_tags": null}}`)
	i, err := opened(t, s).Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	if i.Name != "hr-a" || i.Tags != request("a").Tags || i.Offer != "VM.Standard.E5.Flex@"+fakeoci.Domain(1) {
		t.Errorf("the override changed the machine: %+v", i)
	}
	if diff := cmp.Diff("#!/bin/sh\n", string(of.UserData(i.ID))); diff != "" {
		t.Error(diff)
	}
	for name, have := range of.Tags() {
		if diff := cmp.Diff(tags(request("a").Tags), have); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
