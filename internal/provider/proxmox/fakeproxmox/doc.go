// Package fakeproxmox is a cluster of Proxmox VE in memory, spoken to over
// HTTP, for tests. It holds every request against the API schema that Proxmox
// VE publishes (parameters, formats, required ones) and enforces the
// permissions that the schema states for each call, so that it cannot share a
// driver's misunderstanding of them. The guest agent really runs commands, on
// the host of the test, below a directory of its own.
//
// What the schema does not state follows the sources of qemu-server: a clone
// leaves a placeholder without name and notes under its VMID until the disks
// are copied, tags and notes are copied from the template, errors are in the
// reason phrase of a 500, a listing leaves out what may not be seen, and its
// states and names are older than its tags.
package fakeproxmox
