package vsphere

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/vsphere/fakevsphere"
)

// define makes custom attributes as an administrator does.
func define(t *testing.T, s *fakevsphere.Server, kind string, names ...string) *object.CustomFieldsManager {
	t.Helper()
	m, err := object.GetCustomFieldsManager(s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := m.Add(t.Context(), name, kind, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// labels are the custom attributes of a machine by their names.
func labels(t *testing.T, m *object.CustomFieldsManager, vm mo.VirtualMachine) map[string]string {
	t.Helper()
	fields, err := m.Field(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, v := range vm.CustomValue {
		value, ok := v.(*types.CustomFieldStringValue)
		if !ok {
			t.Fatalf("a custom attribute is a %T", v)
		}
		for _, f := range fields {
			if f.Key == value.Key {
				out[f.Name] = value.Value
			}
		}
	}
	return out
}

func all() []string {
	return []string{provider.TagInstallation, provider.TagServer, provider.TagAutoscale, provider.TagProvider}
}

func TestCustomAttributes(t *testing.T) {
	t.Parallel()
	tags := wish(1).Tags
	full := map[string]string{
		provider.TagInstallation: tags.Installation, provider.TagServer: tags.Server, provider.TagAutoscale: tags.AutoscaleConfig, provider.TagProvider: tags.Provider,
	}
	for name, tt := range map[string]struct {
		defined []string
		kind    string
		forbid  bool
		want    map[string]string
	}{
		"all of them":          {all(), "VirtualMachine", false, full},
		"of every kind":        {all(), "", false, full},
		"one of them":          {[]string{provider.TagServer, "somebody's"}, "VirtualMachine", false, map[string]string{provider.TagServer: tags.Server}},
		"of hosts":             {all(), "HostSystem", false, map[string]string{}},
		"none":                 {nil, "VirtualMachine", false, map[string]string{}},
		"the account must not": {all(), "VirtualMachine", true, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := newDriver(t, nil)
			m := define(t, s, tt.kind, tt.defined...)
			if tt.forbid {
				s.Fault("SetField", &types.NoPermission{PrivilegeId: "Global.SetCustomField"})
			}
			made, err := d.Create(t.Context(), wish(1))
			if err != nil {
				t.Fatal(err)
			}
			list := func() map[string]provider.Instance {
				found := map[string]provider.Instance{}
				for i, err := range d.List(t.Context(), tags.Owner()) {
					if err != nil {
						t.Fatal(err)
					}
					found[i.ID] = i
				}
				return found
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for list()[made.ID].State != provider.StateRunning { // the last of these labels it
				<-tick.C
			}
			list()
			vms := s.Machines()
			if len(vms) != 1 {
				t.Fatalf("%d machines", len(vms))
			}
			if diff := cmp.Diff(tt.want, labels(t, m, vms[0])); diff != "" {
				t.Errorf("custom attributes:\n%s", diff)
			}
			before := s.Calls()
			seen := list()
			if i, ok := seen[made.ID]; !ok || len(seen) != 1 || i.Tags != tags {
				t.Errorf("the listing shows %v", seen)
			}
			first := s.Calls() - before
			before = s.Calls()
			list()
			if again := s.Calls() - before; again != first {
				t.Errorf("listings at rest cost %d and %d requests", first, again)
			}
		})
	}
}
