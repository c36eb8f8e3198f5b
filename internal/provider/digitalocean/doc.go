// Package digitalocean makes machines as Droplets, and keeps DNS records in
// DigitalOcean's name servers.
//
// # What a machine is made of
//
// One Droplet and one tag that stands for it. DigitalOcean has neither
// idempotency tokens nor key-value tags: everything that marks a machine is in
// the name of its own tag,
//
//	headroom-server:INSTALLATION:PROVIDER:AUTOSCALE:SERVER
//
// by which it is looked for before a create is repeated, and which is removed
// when the Droplet is gone. All machines of a provider config share a second
// tag, headroom-provider:INSTALLATION:PROVIDER, by which they are listed in one
// call and to which the firewall is applied. The shared tag stays: it is part of
// the configuration.
//
// The id of a machine is the Droplet's id, an @, and what its tag says, so that
// the tag can be removed after the Droplet has vanished.
//
// # Least permissions
//
// A custom-scoped token with: account:read, droplet:create, droplet:read,
// droplet:delete, tag:create, tag:read, tag:delete, image:read, ssh_key:read,
// regions:read, sizes:read, vpc:read; firewall:read and firewall:update with
// firewall_name; domain:read, domain:create, domain:update and domain:delete for DNS.
//
// # Quirks
//
// A size that is sold out in a region and one that was never offered there are
// refused alike ("Size is not available in this region"): both count as
// no_capacity, and `provider check` tells them apart by the catalog.
// A Droplet that is not found while its tag counts it may be one that is not shown
// yet: the tag stays, for without it nothing would find the Droplet again.
// User data carry 64 KiB. There is no console to read.
//
// API reference: https://docs.digitalocean.com/reference/api/
package digitalocean
