package vsphere

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	hostsChecked = 32 // ESXi hosts that a check connects to
	hostPatience = 2 * time.Second
)

// privilege is a right that the account needs on one of the objects.
type privilege struct {
	id    string
	title string // as the vSphere Client calls it
	// why the lack of it is a warning only; empty: machines cannot be made or removed
	spare string
}

// privileges lists what the account needs, by the setting whose object it is
// needed on. The names are those of the API; docs/providers/vsphere.md shows
// them as the vSphere Client does.
func (s Settings) privileges() map[string][]privilege {
	_, source := s.source()
	folder := []privilege{
		{"VirtualMachine.Inventory.CreateFromExisting", "Virtual machine > Edit inventory > Create from existing", ""},
		{"VirtualMachine.Inventory.Create", "Virtual machine > Edit inventory > Create new", "vCenter asks for it with some versions and kinds of disks only"},
		{"VirtualMachine.Inventory.Delete", "Virtual machine > Edit inventory > Remove", ""},
		{"VirtualMachine.Inventory.Unregister", "Virtual machine > Edit inventory > Unregister", ""},
		{"VirtualMachine.Interact.PowerOn", "Virtual machine > Interaction > Power on", ""},
		{"VirtualMachine.Interact.PowerOff", "Virtual machine > Interaction > Power off", ""},
	}
	if s.CloneType != Instant {
		folder = append(folder,
			privilege{"VirtualMachine.Config.CPUCount", "Virtual machine > Change configuration > Change CPU count", ""},
			privilege{"VirtualMachine.Config.Memory", "Virtual machine > Change configuration > Change memory", ""},
			privilege{"VirtualMachine.Config.Annotation", "Virtual machine > Change configuration > Set annotation", ""},
			privilege{"VirtualMachine.Config.Settings", "Virtual machine > Change configuration > Change settings", ""},
		)
	}
	folder = append(folder, privilege{"VirtualMachine.Config.AdvancedConfig", "Virtual machine > Change configuration > Advanced configuration", ""})
	if s.Network != "" {
		folder = append(folder, privilege{"VirtualMachine.Config.EditDevice", "Virtual machine > Change configuration > Modify device settings", ""})
	}
	if s.ScriptMethod != Guestinfo {
		folder = append(folder,
			privilege{"VirtualMachine.GuestOperations.Modify", "Virtual machine > Guest operations > Guest operation modifications", ""},
			privilege{"VirtualMachine.GuestOperations.Execute", "Virtual machine > Guest operations > Guest operation program execution", ""},
			privilege{"VirtualMachine.GuestOperations.Query", "Virtual machine > Guest operations > Guest operation queries", ""},
		)
	}
	provision := privilege{"VirtualMachine.Provisioning.DeployTemplate", "Virtual machine > Provisioning > Deploy template", ""}
	if s.CloneType.or() != Full {
		provision = privilege{"VirtualMachine.Provisioning.Clone", "Virtual machine > Provisioning > Clone virtual machine", ""}
	}
	all := map[string][]privilege{
		"datacenter": {{"Global.CancelTask", "Global > Cancel task", "without it a machine that is deleted while its clone is under way is removed when the clone has ended"}},
		"folder":     folder,
		source:       {provision},
		"datastore": {
			{"Datastore.AllocateSpace", "Datastore > Allocate space", ""},
			{"Datastore.Browse", "Datastore > Browse datastore", "vCenter asks for it with some kinds of disks only"},
		},
		"resource_pool": {{"Resource.AssignVMToPool", "Resource > Assign virtual machine to resource pool", ""}},
		"network":       {{"Network.Assign", "Network > Assign network", ""}},
	}
	return all
}

// checkup collects findings.
type checkup struct {
	findings []provider.Finding
}

func (c *checkup) ok(subject, format string, args ...any) {
	c.findings = append(c.findings, provider.Finding{Subject: subject, Verdict: provider.VerdictOK, Message: fmt.Sprintf(format, args...)})
}

