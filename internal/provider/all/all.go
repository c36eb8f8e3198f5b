// Package all lists the kinds of clouds and of DNS services that are built into
// Headroom. It is the only package that imports drivers.
package all

import (
	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/harvester"
	"github.com/headroom-dev/headroom/internal/provider/kubevirt"
	"github.com/headroom-dev/headroom/internal/provider/local"
	"github.com/headroom-dev/headroom/internal/provider/nutanix"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/openstack"
	"github.com/headroom-dev/headroom/internal/provider/proxmox"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/provider/vsphere"
)

// Kinds lists every kind, in order of name. clouds finds the simulated cloud
// of a name.
func Kinds(clouds func(name string) *sim.Cloud) []provider.Kind {
	return []provider.Kind{
		aws.Kind(),
		azure.Kind(),
		digitalocean.Kind(),
		gcp.Kind(),
		harvester.Kind(),
		kubevirt.Kind(),
		local.Kind(),
		nutanix.Kind(),
		oci.Kind(),
		openstack.Kind(),
		proxmox.Kind(),
		sim.Kind(clouds),
		vsphere.Kind(),
	}
}

// DNSKinds lists every kind of DNS service, in order of name. They live with
// the drivers of their clouds.
func DNSKinds() []dns.Kind {
	return []dns.Kind{
		aws.DNSKind(),
		azure.DNSKind(),
		digitalocean.DNSKind(),
		gcp.DNSKind(),
		oci.DNSKind(),
	}
}
