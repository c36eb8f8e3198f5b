package harvester

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/kubevm"
)

// Settings are what can be chosen for machines on Harvester.
type Settings struct {
	kubevm.Access
	Image string `json:"image,omitempty" maxLength:"317" lookup:"image" group:"Machine" title:"Image" doc:"Name or namespace/name of the VirtualMachineImage that the root disk begins as. Required unless config_override is given." example:"default/image-8rb2p"`
	kubevm.Machine
}

// Validate finds settings that contradict each other.
func (s Settings) Validate() []fleet.FieldError {
	wrong := append(s.Access.Validate(), s.Machine.Validate()...)
	if s.ConfigOverride == nil && s.Image == "" {
		wrong = append(wrong, fleet.FieldError{Path: "image", Message: "is missing: name a VirtualMachineImage (kubectl get virtualmachineimages -A), or give a whole manifest as config_override"})
	}
	return append(wrong, kubevm.CheckReference("image", s.Image)...)
}
