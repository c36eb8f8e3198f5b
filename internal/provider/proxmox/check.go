package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Check looks at the token, every reference of the settings and every
// privilege. An error means that the API could not be used at all.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	version, err := d.api.client.Version(ctx)
	if err != nil {
		return provider.Report{}, failure("reading the version of Proxmox VE", err)
	}
	c := &checkup{}
	text := fleet.Or(version.Version, version.Release)
	number, _, _ := strings.Cut(text, ".")
	release, _ := strconv.Atoi(number)
	if release == 8 || release == 9 {
		c.ok("API of Proxmox VE", "version "+text)
	} else {
		c.warn("API of Proxmox VE", fmt.Sprintf("version %q is not one that Headroom is made for", text), "use Proxmox VE 8 or 9")
	}
	all, err := d.api.resources(ctx, "")
	if err != nil {
		return provider.Report{}, failure("listing the cluster", err)
	}
	have, err := d.api.permissions(ctx)
	if err != nil {
		return provider.Report{}, failure("reading the permissions of the API token", err)
	}
	d.checkNodes(c, all, have)
	d.checkRange(c, all)
	at := place{template: "/vms/" + d.settings.Template, machine: "/vms"}
	if t := d.checkTemplate(c, all); t != nil {
		at.template = "/vms/" + strconv.Itoa(t.VMID)
		d.checkTemplateConfig(ctx, c, *t, &at)
	}
	d.checkStorage(c, all, &at)
	d.checkRoom(ctx, c, all, at)
	if err := d.checkBridge(ctx, c, all, have, &at); err != nil {
		return provider.Report{}, err
	}
	for _, n := range d.needs(at, release) {
		subject := "privilege " + n.name()
		if n.met(have) {
			c.ok(subject, "")
			continue
		}
		c.fail(subject, "the API token lacks it: "+n.why, "add a role with "+n.privileges[0]+" on "+n.paths[len(n.paths)-1]+" for the token and, where the token has privilege separation, for its user")
	}
	if p := d.settings.Pool; p != "" {
		c.should(have.has("/pool/"+p, privPool), "privilege "+privPool+" on /pool/"+p,
			"the API token lacks it: cloning into the pool needs VM.Allocate only, moving machines between pools by hand needs this one", "add it to the role on /pool/"+p)
	}
	return provider.Report{Findings: c.findings}, nil
}

type checkup struct{ findings []provider.Finding }

func (c *checkup) ok(subject, message string) {
	c.findings = append(c.findings, provider.Finding{Subject: subject, Verdict: provider.VerdictOK, Message: message})
}

func (c *checkup) warn(subject, message, remedy string) {
	c.findings = append(c.findings, provider.Finding{Subject: subject, Verdict: provider.VerdictWarning, Message: message, Remedy: remedy})
}

func (c *checkup) fail(subject, message, remedy string) {
	c.findings = append(c.findings, provider.Finding{Subject: subject, Verdict: provider.VerdictFailed, Message: message, Remedy: remedy})
}

// should warns unless good.
func (c *checkup) should(good bool, subject, message, remedy string) {
	if good {
		c.ok(subject, "")
		return
	}
	c.warn(subject, message, remedy)
}

