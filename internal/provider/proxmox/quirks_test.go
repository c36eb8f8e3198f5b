package proxmox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pve "github.com/luthermonson/go-proxmox"
	"pgregory.net/rapid"

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

// TestLostRace: two controllers clone to one VMID at a moment; the cluster
// accepts both calls and one task fails.
func TestLostRace(t *testing.T) {
	t.Parallel()
	var late atomic.Bool
	began := time.Now()
	s := newSite(t, func(o *fakeproxmox.Options) {
		o.CloneDelay = time.Minute
		o.Now = func() time.Time {
			if late.Load() {
				return began.Add(2 * time.Minute)
			}
			return began
		}
	})
	change := func(c *Settings) { c.VMIDRange = "1000-1000" }
	a, b := s.driver(t, change), s.driver(t, change)
	first, err := a.Create(t.Context(), request("01jfirst"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Create(t.Context(), request("01jsecond"))
	if err != nil || strings.Split(second.ID, "-")[0] != "1000" || second.ID == first.ID {
		t.Fatalf("the race did not happen: %s and %s, %v", first.ID, second.ID, err)
	}
	late.Store(true)
	until(t, func() string {
		if i := list(t, a)[first.ID]; i.State != provider.StateRunning {
			return "the first is " + string(i.State)
		}
		return ""
	})
	if _, err := b.Get(t.Context(), second.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("get of the loser: %v", err)
	}
	if err := b.Delete(t.Context(), second.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of the loser: %v", err)
	}
	if v := vmOf(t, s, first); v.Status != "running" {
		t.Errorf("the winner is %s", v.Status)
	}
}

// TestTightRange fills a range to its last VMID from several controllers at
// once.
func TestTightRange(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, id := range []int{1002, 1005} {
		s.AddVM(id, "other", "pve1", nil)
	}
	drivers := []provider.Driver{}
	for range 3 {
		drivers = append(drivers, s.driver(t, func(c *Settings) { c.VMIDRange = "1000-1009" }))
	}
	ids := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			server := fmt.Sprintf("01jtight%d", n)
			until(t, func() string {
				i, err := drivers[n%3].Create(t.Context(), request(server))
				if err != nil {
					return err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				ids[i.ID] = server
				return ""
			})
		})
	}
	wg.Wait()
	until(t, func() string {
		if all := list(t, drivers[0]); len(all) != 8 {
			return fmt.Sprintf("the listing shows %d machines of 8 (%v)", len(all), ids)
		}
		return ""
	})
	_, err := drivers[0].Create(t.Context(), request("01jtoo-many"))
	if provider.ClassOf(err) != provider.Quota || !strings.Contains(err.Error(), "1000-1009") {
		t.Errorf("create in a full range: %v", err)
	}
	if v := s.VMs()[1002]; v.Config["name"] != "other" || v.Config["tags"] != "" {
		t.Errorf("the stranger is %+v", v)
	}
}

// TestKilledBetweenCalls: a new controller goes on wherever the old one was
// killed, and finds one machine.
func TestKilledBetweenCalls(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		listCall, "GET /access/permissions", cloneCall, "GET /nodes/{node}/qemu/{vmid}/config", configCall,
		"POST /nodes/{node}/qemu/{vmid}/status/start", "GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(o *fakeproxmox.Options) { o.CloneTime = 30 * time.Millisecond })
			s.Inject(call, fakeproxmox.Fault{Lost: true})
			_, err := s.driver(t, nil).Create(t.Context(), request("01jkilled"))
			if err != nil && provider.ClassOf(err).MadeNothing() && call == cloneCall {
				t.Errorf("the lost clone call: %v", err)
			}
			for range s.driver(t, nil).List(t.Context(), testOwner) { //nolint:revive // the fault may hit here
			}
			i := running(t, s.driver(t, nil), "01jkilled")
			if n := len(s.VMs()); n != 2 {
				t.Errorf("there are %d virtual machines, the template included", n)
			}
			d := s.driver(t, nil)
			until(t, func() string {
				if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
					return fmt.Sprint(err)
				}
				return ""
			})
		})
	}
}

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

