// Package azure makes machines as virtual machines of Microsoft Azure, and keeps
// DNS records in Azure DNS.
//
// # What a machine is made of
//
// One PUT by name makes the virtual machine with its network interface, its disk
// and, where wanted, its public address: the body describes the interface inline
// (networkProfile.networkInterfaceConfigurations). The other way, an interface
// first and then the machine, needs a second call while the interface is being
// made, and a crash between the two leaves an interface with an address that
// bears a machine's name and has none. With one call there is nothing between:
// either the service has accepted the machine, which is listed from then on
// with everything below it, or it has accepted nothing.
//
// The call carries "If-None-Match: *": it makes a machine and never changes one.
// A repeated call is refused with 412, and the machine of that name is looked at:
// one that bears the tags of the same server is the answer, any other is a
// conflict and is left alone. Without it a PUT would rewrite somebody else's
// machine of that name.
//
// Machine, interface and public address bear the four tags headroom-installation,
// -provider, -autoscale and -server; the service copies the tags of a machine to
// the disks that it makes with it. All have deleteOption Delete, also those that
// an override adds, so that one DELETE removes everything. What is left all the
// same (the service removes interface and disks after the machine, and gives up
// on errors) is found by the tags; see [driver.ListRemnants].
//
// # Progress
//
// Long operations are started and not followed. A machine exists for listings
// from the moment that its PUT was accepted; provisioningState and the statuses
// of its instance view tell how far it is. One that could not be given room stays
// as a failed machine, whose status names the code (AllocationFailed, …).
//
// The listing of a resource group does not tell whether machines run:
// $expand=instanceView is for scale sets only. The listing of the subscription
// with statusOnly=true does, for all machines at once and without tags. [driver.List]
// joins the two, and takes addresses from the listing of interfaces, and of public
// addresses where there are any: three or four calls for each page, whatever the
// number of machines.
//
// # Windows
//
// Azure does not run custom data on Windows. The startup script is run by the
// Custom Script extension once the machine is up, with the command in
// protectedSettings: they are encrypted for the machine and never shown again.
// Run Command was not taken, since its source.script can be read by everybody who
// may read the machine, and startup scripts hold tokens and passwords; protected
// parameters are for small values. The price is the length of a command line of
// Windows, 8,191 characters: larger scripts are fetched by the machine. The
// command makes a directory before it starts, which works once, and leaves exit
// code and output there, so that the script runs once however often the extension
// does. See [driver.RunScript].
//
// # Spot
//
// Azure gives notice of an eviction 30 s before, and only to programs inside of the
// machine (scheduled events of the metadata service). Nothing that can be asked from
// outside tells of it, so that [provider.Instance.Interruption] stays empty. After an eviction a
// machine with the policy Deallocate is listed as deallocated, which is shown with
// its reason; one with the policy Delete is gone.
//
// # Quirks
//
// The listing of the subscription asks for virtualMachines/read there or in
// resource groups; a service principal that has it in one group sees those only.
// Names of tags, groups and machines ignore case, and answers spell them in
// several ways. Quotas are refused as OperationNotAllowed, which means other
// things as well; the text tells. 404 is answered for a machine, a group, a
// subscription and an image alike; the code tells.
//
// REST reference: https://learn.microsoft.com/rest/api/compute/virtual-machines
package azure
