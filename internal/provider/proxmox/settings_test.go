package proxmox

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/settings"
)

func TestSettingsDefinition(t *testing.T) {
	t.Parallel()
	for _, fault := range settings.CheckDefinition(Settings{}) {
		t.Error(fault)
	}
}

// good is the least that settings need.
func good(more string) string {
	text := `{"host":"pve.example.com","token_id":"headroom@pve!controller","token_secret":"s","template":"base","cores":2,"memory":"4Gi"`
	if more != "" {
		text += "," + more
	}
	return text + "}"
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, more string
		path       string // of the only fault; empty: none
		says       string
	}{
		{name: "least"},
		{name: "everything", more: `"port":443,"node":"pve1","target_nodes":["pve2","pve-3"],"full_clone":false,"vmid_range":"20000-29999","pool":"headroom/a","os_type":"windows","network_bridge":"vmbr0","network_vlan":7,"ssh_public_key":"ssh-ed25519 AAAA me","cloud_init":true,"ip_config":"auto6","name_servers":["9.9.9.9","2620:fe::fe"],"cloud_init_user":"ann","script_path":"C:\\Windows\\Temp","tags":["gpu","team-a"],"config_override":{"cpu":"host","balloon":0,"net1":"virtio,bridge=vmbr1","ipconfig0":null,"numa":true}`},
		{name: "port in plain HTTP", more: `"host":"http://pve.example.com:8006"`, path: "host", says: "use https"},
		{name: "host with a user", more: `"host":"https://root@pve"`, path: "host", says: "is no host"},
		{name: "token without a name", more: `"token_id":"root@pam"`, path: "token_id", says: "user@realm!name"},
		{name: "range backwards", more: `"vmid_range":"2000-1000"`, path: "vmid_range", says: "ends before it begins"},
		{name: "range too low", more: `"vmid_range":"001-200"`, path: "vmid_range", says: "between 100 and 999999999"},
		{name: "range of words", more: `"vmid_range":"all"`, path: "vmid_range", says: "two VMIDs"},
		{name: "our tag", more: `"tags":["headroom-server.x"]`, path: "tags[0]", says: "set by Headroom alone"},
		{name: "tag with capitals", more: `"tags":["GPU"]`, path: "tags[0]", says: "lower-case"},
		{name: "tag that would end the list", more: `"tags":["a;headroom"]`, path: "tags[0]", says: "is no tag"},
		{name: "storage of linked clones", more: `"storage":"fast","full_clone":false`, path: "storage", says: "only for full clones"},
		{name: "VLAN without bridge", more: `"network_vlan":7`, path: "network_vlan", says: "needs network_bridge"},
		{name: "bridge that adds options", more: `"network_bridge":"vmbr0,firewall=0"`, path: "network_bridge", says: ""},
		{name: "relative script path", more: `"script_path":"tmp"`, path: "script_path", says: "absolute path"},
		{name: "script path with quotes", more: `"script_path":"/tmp/'; rm -rf /"`, path: "script_path", says: "without quotes"},
		{name: "Windows path on Linux", more: `"script_path":"C:\\Temp"`, path: "script_path", says: "absolute path"},
		{name: "name server by name", more: `"name_servers":["dns.example.com"]`, path: "name_servers[0]", says: "no IP address"},
		{name: "user without cloud-init", more: `"cloud_init":false,"cloud_init_user":"ann"`, path: "cloud_init_user", says: "no effect"},
		{name: "node with a path", more: `"target_nodes":["../x"]`, path: "target_nodes[0]", says: "no name of a node"},
		{name: "unknown option", more: `"config_override":{"corse":4}`, path: "config_override.corse", says: "cores"},
		{name: "unknown numbered option", more: `"config_override":{"nett0":"virtio"}`, path: "config_override.nett0", says: "unknown"},
		{name: "option without its number", more: `"config_override":{"net":"virtio"}`, path: "config_override.net", says: "unknown"},
		{name: "compound option as an object", more: `"config_override":{"net0":{"bridge":"vmbr0"}}`, path: "config_override.net0", says: "must be text"},
		{name: "a mapped device", more: `"config_override":{"hostpci0":"mapping=gpu,pcie=1","usb0":"mapping=key","usb1":"spice","hookscript":null}`},
		{name: "a device of the host", more: `"config_override":{"hostpci0":"0000:01:00.0,pcie=1"}`, path: "config_override.hostpci0", says: "mapping=NAME"},
		{name: "a USB device of the host", more: `"config_override":{"usb3":"host=1234:5678"}`, path: "config_override.usb3", says: "/mapping/usb/NAME"},
		{name: "arguments", more: `"config_override":{"args":"-cpu host"}`, path: "config_override.args", says: "only root may"},
		{name: "our marks", more: `"config_override":{"tags":"x"}`, path: "config_override.tags", says: "cannot be overridden"},
		{name: "our notes", more: `"config_override":{"description":"x"}`, path: "config_override.description", says: "cannot be overridden"},
		{name: "password", more: `"config_override":{"cipassword":"x"}`, path: "config_override.cipassword", says: "no place for secrets"},
		{name: "huge override", more: `"config_override":{"smbios1":"` + strings.Repeat("x", 4000) + `"}`, path: "config_override", says: "are the most"},
		{name: "rubbish bundle", more: `"ca_bundle":"rubbish"`, path: "ca_bundle", says: "no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var doc map[string]any
			if err := json.Unmarshal([]byte(good(c.more)), &doc); err != nil { // the last of two keys counts
				t.Fatal(err)
			}
			text, _ := json.Marshal(doc)
			var s Settings
			found := settings.DecodeJSON(text, &s, settings.Options{})
			var paths []string
			for _, f := range found {
				paths = append(paths, f.Path)
				if !strings.Contains(strings.ToLower(f.Message), strings.ToLower(c.says)) {
					t.Errorf("the message does not say %q: %s", c.says, f.Message)
				}
			}
			var want []string
			if c.path != "" {
				want = []string{c.path}
			}
			if diff := cmp.Diff(want, paths); diff != "" {
				t.Errorf("faults %v:\n%s", found, diff)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"pve":                               "https://pve:8006/api2/json",
		"10.0.0.1":                          "https://10.0.0.1:8006/api2/json",
		"2001:db8::1":                       "https://[2001:db8::1]:8006/api2/json",
		"pve:443":                           "https://pve:443/api2/json",
		"https://pve/":                      "https://pve:8006/api2/json",
		"https://proxy:8443/pve/api2/json/": "https://proxy:8443/pve/api2/json",
	} {
		got, err := Settings{Host: host}.endpoint()
		if err != nil || got != want {
			t.Errorf("endpoint of %s is %s, %v; expected %s", host, got, err, want)
		}
	}
}

// TestOptionsAreTheSchemas holds our table of options against Proxmox VE's.
func TestOptionsAreTheSchemas(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, name := range schema(t).Parameters("PUT", "/nodes/{node}/qemu/{vmid}/config") {
		known[strings.Replace(name, "[n]", "#", 1)] = true
	}
	for name := range options {
		if !known[name] {
			t.Errorf("Proxmox VE has no option %s", name)
		}
	}
	for name := range known {
		_, ok := options[name]
		if _, not := reserved[name]; !ok && !not && name != "unused#" && name != "import-working-storage" {
			t.Errorf("option %s of Proxmox VE is not in the table", name)
		}
	}
}