func TestFailures(t *testing.T) {
	t.Parallel()
	t.Run("a start that fails fails the machine with the reason", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.FailStarts("bridge 'vmbr7' does not exist")
		d := s.driver(t, nil)
		made, err := d.Create(t.Context(), request("01jnostart"))
		if err != nil {
			t.Fatal(err)
		}
		until(t, func() string {
			if i := list(t, d)[made.ID]; i.State != provider.StateFailed || !strings.Contains(i.Fault, "vmbr7") {
				return fmt.Sprintf("machine is %s: %s", i.State, i.Fault)
			}
			return ""
		})
	})
	t.Run("a right that goes away leaves the machine pending until it is back", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		made, err := d.Create(t.Context(), request("01jrightless"))
		if err != nil {
			t.Fatal(err)
		}
		s.SetGrants(without(9, privMemory))
		if i := list(t, d)[made.ID]; i.State != provider.StatePending || !strings.Contains(i.Fault, "VM.Config.Memory on /vms/") {
			t.Errorf("machine is %s: %s", i.State, i.Fault)
		}
		s.SetGrants(fakeproxmox.Administrator(9))
		running(t, d, "01jrightless")
	})
	t.Run("a machine that is switched off is stopped and not started again", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		i := running(t, d, "01joff")
		id, _ := parseID(i.ID)
		s.SetStatus(id.vmid, "stopped")
		for range 3 {
			if got := list(t, d)[i.ID]; got.State != provider.StateStopped {
				t.Errorf("machine is %s", got.State)
			}
		}
		if n := strings.Count(strings.Join(s.Log(), "\n"), "/status/start"); n != 1 {
			t.Errorf("it was started %d times", n)
		}
	})
	t.Run("a machine that somebody protects is not removed", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		i := running(t, d, "01jkept")
		id, _ := parseID(i.ID)
		s.SetConfig(id.vmid, map[string]string{"protection": "1"})
		s.SetStatus(id.vmid, "stopped")
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "protection") {
			t.Errorf("delete: %v", err)
		}
	})
	t.Run("one machine that cannot be configured stalls no other", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		for n := range 4 {
			if _, err := d.Create(t.Context(), request(fmt.Sprintf("01jmany%d", n))); err != nil {
				t.Fatal(err)
			}
		}
		s.Inject(configCall, fakeproxmox.Fault{Status: http.StatusInternalServerError, Text: "can't lock file '/var/lock/qemu-server/lock-1.conf' - got timeout"})
		until(t, func() string {
			up := 0
			for _, i := range list(t, d) {
				if i.State == provider.StateRunning {
					up++
				}
			}
			if up != 4 {
				return fmt.Sprintf("%d of 4 run", up)
			}
			return ""
		})
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		text   string
		class  provider.Class
		says   string
	}{
		{401, "authentication failure", provider.Unauthenticated, "token_secret"},
		{401, "permission denied - invalid PVE ticket", provider.Unauthenticated, "API token"},
		{403, "Permission check failed (/vms/105, VM.PowerMgmt)", provider.Forbidden, "VM.PowerMgmt on /vms/105"},
		{403, "Permission check failed (/vms/105, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)", provider.Forbidden, "VM.GuestAgent.Audit or VM.GuestAgent.Unrestricted on /vms/105"},
		{400, "Parameter verification failed.", provider.Invalid, "refuses the request"},
		{404, "Not Found", provider.Invalid, "check host and port"},
		{500, "VM is locked (clone)", provider.Conflict, "locked"},
		{500, "can't lock file '/var/lock/qemu-server/lock-105.conf' - got timeout", provider.Conflict, "got timeout"},
		{500, "unable to create VM 105: config file already exists", provider.Conflict, "already exists"},
		{500, "Configuration file 'nodes/pve1/qemu-server/105.conf' does not exist", provider.NotFound, "105"},
		{500, "storage 'fast' does not exist", provider.Invalid, "fast"},
		{500, "cluster not ready - no quorum?", provider.Unavailable, "quorum"},
		{500, "not enough free space on storage 'fast'", provider.NoCapacity, "fast"},
		{500, "No QEMU guest agent configured", provider.Invalid, "guest agent"},
		{500, "something new", provider.Unknown, "something new"},
		{501, "Method 'GET /x' not implemented", provider.Unsupported, "8 and 9"},
		{502, "Bad Gateway", provider.Unavailable, "not available"},
		{595, "No route to host", provider.Unavailable, "node is down"},
		{596, "tls_process_server_certificate: certificate verify failed", provider.Unavailable, "596"},
		{429, "Too Many Requests", provider.RateLimited, "too many"},
	} {
		err := failure("looking", &refusal{status: c.status, text: c.text})
		if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d %s: %v, expected %s with %q", c.status, c.text, err, c.class, c.says)
		}
	}
}

func TestTagsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		want := tagged{
			identity: identity{rapid.IntRange(minVMID, maxVMID).Draw(t, "vmid"), fmt.Sprintf("%016x", rapid.Uint64().Draw(t, "mark"))},
			tags: provider.Tags{
				Installation: text.Draw(t, "installation"), Server: text.Draw(t, "server"),
				AutoscaleConfig: text.Draw(t, "autoscale"), Provider: text.Draw(t, "provider"),
			},
			addresses: []string{"10.0.0.1", "2001:db8::1"}, fresh: rapid.Bool().Draw(t, "fresh"),
		}
		encoded := want.encode([]string{"mine"})
		got, others, ok := decodeTags(strings.ToLower(encoded), want.vmid)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tagged{}, identity{})); !ok || diff != "" || !slices.Equal(others, []string{"mine"}) {
			t.Fatalf("%s\n%v %v:\n%s", encoded, ok, others, diff)
		}
		for tag := range strings.SplitSeq(encoded, ";") {
			if !tagRule.MatchString(tag) {
				t.Fatalf("Proxmox VE has no tag %q", tag)
			}
		}
		if _, _, ok := decodeTags(encoded, want.vmid+1); ok {
			t.Fatal("the tags of another VMID were taken")
		}
	})
}

func FuzzMarks(f *testing.F) {
	f.Add("headroom-machine.100-0123456789abcdef;headroom-created.x+", "headroom: {\"v\":1,\"vmid\":100}")
	f.Fuzz(func(_ *testing.T, tags, notes string) {
		decodeTags(tags, 100)
		parseNotes(notes, 100)
		netDevice(tags, "vmbr0", 7)
		withAgent(tags)
	})
}
