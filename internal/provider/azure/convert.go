package azure

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func ownTags(t provider.Tags) map[string]string {
	return map[string]string{
		provider.TagInstallation: t.Installation, provider.TagServer: t.Server,
		provider.TagAutoscale: t.AutoscaleConfig, provider.TagProvider: t.Provider,
	}
}

// tagsOf reads our tags; Azure ignores the case of their names.
func tagsOf(all map[string]*string) provider.Tags {
	var out provider.Tags
	for key, value := range all {
		switch strings.ToLower(key) {
		case provider.TagInstallation:
			out.Installation = val(value)
		case provider.TagServer:
			out.Server = val(value)
		case provider.TagAutoscale:
			out.AutoscaleConfig = val(value)
		case provider.TagProvider:
			out.Provider = val(value)
		}
	}
	return out
}

// machineID is the id of a machine: its name, which ignores case.
func machineID(name string) string { return strings.ToLower(name) }

var idRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func checkID(id string) error {
	if !idRule.MatchString(id) {
		return provider.Errorf(provider.Invalid, "%q is no name of a machine", id)
	}
	return nil
}

// instance is a machine as the contract shows it. statuses are those of its
// instance view, nil when they are not known.
func instance(m *armcompute.VirtualMachine, statuses []*armcompute.InstanceViewStatus) provider.Instance {
	name := val(m.Name)
	out := provider.Instance{ID: machineID(name), Name: machineID(name), Tags: tagsOf(m.Tags)}
	p := m.Properties
	if p == nil {
		out.State = provider.StatePending
		return out
	}
	o := offer{}
	if p.HardwareProfile != nil {
		o.size = string(val(p.HardwareProfile.VMSize))
	}
	if len(m.Zones) > 0 {
		o.zone = val(m.Zones[0])
	}
	out.Offer, out.Capacity, out.CreatedAt = o.String(), capacity(o.size), val(p.TimeCreated)
	standing(&out, p, statuses)
	return out
}

// standing reads where a machine stands. Whether it runs is told by its power
// state; provisioningState tells of the last operation on it, which may have been
// an extension's. A machine of which neither is known is not said to have ended.
// https://learn.microsoft.com/azure/virtual-machines/states-billing
func standing(out *provider.Instance, p *armcompute.VirtualMachineProperties, statuses []*armcompute.InstanceViewStatus) {
	power := ""
	for _, s := range statuses {
		if kind, state, _ := strings.Cut(strings.ToLower(val(s.Code)), "/"); kind == "powerstate" {
			power = state
		}
	}
	state := strings.ToLower(val(p.ProvisioningState))
	switch {
	case state == "deleting":
		out.State = provider.StateDeleting
	case state == "failed" && len(statuses) > 0 && (power == "" || stopped(power)):
		out.State, out.Fault = provider.StateFailed, "the machine could not be made"
		if code, text := failure(statuses); text != "" {
			out.Fault = "the machine could not be made: " + code + ": " + text
			if class, known := classOf(code, text); known && class.FallsThrough() {
				out.FaultClass = class
			}
		}
		if stopped(power) && out.FaultClass == "" {
			out.State, out.Fault = provider.StateStopped, whyStopped(p, power)
		}
	case stopped(power) && state != "creating":
		out.State, out.Fault = provider.StateStopped, whyStopped(p, power)
	case power == "running" && state != "creating":
		out.State = provider.StateRunning
	default:
		out.State = provider.StatePending
		if state == "succeeded" && len(statuses) == 0 {
			out.Fault = "Azure does not tell whether it runs: give the app Microsoft.Compute/virtualMachines/read on the subscription"
		}
	}
}

func stopped(power string) bool {
	return power == "stopped" || power == "stopping" || power == "deallocated" || power == "deallocating"
}

func whyStopped(p *armcompute.VirtualMachineProperties, power string) string {
	if val(p.Priority) == armcompute.VirtualMachinePriorityTypesSpot && strings.HasPrefix(power, "dealloc") {
		return "the spot machine is " + power + ": Azure has evicted it to have its capacity back, or because its price rose above max_price"
	}
	return "the machine is " + power
}

// failure finds the status that says why an operation failed, which has the code
// at its end: ProvisioningState/failed/AllocationFailed.
func failure(statuses []*armcompute.InstanceViewStatus) (code, text string) {
	for _, s := range statuses {
		parts := strings.Split(val(s.Code), "/")
		if !strings.EqualFold(parts[0], "ProvisioningState") || len(parts) < 2 || !strings.EqualFold(parts[1], "failed") {
			continue
		}
		code = "Failed"
		if len(parts) > 2 {
			code = parts[2]
		}
		return code, fleet.Or(strings.Join(strings.Fields(val(s.Message)), " "), fleet.Or(val(s.DisplayStatus), "no reason is given"))
	}
	return "", ""
}

func addAddress(list []string, text *string) []string {
	if a, err := netip.ParseAddr(val(text)); err == nil {
		list = append(list, a.String())
	}
	return list
}

// The parts of the name of a size: family, cores, cores in use, features, version.
// https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions
var sizeParts = regexp.MustCompile(`^(?:Standard|Basic)_([A-Z]+?)([0-9]+)(?:-([0-9]+))?([a-z]*)(?:_([A-Z][A-Za-z0-9]*))?(?:_v([0-9]+))?$`)

// perCore is the memory of a core in MiB of families in which it is the same for
// all sizes of today's versions.
var perCore = map[string]int64{"D": 4096, "DC": 4096, "E": 8192, "EC": 8192, "F": 2048, "FX": 21504}

// capacity is what the name of a size tells; zero where it does not. The first
// versions counted sizes and not cores.
func capacity(size string) fleet.Resources {
	var out fleet.Resources
	m := sizeParts.FindStringSubmatch(size)
	if m == nil {
		return out
	}
	number := func(text string) int64 { n, _ := strconv.ParseInt(text, 10, 64); return n } // the expression lets digits pass only
	family, cores, version := m[1], number(m[2]), number(m[6])
	old := version < 3 && (family == "D" || family == "DS" || family == "A" || family == "G" || family == "GS")
	if old || family == "A" && version < 2 {
		return out
	}
	out.Cores = fleet.Cores(cores) * fleet.Core
	if m[3] != "" {
		out.Cores = fleet.Cores(number(m[3])) * fleet.Core
	}
	each := perCore[family]
	switch {
	case family == "F" && version >= 6 && strings.Contains(m[4], "m"):
		each = 8192
	case family == "F" && version >= 6 && !strings.Contains(m[4], "l"):
		each = 4096
	case family == "D" && strings.Contains(m[4], "l"):
		each = 2048
	case family == "B" && strings.Contains(m[4], "l"), family == "B" && version < 2, family == "D" && version < 3:
		each = 0
	case family == "B" && version >= 2:
		each = 4096
	}
	out.MemoryMiB = cores * each
	return out
}
