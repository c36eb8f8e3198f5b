package openstack

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	for _, wrong := range settings.CheckDefinition(Settings{}) {
		t.Error(wrong)
	}
}

// valid are settings without a fault.
func valid() map[string]any {
	return map[string]any{
		"auth_url": "https://cloud.example.com:5000/v3", "application_credential_id": "id", "application_credential_secret": "secret",
		"flavor": "small", "image": "debian", "network": "machines",
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	const clouds = "clouds:\n  a:\n    auth: {auth_url: 'https://x/v3', username: u, password: SESAME, project_name: p, user_domain_name: d}\n"
	for name, tc := range map[string]struct {
		change map[string]any // nil removes
		path   string         // empty: valid
		says   string
	}{
		"as it is":                 {nil, "", ""},
		"no URL":                   {map[string]any{"auth_url": nil}, "auth_url", "required"},
		"URL without a scheme":     {map[string]any{"auth_url": "cloud.example.com:5000"}, "auth_url", "https://"},
		"URL with a password":      {map[string]any{"auth_url": "https://me:secret@cloud/v3"}, "auth_url", "credentials"},
		"endpoint with a query":    {map[string]any{"nova_endpoint": "https://cloud/v2.1?x=y"}, "nova_endpoint", "path"},
		"password beside":          {map[string]any{"password": "x"}, "password", "auth_method"},
		"password alone":           {map[string]any{"auth_method": "password", "application_credential_id": nil, "application_credential_secret": nil, "username": "u", "password": "p"}, "project_name", "required"},
		"password":                 {map[string]any{"auth_method": "password", "application_credential_id": nil, "application_credential_secret": nil, "username": "u", "password": "p", "project_name": "x"}, "", ""},
		"old nova":                 {map[string]any{"nova_microversion": "2.40"}, "nova_microversion", "2.47"},
		"microversion in words":    {map[string]any{"nova_microversion": "latest"}, "nova_microversion", "2.69"},
		"volume without a size":    {map[string]any{"boot_from_volume": true}, "volume_size", "required"},
		"size without a volume":    {map[string]any{"volume_size": 10}, "volume_size", "boot_from_volume"},
		"our metadata":             {map[string]any{"metadata": map[string]any{"headroom-server": "x"}}, "metadata.headroom-server", "headroom-"},
		"long metadata":            {map[string]any{"metadata": map[string]any{"x": strings.Repeat("ä", 256)}}, "metadata.x", "255"},
		"rubbish in a key":         {map[string]any{"metadata": map[string]any{"ä/b": "x"}}, "metadata.ä/b", "character"},
		"groups without network":   {map[string]any{"network": "none", "security_groups": []any{"a"}}, "security_groups", "network"},
		"pool without network":     {map[string]any{"network": "none", "floating_ip_pool": "outside"}, "floating_ip_pool", "network"},
		"unknown override":         {map[string]any{"config_override": map[string]any{"flavour": "x"}}, "config_override.flavour", "flavorRef"},
		"name overridden":          {map[string]any{"config_override": map[string]any{"name": "x"}}, "config_override.name", "overridden"},
		"count overridden":         {map[string]any{"config_override": map[string]any{"server": map[string]any{"max_count": 5}}}, "config_override.server.max_count", "one machine"},
		"marks overridden":         {map[string]any{"config_override": map[string]any{"metadata": map[string]any{"headroom-server": "x"}}}, "config_override.metadata.headroom-server", "overridden"},
		"marks removed":            {map[string]any{"config_override": map[string]any{"metadata": map[string]any{"headroom-server": nil}}}, "config_override.metadata.headroom-server", "overridden"},
		"number in metadata":       {map[string]any{"config_override": map[string]any{"metadata": map[string]any{"x": 4}}}, "config_override.metadata.x", "quotes"},
		"network in words":         {map[string]any{"config_override": map[string]any{"networks": "all"}}, "config_override.networks", "auto"},
		"network with a typo":      {map[string]any{"config_override": map[string]any{"networks": []any{map[string]any{"uid": "x"}}}}, "config_override.networks[0].uid", "uuid"},
		"network that is text":     {map[string]any{"config_override": map[string]any{"networks": []any{"x"}}}, "config_override.networks[0]", "object"},
		"list for an object":       {map[string]any{"config_override": map[string]any{"server": []any{}}}, "config_override.server", "object"},
		"hints in the wrong place": {map[string]any{"config_override": map[string]any{"os:scheduler_hints": map[string]any{}}}, `config_override["os:scheduler_hints"]`, "beside it"},
		"hints within the server":  {map[string]any{"config_override": map[string]any{"server": map[string]any{"OS-SCH-HNT:scheduler_hints": map[string]any{}}}}, `config_override.server["OS-SCH-HNT:scheduler_hints"]`, "beside it"},
		"many from the field": {map[string]any{"config_override": map[string]any{
			"server": map[string]any{
				"metadata": map[string]any{"owner": "team-a"}, "tags": []any{"desktops"}, "config_drive": true, "OS-DCF:diskConfig": "MANUAL", "hypervisor_hostname": "node-1.example.com",
				"networks": []any{map[string]any{"port": "c0f1a2b3-0000-4000-8000-000000000001", "tag": "nic0"}}, "security_groups": []any{map[string]any{"name": "web"}},
				"block_device_mapping_v2": []any{
					map[string]any{"boot_index": 0, "uuid": "c0f1a2b3-0000-4000-8000-000000000002", "source_type": "image", "destination_type": "local"},
					map[string]any{"boot_index": -1, "source_type": "blank", "destination_type": "volume", "volume_size": 50, "volume_type": "ssd", "delete_on_termination": true},
				},
			},
			"os:scheduler_hints": map[string]any{"group": "c0f1a2b3-0000-4000-8000-000000000003", "different_host": []any{"a", "b"}, "query": `[">=","$free_ram_mb",1024]`},
		}}, "", ""},
		"hints":                    {map[string]any{"config_override": map[string]any{"server": map[string]any{}, "os:scheduler_hints": map[string]any{"group": "x"}}}, "", ""},
		"something beside server":  {map[string]any{"config_override": map[string]any{"server": map[string]any{}, "extra": map[string]any{}}}, "config_override.extra", "os:scheduler_hints"},
		"clouds.yaml":              {cloudsOf(clouds, "a"), "", ""},
		"another cloud":            {cloudsOf(clouds, "b"), "clouds_yaml", "there are a"},
		"no YAML":                  {cloudsOf("clouds: [SESAME", "a"), "clouds_yaml", "line"},
		"another file":             {cloudsOf("version: SESAME", "a"), "clouds_yaml", "has no clouds"},
		"clouds.yaml with a file":  {cloudsOf(clouds+"    cacert: /etc/passwd\n", "a"), "clouds_yaml", "ca_bundle"},
		"clouds.yaml, profile":     {cloudsOf(clouds+"    profile: vexxhost\n", "a"), "clouds_yaml", "profile"},
		"clouds.yaml, token":       {cloudsOf("clouds: {a: {auth: {auth_url: 'https://x', token: SESAME}}}", "a"), "clouds_yaml", "expires"},
		"clouds.yaml, nothing":     {cloudsOf("clouds: {a: {auth: {auth_url: 'https://x'}}}", "a"), "clouds_yaml", "neither"},
		"clouds.yaml, unverified":  {cloudsOf(clouds+"    verify: false\n", "a"), "clouds_yaml", "insecure_skip_verify"},
		"clouds.yaml, Kerberos":    {cloudsOf(clouds+"    auth_type: v3kerberos\n", "a"), "clouds_yaml", "v3kerberos"},
		"a certificate of rubbish": {map[string]any{"ca_bundle": "x"}, "ca_bundle", "BEGIN CERTIFICATE"},
	} {
		doc := valid()
		for key, value := range tc.change {
			if value == nil {
				delete(doc, key)
			} else {
				doc[key] = value
			}
		}
		var s Settings
		wrong := settings.DecodeMap(doc, &s, settings.Options{})
		if tc.path == "" {
			if len(wrong) > 0 {
				t.Errorf("%s: %v", name, wrong)
			}
			continue
		}
		found := false
		for _, w := range wrong {
			text := w.Path + " " + w.Message
			found = found || strings.HasSuffix(w.Path, tc.path) && strings.Contains(w.Message, tc.says)
			if strings.Contains(text, "SESAME") {
				t.Errorf("%s: a secret is shown: %s", name, text)
			}
		}
		if !found {
			t.Errorf("%s: %v, expected %s: …%s…", name, wrong, tc.path, tc.says)
		}
	}
}

func cloudsOf(text, cloud string) map[string]any {
	return map[string]any{"auth_method": "clouds_yaml", "clouds_yaml": text, "cloud": cloud, "auth_url": nil, "application_credential_id": nil, "application_credential_secret": nil}
}

// What an override must not change stays as it is, whatever got past the checks.
func TestProtectedFromOverride(t *testing.T) {
	t.Parallel()
	s := Settings{
		Network: networkNone, Metadata: map[string]string{"team": "a"}, KeyName: "admins",
		ConfigOverride: map[string]any{
			"name": "other", "user_data": "b3RoZXI=", "metadata": map[string]any{"headroom-server": "other", "team": "b", "more": "c"}, "key_name": nil,
			"block_device_mapping_v2": []any{
				map[string]any{"source_type": "blank", "destination_type": "volume", "volume_size": 1.0, "delete_on_termination": false},
				map[string]any{"source_type": "volume", "destination_type": "volume", "uuid": "there-before"},
			},
		},
	}
	req := provider.Request{Name: "hr-a", Tags: provider.Tags{Installation: "i", Provider: "p", Server: "s", AutoscaleConfig: "a"}}
	req.Bootstrap.UserData = []byte("echo")
	made, err := s.serverBody(req, parts{flavor: "f", image: "m"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"server": map[string]any{
		"name": "hr-a", "user_data": "ZWNobw==", "flavorRef": "f", "imageRef": "m", "networks": "none", "config_drive": true,
		"metadata": map[string]any{
			"headroom-installation": "i", "headroom-provider": "p", "headroom-server": "s", "headroom-autoscale": "a", "team": "b", "more": "c",
		},
		"block_device_mapping_v2": []any{
			map[string]any{"source_type": "blank", "destination_type": "volume", "volume_size": 1.0, "delete_on_termination": true},
			map[string]any{"source_type": "volume", "destination_type": "volume", "uuid": "there-before"},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request:\n%s", diff)
	}
}