func (c *checkup) bad(verdict provider.Verdict, subject, message, remedy string) {
	c.findings = append(c.findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
}

// wrong adds an error of ours, whose message says both what is wrong and what
// to do about it.
func (c *checkup) wrong(subject string, err error) {
	e := failure(subject, err)
	message := strings.TrimPrefix(e.Error(), string(provider.ClassOf(e))+": "+subject+": ")
	remedy := "correct the setting, or what it names in vCenter"
	switch provider.ClassOf(e) {
	case provider.Unauthenticated:
		remedy = "correct username and password, or the way in which the certificate is verified"
	case provider.Forbidden:
		remedy = "give the account the right"
	case provider.Unavailable, provider.Unknown:
		remedy = "check vcenter and port, the network, and whether vCenter is up; then check again"
	case provider.NoCapacity, provider.Quota:
		remedy = "make room, or choose another place"
	}
	c.bad(provider.VerdictFailed, subject, message, remedy)
}

// Check looks at the login, every object that the settings name, every
// privilege, the source of the clones, the space, and the way to the ESXi hosts.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	var c checkup
	err := d.link.with(ctx, func(s *session) error {
		c = checkup{}
		return d.check(ctx, s, &c)
	})
	if ctx.Err() != nil {
		return provider.Report{}, failure("checking vCenter", ctx.Err())
	}
	if err != nil {
		c.wrong("login", err)
	}
	return provider.Report{Findings: c.findings}, nil
}

func (d *driver) check(ctx context.Context, s *session, c *checkup) error {
	about := s.client.ServiceContent.About
	c.ok("login", "%s accepts the account as %s", about.FullName, s.user)
	p := &places{}
	found := map[string]types.ManagedObjectReference{}
	for _, r := range d.settings.references() {
		ref, err := s.lookUp(ctx, r)
		if isFault(err, "NotAuthenticated") {
			return err
		}
		if err != nil {
			c.wrong(r.setting, err)
			continue
		}
		r.put(p, ref)
		found[r.setting] = ref
		c.ok(r.setting, "%s is the %s %s", r.path, r.what, ref.Value)
	}
	if p.network != nil {
		backing, err := s.networkBacking(ctx, *p.network)
		if err != nil {
			c.wrong("network", err)
		}
		p.backing = backing
	}
	if _, setting := d.settings.source(); found[setting].Value != "" {
		if err := d.checkSource(ctx, s, c, p, found); err != nil {
			return err
		}
	}
	if err := d.checkPrivileges(ctx, s, c, found); err != nil {
		return err
	}
	if d.settings.ScriptMethod == Guestinfo {
		c.ok("startup script", "reaches the guest as guestinfo.userdata; the source needs cloud-init 21.3 or newer, or Cloudbase-Init with its VMware service")
		return nil
	}
	return d.checkHosts(ctx, s, c, p)
}

// checkSource looks at what is cloned and where it goes. It adds the datastore
// and the resource pool of the source to those that were found, where the
// settings name none.
func (d *driver) checkSource(ctx context.Context, s *session, c *checkup, p *places, found map[string]types.ManagedObjectReference) error {
	o, err := s.readOrigin(ctx, p)
	if isFault(err, "NotAuthenticated") {
		return err
	}
	if err == nil {
		err = d.fit(o)
	}
	if err != nil {
		c.wrong("source of clones", err)
		return nil
	}
	c.ok("source of clones", "%s can be cloned; a clone needs %s at once", o.vm.Name, gib(d.need(o, d.settings.Shape())))
	var room error
	for i, ds := range o.datastores {
		if err := d.guard(ds, o, d.settings.Shape()); err != nil {
			room = err
			continue
		}
		c.ok("space", "datastore %s has %s free of %s", ds.Name, gib(ds.Summary.FreeSpace), gib(ds.Summary.Capacity))
		if p.pod == nil && p.datastore == nil {
			found["datastore"] = o.datastores[i].Self
		}
		room = nil
		break
	}
	if room != nil {
		c.wrong("space", room)
	}
	if d.settings.ResourcePool == "" && p.pool == nil {
		var vm mo.VirtualMachine
		if err := s.one(ctx, p.source, &vm, "resourcePool"); err == nil && vm.ResourcePool != nil {
			found["resource_pool"] = *vm.ResourcePool
		}
	}
	return nil
}

