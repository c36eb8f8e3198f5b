// Package kubevirt makes machines on any Kubernetes cluster with KubeVirt, such
// as GKE. What machines are made of, in which order, and how they are deleted is
// told in package kubevm; here is where their disks come from.
//
// # Disks
//
// The root disk of a machine is a clone that CDI makes: the VirtualMachine has a
// dataVolumeTemplate, from which KubeVirt makes a DataVolume and CDI a
// PersistentVolumeClaim, each owned by the one before. The source is a claim, a
// DataVolume (whose claim has the same name) or a DataSource.
//
// # Permissions
//
// A Role in the namespace of the machines is enough; docs/providers/kubevirt.md
// has it. KubeVirt itself asks whether the default ServiceAccount of the
// namespace may clone a source of another namespace.
//
// # Quirks
//
//   - KubeVirt 1.3 does not run machines on GKE; the check says so.
//   - local-path storage, which KIND has, cannot be cloned; the check says so.
//   - secureBoot counts as set when EFI is asked for without a word about it, and
//     needs system management mode: both are always said explicitly.
//   - masquerade exists on the pod network only.
//
// API: https://kubevirt.io/api-reference/main/definitions.html#_v1_virtualmachine
package kubevirt
