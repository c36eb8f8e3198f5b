package manifest_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestReferences(t *testing.T) {
	t.Parallel()
	docs, _ := parse(all)
	var got []string
	for _, d := range docs {
		for _, r := range manifest.References(d) {
			got = append(got, fmt.Sprintf("%s %s %s %s", d.Kind, r.Path, r.Kind, r.Name))
		}
	}
	want := []string{
		"AutoscaleConfig spec.pool Pool desktops", "AutoscaleConfig spec.zone Zone default",
		"AutoscaleConfig spec.vm_providers[0] VMProvider main", "AutoscaleConfig spec.vm_providers[1] VMProvider spare",
		"Schedule spec.autoscale_config AutoscaleConfig desktops", "Staging spec.pool Pool desktops", "Staging spec.zone Zone default",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewSpecKnowsEveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range fleet.Kinds() {
		if manifest.NewSpec(kind) == nil {
			t.Errorf("no spec for %s", kind)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	docs, _ := parse(all)
	spec, secrets, err := docs[2].Canonical()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"provider": "cloudy", "max_instances": int64(10),
		"settings": map[string]any{"region": "eu-1", "script": "#!/bin/sh\necho --- not a separator\n", "shape": map[string]any{"memory": "1Gi"}},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"settings.token": "hunter2"}, secrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"settings.token", "settings.password"}, docs[2].SecretPaths()); diff != "" {
		t.Error(diff)
	}
	_, secrets, err = docs[3].Canonical() // a secret that was not written is kept, not cleared
	if err != nil || len(secrets) != 0 {
		t.Errorf("secrets %v, error %v", secrets, err)
	}
	again, problems := manifest.FromJSON(fleet.KindAutoscaleConfig, fleet.Meta{Name: "a"},
		[]byte(`{"pool":"desktops","zone":"default","vm_providers":["main","spare"],"standby":{"cores":4.0,"memory":"4Gi"},"downscale_backoff":"30s"}`), kinds())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	a, _, errA := docs[4].Canonical()
	b, _, errB := again.Canonical()
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if changes := manifest.Diff(a, b); len(changes) > 0 {
		t.Errorf("the same in other words differs: %v", changes)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	old := map[string]any{
		"pool": "a", "n": 1.0, "list": []any{"x", "y"}, "gone": map[string]any{"deep": true}, "empty": map[string]any{},
		"windows":  []any{map[string]any{"start": "07:00", "end": "08:00"}},
		"settings": map[string]any{"token": "old", "key": "same", "new": nil},
	}
	now := map[string]any{
		"pool": "b", "n": int64(1), "list": []any{"x", "z", "w"},
		"windows":  []any{map[string]any{"start": "07:30", "end": "08:00"}},
		"settings": map[string]any{"token": "new", "key": "same", "new": "s"},
	}
	want := []manifest.Change{
		{"gone.deep", true, nil},
		{"list[1]", "y", "z"},
		{"list[2]", nil, "w"},
		{"pool", "a", "b"},
		{"settings.new", nil, settings.Masked},
		{"settings.token", settings.Masked, settings.Masked},
		{"windows[0].start", "07:00", "07:30"},
	}
	if diff := cmp.Diff(want, manifest.Diff(old, now, "settings.token", "settings.key", "settings.new")); diff != "" {
		t.Error(diff)
	}
	if changes := manifest.Diff(nil, nil); len(changes) != 0 {
		t.Errorf("%v", changes)
	}
	if changes := manifest.Diff(nil, now); len(changes) != 7 {
		t.Errorf("creation: %v", changes)
	}
}
