// Package vsphere makes machines by cloning on VMware vCenter, through the
// official client library govmomi.
//
// # What a machine is made of
//
// One virtual machine with its disks in one folder of one datastore; vCenter
// removes the disks with the machine, so nothing else can be left behind. Its
// identity is an instance UUID (of instant clones: a BIOS UUID) that is derived
// from the request's token before the clone is asked for. It is known although
// the clone takes minutes and its task answers later, it cannot be changed from
// inside of the guest, and a repeated create finds the first machine by it.
//
// Ownership is written into ExtraConfig, twice: as guestinfo.headroom.owner,
// which scripts in the guest can read, and as headroom.owner, which the guest
// can neither read nor change and which is believed first. Marks whose UUID is
// not that of the machine were copied with it by somebody who cloned one of our
// machines by hand: they mark nothing. Custom attributes named
// headroom-installation and so on are filled in for people where an
// administrator has defined them.
//
// # Tasks
//
// No call waits for a task. CloneVM_Task is started, and its task is looked at
// once, since vCenter refuses what it can refuse within moments. While a clone
// runs, vCenter shows a machine without configuration or none at all; then
// [driver.Get] looks for the clone among the recent tasks of its source and
// finds its name in the events VmBeingClonedEvent and VmCloneFailedEvent, since
// a task does not tell the name of its result. A clone that failed for lack of
// space or resources less than two minutes ago makes the next create fail with
// the same class before another clone is begun.
//
// # Sessions
//
// A driver logs in with its first call and keeps its session until it is
// closed; vCenter limits the number of sessions and drops one that was idle for
// 30 minutes. A session that is gone is replaced once per call. A refused login
// is not repeated for a minute, since vCenter locks accounts after five.
//
// # Least permissions
//
// See [privileges]; docs/providers/vsphere.md says how to grant them.
//
// # Links
//
//   - API reference: https://developer.broadcom.com/xapis/vsphere-web-services-api/latest/
//   - privileges of operations: https://techdocs.broadcom.com/us/en/vmware-cis/vsphere/vsphere/8-0/vsphere-security/required-privileges-for-common-tasks.html
//   - guestinfo and cloud-init: https://docs.cloud-init.io/en/latest/reference/datasources/vmware.html
package vsphere
