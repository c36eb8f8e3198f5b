package kubevirt

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/kubevm"
)

// Settings are what can be chosen for machines on KubeVirt.
type Settings struct {
	kubevm.Access
	DiskSource     string     `json:"disk_source,omitempty" maxLength:"317" lookup:"disk_source" group:"Machine" title:"Disk source" doc:"Name or namespace/name of what the root disk is cloned from. Required unless config_override is given." example:"ubuntu-noble"`
	DiskSourceType SourceType `json:"disk_source_type,omitempty" enum:"pvc,data_volume,data_source" default:"pvc" group:"Machine" title:"Disk source type" doc:"Whether disk_source is a PersistentVolumeClaim, a DataVolume or a DataSource."`
	StorageClass   string     `json:"storage_class,omitempty" maxLength:"253" lookup:"storage_class" group:"Machine" title:"Storage class" doc:"Storage class of the disks. It must be able to clone, and should bind Immediate. Empty: the cluster's default." example:"headroom-storage"`
	kubevm.Machine
}

// SourceType is the kind of object that disks are cloned from.
type SourceType string

// The values of Settings.DiskSourceType.
const (
	SourcePVC        SourceType = "pvc"
	SourceDataVolume SourceType = "data_volume"
	SourceDataSource SourceType = "data_source"
)

// Validate finds settings that contradict each other.
func (s Settings) Validate() []fleet.FieldError {
	wrong := append(s.Access.Validate(), s.Machine.Validate()...)
	if s.ConfigOverride == nil && s.DiskSource == "" {
		wrong = append(wrong, fleet.FieldError{Path: "disk_source", Message: "is missing: name what the root disk is cloned from, or give a whole manifest as config_override"})
	}
	return append(wrong, kubevm.CheckReference("disk_source", s.DiskSource)...)
}
