package kubevm

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// quotaAnnotation is how Harvester says why it has halted a machine.
const quotaAnnotation = "harvesterhci.io/insufficient-resource-quota"

// view is what the cluster shows of a machine.
type view struct {
	vm  *virt.VirtualMachine
	vmi *virt.VirtualMachineInstance // nil: none
	// volumeFault says what is wrong with a disk of the machine, if it was asked.
	volumeFault string
}

func decode[T any](u *unstructured.Unstructured, into *T) (*T, error) {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		return nil, provider.Errorf(provider.Unknown, "reading %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return into, nil
}

// instance says where the machine stands. now and patience decide about
// machines for which no node has room.
func (v view) instance(now time.Time, patience time.Duration) provider.Instance {
	i := provider.Instance{
		ID: v.vm.Name, Name: v.vm.Name, Tags: tagsOf(v.vm.Labels), CreatedAt: v.vm.CreationTimestamp.Time,
	}
	if v.vm.Spec.Template != nil {
		i.Capacity = capacity(&v.vm.Spec.Template.Spec.Domain)
	}
	i.State, i.Fault = v.state(now, patience)
	i.FaultClass = v.faultClass(i.State)
	if v.vmi != nil && i.State == provider.StateRunning {
		i.Addresses = addresses(v.vmi)
	}
	return i
}

// faultClass tells a machine that failed for lack of room, so that another
// provider gets its turn.
func (v view) faultClass(state provider.State) provider.Class {
	switch {
	case state != provider.StateFailed:
		return ""
	case v.vm.Annotations[quotaAnnotation] != "":
		return provider.Quota
	case v.vm.Status.PrintableStatus == virt.VirtualMachineStatusUnschedulable:
		return provider.NoCapacity
	}
	return ""
}

func (v view) state(now time.Time, patience time.Duration) (provider.State, string) {
	status := v.vm.Status.PrintableStatus
	switch {
	case v.vm.DeletionTimestamp != nil:
		return provider.StateDeleting, ""
	case v.vm.Annotations[quotaAnnotation] != "":
		return provider.StateFailed, "Harvester has halted it, the namespace's quota is used up: " + v.vm.Annotations[quotaAnnotation]
	}
	switch status {
	case virt.VirtualMachineStatusRunning, virt.VirtualMachineStatusMigrating:
		if v.vmi == nil { // the two are read one after the other
			return provider.StatePending, ""
		}
		return provider.StateRunning, ""
	case virt.VirtualMachineStatusPaused:
		return provider.StateStopped, v.fault("it is paused")
	case virt.VirtualMachineStatusStopping:
		return provider.StateStopped, v.fault("it is being stopped")
	case virt.VirtualMachineStatusStopped:
		return v.stopped(now, patience)
	case virt.VirtualMachineStatusCrashLoopBackOff:
		fault := "its guest cannot be started"
		if f := v.vm.Status.StartFailure; f != nil {
			fault += fmt.Sprintf(" (%d failed starts in a row)", f.ConsecutiveFailCount)
		}
		return provider.StateFailed, v.fault(fault)
	case virt.VirtualMachineStatusPvcNotFound:
		return provider.StateFailed, v.fault("a volume that its manifest names does not exist")
	case virt.VirtualMachineStatusDataVolumeError:
		return provider.StateFailed, join("its disk could not be made", v.volumeFault)
	case virt.VirtualMachineStatusUnschedulable:
		return v.unschedulable(now, patience)
	case virt.VirtualMachineStatusTerminating:
		return provider.StateDeleting, ""
	case virt.VirtualMachineStatusProvisioning, virt.VirtualMachineStatusWaitingForVolumeBinding:
		return provider.StatePending, v.volumeFault
	case virt.VirtualMachineStatusErrImagePull, virt.VirtualMachineStatusImagePullBackOff:
		return provider.StatePending, v.fault("an image of its pod cannot be pulled")
	case virt.VirtualMachineStatusStarting, virt.VirtualMachineStatusUnknown, virt.VirtualMachineStatusWaitingForReceiver:
	}
	return v.starting(now, patience) // also before KubeVirt has seen it
}

// starting tells a machine that comes up from one that KubeVirt tries to start
// again and again.
func (v view) starting(now time.Time, patience time.Duration) (provider.State, string) {
	for _, c := range v.vm.Status.Conditions {
		failure := c.Type == virt.VirtualMachineFailure && c.Status == core.ConditionTrue
		behind := c.Type == virt.VirtualMachineConditionType(virt.VirtualMachineInstanceSynchronized) && c.Status == core.ConditionFalse
		if (failure || behind) && c.Message != "" {
			return waiting(join("KubeVirt cannot start it", c.Message), c.LastTransitionTime.Time, now, patience)
		}
	}
	return provider.StatePending, ""
}

// stopped tells a machine that KubeVirt is about to start from one that stays
// where it is.
func (v view) stopped(now time.Time, patience time.Duration) (provider.State, string) {
	strategy, err := v.vm.RunStrategy()
	switch {
	case err == nil && strategy != virt.RunStrategyAlways:
		return provider.StateStopped, "somebody has set its run strategy to " + string(strategy)
	case v.vmi != nil:
		return provider.StateStopped, v.fault("its guest has ended")
	}
	return v.starting(now, patience)
}

// waiting is the state of a machine that does not get on since a moment.
func waiting(fault string, since, now time.Time, patience time.Duration) (provider.State, string) {
	if now.Sub(since) < patience {
		return provider.StatePending, fault
	}
	return provider.StateFailed, fault
}

func (v view) unschedulable(now time.Time, patience time.Duration) (provider.State, string) {
	fault := "no node has room for it"
	since := now
	if v.vmi != nil {
		for _, c := range v.vmi.Status.Conditions {
			if c.Type == virt.VirtualMachineInstanceConditionType(core.PodScheduled) && c.Status == core.ConditionFalse {
				fault = join(fault, c.Message)
				since = c.LastTransitionTime.Time
			}
		}
		if since.IsZero() || since.Equal(now) {
			since = v.vmi.CreationTimestamp.Time
		}
	}
	return waiting(fault, since, now, patience)
}

// fault adds what the conditions of the machine say.
func (v view) fault(what string) string {
	if v.vmi != nil {
		for _, c := range v.vmi.Status.Conditions {
			if c.Status == core.ConditionFalse && c.Message != "" && c.Type == virt.VirtualMachineInstanceSynchronized {
				return join(what, c.Message)
			}
		}
		if v.vmi.Status.Reason != "" {
			return join(what, v.vmi.Status.Reason)
		}
	}
	for _, c := range v.vm.Status.Conditions {
		if c.Type == virt.VirtualMachineFailure && c.Message != "" {
			return join(what, c.Message)
		}
	}
	return what
}

func join(what, why string) string {
	if why = strings.TrimSpace(why); why == "" {
		return what
	}
	return what + ": " + why
}

// addresses are those under which others reach the machine.
func addresses(vmi *virt.VirtualMachineInstance) []string {
	var out []string
	seen := map[string]bool{}
	for _, nic := range vmi.Status.Interfaces {
		for _, text := range append([]string{nic.IP}, nic.IPs...) {
			ip, err := netip.ParseAddr(text)
			if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() || seen[text] {
				continue
			}
			seen[text] = true
			out = append(out, text)
		}
	}
	return out
}

// capacity is what a domain offers to its guest.
func capacity(d *virt.DomainSpec) fleet.Resources {
	var r fleet.Resources
	if c := d.CPU; c != nil {
		r.Cores = fleet.Cores(int64(max(c.Cores, 1))*int64(max(c.Sockets, 1))*int64(max(c.Threads, 1))) * fleet.Core
	} else if q, ok := d.Resources.Requests[core.ResourceCPU]; ok {
		r.Cores = fleet.Cores(q.MilliValue())
	}
	switch {
	case d.Memory != nil && d.Memory.Guest != nil:
		r.MemoryMiB = d.Memory.Guest.Value() >> 20
	case !d.Resources.Requests.Memory().IsZero():
		r.MemoryMiB = d.Resources.Requests.Memory().Value() >> 20
	}
	r.GPUs = int64(len(d.Devices.GPUs))
	return r
}