func (d *driver) checkNodes(c *checkup, all []resource, have permissions) {
	nodes := map[string]resource{}
	for _, r := range all {
		if r.Type == "node" {
			nodes[r.Node] = r
		}
	}
	wanted := d.settings.TargetNodes
	for _, name := range wanted {
		n, there := nodes[name]
		switch {
		case !there:
			c.fail("node "+name, "the cluster has no such node; it has "+nodeNames(nodes), "correct target_nodes")
		case n.Status != "online":
			c.warn("node "+name, "it is "+n.Status+"; machines are made on the others meanwhile", "start the node, or take it out of target_nodes")
		default:
			c.ok("node "+name, "online")
		}
	}
	if len(wanted) == 0 {
		var offline []string
		for name, n := range nodes {
			if n.Status != "online" {
				offline = append(offline, name)
			}
			wanted = append(wanted, name)
		}
		slices.Sort(offline)
		slices.Sort(wanted)
		if len(offline) == 0 {
			c.ok("nodes", fmt.Sprintf("%d online", len(nodes)))
		} else {
			c.warn("nodes", "offline: "+joinAnd(offline)+"; machines are made on the others meanwhile", "start the node")
		}
	}
	var blind []string
	for _, name := range wanted {
		if !have.has("/nodes/"+name, privNodeAudit) {
			blind = append(blind, "/nodes/"+name)
		}
	}
	c.should(len(blind) == 0, "privilege "+privNodeAudit+" on /nodes",
		"the API token lacks it on "+joinAnd(blind)+", so that free memory is not known and machines are spread by their number", "add the role PVEAuditor on /nodes")
}

func (d *driver) checkRange(c *checkup, all []resource) {
	size, used := d.to-d.from+1, 0
	for id := range vmids(all) {
		if id >= d.from && id <= d.to {
			used++
		}
	}
	subject := fmt.Sprintf("VMIDs %d-%d", d.from, d.to)
	switch free := size - used; {
	case free == 0:
		c.fail(subject, "all are taken", "make vmid_range larger")
	case free < 100:
		c.warn(subject, fmt.Sprintf("%d are free: machines that are made at one moment may want the same one, which costs a minute", free), "make vmid_range at least ten times as large as max_instances")
	default:
		c.ok(subject, fmt.Sprintf("%d are free", free))
	}
}

func (d *driver) checkTemplate(c *checkup, all []resource) *resource {
	subject := "template " + d.settings.Template
	found := d.settings.templates(all, false)
	if len(found) == 0 {
		err := d.noTemplate(all)
		c.fail(subject, strings.TrimPrefix(err.Error(), string(provider.ClassOf(err))+": "), "correct template, and give the API token VM.Audit and VM.Clone on it")
		return nil
	}
	c.ok(subject, fmt.Sprintf("VM %d on node %s", found[0].VMID, nodesOf(found)))
	return &found[0]
}

// checkTemplateConfig reads what machines will inherit.
func (d *driver) checkTemplateConfig(ctx context.Context, c *checkup, t resource, at *place) {
	config, err := d.api.config(ctx, t.Node, t.VMID)
	if err != nil {
		c.fail(fmt.Sprintf("configuration of VM %d", t.VMID), failure("reading it", err).Error(), "give the API token VM.Audit on /vms/"+strconv.Itoa(t.VMID)+", and start node "+t.Node+" if it is offline")
		return
	}
	cloudInit := false
	for key := range config {
		priv, known := optionPrivilege(key)
		value := config.text(key)
		switch {
		case known && priv == privDisk:
			cloudInit = cloudInit || strings.Contains(value, "cloudinit")
			storage, _, disk := strings.Cut(value, ":")
			if disk && !strings.Contains(value, "media=cdrom") && (d.settings.Storage == "" || strings.Contains(value, "cloudinit")) {
				at.storages = append(at.storages, storage)
			}
		case known && priv == privNetwork && (key != "net0" || d.settings.NetworkBridge == ""):
			bridge, tag := "", ""
			for part := range strings.SplitSeq(value, ",") {
				if b, ok := strings.CutPrefix(part, "bridge="); ok {
					bridge = b
				}
				if v, ok := strings.CutPrefix(part, "tag="); ok {
					tag = "/" + v
				}
			}
			if bridge != "" {
				at.bridges = append(at.bridges, bridge+tag)
			}
		}
	}
	slices.Sort(at.bridges)
	if fleet.Value(d.settings.CloudInit, true) {
		c.should(cloudInit, "cloud-init drive of the template", "the template has none, so that host name, address and key do not reach the machines", fmt.Sprintf("add one (qm set %d --ide2 STORAGE:cloudinit), or set cloud_init to false", t.VMID))
	}
	_, agent := withAgent(config.text("agent"))
	c.should(agent, "guest agent of the template", "it is not enabled in the template; Headroom enables it for the machines, but it must be installed in the template for scripts to run", fmt.Sprintf("install qemu-guest-agent in the template and run qm set %d --agent 1", t.VMID))
}

