// Package openstack runs a real OpenStack on the loopback interface for tests:
// keystone, placement, glance, nova, neutron and cinder from Debian's packages,
// with a hypervisor, a disk backend and a switch of ours that hold nothing. No
// guest runs; everything that an API client can see is the real thing.
//
//	make rig-openstack        # install what is missing, start what does not run
//	make rig-openstack-down   # end it and remove its data
//
// Tests find the rig with [Open]. Everything that it writes lies below one
// directory, by default in the system's directory for temporary files; what is
// worth keeping between runs (unpacked packages, migrated databases) lies in the
// user's cache directory. Processes are known by their id and the moment of
// their start, and are ended by these.
//
// Variables of the environment:
//
//	HEADROOM_RIG_OPENSTACK        the rig's directory
//	HEADROOM_RIG_OPENSTACK_PORT   the first of the ten ports that it uses; 25000
//	HEADROOM_REQUIRE_OPENSTACK    1: a rig that is not up fails the tests
package openstack
