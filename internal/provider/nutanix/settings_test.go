package nutanix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl admin@example.com"

// minimal are the fewest settings that work.
func minimal(more map[string]any) map[string]any {
	all := map[string]any{"host": "prism.example.com", "username": "u", "password": "p", "vm_candidate": "golden"}
	for key, value := range more {
		if all[key] = value; value == nil {
			delete(all, key)
		}
	}
	return all
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, wrong := range settings.CheckDefinition(Settings{}) {
		t.Error(wrong)
	}
	var s Settings
	if wrong := settings.DecodeMap(minimal(map[string]any{"memory": "8Gi", "cores": 4, "ssh_public_key": testKey}), &s, settings.Options{}); wrong != nil {
		t.Fatal(wrong)
	}
	settings.ApplyDefaults(&s)
	want := Settings{
		Host: "prism.example.com", Port: 9440, APIVersion: "v3", Username: "u", Password: "p", VMCandidate: "golden",
		Cores: 4, Memory: 8 * fleet.GiB, SSHPublicKey: testKey,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if got := s.Shape(); got != (fleet.Resources{Cores: 4 * fleet.Core, MemoryMiB: 8192}) {
		t.Errorf("shape %+v", got)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		given      map[string]any
		path, says string // empty path: nothing is wrong
	}{
		"as they should be":         {nil, "", ""},
		"an API key alone":          {map[string]any{"username": nil, "password": nil, "api_key": "k"}, "", ""},
		"an IPv6 address":           {map[string]any{"host": "2001:db8::7"}, "", ""},
		"an IPv6 address, brackets": {map[string]any{"host": "[2001:db8::7]"}, "", ""},
		"no host":                   {map[string]any{"host": nil}, "host", "required"},
		"a URL as host":             {map[string]any{"host": "https://prism.example.com:9440"}, "host", "alone"},
		"a port in the host":        {map[string]any{"host": "prism.example.com:9440"}, "host", "alone"},
		"no credentials":            {map[string]any{"username": nil, "password": nil}, "username", "api_key"},
		"no password":               {map[string]any{"password": nil}, "password", "empty"},
		"both ways to log in":       {map[string]any{"api_key": "k"}, "api_key", "keep one"},
		"no candidate":              {map[string]any{"vm_candidate": nil}, "vm_candidate", "required"},
		"v4":                        {map[string]any{"api_version": "v4"}, "", ""},
		"v5":                        {map[string]any{"api_version": "v5"}, "api_version", "v4"},
		"a project with v4":         {map[string]any{"api_version": "v4", "project": "desktops"}, "project", "use v3"},
		"our own category":          {map[string]any{"categories": map[string]any{markKey: "x"}}, "categories." + markKey, "own"},
		"a category with a slash":   {map[string]any{"categories": map[string]any{"a/b": "x"}}, "categories.a/b", "key"},
		"a long value":              {map[string]any{"categories": map[string]any{"a": strings.Repeat("x", 65)}}, "categories.a", "64"},
		"an empty value":            {map[string]any{"categories": map[string]any{"a": ""}}, "categories.a", "does not take"},
		"a private key":             {map[string]any{"ssh_public_key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "ssh_public_key", "no public key"},
		"two keys":                  {map[string]any{"ssh_public_key": testKey + "\n" + testKey}, "ssh_public_key", "one key"},
		"a key for Windows":         {map[string]any{"ssh_public_key": testKey, "windows": true}, "ssh_public_key", "no effect"},
		"a bundle of nothing":       {map[string]any{"ca_bundle": "nothing"}, "ca_bundle", "BEGIN CERTIFICATE"},
		"no memory to speak of":     {map[string]any{"memory": "1Mi"}, "memory", "64Mi"},
	} {
		var s Settings
		wrong := settings.DecodeMap(minimal(tt.given), &s, settings.Options{})
		switch {
		case tt.path == "" && len(wrong) > 0:
			t.Errorf("%s: %v", name, wrong)
		case tt.path != "" && (len(wrong) != 1 || wrong[0].Path != tt.path || !strings.Contains(wrong[0].Message, tt.says)):
			t.Errorf("%s: found %v, expected one fault at %s that says %q", name, wrong, tt.path, tt.says)
		}
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	k := Kind()
	if got := k.ScriptChannel(&Settings{}); got.Form != startup.FormCloudInit || got.System != startup.Linux || got.Limit != 32768 {
		t.Errorf("Linux: %+v", got)
	}
	if got := k.ScriptChannel(&Settings{Windows: true}); got.Form != startup.FormPlain || got.System != startup.Windows || got.Limit != 16384 {
		t.Errorf("Windows: %+v", got)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"prism.example.com": "prism.example.com:9440", "10.0.0.7": "10.0.0.7:9440", "2001:db8::7": "[2001:db8::7]:9440", "[2001:db8::7]": "[2001:db8::7]:9440",
	} {
		if got := address(host, 9440); got != want {
			t.Errorf("%s: %s, expected %s", host, got, want)
		}
	}
}
