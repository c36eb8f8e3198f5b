// Package kubevm makes machines as KubeVirt VirtualMachines on a Kubernetes
// cluster. The kinds of provider that do so differ in where the root disk comes
// from and share everything else; they hand this package an [Options].
//
// # What a machine is made of
//
//	VirtualMachine  NAME              what Headroom knows as the machine
//	Secret          NAME-secret       the startup script, on the config drive
//	Secret          NAME-ssh          the public SSH key, when one is set
//	DataVolume and PersistentVolumeClaim, one of each for every disk, made from
//	the VirtualMachine by KubeVirt and CDI, or by Harvester
//	VirtualMachineInstance NAME       the guest, made by KubeVirt
//
// All are in the namespace of the settings, so that a revision of the settings
// with another namespace deletes its machines where they are. All bear the
// labels of [provider.Tags], and [LabelMachine] with the machine's name.
//
// # Order of creation
//
// The Secret comes first, then the VirtualMachine, and then the Secret gets an
// ownerReference to it. A crash after the first step leaves a Secret that bears
// our labels and belongs to no machine: a remnant, which the sweep finds, and
// which a repeated create uses. A crash after the second leaves a whole machine;
// its Secret is removed by Delete, by name, and if somebody else deletes the
// VirtualMachine it is a remnant as well. The other order would leave a machine
// that can never start, since its pod waits for a Secret that nobody makes.
// Disks have the ownerReference from the beginning, since they are made from the
// VirtualMachine.
//
// # Idempotency
//
// The name is the token: names of machines are unique for ever, and the API
// server refuses a second object of one name. A VirtualMachine of the name with
// the labels of another server is nobody's business of ours and is a Conflict.
package kubevm
