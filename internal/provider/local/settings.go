package local

import "github.com/headroom-dev/headroom/internal/fleet"

// Settings are what can be chosen for machines of the local provider.
type Settings struct {
	Cores        fleet.Cores    `json:"cores,omitempty" default:"2" doc:"Cores that each machine offers. They are not reserved on the host." example:"2"`
	Memory       fleet.Memory   `json:"memory,omitempty" default:"2Gi" doc:"Memory that each machine offers. It is not reserved on the host." example:"2Gi"`
	GPUs         int64          `json:"gpus,omitempty" minimum:"0" maximum:"1000" doc:"GPUs that each machine claims to have."`
	CgroupLimits CgroupLimits   `json:"cgroup_limits,omitempty" enum:"auto,off" default:"auto" doc:"auto: hold each machine to its cores and memory where the host's control groups allow it. off: set no limits."`
	StartDelay   fleet.Duration `json:"start_delay,omitempty" doc:"How long a machine waits before it reports to the controller; makes slow clouds visible in demonstrations." example:"5s"`
}

// CgroupLimits says whether machines are held to their size.
type CgroupLimits string

// The values of Settings.CgroupLimits.
const (
	CgroupAuto CgroupLimits = "auto"
	CgroupOff  CgroupLimits = "off"
)

const (
	defaultCores  = 2 * fleet.Core
	defaultMemory = 2 * fleet.GiB
)

// shape is what a machine offers: the settings, with the overrides of a
// request before them.
func (s Settings) shape(override fleet.Resources) fleet.Resources {
	return fleet.Resources{
		Cores:     fleet.Or(override.Cores, fleet.Or(s.Cores, defaultCores)),
		MemoryMiB: fleet.Or(override.MemoryMiB, int64(fleet.Or(s.Memory, defaultMemory))),
		GPUs:      fleet.Or(override.GPUs, s.GPUs),
	}
}

// Shape is what a machine made with the settings offers.
func (s Settings) Shape() fleet.Resources { return s.shape(fleet.Resources{}) }
