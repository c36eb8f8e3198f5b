// Package proxmox makes machines on clusters of Proxmox VE 8 and 9.
//
// # What a machine is made of
//
// A virtual machine that is cloned from a template, its disks, and its
// cloud-init image; nothing else. Destroying the virtual machine removes them
// all, so there are no remnants.
//
//	Create    GET  /cluster/resources        what is there: ids, nodes, templates, storages
//	          GET  /access/permissions       a right that is missing later would leave half a machine
//	          POST …/qemu/{template}/clone   a task; the marks are in the new machine's notes
//	listings  GET  …/qemu/{vmid}/config      once the clone is there and has no tags yet
//	          PUT  …/qemu/{vmid}/config      size, network, cloud-init, tags
//	          POST …/qemu/{vmid}/status/start
//	          GET  …/agent/network-get-interfaces, PUT …/config   its addresses, as a tag
//	Delete    POST …/qemu/{vmid}/status/stop, then DELETE …/qemu/{vmid}
//
// Clones, starts, stops and removals are tasks of Proxmox VE that take seconds
// to minutes. Nothing here waits for one: each listing takes the machines that
// are on their way one step further, and a listing at rest is one request.
//
// # Whose a machine is
//
// The id of a virtual machine (VMID) is chosen by the client and is used again
// by anybody after a removal, so it proves nothing. A machine is known by
// "VMID-mark", where mark is derived from the token of the create request; the
// mark is written into the notes by the clone call itself and into the tags as
// soon as Proxmox VE lets tags be set. Both name the VMID they were made for: a
// copy of a machine, or a template made of one, has another VMID and is not
// ours, although Proxmox VE copies tags and notes along. Nothing is stopped or
// removed before the mark has been read anew.
//
// The VMID is derived from the token as well: a repeated create tries the same
// one first and cannot make a second machine. Ids that are taken are passed
// over within vmid_range.
//
// While it copies the disks, Proxmox VE keeps a placeholder under the VMID that
// bears neither name nor notes. Such a machine is in no listing, Get says
// Conflict of it and it cannot be deleted before the copy has ended.
//
// Proxmox VE answers a listing without VM.Audit with an empty list and no
// error. A listing that does not show the template is therefore believed only
// after the token has been seen to have VM.Audit on /vms.
//
// # The SDK
//
// Calls go through luthermonson/go-proxmox for authentication and encoding, and
// its types are used where they are whole. Its client drops the reason of
// every refusal (401 and 403 become one error, and an answer of 595, that a
// node is down, becomes success), so the transport below it turns refusals into
// errors first. Its type of a cluster resource has no lock, and its methods
// that wait for tasks or for the guest agent are not used.
//
// # Least permissions
//
// See docs/providers/proxmox.md; Check names each that is missing.
//
// # Links
//
//   - API: https://pve.proxmox.com/pve-docs/api-viewer/
//   - permissions: https://pve.proxmox.com/wiki/User_Management
//   - guest agent: https://pve.proxmox.com/wiki/Qemu-guest-agent
package proxmox
