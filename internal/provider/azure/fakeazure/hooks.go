package fakeazure

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// What tests look at and change, without the API.

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (p *Subscription) locked() func() {
	p.server.mu.Lock()
	p.tick()
	return p.server.mu.Unlock
}

// Spoil lets a later call fail.
func (p *Subscription) Spoil(f Fault) { defer p.locked()(); p.faults = append(p.faults, f) }

// Expire refuses the app's secret and its tokens, or takes them again.
func (p *Subscription) Expire(yes bool) { defer p.locked()(); p.expired = yes }

// Lack takes actions away from the app; none gives all back.
func (p *Subscription) Lack(actions ...string) {
	defer p.locked()()
	p.lacking = map[string]bool{}
	for _, a := range actions {
		p.lacking[strings.ToLower(a)] = true
	}
}

// Lock puts a lock on the resource group: CanNotDelete or ReadOnly; empty: none.
func (p *Subscription) Lock(level string) { defer p.locked()(); p.lock = level }

// Limit sets how many machines the quota allows.
func (p *Subscription) Limit(n int) { defer p.locked()(); p.limit = n }

// SellOut lets creates of an offer fail with a code, at once or after they were
// accepted; an empty code ends it.
func (p *Subscription) SellOut(offer, code string, later bool) {
	defer p.locked()()
	p.soldOut[offer] = shortage{code, later}
}

// Slow sets how long operations take.
func (p *Subscription) Slow(took time.Duration) { defer p.locked()(); p.took = took }

// Leak lets deletes of machines leave everything but the machine.
func (p *Subscription) Leak(yes bool) { defer p.locked()(); p.leak = yes }

// Blind empties the listing of statuses, as lacking rights may do.
func (p *Subscription) Blind(yes bool) { defer p.locked()(); p.blind = yes }

// Agree accepts the terms of the plan.
func (p *Subscription) Agree() { defer p.locked()(); p.agreed = true }

// Calls counts the requests so far, without those for tokens.
func (p *Subscription) Calls() int64 { defer p.locked()(); return p.calls }

// Tokens counts the access tokens that were given out.
func (p *Subscription) Tokens() int { defer p.locked()(); return p.tokens }

// HideNew lets listings leave out machines that are made from now on, until show
// is called: the caches of Resource Manager that answer them lag behind.
func (p *Subscription) HideNew() (show func()) {
	defer p.locked()()
	p.settled = map[string]bool{}
	for name := range p.machines {
		p.settled[name] = true
	}
	return func() { defer p.locked()(); p.settled = nil }
}

// Power sets the power state of a machine, such as deallocated.
func (p *Subscription) Power(name, power string) { defer p.locked()(); p.machines[name].power = power }

// Provisioning sets the state of a machine's last operation, and its code.
func (p *Subscription) Provisioning(name, state, code string) {
	defer p.locked()()
	m := p.machines[name]
	m.vm.Properties.ProvisioningState, m.code = to.Ptr(state), code
}

// Say writes to a machine's console.
func (p *Subscription) Say(name, text string) { defer p.locked()(); p.console[name] += text }

// BreakExtension lets the extension of a machine fail by itself.
func (p *Subscription) BreakExtension(name, code string) {
	defer p.locked()()
	for _, e := range p.machines[name].extensions {
		e.broken, e.exit = code, 0
	}
}

// Runs counts how often the guest began to run a script.
func (p *Subscription) Runs(name string) int {
	defer p.locked()()
	n := 0
	for _, e := range p.machines[name].extensions {
		n += e.runs
	}
	return n
}

// Command is what a machine's extension was told to run.
func (p *Subscription) Command(name string) string {
	defer p.locked()()
	for _, e := range p.machines[name].extensions {
		return e.command
	}
	return ""
}

// Asked is the body with which a machine was asked for; nil when there is none.
func (p *Subscription) Asked(name string) map[string]any {
	defer p.locked()()
	if m := p.machines[name]; m != nil {
		return m.asked
	}
	return nil
}

