package proxmox

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pve "github.com/luthermonson/go-proxmox"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

func vmOf(t *testing.T, s *site, i provider.Instance) fakeproxmox.VM {
	t.Helper()
	id, ok := parseID(i.ID)
	v, there := s.VMs()[id.vmid]
	if !ok || !there {
		t.Fatalf("there is no VM for machine %s", i.ID)
	}
	return v
}

// TestMachine looks at everything that a machine gets.
func TestMachine(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.AddPool("headroom/a")
	s.AddStorage("fast", false, "pve1")
	s.SetConfig(9000, map[string]string{"tags": "golden;headroom-server.other", "agent": "0,fstrim_cloned_disks=1", "balloon": "8192", "vcpus": "9"})
	d := s.driver(t, func(c *Settings) {
		c.Pool, c.Storage, c.NetworkBridge, c.NetworkVLAN, c.Tags = "headroom/a", "fast", "vmbr0", 7, []string{"gpu"}
		c.SSHPublicKey, c.CloudInitUser, c.NameServers = "ssh-ed25519 AAAA+/= ann@host\nssh-rsa BBBB", "ann", []string{"9.9.9.9", "1.1.1.1"}
		c.ConfigOverride = map[string]any{"cpu": "host", "onboot": true, "ipconfig0": nil, "net1": "virtio,bridge=vmbr0"}
	})
	i := running(t, d, "01jmachine")
	v := vmOf(t, s, i)
	mac := strings.TrimPrefix(strings.Split(v.Config["net0"], ",")[0], "virtio=")
	want := map[string]string{
		"cores": "2", "sockets": "1", "memory": "4096", "protection": "0", "agent": "enabled=1,fstrim_cloned_disks=1", "cpu": "host", "onboot": "1",
		"net0": "virtio=" + mac + ",bridge=vmbr0,firewall=1,tag=7", "ciuser": "ann", "nameserver": "9.9.9.9 1.1.1.1", "name": fleet.ServerName("01jmachine"),
		"sshkeys": "ssh-ed25519%20AAAA%2B%2F%3D%20ann%40host%0Assh-rsa%20BBBB", "balloon": "", "vcpus": "", "ipconfig0": "", "template": "",
	}
	got := map[string]string{}
	for k := range want {
		got[k] = v.Config[k]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options:\n%s", diff)
	}
	if v.Pool != "headroom/a" || !strings.HasPrefix(v.Config["scsi0"], "fast:") {
		t.Errorf("pool %q and disk %q", v.Pool, v.Config["scsi0"])
	}
	for _, tag := range []string{"headroom", "gpu", "golden", "headroom-server.01jmachine", "headroom-installation.01jinstall"} {
		if !slices.Contains(strings.Split(v.Config["tags"], ";"), tag) {
			t.Errorf("tag %s is missing in %s", tag, v.Config["tags"])
		}
	}
	if strings.Contains(v.Config["tags"], "headroom-server.other") || strings.Contains(v.Config["tags"], tagNew) {
		t.Errorf("tags are %s", v.Config["tags"])
	}
	if len(i.Addresses) != 2 || !strings.HasPrefix(i.Addresses[0], "10.1.") || i.Addresses[1] != "2001:db8::1" {
		t.Errorf("addresses are %v", i.Addresses)
	}
	if i.Capacity.Cores != 2*fleet.Core || i.Capacity.MemoryMiB != 4096 || i.CreatedAt.IsZero() {
		t.Errorf("machine is %+v", i)
	}
	from := s.Requests()
	list(t, d)
	if n := s.Requests() - from; n != 1 {
		t.Errorf("a listing at rest costs %d requests", n)
	}
}

func TestLinkedClone(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	off := false
	d := s.driver(t, func(c *Settings) { c.FullClone, c.CloudInit = &off, &off })
	v := vmOf(t, s, running(t, d, "01jlinked"))
	if v.Config["ipconfig0"] != "" || v.Config["sshkeys"] != "" {
		t.Errorf("cloud-init is off, options are %v", v.Config)
	}
	calls, err := d.(provider.Renderer).Render(t.Context(), request("01jshown"))
	if err != nil || len(calls) != 3 {
		t.Fatalf("render: %+v, %v", calls, err)
	}
	if o, ok := calls[0].Body.(*pve.VirtualMachineCloneOptions); !ok || bool(o.Full) {
		t.Errorf("the clone call of a linked clone is %+v", calls[0])
	}
}
