// Package openstack makes machines in one project of an OpenStack cloud, through
// OpenStack's Go SDK, gophercloud.
//
// # What a machine is made of
//
//	| object                  | made by | when               | marked by                | removed by                    |
//	| server (nova)           | Create  | always             | metadata                 | Delete                        |
//	| boot volume (cinder)    | Create  | boot_from_volume   | metadata                 | nova, with the server         |
//	| port (neutron)          | Create  | floating_ip_pool   | description              | Delete, before the server     |
//	| floating IP (neutron)   | Create  | floating_ip_pool   | description              | Delete, before the server     |
//	| port (neutron)          | nova    | otherwise          |                          | nova, with the server         |
//
// The server is made last and removed last. What a crash leaves in between bears
// its marks and is listed by ListRemnants: disks, addresses and ports whose
// server is not in the listing.
//
// # One wish, one machine
//
// OpenStack has no idempotency token. Create looks for a server of the name and
// the marks first, and creates of one server wait for one another inside of a
// driver. nova shows a server from the moment that it has accepted it.
//
// A boot volume takes its time. While it is being filled, Create answers Conflict
// with a time to wait, and goes on when it is repeated.
//
// # Quirks
//
//   - A call that the access rules of an application credential leave out is
//     answered with 401 and not with 403. The SDK signs in again and repeats the
//     call; a second 401 means the rules ([provider.Forbidden]), a refused
//     sign-in means the credential ([provider.Unauthenticated]). Each such call
//     costs a token.
//   - Keystone answers 404 for an application credential that was removed.
//   - No room and, when requests race, no quota are found out after the create
//     was accepted: the server goes to ERROR, with the reason in its fault.
//     Instance.FaultClass says which. The fault may come a moment after the
//     status, and listings lack the faults of one kind of failure or the other:
//     nova reads them from one of its databases only. List looks at failed servers
//     one by one.
//   - While a cell of nova is down, listings lack its servers without a word, but
//     from microversion 2.69 on, in a listing without filters, limit or marker,
//     they are shown with the status UNKNOWN and nothing else. List asks so, and
//     answers that the listing is incomplete.
//   - nova's own boot volumes (source_type image) have neither name nor metadata,
//     so that one that is left cannot be told from anybody's. Ours are made
//     through cinder.
//   - The addresses of next pages in answers are what the service believes to be
//     its own. Pages are asked for at the endpoint in use instead.
//   - The SDK takes user data that happen to be valid base64 for encoded already.
//     They are always encoded here.
//   - A project may ask nova to keep deleted servers for a while
//     (reclaim_instance_interval). They are shown as being deleted until then.
//
// # Links
//
//   - https://docs.openstack.org/api-ref/compute/
//   - https://docs.openstack.org/nova/latest/reference/api-microversion-history.html
//   - https://docs.openstack.org/api-guide/compute/down_cells.html
//   - https://docs.openstack.org/keystone/latest/user/application_credentials.html#access-rules
package openstack
