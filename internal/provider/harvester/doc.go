// Package harvester makes machines on SUSE Harvester. What machines are made
// of, in which order, and how they are deleted is told in package kubevm; here
// is where their disks come from.
//
// # Disks
//
// Harvester keeps images as VirtualMachineImages, each with a storage class of
// its own whose volumes begin as copies of the image. The root disk of a machine
// is a PersistentVolumeClaim of that class. As with machines that are made in
// Harvester's own interface, its description is an annotation of the
// VirtualMachine (harvesterhci.io/volumeClaimTemplates), from which Harvester's
// controller makes the claim, with our labels and the annotation that names the
// image (harvesterhci.io/imageId). Harvester does not remove volumes with their
// machine by itself: the annotation harvesterhci.io/removedPersistentVolumeClaims
// tells it to from the beginning, so that the disk goes whoever deletes the
// machine. Delete looks for it besides, and the sweep finds it by its labels.
//
// # Quirks
//
//   - Harvester halts a machine when the quota of its namespace is used up, and
//     says so in an annotation; such a machine counts as failed.
//   - The claims that Harvester makes for images of backend cdi have no labels:
//     they are removed by the annotation only.
//
// API: https://docs.harvesterhci.io
package harvester
