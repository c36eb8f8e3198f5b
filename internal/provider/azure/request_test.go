package azure_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
)

// TestFields: override documents from the field arrive whole.
func TestFields(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"spot":        `{"properties":{"priority":"Spot","evictionPolicy":"Delete","billingProfile":{"maxPrice":-1}}}`,
		"ultra":       `{"properties":{"additionalCapabilities":{"ultraSSDEnabled":true}}}`,
		"trusted":     `{"properties":{"securityProfile":{"securityType":"TrustedLaunch","uefiSettings":{"secureBootEnabled":false,"vTpmEnabled":true},"encryptionAtHost":false}}}`,
		"ephemeral":   `{"properties":{"storageProfile":{"osDisk":{"diffDiskSettings":{"option":"Local","placement":"ResourceDisk"},"caching":"ReadOnly"}}}}`,
		"accelerated": `{"properties":{"scheduledEventsProfile":{"terminateNotificationProfile":{"enable":true,"notBeforeTimeout":"PT5M"}}}}`,
		"identity":    `{"identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/x/resourceGroups/y/providers/Microsoft.ManagedIdentity/userAssignedIdentities/z":{}}}}`,
	} {
		s, p := subscription(t)
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		s.ConfigOverride = doc
		for _, f := range s.Validate() {
			t.Errorf("%s: %+v", name, f)
		}
		i, err := opened(t, s).Create(t.Context(), request("a"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var inside func(path string, want, got any)
		inside = func(path string, want, got any) {
			w, isMap := want.(map[string]any)
			if !isMap {
				if !reflect.DeepEqual(want, got) {
					t.Errorf("%s: %s is %v, expected %v", name, path, got, want)
				}
				return
			}
			for key := range w {
				inside(path+"."+key, w[key], at(got, key))
			}
		}
		inside("", doc, p.Asked(i.ID))
	}
}

// TestWholeRequest: everything that the settings can say, to the last field.
func TestWholeRequest(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	p.Agree()
	off := false
	s.Image, s.Plan = "acme:appliance:standard:1.2.3", azure.Plan{Name: "standard", Product: "appliance", Publisher: "acme"}
	s.Subnet = "/subscriptions/" + p.ID + "/resourceGroups/networks/providers/Microsoft.Network/virtualNetworks/shared/subnets/desktops"
	s.OSDiskType, s.OSDiskSize, s.OSPassword = "StandardSSD_LRS", 40, "Corr3ct-horse"
	s.Tags, s.SecurityType, s.SecureBoot = map[string]string{"team": "desk"}, "ConfidentialVM", &off
	s.Spot, s.EvictionPolicy, s.MaxPrice = true, "Deallocate", 0.125
	s.ConfigOverride = map[string]any{"tags": map[string]any{"cost": "7"}, "properties": map[string]any{"storageProfile": map[string]any{"dataDisks": []any{
		map[string]any{"lun": 0, "createOption": "Empty", "diskSizeGB": 8, "name": "mine", "deleteOption": "Detach"},
		map[string]any{"lun": 1, "createOption": "Attach", "managedDisk": map[string]any{"id": "/subscriptions/x/disks/tools"}},
	}}}}
	for _, f := range s.Validate() {
		t.Error(f)
	}
	req := request("a")
	req.Offer = "Standard_D4as_v5@2"
	i, err := opened(t, s).Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	ours := func(more ...string) map[string]any {
		out := map[string]any{"headroom-installation": "01ji", "headroom-provider": "p", "headroom-autoscale": "c", "headroom-server": "a", "team": "desk"}
		for _, key := range more {
			out[key] = "7"
		}
		return out
	}
	firewall := "/subscriptions/" + p.ID + "/resourceGroups/desktops/providers/Microsoft.Network/networkSecurityGroups/desktops"
	want := map[string]any{
		"location": "westeurope", "zones": []any{"2"}, "tags": ours("cost"), "plan": map[string]any{"name": "standard", "product": "appliance", "publisher": "acme"},
		"properties": map[string]any{
			"hardwareProfile": map[string]any{"vmSize": "Standard_D4as_v5"}, "priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": map[string]any{"maxPrice": 0.125},
			"securityProfile":    map[string]any{"securityType": "ConfidentialVM", "uefiSettings": map[string]any{"secureBootEnabled": false, "vTpmEnabled": true}},
			"diagnosticsProfile": map[string]any{"bootDiagnostics": map[string]any{"enabled": true}},
			"storageProfile": map[string]any{
				"imageReference": map[string]any{"publisher": "acme", "offer": "appliance", "sku": "standard", "version": "1.2.3"},
				"osDisk": map[string]any{"name": "hr-a-os", "createOption": "FromImage", "deleteOption": "Delete", "diskSizeGB": 40.0, "managedDisk": map[string]any{
					"storageAccountType": "StandardSSD_LRS", "securityProfile": map[string]any{"securityEncryptionType": "VMGuestStateOnly"},
				}},
				"dataDisks": []any{
					map[string]any{"lun": 0.0, "createOption": "Empty", "diskSizeGB": 8.0, "name": "hr-a-data0", "deleteOption": "Delete"},
					map[string]any{"lun": 1.0, "createOption": "Attach", "managedDisk": map[string]any{"id": "/subscriptions/x/disks/tools"}},
				},
			},
			"osProfile": map[string]any{
				"computerName": "hr-a", "adminUsername": "headroom", "adminPassword": "Corr3ct-horse", "customData": "IyEvYmluL3NoCg==",
				"linuxConfiguration": map[string]any{"disablePasswordAuthentication": false, "ssh": map[string]any{"publicKeys": []any{map[string]any{"path": "/home/headroom/.ssh/authorized_keys", "keyData": sshKey}}}},
			},
			"networkProfile": map[string]any{"networkApiVersion": "2022-11-01", "networkInterfaceConfigurations": []any{map[string]any{
				"name": "hr-a-nic", "tags": ours(), "properties": map[string]any{
					"primary": true, "deleteOption": "Delete", "networkSecurityGroup": map[string]any{"id": firewall},
					"ipConfigurations": []any{map[string]any{"name": "primary", "properties": map[string]any{
						"primary": true, "subnet": map[string]any{"id": s.Subnet},
						"publicIPAddressConfiguration": map[string]any{
							"name": "hr-a-ip", "tags": ours(), "sku": map[string]any{"name": "Standard", "tier": "Regional"},
							"properties": map[string]any{"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
						},
					}}},
				},
			}}},
		},
	}
	if diff := cmp.Diff(want, p.Asked(i.ID)); diff != "" {
		t.Errorf("the request:\n%s", diff)
	}
	r, ok := opened(t, s).(provider.Renderer)
	if !ok {
		t.Fatal("shows no requests")
	}
	calls, err := r.Render(t.Context(), req)
	if err != nil || len(calls) != 1 {
		t.Fatalf("render: %v, %v", calls, err)
	}
	text, err := json.Marshal(calls[0].Body)
	if err != nil || strings.Contains(string(text), "Corr3ct") {
		t.Fatalf("the password is shown: %s, %v", text, err)
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	profile, _ := at(want, "properties", "osProfile").(map[string]any)
	profile["adminPassword"] = "***"
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("what is shown is not what is sent:\n%s", diff)
	}
}

// TestModelHolds: what the SDK's types do not know is noticed.
func TestModelHolds(t *testing.T) {
	t.Parallel()
	machine := reflect.TypeFor[armcompute.VirtualMachine]()
	for body, says := range map[string]string{
		`{"location":"x","properties":{"priority":"Spot"}}`:                                 "",
		`{"location":"x","propertys":{}}`:                                                   "unknown member .propertys",
		`{"properties":{"storageProfile":{"osDisk":{"delete":"Delete"}}}}`:                  "unknown member .properties.storageProfile.osDisk.delete",
		`{"properties":{"networkProfile":{"networkInterfaceConfigurations":[{"tag":{}}]}}}`: "unknown member .properties.networkProfile.networkInterfaceConfigurations[0].tag",
		`{"properties":{"priority":1}}`:                                                     "cannot be read",
	} {
		if got := fakeazure.Unknown(machine, []byte(body)); (says == "") != (got == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %q, expected %q", body, got, says)
		}
	}
}
