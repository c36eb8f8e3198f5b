package gcp_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestOverrideValues: parts of instances.insert as programs and pages have them,
// without what the settings choose; and what is wrong with others.
func TestOverrideValues(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	s.OSType = "linux"
	providertest.CheckOverrides(t, providertest.Overrides{
		Account: providertest.Account{Kind: gcp.Kind(), Settings: s, Host: provider.Host{Now: time.Now}},
		With:    func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
		Good: map[string]string{
			"preemptible":           `{"canIpForward": false, "scheduling": {"preemptible": true, "onHostMaintenance": "TERMINATE", "automaticRestart": false, "nodeAffinities": []}, "deletionProtection": false, "reservationAffinity": {"consumeReservationType": "ANY_RESERVATION"}}`,
			"standard":              `{"scheduling": {"automaticRestart": true, "onHostMaintenance": "MIGRATE", "provisioningModel": "STANDARD"}}`,
			"spot":                  `{"scheduling": {"automaticRestart": false, "instanceTerminationAction": "DELETE", "onHostMaintenance": "TERMINATE", "preemptible": true, "provisioningModel": "SPOT"}}`,
			"confidential, limited": `{"confidentialInstanceConfig": {"confidentialInstanceType": "TDX"}, "scheduling": {"onHostMaintenance": "TERMINATE", "instanceTerminationAction": "DELETE", "maxRunDuration": {"seconds": "3600"}}}`,
			"shielded":              `{"shieldedInstanceConfig": {"enableSecureBoot": false, "enableVtpm": true, "enableIntegrityMonitoring": true}, "displayDevice": {"enableDisplay": false}}`,
			"network of the console's copy": `{"networkInterfaces": [{"kind": "compute#networkInterface", "subnetwork": "projects/p/regions/europe-west3/subnetworks/default", "stackType": "IPV4_ONLY", "nicType": "GVNIC",
				"accessConfigs": [{"kind": "compute#accessConfig", "name": "External NAT", "type": "ONE_TO_ONE_NAT", "networkTier": "PREMIUM"}], "aliasIpRanges": []}]}`,
			"a disk of one's own": `{"disks": [{"boot": true, "autoDelete": true, "type": "PERSISTENT", "mode": "READ_WRITE", "initializeParams": {"diskSizeGb": "50", "diskType": "zones/europe-west3-a/diskTypes/pd-ssd", "sourceImage": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"}, "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}]}]}`,
			"affinities":          `{"scheduling": {"nodeAffinities": [{"key": "compute.googleapis.com/node-group-name", "operator": "IN", "values": ["desktops"]}]}, "keyRevocationActionType": "NONE", "advancedMachineFeatures": {"enableNestedVirtualization": true, "threadsPerCore": 1}}`,
		},
		Bad: []providertest.WrongOverride{
			{Doc: `{"scheduling": {"onHostMaintenance": "STOP"}}`, Path: "config_override.scheduling.onHostMaintenance", Says: `"STOP" is not one of its values: write MIGRATE or TERMINATE`},
			{Doc: `{"scheduling": {"provisioningModel": "spot"}}`, Path: "config_override.scheduling.provisioningModel", Says: `"spot" is not one of its values: it is spelled SPOT`},
			{Doc: `{"scheduling": {"instanceTerminationAction": "TERMINATE"}}`, Path: "config_override.scheduling.instanceTerminationAction", Says: `"TERMINATE" is not one of its values: write DELETE, INSTANCE_TERMINATION_ACTION_UNSPECIFIED or STOP`},
			{Doc: `{"networkInterfaces": [{"accessConfigs": [{"networkTier": "BASIC"}]}]}`, Path: "config_override.networkInterfaces[0].accessConfigs[0].networkTier", Says: `"BASIC" is not one of its values: write FIXED_STANDARD, PREMIUM, STANDARD or STANDARD_OVERRIDES_FIXED_STANDARD`},
			{Doc: `{"disks": [{"boot": true, "mode": "READWRITE"}]}`, Path: "config_override.disks[0].mode", Says: `"READWRITE" is not one of its values: write READ_ONLY or READ_WRITE`},
			{Doc: `{"reservationAffinity": {"consumeReservationType": ""}}`, Path: "config_override.reservationAffinity.consumeReservationType", Says: `"" is not one of its values: write ANY_RESERVATION, NO_RESERVATION, SPECIFIC_RESERVATION or UNSPECIFIED`},
			{Doc: `{"scheduling": {"nodeAffinities": [{"key": "k", "operator": "EQUALS"}]}}`, Path: "config_override.scheduling.nodeAffinities[0].operator", Says: `"EQUALS" is not one of its values: write IN, NOT_IN or OPERATOR_UNSPECIFIED`},
			{Doc: `{"disks": [{"guestOsFeatures": [{"type": "Windows"}]}]}`, Path: "config_override.disks[0].guestOsFeatures[0].type", Says: `"Windows" is not one of its values: it is spelled WINDOWS`},
		},
		Unsure: []providertest.WrongOverride{
			{Doc: `{"disks": [{"guestOsFeatures": [{"type": "TELEPORT_CAPABLE"}]}]}`, Path: "config_override.disks[0].guestOsFeatures[0].type", Says: `"TELEPORT_CAPABLE" is none of the values that this version knows, and is sent as it is…`},
			{Doc: `{"confidentialInstanceConfig": {"confidentialInstanceType": "SEV_SNP2"}}`, Path: "config_override.confidentialInstanceConfig.confidentialInstanceType", Says: `"SEV_SNP2" is none of the values that this version knows, and is sent as it is: did you mean SEV_SNP?`},
		},
	})
}
