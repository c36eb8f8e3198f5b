// Package nutanix makes machines on Nutanix AHV through the v3 API of Prism
// Central or, as an experiment, through its v4 API.
//
// # What a machine is made of, with v3
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
// # Idempotency, with v3
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
// # The v4 API
//
// There the machine is a clone of a virtual machine, POST …/$actions/clone, or a
// template that is deployed, POST …/$actions/deploy. Neither request takes a
// UUID, categories, a description or power. A machine is therefore made in steps,
// each found again by the one before:
//
//  1. The mark, a category as with v3. Its value is derived from the token of the
//     create request and is the id of the machine for Headroom; it is unique, so
//     that of two creates one finds the other's mark.
//  2. The clone, with a NTNX-Request-Id that is derived from the same. Its task is
//     kept in the mark. A clone whose answer was lost is found by its name.
//  3. Once it is there, it is put into its categories, that of the mark among
//     them: policies of categories shall hold when it starts.
//  4. It is switched on. The task of that is kept in the mark too, so that a
//     machine that is off afterwards is one that stopped.
//
// Create does the first two, listings and looks at one machine the others, one
// request that changes something per look and with a limit per listing. Changes
// bear the ETag of what they change, and are refused when somebody was faster.
//
// The task of a clone names its source too. A virtual machine is therefore ours
// only when it bears the mark or the name in it, never because a task names it.
//
// The vendor's Go client (github.com/nutanix/ntnx-api-golang-clients) is not used
// for this: it writes every request to standard error, which cannot be turned
// off; it repeats requests on 401, 408, 429, 503 and 504 by itself; it takes no
// context and no certificate authority. Its models alone have 40,000 lines. The
// driver speaks HTTP with the few types that it needs (v4types.go), and the tests
// hold every request and every answer of their fake against the client's source
// and models: operations, queries, fields, types, values. The paths are those of
// v4.0, of which the newer clients have every operation and field that is used;
// that the client of v4.0.1 has them was looked up by hand.
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
//
// That v4 demands If-Match of every change of a virtual machine, and what it says
// without: https://github.com/nutanix/terraform-provider-nutanix/pull/1231. That
// switching on often meets an ETag that has changed meanwhile:
// https://github.com/nutanix/terraform-provider-nutanix/issues/1089.
package nutanix
