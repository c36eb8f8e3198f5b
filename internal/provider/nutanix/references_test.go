package nutanix

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

func TestNames(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	s.AddCluster("cluster-b")
	s.AddSubnet("vlan-120", "cluster-b")
	s.AddSubnet("vlan-b", "cluster-b")
	overlay := s.AddSubnet("overlay", "")
	twin1, twin2 := s.AddVM("twins"), s.AddVM("twins")
	twins := []string{twin1, twin2}
	slices.Sort(twins)
	s.AddVM("image (2026) ünïcode.*")
	for name, tt := range map[string]struct {
		change func(*Settings)
		says   string // empty: it works
	}{
		"as they are":                  {func(*Settings) {}, ""},
		"a name full of traps":         {func(s *Settings) { s.VMCandidate = "image (2026) ünïcode.*" }, ""},
		"a subnet without cluster":     {func(s *Settings) { s.Subnet = "overlay" }, ""},
		"a subnet by UUID":             {func(s *Settings) { s.Subnet = overlay }, ""},
		"two of one name":              {func(s *Settings) { s.VMCandidate = "twins" }, `2 virtual machines are named "twins": give the UUID of the one that is meant: ` + strings.Join(twins, ", ")},
		"one of the two by UUID":       {func(s *Settings) { s.VMCandidate = twin1 }, ""},
		"no such machine":              {func(s *Settings) { s.VMCandidate = "golden2" }, `vm_candidate: Prism shows no virtual machine named "golden2"`},
		"a part of a name":             {func(s *Settings) { s.VMCandidate = "gold" }, `no virtual machine named "gold"`},
		"other letters":                {func(s *Settings) { s.VMCandidate = "Golden" }, `no virtual machine named "Golden"`},
		"no such UUID":                 {func(s *Settings) { s.VMCandidate = uuid.Nil.String() }, "vm_candidate: Prism shows no virtual machine with UUID 00000000"},
		"no such cluster":              {func(s *Settings) { s.Cluster = "cluster-x" }, `cluster: Prism shows no cluster named "cluster-x"`},
		"Prism Central as cluster":     {func(s *Settings) { s.Cluster = "prism-central" }, `no cluster named`},
		"no such cluster UUID":         {func(s *Settings) { s.Cluster = uuid.Nil.String() }, "cluster: Prism shows no cluster with UUID"},
		"a subnet of another cluster":  {func(s *Settings) { s.Subnet = "vlan-b" }, `subnet: "vlan-b" exists, but not on cluster`},
		"no such subnet":               {func(s *Settings) { s.Subnet = "vlan-x" }, `subnet: Prism shows no subnet named "vlan-x"`},
		"no such subnet UUID":          {func(s *Settings) { s.Subnet = uuid.Nil.String() }, "subnet: Prism shows no subnet with UUID"},
		"no such project":              {func(s *Settings) { s.Project = "p" }, `project: Prism shows no project named "p"`},
		"no such project UUID":         {func(s *Settings) { s.Project = uuid.Nil.String() }, "project: Prism shows no project with UUID"},
		"a category that is not there": {func(s *Settings) { s.Categories = map[string]string{"Environment": "Test"} }, "category Environment:Test does not exist"},
	} {
		settings := settingsOf(s)
		tt.change(&settings)
		d := driverOf(t, settings)
		_, err := d.Create(t.Context(), wish("named "+name))
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, expected invalid with %q", name, err, tt.says)
		}
		if tt.says != "" && len(listed(t, d)) > 8 {
			t.Errorf("%s: a machine was made", name)
		}
	}
}

// A golden image that is replaced under its name is picked up, at once when the
// old one is gone, after a while otherwise.
func TestNamesAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{DeleteTime: time.Nanosecond})
	settings := settingsOf(s)
	settings.VMCandidate = "image"
	first := s.AddVM("image")
	d := driverOf(t, settings)
	create(t, d, wish("of the first"))
	if err := d.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := s.AddVM("image")
	if _, err := d.Create(t.Context(), wish("of the gone")); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a clone of what is gone: %v", err)
	}
	create(t, d, wish("of the second"))
	if d.known.candidate.id != second {
		t.Errorf("the candidate is %s, expected %s", d.known.candidate.id, second)
	}
	d.now = func() time.Time { return time.Now().Add(memory) }
	before := s.Calls()
	create(t, d, wish("later"))
	if s.Calls()-before <= 2 {
		t.Error("names are remembered for ever")
	}
}

func TestChoices(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	create(t, d, wish("not a choice"))
	for setting, want := range map[string][]provider.Choice{
		"vm_candidate": {{Value: s.ID("golden"), Label: "golden", Description: "power OFF"}},
		"cluster":      {{Value: s.ID("cluster-a"), Label: "cluster-a"}},
		"subnet":       {{Value: s.ID("vlan-120"), Label: "vlan-120", Description: "cluster " + s.ID("cluster-a")}},
		"project":      {{Value: s.ID("desktops"), Label: "desktops"}},
	} {
		got, err := d.Choices(t.Context(), setting)
		if err != nil {
			t.Errorf("%s: %v", setting, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", setting, diff)
		}
	}
	if _, err := d.Choices(t.Context(), "host"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("a setting without choices: %v", err)
	}
}
