package vsphere

import (
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Keys of ExtraConfig.
const (
	ownerKey      = "headroom.owner"           // out of the guest's reach
	guestOwnerKey = "guestinfo.headroom.owner" // readable, and writable, in the guest
)

// mark is what a machine says about itself.
type mark struct {
	Installation string `json:"installation"`
	Server       string `json:"server"`
	Autoscale    string `json:"autoscale"`
	Provider     string `json:"provider"`
	Name         string `json:"name"` // that it was made with
	UUID         string `json:"uuid"` // that it was made with
}

// markOf is the mark of the machine that a request asks for.
func markOf(req provider.Request) mark {
	seed, err := json.Marshal([]string{req.Tags.Installation, req.Tags.Provider, req.Token})
	if err != nil {
		panic("a list of texts cannot be written as JSON: " + err.Error())
	}
	return mark{
		Installation: req.Tags.Installation, Server: req.Tags.Server, Autoscale: req.Tags.AutoscaleConfig, Provider: req.Tags.Provider,
		Name: req.Name, UUID: uuid.NewSHA1(uuid.NameSpaceURL, append([]byte("https://headroom.dev/vsphere/"), seed...)).String(),
	}
}

func (m mark) tags() provider.Tags {
	return provider.Tags{Installation: m.Installation, Server: m.Server, AutoscaleConfig: m.Autoscale, Provider: m.Provider}
}

// id names the machine. It carries the whole mark, since while a clone is under
// way, and after it has failed, there is nothing in vCenter that could.
func (m mark) id() string {
	parts := []string{m.Name, m.UUID, m.Server, m.Installation, m.Provider, m.Autoscale}
	for i := range parts {
		parts[i] = url.QueryEscape(parts[i])
	}
	return strings.Join(parts, ":")
}

// parseID reads an id; false for what can be none of ours.
func parseID(id string) (mark, bool) {
	parts := strings.Split(id, ":")
	if len(parts) != 6 {
		return mark{}, false
	}
	for i := range parts {
		var err error
		if parts[i], err = url.QueryUnescape(parts[i]); err != nil {
			return mark{}, false
		}
	}
	m := mark{Name: parts[0], UUID: parts[1], Server: parts[2], Installation: parts[3], Provider: parts[4], Autoscale: parts[5]}
	if u, err := uuid.Parse(m.UUID); err != nil || u.String() != m.UUID || m.id() != id {
		return mark{}, false
	}
	return m, true
}

// text is the mark as it is written.
func (m mark) text() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic("a mark cannot be written as JSON: " + err.Error())
	}
	return string(b)
}

// extraConfig are the marks and, where the guest reads it itself, the user
// data. An instant clone takes only what it can hand to its guest.
func (d *driver) extraConfig(m mark, req provider.Request) []types.BaseOptionValue {
	var out []types.BaseOptionValue
	set := func(key, value string) { out = append(out, &types.OptionValue{Key: key, Value: value}) }
	if d.settings.CloneType != Instant {
		set(ownerKey, m.text())
	}
	set(guestOwnerKey, m.text())
	if d.settings.ScriptMethod != Guestinfo {
		return out
	}
	set("guestinfo.metadata", base64Text(d.metadata(m)))
	set("guestinfo.metadata.encoding", "base64")
	if len(req.Bootstrap.UserData) > 0 {
		set("guestinfo.userdata", base64Text(req.Bootstrap.UserData))
		set("guestinfo.userdata.encoding", "base64")
	}
	return out
}

// metadata is what cloud-init reads besides the user data. A new instance-id
// makes it treat the clone as a new machine.
func (d *driver) metadata(m mark) []byte {
	doc := map[string]string{"instance-id": m.UUID, "local-hostname": m.Name}
	if key := strings.TrimSpace(d.settings.SSHPublicKey); key != "" {
		doc["public-keys-data"] = key
	}
	b, err := json.Marshal(doc) // JSON is YAML
	if err != nil {
		panic("a map of texts cannot be written as JSON: " + err.Error())
	}
	return b
}

// marks are the paths of a machine's properties that a listing reads.
var vmPaths = []string{
	"name", "config.instanceUuid", "config.uuid", "config.createDate",
	"config.hardware.numCPU", "config.hardware.memoryMB",
	"runtime.powerState", "runtime.connectionState", "runtime.host", "guest.net", "guest.ipAddress", "guest.guestOperationsReady", "customValue",
	extraPath(ownerKey), extraPath(guestOwnerKey),
}

