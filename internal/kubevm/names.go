package kubevm

import (
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Labels besides those of the tags.
const (
	// LabelMachine names the machine that an object belongs to.
	LabelMachine   = "headroom-machine"
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "headroom"
)

// Names of what belongs to a machine.
const (
	configDrive  = "config-drive-disk"
	rootDisk     = "disk-0"
	secretSuffix = "-secret"
	sshSuffix    = "-ssh"
)

func secretName(machine string) string { return machine + secretSuffix }

func sshName(machine string) string { return machine + sshSuffix }

// DiskName is the name of the volume of a machine's root disk.
func DiskName(machine string) string { return machine + "-" + rootDisk }

// labelFault says what is wrong with a name that must be a DNS label; empty
// when it is good.
func labelFault(name string) string {
	return strings.Join(validation.IsDNS1123Label(name), "; ")
}

// nameFault is labelFault for names that may have dots.
func nameFault(name string) string {
	return strings.Join(validation.IsDNS1123Subdomain(name), "; ")
}

// labelsOf marks an object of a machine.
func labelsOf(t provider.Tags, machine string) map[string]string {
	return map[string]string{
		provider.TagInstallation: t.Installation, provider.TagServer: t.Server,
		provider.TagAutoscale: t.AutoscaleConfig, provider.TagProvider: t.Provider,
		LabelMachine: machine, labelManagedBy: managedBy,
	}
}

// tagsOf reads the marks of an object.
func tagsOf(l map[string]string) provider.Tags {
	return provider.Tags{
		Installation: l[provider.TagInstallation], Server: l[provider.TagServer],
		AutoscaleConfig: l[provider.TagAutoscale], Provider: l[provider.TagProvider],
	}
}

// ownedBy selects what an owner has.
func ownedBy(o provider.Owner) string {
	return labels.Set{provider.TagInstallation: o.Installation, provider.TagProvider: o.Provider}.String()
}

// ofMachine selects what belongs to a machine.
func ofMachine(name string) string { return labels.Set{LabelMachine: name}.String() }

// checkTags refuses marks that Kubernetes could not take as values of labels.
func checkTags(t provider.Tags) error {
	for key, value := range labelsOf(t, "m") {
		if faults := validation.IsValidLabelValue(value); len(faults) > 0 {
			return provider.Errorf(provider.Invalid, "%s %q cannot be a label in Kubernetes: %s", key, value, strings.Join(faults, "; "))
		}
	}
	return nil
}
