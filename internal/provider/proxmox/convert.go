package proxmox

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// instance shows a machine of ours. What the cluster does not know, for a node
// that is offline, is pending: the machine may well run.
func (d *driver) instance(r resource, t tagged) provider.Instance {
	i := provider.Instance{
		ID: t.identity.String(), Name: r.Name, Tags: t.tags, Addresses: t.addresses, CreatedAt: t.created,
		Capacity: fleet.Resources{Cores: fleet.Cores(r.MaxCPU * float64(fleet.Core)), MemoryMiB: int64(r.MaxMem) >> 20},
		Offer:    d.offerOf(r.Node),
	}
	i.State, i.Fault = state(r)
	return i
}

// state reads the state of a machine that has been started before.
func state(r resource) (provider.State, string) {
	switch {
	case r.Lock == "create" || r.Lock == "clone":
		return provider.StatePending, ""
	case r.Status == "running":
		return provider.StateRunning, ""
	case r.Status == "stopped":
		return provider.StateStopped, "the virtual machine is switched off"
	case r.Status == "paused" || r.Status == "suspended" || r.Status == "prelaunch" || r.Status == "io-error":
		return provider.StateStopped, "the virtual machine is " + r.Status
	}
	return provider.StatePending, ""
}

// netDevice lays bridge and VLAN over an interface as Proxmox VE writes it:
// "virtio=BC:24:11:…,bridge=vmbr0,firewall=1,tag=7". Model, address and the
// rest stay.
func netDevice(old, bridge string, vlan int64) string {
	var parts []string
	for p := range strings.SplitSeq(old, ",") {
		key, _, _ := strings.Cut(p, "=")
		if p == "" || key == "bridge" || (key == "tag" && vlan != 0) {
			continue
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		parts = []string{"virtio"}
	}
	parts = slices.Insert(parts, 1, "bridge="+bridge)
	if vlan != 0 {
		parts = append(parts, "tag="+formatInt(vlan))
	}
	return strings.Join(parts, ",")
}

// withAgent enables the guest agent in an agent option and leaves the rest of
// it alone; done says that it is enabled already.
func withAgent(old string) (value string, done bool) {
	var rest []string
	for i, p := range strings.Split(old, ",") {
		key, v, pair := strings.Cut(p, "=")
		if i == 0 && !pair {
			key, v = "enabled", p
		}
		if key != "enabled" {
			if p != "" {
				rest = append(rest, p)
			}
			continue
		}
		if v == "1" {
			return old, true
		}
	}
	return strings.Join(append([]string{"enabled=1"}, rest...), ","), false
}

// usable keeps addresses by which others can reach a machine, IPv4 first, at
// most four.
func usable(all []string) []string {
	var v4, v6 []string
	for _, text := range all {
		a, err := netip.ParseAddr(text)
		if err != nil || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() {
			continue
		}
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a.String())
		} else {
			v6 = append(v6, a.WithZone("").String())
		}
	}
	out := append(v4, v6...)
	return out[:min(len(out), 4)]
}
