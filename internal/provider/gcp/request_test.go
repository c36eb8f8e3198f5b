package gcp_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
)

// TestScriptKeys: by what the settings say, and by the script where they say
// nothing.
func TestScriptKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ system, language, script, key string }{
		{"linux", "", "#!/bin/sh\n", "startup-script"},
		{"linux", "bash", "echo\n", "startup-script"},
		{"linux", "", "#cloud-config\npackages: [docker.io]\n", "user-data"},
		{"windows", "", "Write-Host x\r\n", "windows-startup-script-ps1"},
		{"windows", "", "@echo off\r\n", "windows-startup-script-cmd"},
		{"windows", "bat", "@echo off\r\n", "windows-startup-script-bat"},
		{"windows", "ps1", "@echo off\r\n", "windows-startup-script-ps1"},
		{"", "cmd", "dir\r\n", "windows-startup-script-cmd"},
		{"", "bash", "$x = 1\n", "startup-script"},
		{"", "", "#!/bin/bash\nNAME=x\nSet-Something\n", "startup-script"},
		{"", "", "apt-get update\nexport X=1\n", "startup-script"},
		{"", "", "install-packages docker\n", "startup-script"},
		{"", "", "#ps1_sysnative\nx\n", "windows-startup-script-ps1"},
		{"", "", "# no first line tells\r\n$ErrorActionPreference = 'Stop'\r\n", "windows-startup-script-ps1"},
		{"", "", "[Net.ServicePointManager]::SecurityProtocol = 3072\r\n", "windows-startup-script-ps1"},
		{"", "", "param(\n$x)\n", "windows-startup-script-ps1"},
		{"", "", "Invoke-WebRequest https://example.com\r\n", "windows-startup-script-ps1"},
		{"", "", "@echo off\r\n", "windows-startup-script-cmd"},
	} {
		s, p := project(t)
		s.OSType, s.StartupScriptType, s.Metadata = c.system, c.language, map[string]string{"enable-oslogin": "TRUE"}
		req := request("a")
		req.Bootstrap.UserData = []byte(c.script)
		i, err := opened(t, s).Create(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{c.key: c.script, "enable-oslogin": "TRUE"}, metadata(p, i.ID)); diff != "" {
			t.Errorf("%+v:\n%s", c, diff)
		}
	}
	s, _ := project(t)
	req := request("a")
	req.Bootstrap.UserData = []byte{0xff, 0xfe}
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a script that is no text: %v", err)
	}
}

