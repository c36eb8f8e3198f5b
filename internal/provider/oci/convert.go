package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// ownTags are the tags as free-form tags, which take names and ids of Headroom
// as they are.
func ownTags(t provider.Tags) map[string]string {
	return map[string]string{
		provider.TagInstallation: t.Installation, provider.TagServer: t.Server,
		provider.TagAutoscale: t.AutoscaleConfig, provider.TagProvider: t.Provider,
	}
}

func tagsOf(freeform map[string]string) provider.Tags {
	return provider.Tags{
		Installation: freeform[provider.TagInstallation], Server: freeform[provider.TagServer],
		AutoscaleConfig: freeform[provider.TagAutoscale], Provider: freeform[provider.TagProvider],
	}
}

// instanceRule keeps ids that are none from becoming paths of other calls.
var instanceRule = regexp.MustCompile(`^ocid1\.instance\.[a-z0-9]+\.[a-z0-9-]*(\.[a-z0-9-]*)?\.[a-z0-9]+$`)

func checkID(id string) error {
	if len(id) > 255 || !instanceRule.MatchString(id) {
		return provider.Errorf(provider.Invalid, "%q is no OCID of an instance", id)
	}
	return nil
}

// offer is a shape in an availability domain.
type offer struct{ shape, domain string }

func (o offer) String() string { return o.shape + "@" + o.domain }

// retryToken makes the token of a call of what stands for the wish: at most 64
// characters are taken.
func retryToken(token string) string {
	sum := sha256.Sum256([]byte("headroom create " + token))
	return hex.EncodeToString(sum[:])
}

// instance is an instance as the contract shows it, without addresses: those are
// with its network interface.
func instance(i *core.Instance) provider.Instance {
	out := provider.Instance{
		ID: fleet.Value(i.Id, ""), Name: fleet.Value(i.DisplayName, ""), Tags: tagsOf(i.FreeformTags),
		Offer:    offer{fleet.Value(i.Shape, ""), fleet.Value(i.AvailabilityDomain, "")}.String(),
		Capacity: capacity(i), CreatedAt: timeOf(i.TimeCreated),
	}
	out.State, out.Fault = state(i)
	if due := i.TimeMaintenanceRebootDue; due != nil && !due.IsZero() && out.State == provider.StateRunning {
		out.Interruption = "Oracle will stop the machine for maintenance at " + due.UTC().Format(time.RFC3339)
	}
	return out
}

// state reads the lifecycle state.
// https://docs.oracle.com/en-us/iaas/api/#/en/iaas/latest/Instance/
func state(i *core.Instance) (provider.State, string) {
	switch i.LifecycleState {
	case core.InstanceLifecycleStateProvisioning, core.InstanceLifecycleStateStarting:
		return provider.StatePending, ""
	case core.InstanceLifecycleStateRunning, core.InstanceLifecycleStateMoving: // it moves between compartments and runs on
		return provider.StateRunning, ""
	case core.InstanceLifecycleStateTerminating, core.InstanceLifecycleStateTerminated:
		if i.PreemptibleInstanceConfig != nil {
			return provider.StateStopped, "the instance is " + string(i.LifecycleState) + "; a preemptible instance is terminated when Oracle wants its capacity back"
		}
		return provider.StateDeleting, ""
	case core.InstanceLifecycleStateStopping, core.InstanceLifecycleStateStopped, core.InstanceLifecycleStateCreatingImage:
		return provider.StateStopped, "the instance is " + string(i.LifecycleState)
	}
	return provider.StatePending, "the instance is " + string(i.LifecycleState)
}

// capacity is what the service says of the shape; zero where it says nothing.
func capacity(i *core.Instance) fleet.Resources {
	c := i.ShapeConfig
	if c == nil {
		return fleet.Resources{}
	}
	out := fleet.Resources{
		Cores: cores(fleet.Value(i.Shape, ""), float64(fleet.Value(c.Ocpus, 0))), MemoryMiB: int64(float64(fleet.Value(c.MemoryInGBs, 0)) * 1024),
		GPUs: int64(fleet.Value(c.Gpus, 0)),
	}
	if c.Vcpus != nil {
		out.Cores = fleet.Cores(*c.Vcpus) * fleet.Core
	}
	return out
}

// cores are those that the operating system sees: an OCPU has two threads, but
// on the first Arm processors, which have one.
// https://docs.oracle.com/en-us/iaas/Content/Compute/References/computeshapes.htm
func cores(shape string, ocpus float64) fleet.Cores {
	threads := 2.0
	if strings.Contains(shape, ".A1.") {
		threads = 1
	}
	return fleet.Cores(ocpus * threads * float64(fleet.Core))
}

// Shape implements provider.Shaped: what the first shape offers. Only flexible
// shapes tell before a machine is made.
func (s *Settings) Shape() fleet.Resources {
	if len(s.Shapes) == 0 || !isFlexible(s.Shapes[0]) {
		return fleet.Resources{}
	}
	return fleet.Resources{Cores: cores(s.Shapes[0], s.FlexOCPUs), MemoryMiB: int64(s.FlexMemory * 1024)}
}
