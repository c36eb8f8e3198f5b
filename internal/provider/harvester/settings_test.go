package harvester

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, wrong := range settings.CheckDefinition(Settings{}) {
		t.Error(wrong)
	}
	full := map[string]any{
		"kube_host": "https://10.0.0.1:6443", "api_token": "token", "namespace": "headroom",
		"image": "images/noble", "cores": 4, "memory": "4Gi", "disk_size": 30,
		"gpus": []any{map[string]any{"device_name": "nvidia.com/T4", "count": 2}},
	}
	var s Settings
	if wrong := settings.DecodeMap(full, &s, settings.Options{}); wrong != nil {
		t.Fatal(wrong)
	}
	settings.ApplyDefaults(&s)
	if s.NetworkType != "pod" || s.InterfaceType != "masquerade" || s.OSType != "linux" {
		t.Errorf("defaults: %+v", s)
	}
	if diff := cmp.Diff(fleet.Resources{Cores: 4 * fleet.Core, MemoryMiB: 4096, GPUs: 2}, s.Shape()); diff != "" {
		t.Errorf("shape:\n%s", diff)
	}
	for name, c := range map[string]struct {
		change map[string]any
		path   string
		words  string
	}{
		"no image":         {map[string]any{"image": ""}, "image", "is missing"},
		"image is no name": {map[string]any{"image": "a/b/c"}, "image", "neither a name nor namespace/name"},
		"no size":          {map[string]any{"disk_size": nil}, "disk_size", "is missing"},
		"no token":         {map[string]any{"api_token": ""}, "api_token", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := map[string]any{}
			for key, value := range full {
				doc[key] = value
			}
			for key, value := range c.change {
				if doc[key] = value; value == nil {
					delete(doc, key)
				}
			}
			wrong := settings.DecodeMap(doc, &Settings{}, settings.Options{})
			if len(wrong) != 1 || wrong[0].Path != c.path || !strings.Contains(wrong[0].Message, c.words) {
				t.Errorf("%+v, expected %s … %s", wrong, c.path, c.words)
			}
		})
	}
	// An override says itself what the other settings say.
	over := map[string]any{
		"kube_host": "https://10.0.0.1:6443", "api_token": "token", "namespace": "headroom",
		"config_override": map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"domain": map[string]any{"cpu": map[string]any{"cores": 3, "sockets": 2}, "resources": map[string]any{"requests": map[string]any{"memory": "1Gi"}}},
		}}}},
	}
	var o Settings
	if wrong := settings.DecodeMap(over, &o, settings.Options{}); wrong != nil {
		t.Fatal(wrong)
	}
	if diff := cmp.Diff(fleet.Resources{Cores: 6 * fleet.Core, MemoryMiB: 1024}, o.Shape()); diff != "" {
		t.Errorf("shape of the override:\n%s", diff)
	}
}