// checkPrivileges asks for the privileges on all objects, one question for each
// object.
func (d *driver) checkPrivileges(ctx context.Context, s *session, c *checkup, found map[string]types.ManagedObjectReference) error {
	names := map[string]string{}
	for _, r := range d.settings.references() {
		names[r.setting] = r.path
	}
	wanted := d.settings.privileges()
	_, source := d.settings.source()
	for _, setting := range []string{"datacenter", "folder", source, "datastore", "resource_pool", "network"} {
		ref, ok := found[setting]
		if !ok {
			continue
		}
		ids := make([]string, len(wanted[setting]))
		for i, w := range wanted[setting] {
			ids[i] = w.id
		}
		resp, err := methods.HasPrivilegeOnEntities(ctx, s.client, &types.HasPrivilegeOnEntities{
			This: *s.client.ServiceContent.AuthorizationManager, Entity: []types.ManagedObjectReference{ref}, SessionId: s.key, PrivId: ids,
		})
		if isFault(err, "NotAuthenticated") {
			return err
		}
		if err != nil {
			c.wrong("privileges on "+setting, err)
			continue
		}
		granted := map[string]bool{}
		for _, e := range resp.Returnval {
			for _, a := range e.PrivAvailability {
				granted[a.PrivId] = a.IsGranted
			}
		}
		where := names[setting]
		if where == "" {
			where = ref.Type + " " + ref.Value
		}
		for _, w := range wanted[setting] {
			subject := w.id + " on " + setting
			switch {
			case granted[w.id]:
				c.ok(subject, "granted on %s", where)
			case w.spare != "":
				c.bad(provider.VerdictWarning, subject, "the account "+s.user+" lacks the privilege "+w.id+" on "+where+"; "+w.spare, grant(w, where))
			default:
				c.bad(provider.VerdictFailed, subject, "the account "+s.user+" lacks the privilege "+w.id+" on "+where, grant(w, where))
			}
		}
	}
	return nil
}

func grant(w privilege, where string) string {
	return "add " + w.title + " to the account's role, and assign the role on " + where + " with propagation"
}

// checkHosts connects to the ESXi hosts on which machines may run: files go to
// the guest through the host.
func (d *driver) checkHosts(ctx context.Context, s *session, c *checkup, p *places) error {
	if p.cluster == nil {
		c.bad(provider.VerdictWarning, "HTTPS to ESXi hosts", "which hosts run the machines is not known without cluster", "set cluster, so that the way to its hosts can be checked")
		return nil
	}
	all, err := s.read(ctx, types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{
			Obj: *p.cluster, Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ComputeResource", Path: "host"}},
		}},
		PropSet: []types.PropertySpec{{Type: "HostSystem", PathSet: []string{"name", "runtime.connectionState", "summary.config.sslThumbprint"}}},
	})
	if isFault(err, "NotAuthenticated") {
		return err
	}
	if err != nil {
		c.wrong("HTTPS to ESXi hosts", err)
		return nil
	}
	if len(all) == 0 {
		c.bad(provider.VerdictFailed, "HTTPS to ESXi hosts", "the cluster has no hosts that the account can see", "add hosts, or give the account the role Read-only on the cluster with propagation")
	}
	for i, content := range all {
		var h mo.HostSystem
		if err := load(content, &h); err != nil {
			return err
		}
		if i == hostsChecked || ctx.Err() != nil {
			c.bad(provider.VerdictWarning, "HTTPS to ESXi hosts", fmt.Sprintf("%d hosts were not tried", len(all)-i), "check the way to port 443 of the other hosts by hand")
			break
		}
		subject := "HTTPS to ESXi host " + h.Name
		if state := h.Runtime.ConnectionState; state != types.HostSystemConnectionStateConnected {
			c.bad(provider.VerdictWarning, subject, "not tried: vCenter calls the host "+string(state), "connect the host in vCenter")
			continue
		}
		if err := d.dialHost(ctx, h); err != nil {
			c.bad(provider.VerdictFailed, subject, strings.TrimPrefix(err.Error(), string(provider.ClassOf(err))+": "),
				"open port 443 of the host for the controller, or use script_method guestinfo")
			continue
		}
		c.ok(subject, "answers, and shows the certificate that vCenter knows")
	}
	return nil
}

func (d *driver) dialHost(ctx context.Context, h mo.HostSystem) error {
	config, err := d.settings.TLSConfig()
	if err != nil {
		return failure("preparing the connection", err)
	}
	if !d.settings.InsecureSkipVerify {
		config = hostConfig(config, h)
	}
	address := h.Name
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "443")
	}
	dctx, cancel := context.WithTimeout(ctx, hostPatience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(dctx, "tcp", address)
	if err != nil {
		return hostFailure(address, err)
	}
	return conn.Close()
}
