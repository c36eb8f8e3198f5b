package proxmox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

// The template has a disk of 8 GiB.
func TestRoomForAClone(t *testing.T) {
	t.Parallel()
	linked := func(c *Settings) { c.FullClone = new(bool) }
	for name, tt := range map[string]struct {
		plugin string
		left   float64
		change func(*Settings)
		says   string // empty: it is made
	}{
		"thick, room":       {"lvm", 8.5, nil, ""},
		"thick, no room":    {"lvm", 5, nil, "storage local-lvm on node pve1 has 5.0 GiB left, the clone takes 8.0 GiB"},
		"unknown type":      {"", 5, nil, "the clone takes 8.0 GiB"},
		"thin, room":        {"lvmthin", 5, nil, ""},
		"thin, no room":     {"lvmthin", 0.5, nil, "storage local-lvm on node pve1 has 0.5 GiB left, 1.0 GiB are kept for a clone"},
		"linked, room":      {"lvm", 1.5, linked, ""},
		"linked, no room":   {"lvm", 0.5, linked, "1.0 GiB are kept for a clone"},
		"another storage":   {"lvm", 0, func(c *Settings) { c.Storage = "fast" }, ""},
		"overfull":          {"zfspool", -3, nil, "has 0.0 GiB left"},
		"the named storage": {"lvm", 500, func(c *Settings) { c.Storage = "small" }, "storage small on node pve1 has 2.0 GiB left, the clone takes 8.0 GiB"},
	} {
		s := newSite(t, nil)
		s.AddStorage("fast", false, "pve1")
		s.AddStorage("small", false, "pve1")
		s.SetSpace("small", "lvm", 2)
		s.SetSpace("local-lvm", tt.plugin, tt.left)
		_, err := s.driver(t, tt.change).Create(t.Context(), request("01jroom"))
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, expected no_capacity with %q", name, err, tt.says)
		case tt.says != "" && len(s.VMs()) != 1:
			t.Errorf("%s: %d virtual machines", name, len(s.VMs()))
		}
	}
}

// Without target_nodes, the next node is tried; with them, the next offer is.
func TestRoomOnAnotherNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.AddNode("pve2", 16)
	s.AddStorage("lvm-2", false, "pve2")
	s.AddTemplate(9001, "base", "pve2", "lvm-2")
	s.SetSpace("local-lvm", "lvm", 1)
	i := running(t, s.driver(t, nil), "01jother")
	if v := vmOf(t, s, i); v.Node != "pve2" {
		t.Errorf("the machine is on %s", v.Node)
	}
	d := s.driver(t, func(c *Settings) { c.TargetNodes = []string{"pve1", "pve2"} })
	first := request("01joffer")
	first.Offer = "pve1"
	if _, err := d.Create(t.Context(), first); provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "pve1 has 1.0 GiB left") {
		t.Errorf("the first offer: %v", err)
	}
	first.Offer = "pve2"
	if _, err := d.Create(t.Context(), first); err != nil {
		t.Errorf("the second offer: %v", err)
	}
	s.SetSpace("lvm-2", "lvm", 2)
	r, err := s.driver(t, nil).Check(t.Context())
	if err != nil || !slices.ContainsFunc(r.Findings, func(f provider.Finding) bool {
		return f.Subject == "room for a clone" && f.Verdict == provider.VerdictWarning && strings.Contains(f.Message, "2.0 GiB left") && f.Remedy != ""
	}) {
		t.Errorf("check: %+v, %v", r, err)
	}
	_, err = s.driver(t, nil).Create(t.Context(), request("01jnone"))
	if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "pve1 has 1.0 GiB left") || !strings.Contains(err.Error(), "pve2 has 2.0 GiB left") {
		t.Errorf("no node has room: %v", err)
	}
}

// A token that does not see how full storages are makes machines all the same.
func TestRoomThatNobodyKnows(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.SetSpace("local-lvm", "lvm", 0)
	s.SetGrants(without(9, "Datastore.Audit"))
	before := s.Requests()
	if _, err := s.driver(t, nil).Create(t.Context(), request("01jblind")); err != nil {
		t.Fatal(err)
	}
	if n := s.Requests() - before; n != 3 {
		t.Errorf("the create cost %d requests", n)
	}
}

// Proxmox VE removes what it could not clone. The machine says why all the same,
// until it is deleted.
func TestCloneThatFails(t *testing.T) {
	t.Parallel()
	for text, class := range map[string]provider.Class{
		`clone failed: lvcreate 'pve/vm-1000-disk-0' error: Volume group "pve" has insufficient free space (1280 extents): 2048 required.`: provider.NoCapacity,
		"clone failed: lvcreate error: Cannot create new thin volume, free space in thin pool pve/data reached threshold.":                 provider.NoCapacity,
		"clone failed: zfs error: cannot create 'rpool/data/vm-1000-disk-0': out of space":                                                 provider.NoCapacity,
		"clone failed: copy failed: qemu-img: error while writing: No space left on device":                                                provider.NoCapacity,
		"clone failed: unable to create image: qemu-img: /mnt/pve/nfs/images/1000/vm-1000-disk-0.qcow2: Disk quota exceeded":               provider.NoCapacity,
		"clone failed: interrupted by signal": "",
	} {
		s := newSite(t, func(o *fakeproxmox.Options) { o.CloneTime = 20 * time.Millisecond })
		s.FailClones(text)
		d := s.driver(t, nil)
		i, err := d.Create(t.Context(), request("01jfails"))
		if err != nil {
			t.Fatal(err)
		}
		until(t, func() string {
			if n := len(s.VMs()); n != 1 {
				return fmt.Sprintf("%d virtual machines", n)
			}
			return ""
		})
		wrong := func(how string, got provider.Instance, err error) {
			t.Helper()
			if err != nil || got.ID != i.ID || got.State != provider.StateFailed || got.FaultClass != class || !strings.Contains(got.Fault, text) || got.Tags != i.Tags {
				t.Errorf("%s: %+v, %v", how, got, err)
			}
		}
		got, err := d.Get(t.Context(), i.ID)
		wrong("get", got, err)
		all := list(t, d)
		if len(all) != 1 {
			t.Fatalf("the listing shows %v", all)
		}
		for _, got := range all {
			wrong("list", got, nil)
		}
		if _, err := s.driver(t, nil).Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("a controller that was restarted: %v", err)
		}
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("delete: %v", err)
		}
		if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound || len(list(t, d)) != 0 {
			t.Errorf("after the delete: %v, %v", err, list(t, d))
		}
		// The same request makes the machine once there is room.
		s.FailClones("")
		running(t, d, "01jfails")
	}
}
