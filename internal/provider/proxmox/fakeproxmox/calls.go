package fakeproxmox

import (
	"crypto/sha1" //nolint:gosec // what Proxmox VE calls a digest
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var handlers = map[string]func(*Cloud, call) (any, *failure){
	"GET /version": func(c *Cloud, _ call) (any, *failure) {
		v := map[int]string{8: "8.4.1", 9: "9.1.2"}[c.release]
		return map[string]any{"version": v, "release": v[:3], "repoid": "0123456789abcdef"}, nil
	},
	"GET /access/permissions":                                    func(c *Cloud, k call) (any, *failure) { return c.dump(k.text("path")), nil },
	"GET /cluster/resources":                                     (*Cloud).resources,
	"GET /pools":                                                 (*Cloud).listPools,
	"GET /nodes/{node}/network":                                  (*Cloud).network,
	"GET /nodes/{node}/tasks":                                    (*Cloud).listTasks,
	"GET /nodes/{node}/tasks/{upid}/status":                      (*Cloud).taskStatus,
	"GET /nodes/{node}/qemu/{vmid}/config":                       (*Cloud).getConfig,
	"PUT /nodes/{node}/qemu/{vmid}/config":                       (*Cloud).putConfig,
	"POST /nodes/{node}/qemu/{vmid}/clone":                       (*Cloud).clone,
	"DELETE /nodes/{node}/qemu/{vmid}":                           (*Cloud).destroy,
	"GET /nodes/{node}/qemu/{vmid}/status/current":               (*Cloud).current,
	"POST /nodes/{node}/qemu/{vmid}/status/start":                (*Cloud).startVM,
	"POST /nodes/{node}/qemu/{vmid}/status/stop":                 (*Cloud).stopVM,
	"POST /nodes/{node}/qemu/{vmid}/agent/ping":                  (*Cloud).ping,
	"POST /nodes/{node}/qemu/{vmid}/agent/exec":                  (*Cloud).exec,
	"POST /nodes/{node}/qemu/{vmid}/agent/file-write":            (*Cloud).fileWrite,
	"GET /nodes/{node}/qemu/{vmid}/agent/file-read":              (*Cloud).fileRead,
	"GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces": (*Cloud).interfaces,
}

func (c *Cloud) find(k call) (*vm, *failure) {
	v := c.vms[k.vmid()]
	if v == nil || v.node != k.text("node") {
		return nil, fail("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", k.text("node"), k.vmid())
	}
	return v, nil
}

// unlocked finds a machine that nothing else works on.
func (c *Cloud) unlocked(k call) (*vm, *failure) {
	v, wrong := c.find(k)
	if wrong == nil && v.lock() != "" {
		return nil, fail("VM is locked (%s)", v.lock())
	}
	return v, wrong
}

func (c *Cloud) resources(k call) (any, *failure) {
	kind, out := k.text("type"), []map[string]any{}
	if kind == "" || kind == "vm" {
		for _, id := range slices.Sorted(maps.Keys(c.vms)) {
			if v := c.vms[id]; c.may(fmt.Sprintf("/vms/%d", id), "VM.Audit") {
				out = append(out, c.vmLine(v))
			}
		}
	}
	if kind == "" || kind == "node" {
		for _, name := range sortedKeys(c.nodes) {
			n := c.nodes[name]
			line := map[string]any{"id": "node/" + name, "type": "node", "node": name, "status": "offline"}
			if n.online {
				line["status"] = "online"
				if c.may("/nodes/"+name, "Sys.Audit") {
					line["maxmem"], line["mem"] = n.maxMem, n.usedMem
				}
			}
			out = append(out, line)
		}
	}
	if kind == "" || kind == "storage" {
		for _, name := range sortedKeys(c.storages) {
			s := c.storages[name]
			if !c.may("/storage/"+name, "Datastore.Audit") {
				continue
			}
			for _, on := range s.nodes {
				line := map[string]any{
					"id": "storage/" + on + "/" + name, "type": "storage", "storage": name, "node": on, "status": "available", "content": "images,rootdir", "shared": 0,
					"plugintype": s.plugin, "maxdisk": int64(s.size), "disk": int64(s.used),
				}
				if s.shared {
					line["shared"] = 1
				}
				out = append(out, line)
			}
		}
	}
	return out, nil
}

// vmLine has tags and lock as they are, and the rest as the statistics say.
func (c *Cloud) vmLine(v *vm) map[string]any {
	line := map[string]any{"id": fmt.Sprintf("qemu/%d", v.id), "type": "qemu", "vmid": v.id, "node": v.node, "status": "unknown"}
	for _, key := range []string{"tags", "lock"} {
		if v.conf[key] != "" {
			line[key] = v.conf[key]
		}
	}
	if v.pool != "" {
		line["pool"] = v.pool
	}
	if v.shown.status == "" || !c.nodes[v.node].online {
		return line
	}
	line["status"], line["name"], line["template"] = v.shown.status, v.shown.name, 0
	if v.shown.template {
		line["template"] = 1
	}
	line["maxcpu"], line["maxmem"] = atoi(v.conf["cores"]), atoi(v.conf["memory"])<<20
	line["uptime"] = 0
	if v.status == "running" {
		line["uptime"] = int(c.o.Now().Sub(v.since).Seconds())
	}
	return line
}

func (c *Cloud) listPools(call) (any, *failure) {
	out := []map[string]any{}
	for _, p := range sortedKeys(c.pools) {
		if c.may("/pool/"+p, "Pool.Audit") {
			out = append(out, map[string]any{"poolid": p})
		}
	}
	return out, nil
}

func (c *Cloud) network(k call) (any, *failure) {
	out := []map[string]any{}
	for _, b := range c.nodes[k.text("node")].bridges {
		if c.may("/sdn/zones/localnetwork/"+b, "SDN.Audit") || c.may("/sdn/zones/localnetwork/"+b, "SDN.Use") {
			out = append(out, map[string]any{"iface": b, "type": "bridge", "active": 1})
		}
	}
	return out, nil
}

func (c *Cloud) listTasks(k call) (any, *failure) {
	out := []map[string]any{}
	for _, t := range slices.Backward(c.tasks) {
		if t.node != k.text("node") || k.has("vmid") && t.vmid != k.vmid() || k.has("typefilter") && t.kind != k.text("typefilter") {
			continue
		}
		line := map[string]any{"upid": t.upid, "type": t.kind, "id": fmt.Sprint(t.vmid), "node": t.node, "user": c.o.TokenID, "starttime": t.start.Unix()}
		if t.status != "" {
			line["status"], line["endtime"] = t.status, t.ended.Unix()
		} else if k.text("source") == "" || k.text("source") == "archive" {
			continue
		}
		if out = append(out, line); k.has("limit") && len(out) == atoi(k.text("limit")) {
			break
		}
	}
	return out, nil
}

func (c *Cloud) taskStatus(k call) (any, *failure) {
	for _, t := range c.tasks {
		if t.upid != k.text("upid") || t.node != k.text("node") {
			continue
		}
		out := map[string]any{
			"upid": t.upid, "type": t.kind, "id": fmt.Sprint(t.vmid), "node": t.node, "user": c.o.TokenID, "starttime": t.start.Unix(), "pid": 1, "pstart": 1, "status": "running",
		}
		if t.status != "" {
			out["status"], out["exitstatus"] = "stopped", t.status
		}
		return out, nil
	}
	return nil, fail("unable to parse worker upid '%s'", k.text("upid"))
}

func (c *Cloud) current(k call) (any, *failure) {
	v, wrong := c.find(k)
	if wrong != nil {
		return nil, wrong
	}
	out := map[string]any{"vmid": v.id, "name": v.conf["name"], "status": v.status, "qmpstatus": v.status, "ha": map[string]any{"managed": 0}}
	for _, key := range []string{"tags", "lock"} {
		if v.conf[key] != "" {
			out[key] = v.conf[key]
		}
	}
	return out, nil
}

func digest(v *vm) string {
	sum := sha1.New() //nolint:gosec // what Proxmox VE calls a digest
	for _, k := range sortedKeys(v.conf) {
		fmt.Fprintf(sum, "%s: %s\n", k, v.conf[k])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (c *Cloud) getConfig(k call) (any, *failure) {
	v, wrong := c.find(k)
	if wrong != nil {
		return nil, wrong
	}
	out := map[string]any{"digest": digest(v)}
	for key, value := range v.conf {
		out[key] = value
		if key == "cores" || key == "template" || key == "protection" || key == "sockets" {
			out[key] = atoi(value)
		}
	}
	return out, nil
}

// right is the privilege that changing an option needs, as qemu-server has it.
func right(key string) string {
	switch stem := strings.TrimRight(key, "0123456789"); {
	case slices.Contains([]string{"cores", "sockets", "vcpus", "cpu", "cpulimit", "cpuunits", "affinity", "numa"}, stem):
		return "VM.Config.CPU"
	case slices.Contains([]string{"memory", "balloon", "shares", "hugepages", "keephugepages"}, stem):
		return "VM.Config.Memory"
	case slices.Contains([]string{"ciuser", "cipassword", "citype", "ciupgrade", "sshkeys", "cicustom", "nameserver", "searchdomain", "ipconfig"}, stem):
		return "VM.Config.Cloudinit"
	case stem == "net":
		return "VM.Config.Network"
	case isDisk(key):
		return "VM.Config.Disk"
	case slices.Contains([]string{"vga", "machine", "bios", "scsihw", "hostpci", "acpi", "kvm", "tablet", "usb", "serial", "rng", "audio", "watchdog", "arch", "hotplug"}, stem):
		return "VM.Config.HWType"
	case slices.Contains([]string{"args", "lock", "hookscript", "parallel", "ivshmem"}, stem):
		return "root"
	}
	return "VM.Config.Options"
}

// mapped says of a device of the host by which mapping it is given.
func mapped(name, value string) (kind, mapping string, given bool) {
	switch strings.TrimRight(name, "0123456789") {
	case "hostpci":
		kind = "pci"
	case "usb":
		kind = "usb"
	default:
		return "", "", false
	}
	for _, part := range strings.Split(value, ",") {
		if part == "spice" || part == "host=spice" {
			return "", "", false
		}
		if m, ok := strings.CutPrefix(part, "mapping="); ok {
			mapping = m
		}
	}
	return kind, mapping, value != ""
}

func (c *Cloud) putConfig(k call) (any, *failure) {
	v, wrong := c.unlocked(k)
	if wrong != nil {
		return nil, wrong
	}
	if d := k.text("digest"); d != "" && d != digest(v) {
		return nil, fail("detected modified configuration - file changed by other user? Try again.")
	}
	changes := map[string]string{}
	for name := range k.params {
		if !slices.Contains([]string{"node", "vmid", "digest", "delete"}, name) {
			changes[name] = k.text(name)
		}
	}
	var gone []string
	if k.has("delete") {
		gone = strings.FieldsFunc(k.text("delete"), func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
	}
	for _, name := range slices.Concat(sortedKeys(changes), gone) {
		r := right(name)
		if kind, mapping, given := mapped(name, changes[name]); given {
			if mapping == "" {
				return nil, fail("only root can set '%s' config for non-mapped devices", name)
			}
			if wrong := c.require("/mapping/"+kind+"/"+mapping, "Mapping.Use"); wrong != nil {
				return nil, wrong
			}
		}
		if r == "root" {
			return nil, fail("only root can set '%s' config", name)
		}
		if wrong := c.require(fmt.Sprintf("/vms/%d", v.id), r); wrong != nil {
			return nil, wrong
		}
	}
	for name, value := range changes {
		switch {
		case strings.HasPrefix(name, "net"):
			if wrong := c.mayAttach(value); wrong != nil {
				return nil, wrong
			}
			value = withMAC(value, v.id)
		case name == "tags":
			value = sortTags(value)
		}
		v.conf[name] = value
	}
	for _, name := range gone {
		delete(v.conf, name)
	}
	if b, m := atoi(v.conf["balloon"]), atoi(v.conf["memory"]); b > m {
		return nil, fail("balloon value too large (must be smaller than assigned memory)")
	}
	return nil, nil
}

// sortTags does what clusters do by default: lower case, in order, once each.
func sortTags(text string) string {
	tags := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
	slices.Sort(tags)
	return strings.Join(slices.Compact(tags), ";")
}

func (c *Cloud) mayAttach(device string) *failure {
	bridge, tag := "", ""
	for part := range strings.SplitSeq(device, ",") {
		if b, ok := strings.CutPrefix(part, "bridge="); ok {
			bridge = b
		}
		if t, ok := strings.CutPrefix(part, "tag="); ok {
			tag = "/" + t
		}
	}
	if bridge == "" {
		return nil
	}
	return c.require("/sdn/zones/localnetwork/"+bridge+tag, "SDN.Use")
}

func withMAC(device string, id int) string {
	parts := strings.Split(device, ",")
	model, mac, _ := strings.Cut(parts[0], "=")
	if mac == "" {
		mac = fmt.Sprintf("BC:24:11:%02X:%02X:%02X", id>>16&255, id>>8&255, id&255)
	}
	parts[0] = model + "=" + mac
	return strings.Join(parts, ",")
}

func (c *Cloud) destroy(k call) (any, *failure) {
	v, wrong := c.unlocked(k)
	switch {
	case wrong != nil:
		return nil, wrong
	case v.conf["protection"] == "1":
		return nil, fail("can't remove VM %d - protection mode enabled", v.id)
	case v.status != "stopped":
		return nil, fail("VM %d is running - destroy failed", v.id)
	}
	return c.start(v.node, "qmdestroy", v.id, c.o.StopTime, func() error {
		switch {
		case c.vms[v.id] != v:
			return errors.New("configuration file does not exist")
		case v.status != "stopped":
			return fmt.Errorf("VM %d is running - destroy failed", v.id)
		}
		delete(c.vms, v.id)
		return nil
	}), nil
}

func (c *Cloud) startVM(k call) (any, *failure) {
	v, wrong := c.unlocked(k)
	switch {
	case wrong != nil:
		return nil, wrong
	case v.template:
		return nil, fail("you can't start a vm if it's a template")
	case v.status == "running":
		return nil, fail("VM %d already running", v.id)
	}
	return c.start(v.node, "qmstart", v.id, c.o.StartTime, func() error {
		switch {
		case v.failing != "":
			return errors.New(v.failing)
		case c.vms[v.id] != v:
			return errors.New("configuration file does not exist")
		}
		v.status, v.since = "running", c.o.Now()
		v.guest = &guest{dir: c.guestDir(v.id), up: c.o.Now().Add(c.o.AgentTime)}
		return nil
	}), nil
}

func (c *Cloud) stopVM(k call) (any, *failure) {
	v, wrong := c.unlocked(k)
	switch {
	case wrong != nil:
		return nil, wrong
	case v.status == "stopped":
		return nil, fail("VM %d not running", v.id)
	}
	return c.start(v.node, "qmstop", v.id, c.o.StopTime, func() error {
		v.status, v.since = "stopped", c.o.Now()
		return nil
	}), nil
}
