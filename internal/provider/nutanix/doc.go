// Package nutanix makes machines on Nutanix AHV through the v3 API of Prism
// Central.
//
// # What a machine is made of
//
//   - A virtual machine, cloned from vm_candidate by one request, POST /vms with
//     spec.resources.parent_reference, that also carries its size, its network,
//     its categories and its guest customization, and asks for power. Its disks
//     belong to it and are removed with it.
//   - A mark: a value of the category headroom-server. The value is the UUID of
//     the machine, its description holds the tags.
//
// Prism copies the description of the candidate into a clone and has no other
// text of ours on a virtual machine (https://github.com/nutanix/terraform-provider-nutanix/issues/642),
// hence the mark beside it. It is written before the machine is asked for and
// removed after the machine is gone, so that a crash between any two requests
// leaves nothing that the marks do not lead to. A mark without a machine is a
// remnant.
//
// # Idempotency
//
// The UUID of a machine is derived from the token of the create request and is
// sent as metadata.uuid. A repeated request meets the machine of the first.
//
// # Tasks
//
// Prism answers changes with the UUID of a task. The driver never waits for
// one: the state of the virtual machine says how far it has come, and its
// message_list, or the task's error_detail, says why it failed.
//
// # Least permissions
//
// The table is in [rights]; the page of the provider explains them.
//
// # Sources
//
// The API description ships with the SDK (v3/swagger.json of
// github.com/nutanix-cloud-native/prism-go-client); the tests hold every request
// and every answer of their fake against it. That a clone is asked for by
// parent_reference together with a disk that names the same virtual machine:
// https://github.com/nutanix/terraform-provider-nutanix/issues/534.
package nutanix
