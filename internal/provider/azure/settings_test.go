package azure_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestSettingsDefinition(t *testing.T) {
	t.Parallel()
	for _, v := range []any{&azure.Settings{}, &azure.DNSSettings{}} {
		for _, p := range settings.CheckDefinition(v) {
			t.Error(p)
		}
	}
}

// TestSettingsFaults: each mistake is found at its field, and no secret is quoted.
func TestSettingsFaults(t *testing.T) {
	t.Parallel()
	on := true
	off := false
	override := func(path string, value any) func(*azure.Settings) {
		return func(s *azure.Settings) {
			doc := value
			keys := strings.Split(path, ".")
			for _, key := range slices.Backward(keys) {
				doc = map[string]any{key: doc}
			}
			s.ConfigOverride, _ = doc.(map[string]any)
		}
	}
	for _, c := range []struct {
		change func(*azure.Settings)
		path   string
		says   string
	}{
		{func(s *azure.Settings) { s.TenantID = "" }, "tenant_id", "required with client_secret"},
		{func(s *azure.Settings) { s.ClientID = "" }, "client_id", "required with client_secret"},
		{func(s *azure.Settings) { s.Endpoint = "http://management.example.com" }, "endpoint", "https://"},
		{func(s *azure.Settings) { s.AuthorityHost = "login.example.com" }, "authority_host", "https://"},
		{func(s *azure.Settings) { s.CABundle = "x" }, "ca_bundle", "no certificate"},
		{func(s *azure.Settings) { s.VMSize = []string{"D4s"} }, "vm_size[0]", "Standard_D4s_v5"},
		{func(s *azure.Settings) { s.Image = "ubuntu" }, "image", "PUBLISHER:OFFER"},
		{func(s *azure.Settings) { s.Image = "/subscriptions/x/images/y" }, "image", "PUBLISHER:OFFER"},
		{func(s *azure.Settings) { s.Subnet = "desktops" }, "subnet", "VNET/SUBNET"},
		{func(s *azure.Settings) { s.NetworkSecurityGroup = "a/b" }, "network_security_group", "its name"},
		{func(s *azure.Settings) { s.Plan.Name = "standard" }, "plan", "name, product and publisher"},
		{func(s *azure.Settings) { s.OSUsername = "Root" }, "os_username", "refused"},
		{func(s *azure.Settings) { s.OSUsername = "Übung" }, "os_username", "Linux"},
		{func(s *azure.Settings) { windows(s); s.OSUsername = "a@b" }, "os_username", "Windows"},
		{func(s *azure.Settings) { windows(s); s.OSUsername = "headroom-administrator" }, "os_username", "20 characters"},
		{func(s *azure.Settings) { windows(s); s.OSPassword = "" }, "os_password", "required with windows"},
		{func(s *azure.Settings) { windows(s); s.OSPassword = "Sh0rt!" }, "os_password", "8 to 123"},
		{func(s *azure.Settings) { s.OSPassword = "longbutplain" }, "os_password", "three of the kinds"},
		{func(s *azure.Settings) { s.SSHPublicKey = "" }, "ssh_public_key", "os_password is required"},
		{func(s *azure.Settings) { s.SSHPublicKey = "-----BEGIN" }, "ssh_public_key", "no public key"},
		{func(s *azure.Settings) { s.Tags = map[string]string{"Headroom-Server": "x"} }, "tags.Headroom-Server", "Headroom's own"},
		{func(s *azure.Settings) { s.Tags = map[string]string{"a/b": "x"} }, "tags.a/b", "no name of a tag"},
		{func(s *azure.Settings) { s.Tags = map[string]string{"Team": "x", "team": "y"} }, "tags.team", "ignores case"},
		{func(s *azure.Settings) { s.Tags = map[string]string{"a": strings.Repeat("x", 257)} }, "tags.a", "256"},
		{func(s *azure.Settings) { s.SecureBoot = &on }, "secure_boot", "TrustedLaunch"},
		{func(s *azure.Settings) { s.SecurityType, s.VTPM = "ConfidentialVM", &off }, "vtpm", "cannot be off"},
		{override("properties.priorty", "Spot"), "config_override.properties.priorty", `priority`},
		{override("properties.Priority", "Spot"), "config_override.properties.Priority", "is spelled priority"},
		{override("properties.priority", 1), "config_override.properties.priority", "where Azure's API wants text"},
		{override("properties.storageProfile.dataDisks", map[string]any{}), "config_override.properties.storageProfile.dataDisks", "wants a list"},
		{override("properties.storageProfile.dataDisks", []any{map[string]any{"lun": "0"}}), "config_override.properties.storageProfile.dataDisks[0].lun", "wants a number"},
		{override("tags.headroom-server", "x"), "config_override.tags.headroom-server", "Headroom's own"},
		{override("location", "eastus"), "config_override.location", "chosen by region"},
		{override("zones", []any{"1"}), "config_override.zones", "availability_zones"},
		{override("properties.hardwareProfile.vmSize", "Standard_D2s_v5"), "config_override.properties.hardwareProfile.vmSize", "vm_size"},
		{override("properties.osProfile.customData", "x"), "config_override.properties.osProfile.customData", "startup_script"},
		{override("properties.osProfile.adminPassword", "x"), "config_override.properties.osProfile.adminPassword", "os_password"},
		{override("properties.provisioningState", "Succeeded"), "config_override.properties.provisioningState", "only be read"},
		{override("properties", nil), "config_override.properties", "cannot be removed"},
		{override("properties.diskControllerTyp", nil), "config_override.properties.diskControllerTyp", "unknown key"},
	} {
		s, _ := subscription(t)
		c.change(s)
		found := false
		for _, f := range s.Validate() {
			found = found || f.Path == c.path && strings.Contains(f.Message, c.says)
			if f.Path != c.path {
				t.Errorf("%s: another fault: %+v", c.path, f)
			}
			if s.OSPassword != "" && f.Value == s.OSPassword {
				t.Errorf("%s: the password is quoted", c.path)
			}
		}
		if !found {
			t.Errorf("%s: %v, expected %q", c.path, s.Validate(), c.says)
		}
	}
	s, _ := subscription(t)
	s.SSHPublicKey = ""
	override("properties.osProfile", nil)(s)
	for _, f := range s.Validate() {
		t.Errorf("a specialised image: %+v", f)
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	for size, want := range map[string][2]int64{
		"Standard_D4s_v5": {4, 16384}, "Standard_D4as_v5": {4, 16384}, "Standard_D8ls_v5": {8, 16384}, "Standard_E8-4s_v5": {4, 65536}, "Standard_F8s_v2": {8, 16384},
		"Standard_DC2as_v5": {2, 8192}, "Standard_E16bds_v5": {16, 131072}, "Standard_NC24ads_A100_v4": {24, 0}, "Standard_DS3": {0, 0}, "Standard_D2_v2": {0, 0}, "Standard_F4as_v6": {4, 16384},
		"Standard_F4als_v6": {4, 8192}, "Standard_F4ams_v6": {4, 32768}, "Standard_B2s": {2, 0}, "Standard_B4as_v2": {4, 16384}, "nonsense": {0, 0},
	} {
		got := (&azure.Settings{VMSize: []string{size}}).Shape()
		if int64(got.Cores)/1000 != want[0] || got.MemoryMiB != want[1] {
			t.Errorf("%s: %+v, expected %v", size, got, want)
		}
	}
}