// mustRead are those without which a listing would be incomplete unnoticed.
var mustRead = map[string]bool{
	"config.instanceUuid": true, "config.uuid": true, extraPath(ownerKey): true, extraPath(guestOwnerKey): true,
}

func extraPath(key string) string { return `config.extraConfig["` + key + `"]` }

// machine is a virtual machine as we read it.
type machine struct {
	ref  types.ManagedObjectReference
	vm   mo.VirtualMachine
	mark mark // zero: not one of ours
}

// machineOf reads what the property collector answered about a machine.
func (d *driver) machineOf(o types.ObjectContent) (machine, error) {
	m := machine{ref: o.Obj}
	var owner, guestOwner string
	var rest []types.DynamicProperty
	for _, p := range o.PropSet {
		if p.Name != extraPath(ownerKey) && p.Name != extraPath(guestOwnerKey) {
			rest = append(rest, p)
			continue
		}
		value := ""
		if v, ok := p.Val.(types.OptionValue); ok {
			value, _ = v.Value.(string)
		}
		if p.Name == extraPath(ownerKey) {
			owner = value
		} else {
			guestOwner = value
		}
	}
	o.PropSet = rest
	if err := load(o, &m.vm); err != nil {
		return machine{}, err
	}
	m.mark = d.believe(m.uuid(d.settings.CloneType), fleet.Or(owner, guestOwner))
	return m, nil
}

// uuid is the part of the machine's identity that we chose.
func (m machine) uuid(t CloneType) string {
	switch {
	case m.vm.Config == nil:
		return ""
	case t == Instant:
		return m.vm.Config.Uuid
	}
	return m.vm.Config.InstanceUuid
}

// believe reads a mark. One that names another machine was copied together with
// the machine that it was made for.
func (d *driver) believe(uuid, text string) mark {
	var m mark
	if text == "" || json.Unmarshal([]byte(text), &m) != nil || uuid == "" || !strings.EqualFold(m.UUID, uuid) {
		return mark{}
	}
	m.UUID = strings.ToLower(m.UUID)
	return m
}

// settleTime is how long a machine may be switched off after its clone has
// ended: switching it on is the last part of the clone.
const settleTime = 5 * time.Minute

// instance is the machine in the words of the contract.
func (m machine) instance(now time.Time) provider.Instance {
	i := provider.Instance{ID: m.mark.id(), Name: m.vm.Name, Tags: m.mark.tags(), State: provider.StatePending, Addresses: addresses(m.vm.Guest)}
	if c := m.vm.Config; c != nil {
		i.CreatedAt = fleet.Value(c.CreateDate, time.Time{})
		i.Capacity = fleet.Resources{Cores: fleet.Cores(c.Hardware.NumCPU) * fleet.Core, MemoryMiB: int64(c.Hardware.MemoryMB)}
	}
	switch m.vm.Runtime.ConnectionState {
	case types.VirtualMachineConnectionStateOrphaned, types.VirtualMachineConnectionStateInvalid:
		i.State, i.Fault = provider.StateFailed, "vCenter calls the machine "+string(m.vm.Runtime.ConnectionState)+": its host does not have it any more, or its files cannot be read"
		return i
	case types.VirtualMachineConnectionStateConnected, types.VirtualMachineConnectionStateDisconnected, types.VirtualMachineConnectionStateInaccessible:
	}
	switch m.vm.Runtime.PowerState {
	case types.VirtualMachinePowerStatePoweredOn:
		i.State = provider.StateRunning
	case types.VirtualMachinePowerStatePoweredOff:
		if i.CreatedAt.IsZero() || now.Sub(i.CreatedAt) >= settleTime {
			i.State, i.Fault = provider.StateStopped, "the machine is switched off, or could not be switched on"
		}
	case types.VirtualMachinePowerStateSuspended:
		i.State, i.Fault = provider.StateStopped, "the machine is suspended"
	}
	return i
}

// addresses lists those that VMware Tools report, without those that nobody
// else can reach; IPv4 first.
func addresses(g *types.GuestInfo) []string {
	if g == nil {
		return nil
	}
	var four, six []string
	add := func(text string) {
		ip := net.ParseIP(text)
		switch {
		case ip == nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified():
		case ip.To4() != nil:
			four = append(four, ip.String())
		default:
			six = append(six, ip.String())
		}
	}
	add(g.IpAddress)
	for _, n := range g.Net {
		if n.DeviceConfigId < 0 {
			continue // made inside of the guest: bridges of containers
		}
		for _, a := range n.IpAddress {
			add(a)
		}
	}
	var all []string
	for _, a := range append(four, six...) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
