package oci_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestOverrideValues: parts of LaunchInstanceDetails as programs and pages have
// them, without what the settings choose; and what is wrong with others.
func TestOverrideValues(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	providertest.CheckOverrides(t, providertest.Overrides{
		Account: providertest.Account{Kind: oci.Kind(), Settings: s, Host: provider.Host{Now: time.Now}},
		With:    func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
		Good: map[string]string{
			"no legacy metadata": `{"launch_instance_details": {"instance_options": {"OCI_MODEL_NAME": "InstanceOptions", "are_legacy_imds_endpoints_disabled": true}}}`,
			"a plugin": `{"launch_instance_details": {"agent_config": {"OCI_MODEL_NAME": "LaunchInstanceAgentConfigDetails", "is_monitoring_disabled": false, "is_management_disabled": false, "are_all_plugins_disabled": false,
				"plugins_config": [{"OCI_MODEL_NAME": "InstanceAgentPluginConfigDetails", "name": "Vulnerability Scanning", "desired_state": "ENABLED"}]}}}`,
			"plugins of a program":    `{"agent_config": {"is_monitoring_disabled": false, "plugins_config": [{"name": "Vulnerability Scanning", "desired_state": "DISABLED"}, {"name": "Compute Instance Monitoring", "desired_state": "ENABLED"}]}, "create_vnic_details": {"assign_public_ip": false, "assign_private_dns_record": true}}`,
			"network of an image":     `{"launch_options": {"network_type": "PARAVIRTUALIZED", "boot_volume_type": "PARAVIRTUALIZED", "firmware": "UEFI_64", "is_consistent_volume_naming_enabled": true}, "is_pv_encryption_in_transit_enabled": true}`,
			"shielded":                `{"platform_config": {"type": "INTEL_VM", "is_measured_boot_enabled": true, "is_secure_boot_enabled": true, "is_trusted_platform_module_enabled": true}}`,
			"memory is encrypted":     `{"platform_config": {"OCI_MODEL_NAME": "AmdVmLaunchInstancePlatformConfig", "type": "AMD_VM", "is_memory_encryption_enabled": true}}`,
			"stays where it is":       `{"availability_config": {"is_live_migration_preferred": false, "recovery_action": "STOP_INSTANCE"}, "fault_domain": "FAULT-DOMAIN-2"}`,
			"bursts":                  `{"shape_config": {"baseline_ocpu_utilization": "BASELINE_1_8"}, "source_details": {"source_type": "image", "boot_volume_size_in_gbs": 50, "boot_volume_vpus_per_gb": 20}}`,
			"cores of a bare machine": `{"platform_config": {"type": "AMD_MILAN_BM", "numa_nodes_per_socket": "NPS4", "is_symmetric_multi_threading_enabled": false}}`,
		},
		Bad: []providertest.WrongOverride{
			{Doc: `{"launch_instance_details": {"agent_config": {"plugins_config": [{"name": "Bastion", "desired_state": "ON"}]}}}`, Path: "config_override.launch_instance_details.agent_config.plugins_config[0].desired_state", Says: `"ON" is not one of its values: write DISABLED or ENABLED`},
			{Doc: `{"agent_config": {"plugins_config": [{"name": "Bastion", "desired_state": "enabled"}]}}`, Path: "config_override.agent_config.plugins_config[0].desired_state", Says: `"enabled" is not one of its values: it is spelled ENABLED`},
			{Doc: `{"launch_options": {"network_type": "E1000E"}}`, Path: "config_override.launch_options.network_type", Says: `"E1000E" is not one of its values: write ACCELERATEDPV, E1000, PARAVIRTUALIZED or VFIO`},
			{Doc: `{"launch_options": {"firmware": "UEFI"}}`, Path: "config_override.launch_options.firmware", Says: `"UEFI" is not one of its values: write BIOS or UEFI_64`},
			{Doc: `{"availability_config": {"recovery_action": "RESTART"}}`, Path: "config_override.availability_config.recovery_action", Says: `"RESTART" is not one of its values: write RESTORE_INSTANCE or STOP_INSTANCE`},
			{Doc: `{"shape_config": {"baseline_ocpu_utilization": "BASELINE_1_4"}}`, Path: "config_override.shape_config.baseline_ocpu_utilization", Says: `"BASELINE_1_4" is not one of its values: write BASELINE_1_1, BASELINE_1_2 or BASELINE_1_8`},
			{Doc: `{"platform_config": {"type": "SPARC_VM"}}`, Path: "config_override.platform_config.type", Says: `is no type that Oracle's API knows here`},
		},
		Unsure: []providertest.WrongOverride{
			{Doc: `{"platform_config": {"type": "AMD_MILAN_BM", "numa_nodes_per_socket": "NPS16"}}`, Path: "config_override.platform_config.numa_nodes_per_socket", Says: `"NPS16" is none of the values that this version knows, and is sent as it is: did you mean NPS1?`},
		},
	})
}