// Plant makes a machine of somebody else's, with the tags.
func (p *Subscription) Plant(name string, tags map[string]*string) {
	defer p.locked()()
	size := armcompute.VirtualMachineSizeTypes("Standard_D2s_v5")
	vm := &armcompute.VirtualMachine{
		ID: to.Ptr(p.id("Microsoft.Compute/virtualMachines/%s", name)), Name: to.Ptr(name), Location: to.Ptr(p.Region), Tags: tags,
		Properties: &armcompute.VirtualMachineProperties{
			ProvisioningState: to.Ptr("Succeeded"), TimeCreated: to.Ptr(stamp()), HardwareProfile: &armcompute.HardwareProfile{VMSize: &size},
			NetworkProfile: &armcompute.NetworkProfile{}, StorageProfile: &armcompute.StorageProfile{OSDisk: &armcompute.OSDisk{DeleteOption: to.Ptr(armcompute.DiskDeleteOptionTypesDelete)}},
		},
	}
	p.machines[strings.ToLower(name)] = &machine{vm: vm, power: "running", asked: map[string]any{}, extensions: map[string]*extension{}}
	p.build(name, vm)
}

// PlantRemnants makes an interface, a public address and a disk that nothing uses.
func (p *Subscription) PlantRemnants(name string, tags map[string]*string) {
	defer p.locked()()
	p.interfaces[name+"-nic"] = &armnetwork.Interface{ID: to.Ptr(p.id("Microsoft.Network/networkInterfaces/%s-nic", name)), Name: to.Ptr(name + "-nic"), Location: to.Ptr(p.Region), Tags: tags, Properties: &armnetwork.InterfacePropertiesFormat{}}
	p.addresses[name+"-ip"] = &armnetwork.PublicIPAddress{ID: to.Ptr(p.id("Microsoft.Network/publicIPAddresses/%s-ip", name)), Name: to.Ptr(name + "-ip"), Location: to.Ptr(p.Region), Tags: tags, Properties: &armnetwork.PublicIPAddressPropertiesFormat{}}
	p.disks[name+"-os"] = &armcompute.Disk{ID: to.Ptr(p.id("Microsoft.Compute/disks/%s-os", name)), Name: to.Ptr(name + "-os"), Location: to.Ptr(p.Region), Tags: tags, Properties: &armcompute.DiskProperties{DiskState: to.Ptr(armcompute.DiskStateUnattached), TimeCreated: to.Ptr(stamp()), CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionEmpty)}}}
}

// Machines counts the machines.
func (p *Subscription) Machines() int { defer p.locked()(); return len(p.machines) }

// Tags gives the tags of every object.
func (p *Subscription) Tags() map[string]map[string]string {
	defer p.locked()()
	out := map[string]map[string]string{}
	add := func(kind, name string, tags map[string]*string) {
		all := map[string]string{}
		for k, v := range tags {
			all[k] = val(v)
		}
		out[kind+" "+name] = all
	}
	for name, m := range p.machines {
		add("machine", name, m.vm.Tags)
	}
	for name, n := range p.interfaces {
		add("interface", name, n.Tags)
	}
	for name, a := range p.addresses {
		add("address", name, a.Tags)
	}
	for name, d := range p.disks {
		add("disk", name, d.Tags)
	}
	return out
}

// Objects names every machine, interface, address and disk.
func (p *Subscription) Objects() []string {
	var out []string
	for _, name := range sorted(p.Tags()) {
		out = append(out, fmt.Sprint(name))
	}
	return out
}

// Hold keeps a machine in the state that it is in.
func (p *Subscription) Hold(name string) {
	defer p.locked()()
	p.machines[name].due = time.Now().Add(time.Hour)
}

// Addresses are those of a machine, public ones first.
func (p *Subscription) Addresses(name string) []string {
	defer p.locked()()
	var public, private []string
	for _, key := range sorted(p.interfaces) {
		n := p.interfaces[key]
		if n.Properties.VirtualMachine == nil || !strings.EqualFold(tail(val(n.Properties.VirtualMachine.ID)), name) {
			continue
		}
		for _, c := range n.Properties.IPConfigurations {
			private = append(private, val(c.Properties.PrivateIPAddress))
			if a := c.Properties.PublicIPAddress; a != nil {
				public = append(public, val(p.addresses[strings.ToLower(tail(val(a.ID)))].Properties.IPAddress))
			}
		}
	}
	return append(public, private...)
}
