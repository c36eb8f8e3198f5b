package local

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, wrong := range settings.CheckDefinition(Settings{}) {
		t.Error(wrong)
	}
	var s Settings
	if wrong := settings.DecodeMap(map[string]any{"memory": "512Mi", "gpus": 1, "cgroup_limits": "off", "start_delay": "3s"}, &s, settings.Options{}); wrong != nil {
		t.Fatal(wrong)
	}
	settings.ApplyDefaults(&s)
	want := Settings{Cores: 2000, Memory: 512, GPUs: 1, CgroupLimits: CgroupOff, StartDelay: fleet.Duration(3 * time.Second)}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if wrong := settings.DecodeMap(map[string]any{"memory": "512Q", "gpus": -1, "cgroup_limits": "perhaps", "coers": 2}, &s, settings.Options{}); len(wrong) != 4 {
		t.Errorf("%d problems, expected 4: %v", len(wrong), wrong)
	}
	if got := (Settings{}).shape(fleet.Resources{}); got != (fleet.Resources{Cores: 2000, MemoryMiB: 2048}) {
		t.Errorf("a machine without settings offers %v", got)
	}
}
