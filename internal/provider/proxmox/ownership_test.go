package proxmox

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestCopies: a machine of ours that an administrator clones by hand, and a
// template made of one, bear our tags and notes and are not ours.
func TestCopies(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01joriginal")
	copied := vmOf(t, s, i).Config
	s.AddVM(1500, "hr-copy", "pve1", copied)
	for _, id := range []string{"1500-0123456789abcdef", "1500-" + strings.Split(i.ID, "-")[1]} {
		if _, err := d.Get(t.Context(), id); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("get of copy %s: %v", id, err)
		}
		if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("delete of copy %s: %v", id, err)
		}
	}
	if all := list(t, d); len(all) != 1 || all[i.ID].ID == "" {
		t.Errorf("the listing shows %v", all)
	}
	if _, there := s.VMs()[1500]; !there {
		t.Error("the copy is gone")
	}
}

// TestStrangerAtOurVMID: a machine of ours was removed by hand and somebody
// uses its VMID.
func TestStrangerAtOurVMID(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01jremoved")
	id, _ := parseID(i.ID)
	ours := vmOf(t, s, i).Config
	for name, conf := range map[string]map[string]string{
		"without marks": {},
		"another installation's machine": {
			"tags":        strings.Replace(ours["tags"], id.mark, "fedcba9876543210", 1),
			"description": strings.Replace(ours["description"], id.mark, "fedcba9876543210", 1),
		},
	} {
		s.RemoveVM(id.vmid)
		s.AddVM(id.vmid, "precious", "pve1", conf)
		if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("%s: get: %v", name, err)
		}
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("%s: delete: %v", name, err)
		}
	}
	again, err := d.Create(t.Context(), request("01jremoved"))
	if err != nil || again.ID == i.ID {
		t.Errorf("a repeated create took over VM %s: %v", again.ID, err)
	}
	// Tags and notes that disagree: a person has to look.
	for name, conf := range map[string]map[string]string{
		"tags alone":     {"tags": ours["tags"]},
		"tags of others": {"description": ours["description"], "tags": strings.Replace(ours["tags"], id.mark, "fedcba9876543210", 1)},
	} {
		s.RemoveVM(id.vmid)
		s.AddVM(id.vmid, "precious", "pve1", conf)
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Conflict {
			t.Errorf("%s: delete: %v", name, err)
		}
	}
	if s.VMs()[id.vmid].Config["name"] != "precious" {
		t.Error("the stranger was touched")
	}
}