func (d *driver) checkStorage(c *checkup, all []resource, at *place) {
	if s := d.settings.Storage; s != "" {
		at.storages = append(at.storages, s)
		seen, images := false, false
		for _, r := range all {
			if r.Type == "storage" && r.Storage == s {
				seen, images = true, images || r.Content == "" || strings.Contains(r.Content, "images")
			}
		}
		switch {
		case !seen:
			c.warn("storage "+s, "the API token does not see it: it does not exist, or Datastore.Audit is missing", "correct storage, or add Datastore.Audit on /storage/"+s)
		case !images:
			c.fail("storage "+s, "it does not take disk images", "allow the content Disk image for it, or name another in storage")
		default:
			c.ok("storage "+s, "")
		}
	}
	slices.Sort(at.storages)
	at.storages = slices.Compact(at.storages)
}

// checkRoom looks whether the next machine's disks have room.
func (d *driver) checkRoom(ctx context.Context, c *checkup, all []resource, at place) {
	const subject = "room for a clone"
	var seen, unseen []string
	for _, name := range at.storages {
		if slices.ContainsFunc(all, func(r resource) bool { return r.Type == "storage" && r.Storage == name && r.MaxDisk > 0 }) {
			seen = append(seen, name)
		} else if name != d.settings.Storage { // which has a finding of its own
			unseen = append(unseen, name)
		}
	}
	if len(unseen) > 0 {
		c.warn(subject, "the API token does not see how full storage "+joinAnd(unseen)+" is, so that a clone without room is known when it has failed", "add Datastore.Audit on /storage/"+unseen[0])
	}
	plans, err := d.plans(all, "")
	if err != nil || len(seen) == 0 {
		return
	}
	if _, err = d.withRoom(ctx, all, plans); provider.ClassOf(err) == provider.NoCapacity && err != nil {
		c.warn(subject, strings.TrimPrefix(err.Error(), string(provider.NoCapacity)+": "), "make room there, or name another storage in storage")
		return
	}
	c.ok(subject, "on storage "+joinAnd(seen))
}

func (d *driver) checkBridge(ctx context.Context, c *checkup, all []resource, have permissions, at *place) error {
	bridge := d.settings.NetworkBridge
	if bridge == "" {
		return nil
	}
	at.bridges = append(at.bridges, d.bridge())
	slices.Sort(at.bridges)
	at.bridges = slices.Compact(at.bridges)
	use := need{privileges: []string{privSDN}, paths: []string{"/sdn/zones/" + localSDNZone + "/" + bridge}, anyZone: bridge}
	if !use.met(have) {
		return nil // it cannot be seen for want of the right, which has a finding of its own
	}
	for _, n := range all {
		if n.Type != "node" || n.Status != "online" || (len(d.settings.TargetNodes) > 0 && !slices.Contains(d.settings.TargetNodes, n.Node)) {
			continue
		}
		subject := "bridge " + bridge + " on node " + n.Node
		names, err := d.api.bridges(ctx, n.Node)
		switch {
		case err != nil && isNode(err):
			c.warn(subject, "the node does not answer", "start the node")
		case err != nil:
			return failure("listing the bridges of node "+n.Node, err)
		case slices.Contains(names, bridge):
			c.ok(subject, "")
		default:
			c.warn(subject, "the API token does not see it; it sees "+strings.Join(names, ", "), "correct network_bridge, or give the token SDN.Audit on /sdn/zones; with target_nodes, nodes without the bridge can be left out")
		}
	}
	return nil
}
