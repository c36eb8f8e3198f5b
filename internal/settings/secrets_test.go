package settings_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestApplyDefaults(t *testing.T) {
	t.Parallel()
	var c cloud
	c.Proxy = &proxy{}
	settings.ApplyDefaults(&c)
	ready := true
	want := cloud{Auth: "password", Disk: 20, Timeout: 30e9, Ready: &ready, Proxy: &proxy{Port: 3128}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	off := false
	kept := cloud{Auth: "none", Disk: 5, Ready: &off}
	settings.ApplyDefaults(&kept)
	if kept.Auth != "none" || kept.Disk != 5 || *kept.Ready {
		t.Errorf("overwritten: %+v", kept)
	}

	var a fleet.AutoscaleConfigSpec
	settings.ApplyDefaults(&a)
	if a.DownscaleBackoff.D() != fleet.DefaultDownscaleBackoff || a.DeadAfter.D() != fleet.DefaultDeadAfter || !*a.Enabled || a.MaxUnavailable != 1 {
		t.Errorf("autoscale config: %+v", a)
	}

	type conditional struct {
		Mode string   `json:"mode,omitempty" default:"a"`
		Port int      `json:"port,omitempty" default:"22" when:"mode=b"`
		Path []string `json:"path,omitempty" default:"x, y" when:"mode=a"`
	}
	var d conditional
	settings.ApplyDefaults(&d)
	if diff := cmp.Diff(conditional{Mode: "a", Path: []string{"x", "y"}}, d); diff != "" {
		t.Error(diff)
	}
}

func TestSplitSecrets(t *testing.T) {
	t.Parallel()
	given := map[string]any{
		"region": "eu-1", "password": "abc", "key": nil,
		"proxy": map[string]any{"url": "u", "token": ""},
	}
	public, secrets, err := settings.SplitSecrets(given, &cloud{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"region": "eu-1", "proxy": map[string]any{"url": "u"}}, public); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"password": "abc", "key": "", "proxy.token": ""}, secrets); diff != "" {
		t.Error(diff)
	}
	if given["password"] != "abc" {
		t.Error("the input has changed")
	}

	stored := map[string]string{"key": "old key", "proxy.token": "old token", "password": "old", "other": "kept"}
	updated := settings.UpdateSecrets(stored, secrets)
	if diff := cmp.Diff(map[string]string{"password": "abc", "other": "kept"}, updated); diff != "" {
		t.Error(diff)
	}

	_, secrets, err = settings.SplitSecrets(&cloud{Region: "eu-1", Password: "abc", Proxy: &proxy{Token: "t"}}, &cloud{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"password": "abc", "proxy.token": "t"}, secrets); diff != "" {
		t.Error(diff)
	}
	if _, secrets, err = settings.SplitSecrets(&cloud{Region: "eu-1"}, &cloud{}); err != nil || len(secrets) != 0 {
		t.Errorf("a struct without secrets gave %v, %v", secrets, err)
	}
	if _, _, err := settings.SplitSecrets(map[string]any{"password": 5}, &cloud{}); err == nil {
		t.Error("a number passed as a secret")
	}
	if diff := cmp.Diff([]string{"password", "key", "proxy.token"}, settings.SecretPaths(&cloud{})); diff != "" {
		t.Error(diff)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	m := map[string]any{"region": "eu-1", "password": "abc", "key": "", "proxy": map[string]any{"token": "t"}}
	want := map[string]any{"region": "eu-1", "password": settings.Masked, "key": "", "proxy": map[string]any{"token": settings.Masked}}
	if diff := cmp.Diff(want, settings.Mask(m, &cloud{})); diff != "" {
		t.Error(diff)
	}
	if m["password"] != "abc" || m["proxy"].(map[string]any)["token"] != "t" {
		t.Error("the input has changed")
	}
	settings.Mask(nil, &cloud{})
}

func TestCheckImmutable(t *testing.T) {
	t.Parallel()
	old := map[string]any{"region": "eu-1", "disk_gb": 5}
	for region, want := range map[any]int{"eu-1": 0, "eu-2": 1, nil: 1} {
		got := settings.CheckImmutable(old, map[string]any{"region": region, "disk_gb": 6}, &cloud{}, "spec.settings")
		if len(got) != want {
			t.Errorf("%v: %v", region, got)
		}
	}
	if got := settings.CheckImmutable(map[string]any{}, map[string]any{"region": "eu-2"}, &cloud{}, ""); len(got) != 0 {
		t.Errorf("first setting refused: %v", got)
	}
}

// Splitting and merging gives back what was there, whatever it was.
func TestSplitMergeRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 8, -1)
		given := map[string]any{"region": text.Draw(t, "region")}
		if rapid.Bool().Draw(t, "has password") {
			given["password"] = text.Draw(t, "password")
		}
		if rapid.Bool().Draw(t, "has key") {
			given["key"] = text.Draw(t, "key")
		}
		if rapid.Bool().Draw(t, "has proxy") {
			p := map[string]any{"url": text.Draw(t, "url")}
			if rapid.Bool().Draw(t, "has token") {
				p["token"] = text.Draw(t, "token")
			}
			given["proxy"] = p
		}
		public, secrets, err := settings.SplitSecrets(given, &cloud{})
		if err != nil {
			t.Fatal(err)
		}
		if public["password"] != nil || public["key"] != nil {
			t.Fatalf("secret in %v", public)
		}
		if diff := cmp.Diff(given, settings.MergeSecrets(public, secrets)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A struct that was decoded, defaulted, written and decoded again is the same.
func TestDecodeRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := fleet.AutoscaleConfigSpec{
			Pool: "p", Zone: "z", VMProviders: []string{"a"},
			Standby: fleet.Shape{
				Cores:  fleet.Cores(rapid.Int64Range(0, 1e9).Draw(t, "cores")),
				Memory: fleet.Memory(rapid.Int64Range(0, 1<<30).Draw(t, "memory")),
				GPUs:   rapid.Int64Range(0, 1000).Draw(t, "gpus"),
			},
			DownscaleBackoff: fleet.Duration(rapid.Int64Range(0, 1e15).Draw(t, "backoff")),
			MaxServers:       rapid.Int64Range(0, 1e6).Draw(t, "max"),
		}
		settings.ApplyDefaults(&a)
		m, err := settings.Map(a)
		if err != nil {
			t.Fatal(err)
		}
		var b fleet.AutoscaleConfigSpec
		if fields := settings.DecodeMap(m, &b, settings.Options{}); len(fields) > 0 {
			t.Fatal(fields)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatal(diff)
		}
	})
}
