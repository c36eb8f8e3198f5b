package fleet_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestSameMachines(t *testing.T) {
	t.Parallel()
	base := func() fleet.VMProviderSpec {
		return fleet.VMProviderSpec{
			Provider: "cloud", MaxInstances: 3, StartupScript: "#!/bin/sh\n",
			Settings: map[string]any{"size": "small", "zones": []any{"a", "b"}, "ca_bundle": "x", "user": "anna"},
		}
	}
	access := func(kind string) []string {
		return map[string][]string{"cloud": {"ca_bundle", "insecure_skip_verify", "user"}, "other": {"size"}}[kind]
	}
	for name, c := range map[string]struct {
		change func(*fleet.VMProviderSpec)
		same   bool
	}{
		"nothing":  {func(*fleet.VMProviderSpec) {}, true},
		"how many": {func(s *fleet.VMProviderSpec) { s.MaxInstances = 30 }, true},
		"how fast": {func(s *fleet.VMProviderSpec) { s.RateLimit, s.Concurrency, s.CreateBurst, s.CreateRate = 1, 2, 3, 4 }, true},
		"what becomes of orphans": {func(s *fleet.VMProviderSpec) {
			s.CleanupOrphans, s.MaxOrphanShare, s.Frozen = fleet.CleanupReport, 50, true
		}, true},
		"prices":                       {func(s *fleet.VMProviderSpec) { s.Prices, s.Currency = map[string]float64{"*": 1}, "EUR" }, true},
		"a default that is written":    {func(s *fleet.VMProviderSpec) { s.InstallAgent, s.AgentArch = new(true), fleet.ArchAMD64 }, true},
		"whom the connection trusts":   {func(s *fleet.VMProviderSpec) { s.Settings["ca_bundle"], s.Settings["insecure_skip_verify"] = "y", true }, true},
		"who asks":                     {func(s *fleet.VMProviderSpec) { s.Settings["user"] = "berta" }, true},
		"that somebody asks":           {func(s *fleet.VMProviderSpec) { delete(s.Settings, "user") }, true},
		"who asks, and the size":       {func(s *fleet.VMProviderSpec) { s.Settings["user"], s.Settings["size"] = "berta", "large" }, false},
		"the size":                     {func(s *fleet.VMProviderSpec) { s.Settings["size"] = "large" }, false},
		"the zones":                    {func(s *fleet.VMProviderSpec) { s.Settings["zones"] = []any{"b", "a"} }, false},
		"a setting more":               {func(s *fleet.VMProviderSpec) { s.Settings["image"] = "x" }, false},
		"the script":                   {func(s *fleet.VMProviderSpec) { s.StartupScript += "true\n" }, false},
		"whether the agent is brought": {func(s *fleet.VMProviderSpec) { s.InstallAgent = new(false) }, false},
		"the kind":                     {func(s *fleet.VMProviderSpec) { s.Provider = "other" }, false},
	} {
		other := base()
		c.change(&other)
		if got := base().SameMachines(other, access); got != c.same {
			t.Errorf("%s changes: same %t, want %t", name, got, c.same)
		}
		if got := other.SameMachines(base(), access); got != c.same {
			t.Errorf("%s changes back: same %t, want %t", name, got, c.same)
		}
	}
	other := base()
	other.Settings["user"] = "berta"
	if base().SameMachines(other, nil) {
		t.Error("a kind that tells of no access has one")
	}
}

func TestMaxOrphans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		share int64
		found int
		want  int
	}{{0, 0, 1}, {0, 4, 1}, {0, 5, 1}, {0, 9, 1}, {0, 10, 2}, {20, 100, 20}, {1, 50, 1}, {1, 200, 2}, {50, 3, 1}, {100, 34, 34}} {
		if got := fleet.MaxOrphans(c.share, c.found); got != c.want {
			t.Errorf("of %d objects, %d %% are %d, want %d", c.found, c.share, got, c.want)
		}
	}
}
