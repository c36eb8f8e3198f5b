package vsphere

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

// minimal are the fewest settings that a full clone needs.
func minimal(change map[string]any) map[string]any {
	return settings.MergePatch(map[string]any{
		"vcenter": "vcenter.example.com", "username": "u", "password": "p", "datacenter": "DC", "cluster": "C",
		"template": "T", "os_type": "linux", "guest_username": "root", "guest_password": "g",
	}, change)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, wrong := range settings.CheckDefinition(Settings{}) {
		t.Error(wrong)
	}
	var s Settings
	if wrong := settings.DecodeMap(minimal(map[string]any{"cpus": 4, "memory": "8Gi"}), &s, settings.Options{}); wrong != nil {
		t.Fatal(wrong)
	}
	settings.ApplyDefaults(&s)
	if s.Port != 443 || s.DatastoreReserve != 10 || s.CloneType != Full || s.ScriptMethod != GuestOperations {
		t.Errorf("defaults: %+v", s)
	}
	if got := s.Shape(); got != (fleet.Resources{Cores: 4000, MemoryMiB: 8192}) {
		t.Errorf("shape: %v", got)
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	sha1 := strings.Repeat("AB:", 19) + "AB"
	for name, tt := range map[string]struct {
		change map[string]any
		want   string // path of the only error; empty: none
	}{
		"a URL for a name":                      {map[string]any{"vcenter": "https://vcenter/sdk"}, "vcenter"},
		"full without cluster":                  {map[string]any{"cluster": nil}, "cluster"},
		"full without template":                 {map[string]any{"template": nil}, "template"},
		"linked without snapshot":               {map[string]any{"clone_type": "linked", "template": nil, "source_vm": "S"}, "snapshot"},
		"linked":                                {map[string]any{"clone_type": "linked", "template": nil, "source_vm": "S", "snapshot": "x", "cluster": nil}, ""},
		"linked with template":                  {map[string]any{"clone_type": "linked", "source_vm": "S", "snapshot": "x"}, "template"},
		"instant with cpus":                     {map[string]any{"clone_type": "instant", "template": nil, "source_vm": "S", "cpus": 2}, "cpus"},
		"instant on a datastore cluster":        {map[string]any{"clone_type": "instant", "template": nil, "source_vm": "S", "datastore": "d", "datastore_cluster": true}, "datastore_cluster"},
		"a datastore cluster without name":      {map[string]any{"datastore_cluster": true}, "datastore_cluster"},
		"a resource pool without cluster":       {map[string]any{"clone_type": "linked", "template": nil, "source_vm": "S", "snapshot": "x", "cluster": nil, "resource_pool": "r"}, "resource_pool"},
		"guest operations without password":     {map[string]any{"guest_password": nil}, "guest_password"},
		"guestinfo with guest credentials":      {map[string]any{"script_method": "guestinfo", "guest_password": nil}, "guest_username"},
		"SHA-1":                                 {map[string]any{"thumbprint": sha1}, ""},
		"SHA-256":                               {map[string]any{"thumbprint": sha1 + ":" + strings.Repeat("0f:", 11) + "0f"}, ""},
		"a thumbprint of 21 bytes":              {map[string]any{"thumbprint": sha1 + ":AB"}, "thumbprint"},
		"no thumbprint":                         {map[string]any{"thumbprint": "sha256"}, "thumbprint"},
		"thumbprint and no verification":        {map[string]any{"thumbprint": sha1, "insecure_skip_verify": true}, "insecure_skip_verify"},
		"memory that vSphere does not give":     {map[string]any{"memory": "1022Mi"}, "memory"},
		"a bundle without certificates":         {map[string]any{"ca_bundle": "hello"}, "ca_bundle"},
		"an unknown setting":                    {map[string]any{"datastor": "x"}, "datastor"},
		"a reserve that leaves nothing":         {map[string]any{"datastore_reserve": 100}, "datastore_reserve"},
		"an operating system that is not known": {map[string]any{"os_type": "plan9"}, "os_type"},
	} {
		var s Settings
		wrong := settings.DecodeMap(minimal(tt.change), &s, settings.Options{})
		switch {
		case tt.want == "" && len(wrong) > 0:
			t.Errorf("%s: %v", name, wrong)
		case tt.want != "" && (len(wrong) != 1 || wrong[0].Path != tt.want):
			t.Errorf("%s: %v, expected one error of %s", name, wrong, tt.want)
		}
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		settings Settings
		want     startup.Channel
	}{
		{Settings{OSType: Linux}, startup.Channel{Form: startup.FormPlain, System: startup.Linux, AfterBoot: true}},
		{Settings{OSType: Windows, ScriptMethod: GuestOperations}, startup.Channel{Form: startup.FormPlain, System: startup.Windows, AfterBoot: true}},
		{Settings{OSType: Linux, ScriptMethod: Guestinfo}, startup.Channel{Form: startup.FormCloudInit, System: startup.Linux, Limit: guestinfoLimit}},
		{Settings{OSType: Windows, ScriptMethod: Guestinfo}, startup.Channel{Form: startup.FormCloudbase, System: startup.Windows, Limit: guestinfoLimit}},
	} {
		if got := Kind().ScriptChannel(&tt.settings); got != tt.want {
			t.Errorf("%+v: %+v", tt.settings, got)
		}
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	m := markOf(wish(1))
	m.Provider = "a:b ü"
	if got, ok := parseID(m.id()); !ok || got != m {
		t.Errorf("%q was read as %+v", m.id(), got)
	}
	if again := markOf(wish(1)); again.UUID != m.UUID || markOf(wish(2)).UUID == m.UUID {
		t.Error("UUIDs do not follow the token")
	}
	for _, id := range []string{"", "a:b", "a:b:c:d:e:f", m.id() + ":", "%zz:" + m.UUID + ":::::", strings.ToUpper(m.id())} {
		if got, ok := parseID(id); ok {
			t.Errorf("%q was read as %+v", id, got)
		}
	}
}
