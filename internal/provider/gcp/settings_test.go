package gcp_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	for _, v := range []any{&gcp.Settings{}, &gcp.DNSSettings{}} {
		for _, p := range settings.CheckDefinition(v) {
			t.Error(p)
		}
	}
}

// with is a document of settings that are good but for what is changed.
func with(changes map[string]any) string {
	doc := map[string]any{
		"project": "desktops-prod", "zones": []string{"europe-west3-a"}, "machine_type": []string{"e2-standard-4"}, "image": "debian-cloud/debian-12", "subnetwork": "desktops",
	}
	for key, value := range changes {
		doc[key] = value
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	override := func(doc map[string]any) map[string]any { return map[string]any{"config_override": doc} }
	for _, c := range []struct {
		changes map[string]any
		path    string
		says    string
	}{
		{map[string]any{}, "", ""},
		{map[string]any{"project": "12345"}, "project", "id of a project"},
		{map[string]any{"project": "Desktops Prod"}, "project", "id of a project"},
		{map[string]any{"project": "example.com:desktops"}, "", ""},
		{map[string]any{"zones": []string{"europe-west3"}}, "zones[0]", "a region and a letter"},
		{map[string]any{"zones": []string{"europe-west3-a", "europe-west1-b"}}, "zones[1]", "all zones must be in one region"},
		{map[string]any{"zones": []string{}}, "zones", ""},
		{map[string]any{"zones": []string{"us-east4-a"}, "region": "europe-west3"}, "zones[0]", "not in region europe-west3"},
		{map[string]any{"machine_type": []string{"zones/europe-west3-a/machineTypes/e2-standard-4"}}, "machine_type[0]", "its name alone"},
		{map[string]any{"machine_type": []string{"n2-custom-4-8192"}}, "", ""},
		{map[string]any{"image": "Debian 12"}, "image", "is no image"},
		{map[string]any{"image": "https://www.googleapis.com/compute/v1/projects/debian-cloud/global/images/family/debian-12"}, "", ""},
		{map[string]any{"image": strings.Repeat("ä", 100)}, "image", "is no image"},
		{map[string]any{"subnetwork": "projects/host-project/regions/us-east4/subnetworks/x"}, "subnetwork", "the zones are in europe-west3"},
		{map[string]any{"subnetwork": "projects/host-project/regions/europe-west3/subnetworks/x"}, "", ""},
		{map[string]any{"subnetwork": "10.0.0.0/8"}, "subnetwork", "is no subnetwork"},
		{map[string]any{"network": "a b"}, "network", "is no network"},
		{map[string]any{"disk_type": "PD SSD"}, "disk_type", ""},
		{map[string]any{"cmek": "my-key"}, "cmek", "keyRings"},
		{map[string]any{"network_tags": []string{"Web"}}, "network_tags[0]", "lower-case"},
		{map[string]any{"labels": map[string]string{"Team": "x"}}, "labels.Team", "is no key"},
		{map[string]any{"labels": map[string]string{"team": "Über"}}, "labels.team", "is no value"},
		{map[string]any{"labels": map[string]string{"headroom-server": "x"}}, "labels.headroom-server", "Headroom's own"},
		{map[string]any{"metadata": map[string]string{"startup-script": "x"}}, "metadata.startup-script", "startup_script"},
		{map[string]any{"metadata": map[string]string{"a b": "x"}}, "metadata.a b", "is no metadata key"},
		{map[string]any{"metadata": map[string]string{"big": strings.Repeat("x", 256<<10+1)}}, "metadata", "larger than"},
		{map[string]any{"metadata": map[string]string{"a": strings.Repeat("x", 200<<10), "b": strings.Repeat("x", 200<<10)}}, "metadata", "beside a startup script"},
		{map[string]any{"service_account": map[string]any{"scopes": []string{"cloud-platform"}}}, "service_account.email", "is missing"},
		{map[string]any{"service_account": map[string]any{"email": "default", "scopes": []string{"Cloud Platform"}}}, "service_account.scopes[0]", "is no scope"},
		{map[string]any{"guest_accelerators": []any{map[string]any{"type": "nvidia-tesla-t4", "count": 0}}}, "guest_accelerators[0].count", ""},
		{map[string]any{"guest_accelerators": []any{map[string]any{"type": "nvidia-tesla-t4", "count": 99}}}, "guest_accelerators[0].count", ""},
		{map[string]any{"os_type": "linux", "startup_script_type": "ps1"}, "startup_script_type", "does not run on linux"},
		{map[string]any{"os_type": "windows", "startup_script_type": "bash"}, "startup_script_type", "does not run on windows"},
		{map[string]any{"provisioning_model": "preemptible"}, "provisioning_model", ""},
		{map[string]any{"endpoint": "googleapis.com"}, "endpoint", "base URL"},
		{map[string]any{"credentials": "AIza…"}, "credentials", "no JSON"},
		{map[string]any{"credentials": `{"type":"authorized_user"}`}, "credentials", "not the key of a service account"},
		{map[string]any{"credentials": `{"type":"service_account","client_email":"a@b","private_key":"x"}`}, "credentials", "no PEM"},
		{map[string]any{"credentials": `{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n","token_uri":"http://evil"}`}, "credentials", "token_uri"},
		{override(map[string]any{"shieldedInstanceConfig": map[string]any{"enableSecureBot": true}}), "config_override.shieldedInstanceConfig.enableSecureBot", "enableSecureBoot"},
		{override(map[string]any{"scheduling": "TERMINATE"}), "config_override.scheduling", "an object"},
		{override(map[string]any{"disks": []any{map[string]any{"diskSizeGb": 20}}}), "", ""},
		{override(map[string]any{"disks": []any{map[string]any{"diskSizeGb": "20"}}}), "", ""},
		{override(map[string]any{"disks": []any{map[string]any{"diskSizeGb": "much"}}}), "config_override.disks[0].diskSizeGb", "a number"},
		{override(map[string]any{"scheduling": map[string]any{"automaticRestart": "no"}}), "config_override.scheduling.automaticRestart", ""},
		{override(map[string]any{"name": "x"}), "config_override.name", "leave it out"},
		{override(map[string]any{"machineType": "x"}), "config_override.machineType", "machine_type"},
		{override(map[string]any{"deletionProtection": true}), "config_override.deletionProtection", "deleted"},
		{override(map[string]any{"labels": map[string]any{"headroom-provider": "x"}}), "config_override.labels.headroom-provider", "own"},
		{override(map[string]any{"metadata": map[string]any{"items": []any{map[string]any{"key": "startup-script", "value": "x"}}}}), "config_override.metadata.items[0]", "startup_script"},
		{override(map[string]any{"ForceSendFields": []any{"Name"}}), "config_override.ForceSendFields", ""},
		{override(map[string]any{"confidentialInstanceConfig": map[string]any{}, "canIpForward": false, "serviceAccounts": []any{}, "resourcePolicies": nil}), "", ""},
	} {
		found := settings.DecodeJSON([]byte(with(c.changes)), &gcp.Settings{}, settings.Options{})
		switch {
		case c.path == "" && len(found) > 0:
			t.Errorf("%v: found %v, expected nothing", c.changes, found)
		case c.path != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Path, c.path) || !strings.Contains(found[0].Message, c.says)):
			t.Errorf("%.200v: found %.500v, expected one fault at %s that says %q", c.changes, found, c.path, c.says)
		}
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]fleet.Resources{
		"e2-standard-4": {Cores: 4 * fleet.Core, MemoryMiB: 16384}, "n1-highmem-2": {Cores: 2 * fleet.Core, MemoryMiB: 13312}, "n2-custom-4-8192": {Cores: 4 * fleet.Core, MemoryMiB: 8192},
		"custom-2-4096": {Cores: 2 * fleet.Core, MemoryMiB: 4096}, "c3-standard-8-lssd": {Cores: 8 * fleet.Core, MemoryMiB: 32768}, "n2-custom-8-204800-ext": {Cores: 8 * fleet.Core, MemoryMiB: 204800},
		"m1-ultramem-40": {Cores: 40 * fleet.Core}, "a2-highgpu-1g": {}, "e2-micro": {},
	} {
		s := gcp.Settings{MachineType: []string{name}}
		if diff := cmp.Diff(want, s.Shape()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	s := gcp.Settings{MachineType: []string{"n1-standard-4"}, GuestAccelerators: []gcp.Accelerator{{Type: "nvidia-tesla-t4", Count: 2}}}
	if s.Shape().GPUs != 2 {
		t.Errorf("two GPUs are %v", s.Shape())
	}
	windows := gcp.Settings{StartupScriptType: "ps1"}
	if c := gcp.Kind().Channel(&windows); c.System != startup.Windows || c.Limit != 256<<10 {
		t.Errorf("the channel of PowerShell is %+v", c)
	}
}

func TestWarnsOfGuessedScripts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    gcp.Settings
		want int
	}{{gcp.Settings{}, 1}, {gcp.Settings{OSType: "linux"}, 0}, {gcp.Settings{StartupScriptType: "ps1"}, 0}} {
		if got := c.s.Warnings(); len(got) != c.want || c.want == 1 && !strings.HasPrefix(got[0], "os_type: ") {
			t.Errorf("%+v: %q", c.s, got)
		}
	}
}