// TestWholeRequest: everything that the settings can say, to the last field.
func TestWholeRequest(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	s.Network, s.PublicIP, s.NetworkTags, s.BootDiskSize, s.DiskType = "office", true, []string{"desk"}, 40, "pd-ssd"
	s.Labels, s.CMEK, s.ProvisioningModel = map[string]string{"team": "desk"}, "projects/k/locations/europe-west3/keyRings/r/cryptoKeys/c", "spot"
	s.ServiceAccount = gcp.ServiceAccount{Email: "default", Scopes: []string{"logging.write"}}
	s.GuestAccelerators = []gcp.Accelerator{{Type: "nvidia-tesla-t4", Count: 2}}
	s.ConfigOverride = map[string]any{
		"shieldedInstanceConfig": map[string]any{"enableSecureBoot": true, "enableVtpm": false}, "labels": map[string]any{"cost": "7"},
		"disks": []any{
			map[string]any{"boot": true, "autoDelete": false, "initializeParams": map[string]any{"sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskType": "projects/" + p.ID + "/zones/europe-west3-b/diskTypes/pd-ssd", "diskSizeGb": 50}},
			map[string]any{"initializeParams": map[string]any{"diskSizeGb": "10", "labels": map[string]any{"headroom-server": "stolen"}}},
			map[string]any{"source": "projects/x/zones/europe-west3-b/disks/tools", "mode": "READ_ONLY"},
		},
	}
	for _, f := range s.Validate() {
		t.Error(f)
	}
	req := request("a")
	req.Offer = "n1-standard-4@europe-west3-b"
	i, err := opened(t, s).Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	asked := p.Asked(placeOf(i.ID))
	ours := map[string]any{"headroom-installation": "01ji", "headroom-provider": "p", "headroom-autoscale": "c", "headroom-server": "a", "team": "desk"}
	all := map[string]any{"cost": "7"}
	for key, value := range ours {
		all[key] = value
	}
	zone := "projects/" + p.ID + "/zones/europe-west3-b/"
	want := map[string]any{
		"name": "hr-a", "machineType": zone + "machineTypes/n1-standard-4", "labels": all,
		"disks": []any{
			map[string]any{"boot": true, "autoDelete": true, "initializeParams": map[string]any{"sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskType": zone + "diskTypes/pd-ssd", "diskSizeGb": "50", "labels": ours}},
			map[string]any{"autoDelete": true, "initializeParams": map[string]any{"diskSizeGb": "10", "labels": ours}},
			map[string]any{"source": "projects/x/zones/europe-west3-b/disks/tools", "mode": "READ_ONLY"},
		},
		"networkInterfaces": []any{map[string]any{
			"network": "projects/" + p.ID + "/global/networks/office", "subnetwork": "projects/" + p.ID + "/regions/europe-west3/subnetworks/desktops",
			"accessConfigs": []any{map[string]any{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}},
		}},
		"tags": map[string]any{"items": []any{"desk"}}, "metadata": map[string]any{"items": []any{map[string]any{"key": "startup-script", "value": "#!/bin/sh\n"}}},
		"serviceAccounts":        []any{map[string]any{"email": "default", "scopes": []any{"https://www.googleapis.com/auth/logging.write"}}},
		"guestAccelerators":      []any{map[string]any{"acceleratorType": zone + "acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 2.0}},
		"scheduling":             map[string]any{"onHostMaintenance": "TERMINATE", "provisioningModel": "SPOT", "instanceTerminationAction": "DELETE", "automaticRestart": false},
		"shieldedInstanceConfig": map[string]any{"enableSecureBoot": true, "enableVtpm": false},
	}
	if diff := cmp.Diff(want, asked); diff != "" {
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
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("what is shown is not what is sent:\n%s", diff)
	}
}

// TestModelHolds: the discovery documents really refuse what the API does not
// take.
func TestModelHolds(t *testing.T) {
	t.Parallel()
	model, err := theModel()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"name":"x"}`, ""},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances?requestid=1", `{"name":"x"}`, "unknown query parameter requestid"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"nam":"x"}`, "unknown field nam"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"id":"1"}`, "id can only be read"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"disks":[{"diskSizeGb":20}]}`, "disks[0].diskSizeGb is 20, expected text"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"disks":[{"mode":"READ"}]}`, "expected one of READ_ONLY"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"tags":["x"]}`, "expected an object"},
		{"GET", "/compute/v1/projects/desktops/zones/EUROPE/instances/x", "", "path parameter zone"},
		{"GET", "/compute/v1/projects/desktops/aggregated/instances?maxResults=many", "", "a whole number"},
		{"PUT", "/compute/v1/projects/desktops/aggregated/instances", "", "no method answers"},
		{"POST", "/dns/v1/projects/desktops/managedZones/z/changes", `{"additions":[{"ttl":"60"}]}`, "expected a number"},
		{"POST", "/v3/projects/desktops:testIamPermissions", `{"permissions":["x"]}`, ""},
	} {
		_, wrong := model.Request(httptest.NewRequest(c.method, c.path, nil), []byte(c.body))
		if found := slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, c.says) }); (c.says == "") != (len(wrong) == 0) || c.says != "" && !found {
			t.Errorf("%s %s %s: %v, expected %q", c.method, c.path, c.body, wrong, c.says)
		}
	}
}
