package nutanix

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
)

func TestV4Names(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	twins := []string{s.AddVM("twins"), s.AddVM("twins")}
	slices.Sort(twins)
	s.AddVM("it's (2026) ünïcode")
	for name, tt := range map[string]struct {
		change func(*Settings)
		says   string // empty: it works
	}{
		"as they are":                 {func(*Settings) {}, ""},
		"a name full of traps":        {func(s *Settings) { s.VMCandidate = "it's (2026) ünïcode" }, ""},
		"by UUID":                     {func(s *Settings) { s.VMCandidate, s.Subnet = fake4.ID("golden"), fake4.ID("vlan-120") }, ""},
		"a template by UUID":          {func(s *Settings) { s.VMCandidate = fake4.ID("golden-template") }, ""},
		"two of one name":             {func(s *Settings) { s.VMCandidate = "twins" }, "give the UUID of the one that is meant: " + strings.Join(twins, ", ")},
		"no such machine":             {func(s *Settings) { s.VMCandidate = "golden2" }, `no virtual machine or template named "golden2"`},
		"no such UUID":                {func(s *Settings) { s.VMCandidate = uuid.Nil.String() }, "no virtual machine or template with UUID 00000000"},
		"no such cluster":             {func(s *Settings) { s.Cluster = "cluster-x" }, `no cluster named "cluster-x"`},
		"Prism Central as cluster":    {func(s *Settings) { s.Cluster = "prism-central" }, "no cluster named"},
		"another cluster":             {func(s *Settings) { s.Cluster = "cluster-b" }, "clones a virtual machine on the cluster where it is"},
		"a template anywhere":         {func(s *Settings) { s.VMCandidate, s.Cluster, s.Subnet = "golden-template", "cluster-b", "vlan-b" }, ""},
		"a template nowhere":          {func(s *Settings) { s.VMCandidate, s.Cluster = "golden-template", "" }, "a template belongs to no cluster"},
		"a subnet of another cluster": {func(s *Settings) { s.Subnet = "vlan-b" }, `subnet: "vlan-b" exists, but not on cluster`},
		"the same by UUID":            {func(s *Settings) { s.Subnet = fake4.ID("vlan-b") }, "is not on cluster"},
		"no such subnet":              {func(s *Settings) { s.Subnet = "vlan-x" }, `no subnet named "vlan-x"`},
		"no such category":            {func(s *Settings) { s.Categories = map[string]string{"Environment": "Test"} }, `categories.Environment: Prism shows no value "Test"`},
	} {
		settings := settingsV4(s)
		tt.change(&settings)
		before := s.Machines()
		_, err := driverV4(t, settings).Create(t.Context(), wish("named "+name))
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, expected invalid with %q", name, err, tt.says)
		case tt.says != "" && s.Machines() > before+len(s.Categories(markKey)):
			t.Errorf("%s: a machine was made", name)
		}
	}
}

func TestV4Choices(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	id := createV4(t, d, wish("not a choice")).ID
	untilV4(t, d, id, is(provider.StateRunning))
	for setting, want := range map[string][]provider.Choice{
		"vm_candidate": {{Value: fake4.ID("golden"), Label: "golden", Description: "power OFF"}, {Value: fake4.ID("golden-template"), Label: "golden-template", Description: "template"}},
		"cluster":      {{Value: fake4.ID("cluster-a"), Label: "cluster-a"}, {Value: fake4.ID("cluster-b"), Label: "cluster-b"}},
	} {
		got, err := d.Choices(t.Context(), setting)
		if err != nil {
			t.Errorf("%s: %v", setting, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", setting, diff)
		}
	}
	if _, err := d.Choices(t.Context(), "project"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("project: %v", err)
	}
}
