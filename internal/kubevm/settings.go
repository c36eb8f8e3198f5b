package kubevm

import (
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Machine are the settings of a machine that both kinds have. The fields that
// are required without config_override are checked in Validate, since the
// manifest of an override says itself what they say.
type Machine struct {
	Cores    int64        `json:"cores,omitempty" minimum:"1" maximum:"1024" group:"Machine" title:"Cores" doc:"Cores of a machine. Required unless config_override is given." example:"4"`
	Memory   fleet.Memory `json:"memory,omitempty" minimum:"64Mi" maximum:"64Ti" group:"Machine" title:"Memory" doc:"Memory of a machine. Required unless config_override is given." example:"4Gi"`
	DiskSize int64        `json:"disk_size,omitempty" minimum:"1" maximum:"65536" group:"Machine" title:"Disk size" doc:"Size of the root disk in GiB, not below that of its source. Required unless config_override is given." example:"30"`
	OSType   OSType       `json:"os_type,omitempty" enum:"linux,windows" default:"linux" group:"Machine" title:"Operating system" doc:"Whether startup scripts are made for cloud-init (linux) or for Cloudbase-Init (windows)."`

	NetworkType   NetworkType   `json:"network_type,omitempty" enum:"pod,multus" default:"pod" group:"Network" title:"Network type" doc:"pod: the cluster's own network. multus: a network of a NetworkAttachmentDefinition."`
	NetworkName   string        `json:"network_name,omitempty" maxLength:"317" lookup:"network_name" group:"Network" title:"Network name" doc:"With multus: name or namespace/name of the NetworkAttachmentDefinition, required. With pod: the name that the interface has in the manifest; empty: default." example:"default"`
	InterfaceType InterfaceType `json:"interface_type,omitempty" enum:"bridge,masquerade" default:"masquerade" group:"Network" title:"Interface type" doc:"masquerade: behind the address of the pod, on the pod network only. bridge: connected to the network itself."`

	EFI        bool     `json:"efi,omitempty" group:"Firmware" title:"EFI" doc:"Boot with EFI firmware instead of BIOS."`
	SecureBoot bool     `json:"secure_boot,omitempty" group:"Firmware" title:"Secure boot" doc:"Boot only what is signed. Needs efi."`
	TPM        bool     `json:"tpm,omitempty" group:"Firmware" title:"TPM" doc:"Give machines an emulated TPM."`
	GPUs       []Device `json:"gpus,omitempty" maxItems:"16" group:"Devices" title:"GPUs" doc:"GPUs of each machine, as the cluster's KubeVirt permits them."`
	HostDevs   []Device `json:"host_devices,omitempty" maxItems:"16" group:"Devices" title:"Host devices" doc:"Other devices of the node for each machine, as the cluster's KubeVirt permits them."`

	SSHPublicKey string `json:"ssh_public_key,omitempty" maxLength:"16384" multiline:"true" group:"Access" title:"VM public SSH key" doc:"Public key that may log in as the image's own user. cloud-init puts it in place." example:"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 ann@example.org"`

	UnschedulableAfter fleet.Duration `json:"unschedulable_after,omitempty" minimum:"0s" maximum:"1h" default:"5m" advanced:"true" group:"Machine" title:"Unschedulable after" doc:"How long a machine may wait for a node with room until it counts as failed. A cluster that adds nodes by itself needs some minutes." example:"5m"`

	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Override" title:"Config override" doc:"A whole manifest of a kubevirt.io/v1 VirtualMachine that is used instead of the settings above. $HEADROOM_NAME and $KASM_NAME in it become the machine's name."`
}

// Device is a kind of device with a number.
type Device struct {
	DeviceName string `json:"device_name" minLength:"1" maxLength:"253" doc:"Resource name of the device." example:"nvidia.com/TU104GL_Tesla_T4"`
	Count      int64  `json:"count,omitempty" minimum:"1" maximum:"16" default:"1" doc:"How many of them each machine gets."`
}

// OSType is the family of operating systems of the image.
type OSType string

// The values of Machine.OSType.
const (
	OSLinux   OSType = "linux"
	OSWindows OSType = "windows"
)

// NetworkType is where a machine's interface is connected.
type NetworkType string

// The values of Machine.NetworkType.
const (
	NetworkPod    NetworkType = "pod"
	NetworkMultus NetworkType = "multus"
)

// InterfaceType is how it is connected.
type InterfaceType string

// The values of Machine.InterfaceType.
const (
	InterfaceBridge     InterfaceType = "bridge"
	InterfaceMasquerade InterfaceType = "masquerade"
)

// defaultUnschedulable is the default of Machine.UnschedulableAfter.
const defaultUnschedulable = 5 * time.Minute

// Validate finds settings that contradict each other.
func (m Machine) Validate() []fleet.FieldError {
	if m.ConfigOverride != nil {
		return checkOverride(m.ConfigOverride)
	}
	var wrong []fleet.FieldError
	say := func(path, format string, args ...any) {
		wrong = append(wrong, fleet.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	for path, missing := range map[string]bool{"cores": m.Cores == 0, "memory": m.Memory == 0, "disk_size": m.DiskSize == 0} {
		if missing {
			say(path, "is missing: set it, or give a whole manifest as config_override")
		}
	}
	if m.SecureBoot && !m.EFI {
		say("secure_boot", "needs efi: set efi to true as well")
	}
	switch {
	case m.NetworkType != NetworkMultus:
		if m.NetworkName != "" && labelFault(m.NetworkName) != "" {
			say("network_name", "%q cannot be the name of an interface: %s", m.NetworkName, labelFault(m.NetworkName))
		}
	case m.NetworkName == "":
		say("network_name", "is missing: network_type multus needs the name of a NetworkAttachmentDefinition")
	case !isReference(m.NetworkName):
		say("network_name", "%q is neither the name nor the namespace/name of a NetworkAttachmentDefinition", m.NetworkName)
	}
	if m.NetworkType == NetworkMultus && m.InterfaceType != InterfaceBridge {
		say("interface_type", "masquerade works on the pod network only: set interface_type to bridge, or network_type to pod")
	}
	if key := strings.TrimSpace(m.SSHPublicKey); key != "" {
		for line := range strings.Lines(key) {
			if f := strings.Fields(line); len(f) < 2 && len(f) > 0 || strings.Contains(line, "PRIVATE KEY") {
				say("ssh_public_key", "is no public key: paste the content of a file such as id_ed25519.pub, which begins with ssh-ed25519 or ssh-rsa")
				break
			}
		}
	}
	return wrong
}

// isReference says that text is a name or namespace/name.
func isReference(text string) bool {
	space, name, both := strings.Cut(text, "/")
	if !both {
		return nameFault(text) == ""
	}
	return labelFault(space) == "" && nameFault(name) == ""
}

// Reference splits "namespace/name"; the namespace of a bare name is that of
// the machines.
func Reference(text, namespace string) (space, name string) {
	space, name, both := strings.Cut(text, "/")
	if !both {
		return namespace, text
	}
	return space, name
}

// CheckReference says what is wrong with a field that refers to an object.
func CheckReference(field, text string) []fleet.FieldError {
	if text == "" || isReference(text) {
		return nil
	}
	return []fleet.FieldError{{Path: field, Message: fmt.Sprintf("%q is neither a name nor namespace/name", text)}}
}

// Shape is what a machine made with the settings offers.
func (m Machine) Shape() fleet.Resources {
	if m.ConfigOverride != nil {
		vm, err := decodeOverride(m.ConfigOverride, "machine")
		if err != nil || vm.Spec.Template == nil {
			return fleet.Resources{}
		}
		return capacity(&vm.Spec.Template.Spec.Domain)
	}
	r := fleet.Resources{Cores: fleet.Cores(m.Cores) * fleet.Core, MemoryMiB: int64(m.Memory)}
	for _, d := range m.GPUs {
		r.GPUs += max(d.Count, 1)
	}
	return r
}

// maxUserData is the most that a Secret holds.
const maxUserData = 1 << 20

// Channel is how startup scripts reach machines.
func (m Machine) Channel() startup.Channel {
	c := startup.Channel{Form: startup.FormCloudInit, System: startup.Linux, Limit: maxUserData}
	if m.OSType == OSWindows {
		c.Form, c.System = startup.FormCloudbase, startup.Windows
	}
	return c
}
