package proxmox

import (
	"slices"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

func TestOfflineNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.AddNode("pve2", 128)
	s.AddNode("pve3", 32)
	s.AddStorage("ceph", true, "pve1", "pve2", "pve3")
	s.AddTemplate(9001, "shared", "pve1", "ceph")
	d := s.driver(t, func(c *Settings) { c.Template = "shared" })
	onTwo := running(t, d, "01jontwo")
	if v := vmOf(t, s, onTwo); v.Node != "pve2" {
		t.Errorf("the machine is on %s, most memory is free on pve2", v.Node)
	}
	s.SetOnline("pve2", false)
	next := running(t, d, "01jelsewhere")
	if v := vmOf(t, s, next); v.Node != "pve1" {
		t.Errorf("with pve2 offline the machine is on %s", v.Node)
	}
	if i := list(t, d)[onTwo.ID]; i.State != provider.StatePending || i.Tags != onTwo.Tags {
		t.Errorf("the machine on the offline node is shown as %+v: nobody knows whether it runs", i)
	}
	if err := d.Delete(t.Context(), onTwo.ID); provider.ClassOf(err) != provider.Unavailable || !strings.Contains(err.Error(), "595") {
		t.Errorf("delete on an offline node: %v", err)
	}
	named := s.driver(t, func(c *Settings) { c.Template, c.TargetNodes = "shared", []string{"pve2", "pve3"} })
	if offers := named.(provider.Offerer).Offers(); !slices.Equal(offers, []string{"pve2", "pve3"}) {
		t.Errorf("offers are %v", offers)
	}
	req := request("01joffered")
	req.Offer = "pve2"
	if _, err := named.Create(t.Context(), req); provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "pve2 is offline") {
		t.Errorf("create on an offline node: %v", err)
	}
	req.Offer = "pve3"
	if i, err := named.Create(t.Context(), req); err != nil || i.Offer != "pve3" {
		t.Errorf("create on pve3: %+v, %v", i, err)
	}
	s.SetUsedMemory("pve3", 31)
	req = request("01jnoroom")
	req.Offer = "pve3"
	if _, err := named.Create(t.Context(), req); provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "1.0 GiB") {
		t.Errorf("create on a full node: %v", err)
	}
	s.SetOnline("pve1", false)
	if _, err := d.Create(t.Context(), request("01jnotemplate")); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("create while the template's node is offline: %v", err)
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.AddNode("pve2", 256)
	s.AddVM(700, "plain", "pve1", nil)
	s.AddStorage("lvm2", false, "pve2")
	s.AddTemplate(9002, "twin", "pve1", "local-lvm")
	s.AddTemplate(9003, "twin", "pve2", "lvm2")
	for _, c := range []struct {
		name   string
		change func(*Settings)
		class  provider.Class
		says   string
		node   string
	}{
		{name: "missing", change: func(c *Settings) { c.Template = "nothing" }, class: provider.Invalid, says: "it sees base (9000), twin (9002) and twin (9003)"},
		{name: "missing number", change: func(c *Settings) { c.Template = "4711" }, class: provider.Invalid, says: "there is no template 4711"},
		{name: "no template", change: func(c *Settings) { c.Template = "plain" }, class: provider.Invalid, says: "is no template"},
		{name: "on another node", change: func(c *Settings) { c.Node = "pve2" }, class: provider.Invalid, says: "it is on pve1"},
		{name: "local disks, free choice", change: func(*Settings) {}, node: "pve1"},
		{name: "local disks, another node wanted", change: func(c *Settings) { c.TargetNodes = []string{"pve2"} }, class: provider.Invalid, says: "uses local storage"},
		{name: "one on each node", change: func(c *Settings) { c.Template = "twin" }, node: "pve2"},
		{name: "by number", change: func(c *Settings) { c.Template = "9002" }, node: "pve1"},
		{name: "named node of several", change: func(c *Settings) { c.Template, c.Node, c.TargetNodes = "twin", "pve1", []string{"pve1"} }, node: "pve1"},
		{name: "unknown target", change: func(c *Settings) { c.TargetNodes = []string{"pve9"} }, class: provider.NoCapacity, says: "no node pve9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, err := s.driver(t, c.change).Create(t.Context(), request("01j"+strings.ReplaceAll(c.name, " ", "")))
			if c.class != "" {
				if provider.ClassOf(err) != c.class || err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("create: %v; expected %s with %q", err, c.class, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v := vmOf(t, s, i); v.Node != c.node {
				t.Errorf("the machine is on %s, expected %s", v.Node, c.node)
			}
		})
	}
}

// TestBlindListing: Proxmox VE leaves out what may not be seen, and says
// nothing.
func TestBlindListing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	d := s.driver(t, nil)
	i := running(t, d, "01junseen")
	s.SetGrants(without(9, privAudit))
	for _, err := range d.List(t.Context(), testOwner) {
		if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "VM.Audit on /vms") {
			t.Errorf("list without VM.Audit: %v", err)
		}
	}
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("get without VM.Audit: %v", err)
	}
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("delete without VM.Audit: %v", err)
	}
	s.SetGrants(fakeproxmox.Administrator(9))
	s.RemoveVM(9000)
	if all := list(t, d); len(all) != 1 {
		t.Errorf("without the template the listing shows %v", all)
	}
}
