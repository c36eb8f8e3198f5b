package proxmox

import (
	"maps"
	"slices"
	"strings"
)

// permissions are what GET /access/permissions answers: privileges by path,
// and whether each is handed down to the paths below.
type permissions map[string]map[string]bool

// has says that the token has a privilege on a path. The nearest path above
// that is listed counts, with what it hands down.
func (p permissions) has(path, privilege string) bool {
	if own, listed := p[path]; listed {
		_, ok := own[privilege]
		return ok
	}
	for path != "/" {
		path = path[:strings.LastIndex(path, "/")]
		if path == "" {
			path = "/"
		}
		if above, listed := p[path]; listed {
			return above[privilege]
		}
	}
	return false
}

// need is a privilege that the driver needs, on one of some paths.
type need struct {
	privileges []string // any of them
	paths      []string // on any of them
	why        string
	anyZone    string // a bridge or virtual network: the right in whichever zone it is will do
}

func (n need) name() string {
	return strings.Join(n.privileges, " or ") + " on " + strings.Join(n.paths, " or ")
}

func (n need) met(p permissions) bool {
	for path, own := range p {
		if _, ok := own[n.privileges[0]]; ok && n.anyZone != "" && strings.HasPrefix(path, "/sdn/zones/") && strings.HasSuffix(path, "/"+n.anyZone) {
			return true
		}
	}
	return slices.ContainsFunc(n.paths, func(path string) bool {
		return slices.ContainsFunc(n.privileges, func(priv string) bool { return p.has(path, priv) })
	})
}

// place is where a machine is to be made, as far as permissions go.
type place struct {
	template string // path of the template: /vms/9000
	machine  string // /vms, or the very machine
	storages []string
	bridges  []string // "vmbr0", "vmbr0/7"
}

// needs lists every privilege that machines made with the settings need.
// release is the major version, 0 when it is not known.
func (d *driver) needs(at place, release int) []need {
	s := d.settings
	machine := []string{at.machine}
	if s.Pool != "" {
		machine = append(machine, "/pool/"+s.Pool)
	}
	var out []need
	add := func(paths []string, why string, privileges ...string) {
		out = append(out, need{privileges: privileges, paths: paths, why: why})
	}
	add([]string{"/vms"}, "machines that cannot be seen look as if they were gone", privAudit)
	add([]string{at.template}, "the template is cloned", privClone)
	add(machine, "machines are made and removed", privAllocate)
	for _, p := range d.configPrivileges() {
		add(machine, "machines get their size, tags, network and cloud-init data", p)
	}
	add(machine, "machines are started and stopped", privPower)
	switch agent := "scripts run and addresses are read through the guest agent"; {
	case release >= 9:
		add(machine, agent, privGuestAgent)
	case release > 0:
		add(machine, agent, privMonitor)
	default:
		add(machine, agent, privGuestAgent, privMonitor)
	}
	for _, key := range slices.Sorted(maps.Keys(d.settings.ConfigOverride)) {
		text, _ := d.settings.ConfigOverride[key].(string)
		if kind, mapping, _ := device(key, text); mapping != "" {
			add([]string{"/mapping/" + kind + "/" + mapping}, "config_override."+key+" gives it to machines", privMapping)
		}
	}
	for _, storage := range at.storages {
		add([]string{"/storage/" + storage}, "disks are made there", privSpace)
	}
	for _, bridge := range at.bridges {
		name, _, _ := strings.Cut(bridge, "/")
		add([]string{"/sdn/zones/" + localSDNZone + "/" + bridge}, "machines are attached to it", privSDN)
		out[len(out)-1].anyZone = name
	}
	return out
}

// configPrivileges lists the privileges for the options that machines get.
func (d *driver) configPrivileges() []string {
	found := map[string]bool{privCPU: true, privMemory: true, privOptions: true}
	for key := range d.wanted() {
		if p, ok := optionPrivilege(key); ok && p != onlyRoot {
			found[p] = true
		}
	}
	if d.settings.NetworkBridge != "" {
		found[privNetwork] = true
	}
	var out []string
	for _, p := range []string{privCPU, privMemory, privOptions, privNetwork, privCloudinit, privDisk, privCDROM, privHardware} {
		if found[p] {
			out = append(out, p)
		}
	}
	return out
}

// missing lists what the token lacks.
func missing(p permissions, needs []need) []need {
	var out []need
	for _, n := range needs {
		if !n.met(p) {
			out = append(out, n)
		}
	}
	return out
}
