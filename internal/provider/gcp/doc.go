// Package gcp makes machines as instances of Google Compute Engine, and keeps
// DNS records in Cloud DNS.
//
// # What a machine is made of
//
// One instance and its boot disk, which the service deletes with it. Both bear
// four labels, headroom-installation, -provider, -autoscale and -server; names
// and ids of Headroom are what labels can hold, so that they are spelt as they
// are. An external address is ephemeral and ends with the instance.
//
// The insert carries a requestId that is derived from the token of the request:
// a repeated call is answered with the operation of the first. A name exists
// once in a zone, which helps where the service has forgotten the requestId.
//
// Insert answers an operation. Create waits for it at the service's side for a
// few seconds, since most stock-outs show by then and the next offer can have
// its turn; it never fails because the operation goes on. An instance whose
// insert fails later is never listed: Get finds the operation by its target and
// shows the machine as failed, for ten minutes. That is why the id of a machine
// holds its marks besides zone and name: a failed operation has no labels.
//
// Machines are listed in one paged call over all zones, filtered by the service.
// A zone that the service cannot reach makes the listing an error.
//
// # Least permissions
//
// A custom role with the permissions that [permissions] lists; the predefined
// role roles/compute.instanceAdmin.v1 has them and more. With service_account
// also roles/iam.serviceAccountUser on that account. For DNS see [DNSKind].
//
// # Quirks
//
// Compute Engine runs startup-script at every boot and the Windows keys as well;
// package startup guards the script, so that it runs once.
// An instance that is being stopped and one that is being deleted are both
// STOPPING. Quota for CPUs is refused with the same status as missing rights
// (403), told apart by the reason; so is throttling.
//
// API reference: https://cloud.google.com/compute/docs/reference/rest/v1
package gcp
