package azure_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestOverrideValues: parts of virtual machines as templates and pages have them,
// without what the settings choose; and what is wrong with others.
func TestOverrideValues(t *testing.T) {
	t.Parallel()
	s, _ := subscription(t)
	providertest.CheckOverrides(t, providertest.Overrides{
		Account: providertest.Account{Kind: azure.Kind(), Settings: s, Host: provider.Host{Now: time.Now}},
		With:    func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
		Good: map[string]string{
			"spot":                         `{"properties": {"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": -1}}}`,
			"spot, as old pages write it":  `{"properties": {"priority": "Low", "evictionPolicy": "delete"}}`,
			"an identity":                  `{"identity": {"type": "SystemAssigned"}, "properties": {"licenseType": "Windows_Client"}}`,
			"two identities":               `{"identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i": {}}}}`,
			"trusted launch":               `{"properties": {"securityProfile": {"securityType": "TrustedLaunch", "uefiSettings": {"secureBootEnabled": true, "vTpmEnabled": true}, "encryptionAtHost": true}}}`,
			"an ephemeral disk":            `{"properties": {"storageProfile": {"osDisk": {"diffDiskSettings": {"option": "Local", "placement": "ResourceDisk"}, "caching": "ReadOnly"}}}}`,
			"data disks":                   `{"properties": {"storageProfile": {"diskControllerType": "NVMe", "dataDisks": [{"lun": 0, "createOption": "Empty", "diskSizeGB": 1023, "caching": "None", "managedDisk": {"storageAccountType": "UltraSSD_LRS"}}, {"lun": 1, "createOption": "empty", "diskSizeGB": 64}]}}}`,
			"patches of Linux":             `{"properties": {"osProfile": {"linuxConfiguration": {"provisionVMAgent": true, "patchSettings": {"patchMode": "AutomaticByPlatform", "assessmentMode": "AutomaticByPlatform", "automaticByPlatformSettings": {"rebootSetting": "Never"}}}}}}`,
			"a group, a host, diagnostics": `{"properties": {"proximityPlacementGroup": {"id": "/subscriptions/x/resourceGroups/g/providers/Microsoft.Compute/proximityPlacementGroups/p"}, "diagnosticsProfile": {"bootDiagnostics": {"enabled": true}}, "additionalCapabilities": {"ultraSSDEnabled": true}}}`,
		},
		Bad: []providertest.WrongOverride{
			{Doc: `{"properties": {"priority": "Preemptible"}}`, Path: "config_override.properties.priority", Says: `"Preemptible" is not one of its values: write Low, Regular, Spot or SpotPlus`},
			{Doc: `{"properties": {"evictionPolicy": "Stop"}}`, Path: "config_override.properties.evictionPolicy", Says: `"Stop" is not one of its values: write Deallocate or Delete`},
			{Doc: `{"identity": {"type": "ManagedIdentity"}}`, Path: "config_override.identity.type", Says: `"ManagedIdentity" is not one of its values: write None, SystemAssigned, SystemAssigned, UserAssigned or UserAssigned`},
			{Doc: `{"properties": {"storageProfile": {"osDisk": {"caching": "WriteBack"}}}}`, Path: "config_override.properties.storageProfile.osDisk.caching", Says: `"WriteBack" is not one of its values: write None, ReadOnly or ReadWrite`},
			{Doc: `{"properties": {"storageProfile": {"dataDisks": [{"lun": 0, "createOption": "New"}]}}}`, Path: "config_override.properties.storageProfile.dataDisks[0].createOption", Says: `"New" is not one of its values: write Attach, Copy, Empty, FromImage or Restore`},
			{Doc: `{"properties": {"osProfile": {"linuxConfiguration": {"patchSettings": {"patchMode": "AutomaticByOS"}}}}}`, Path: "config_override.properties.osProfile.linuxConfiguration.patchSettings.patchMode", Says: `"AutomaticByOS" is not one of its values: write AutomaticByPlatform or ImageDefault`},
			{Doc: `{"properties": {"priority": ""}}`, Path: "config_override.properties.priority", Says: `"" is not one of its values: write Low, Regular, Spot or SpotPlus`},
		},
		Unsure: []providertest.WrongOverride{
			{Doc: `{"properties": {"storageProfile": {"osDisk": {"managedDisk": {"storageAccountType": "PremiumV3_LRS"}}}}}`, Path: "config_override.properties.storageProfile.osDisk.managedDisk.storageAccountType", Says: `"PremiumV3_LRS" is none of the values that this version knows, and is sent as it is: did you mean PremiumV2_LRS?`},
			{Doc: `{"properties": {"networkProfile": {"networkApiVersion": "2031-01-01"}}}`, Path: "config_override.properties.networkProfile.networkApiVersion", Says: `"2031-01-01" is none of the values that this version knows, and is sent as it is…`},
		},
	})
}
