// Package oci makes machines as Compute instances of Oracle Cloud
// Infrastructure, and keeps DNS records in OCI DNS.
//
// # What a machine is made of
//
// One instance, its boot volume and its network interface, with a private
// address and perhaps an ephemeral public one. Instance and interface are asked
// for with the free-form tags headroom-installation, -provider, -autoscale and
// -server. A launch has no place for tags of the boot volume: Oracle takes them
// over from the instance. A volume without them is still known by the attachment
// that once bound it to an instance that has them, as long as that one is listed.
// Volumes that an override would make besides would be known by nothing, and are
// refused. Addresses and interfaces end with the instance.
//
// # Idempotency
//
// The launch carries an opc-retry-token that is derived from the token of the
// request. For 24 hours Oracle answers a repeated call with the instance of the
// first. When that instance has been deleted meanwhile, it refuses the call
// (InvalidatedRetryToken), which is a conflict here; the control loop looks for
// the machine, and gives it up at its provision timeout. After 24 hours a repeated
// call would make a second instance. None is repeated then: a machine is given up
// long before, and the listing is asked before any repetition.
//
// # Looking at machines
//
// ListInstances cannot select by tags and shows instances that have ended for half
// a day: the compartment is listed whole, and what is TERMINATED is left out.
// Addresses are with the network interface, one call for each machine. The
// listing puts them together from what can be listed at once, so that its cost does
// not depend on the number of machines: one paged call each for instances,
// attachments of interfaces and private addresses of the subnet, one for public
// addresses of each availability domain, and one for IPv6 addresses where the
// override asks for those. Get tells no addresses and costs one call.
//
// Oracle answers alike (404 NotAuthorizedOrNotFound) when an object is not there
// and when it may not be seen. A machine passes for gone only when the
// compartment can be listed with the same credentials, so that a policy that was
// taken away ends nobody's session.
//
// A launch that Oracle accepts and finds no room for goes from PROVISIONING to
// TERMINATED. Only its work request tells why: machines that end within half an
// hour of their creation are asked for it, at most ten in one listing, and those
// whose launch has failed are listed as failed for two minutes.
//
// # Least permissions
//
// Policy statements, GROUP and the compartments being yours; docs/providers/oci.md
// says which permission each gives:
//
//	Allow group GROUP to manage instances in compartment MACHINES
//	Allow group GROUP to read instance-images in compartment MACHINES
//	Allow group GROUP to read app-catalog-listing in compartment MACHINES
//	Allow group GROUP to manage console-histories in compartment MACHINES
//	Allow group GROUP to manage volumes in compartment MACHINES
//	Allow group GROUP to inspect volume-attachments in compartment MACHINES
//	Allow group GROUP to inspect vnic-attachments in compartment MACHINES
//	Allow group GROUP to inspect work-requests in compartment MACHINES
//	Allow group GROUP to use vnics in compartment MACHINES
//	Allow group GROUP to use subnets in compartment NETWORK
//	Allow group GROUP to use network-security-groups in compartment NETWORK
//	Allow group GROUP to read private-ips in compartment NETWORK
//
// For DNS see [DNSKind].
//
// # Quirks
//
// A lack of capacity is refused as an internal error (500) and known by its text
// alone. A shape that an availability domain does not offer is not found. The
// metadata of an instance, user data as base64 included, have 32,000 bytes. The
// console is captured into an object, which is read and removed; one that is left
// bears the machine's tags and is swept. A preemptible instance is terminated
// without a notice that could be read from outside: the notice is an event, and
// in the instance's own metadata. Planned maintenance is told beforehand and
// counts as an interruption.
//
// The SDK's constructors read OCI_* variables and ~/.oci and set up retries, a
// circuit breaker and logging. They are not used: clients are made of their parts.
// What the SDK does when the program starts stays: with OCI_GO_SDK_DEBUG set it
// writes a line or two to standard error.
//
// API reference: https://docs.oracle.com/en-us/iaas/api/
package oci
