package oci

import (
	"context"
	"net/netip"
	"slices"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// addresses are those of every machine in the subnet, public ones first, by the
// instance's OCID. The service has them with the network interfaces, one call
// each; here they are put together from lists of what belongs together, so that
// the cost does not depend on the number of machines: attachments of the
// compartment, private addresses of the subnet, and public addresses of each
// availability domain.
func (d *driver) addresses(ctx context.Context) (map[string][]string, error) {
	machines, err := d.attachments(ctx) // interface to instance
	if err != nil {
		return nil, err
	}
	private, err := d.privateIPs(ctx)
	if err != nil {
		return nil, err
	}
	public, err := d.publicIPs(ctx) // private address to public one
	if err != nil {
		return nil, err
	}
	v6, err := d.ipv6s(ctx)
	if err != nil {
		return nil, err
	}
	first, rest := map[string][]string{}, map[string][]string{}
	for _, ip := range private {
		machine := machines[fleet.Value(ip.VnicId, "")]
		if machine == "" {
			continue
		}
		first[machine] = addAddress(first[machine], public[fleet.Value(ip.Id, "")])
		rest[machine] = addAddress(rest[machine], fleet.Value(ip.IpAddress, ""))
	}
	for _, ip := range v6 {
		if machine := machines[fleet.Value(ip.VnicId, "")]; machine != "" {
			rest[machine] = addAddress(rest[machine], fleet.Value(ip.IpAddress, ""))
		}
	}
	for machine := range rest {
		slices.Sort(first[machine])
		slices.Sort(rest[machine])
		rest[machine] = append(first[machine], rest[machine]...)
	}
	return rest, nil
}

func addAddress(list []string, text string) []string {
	if a, err := netip.ParseAddr(text); err == nil {
		list = append(list, a.String())
	}
	return list
}

func (d *driver) attachments(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := pages(func(page *string) (*string, error) {
		list, err := d.compute.ListVnicAttachments(ctx, core.ListVnicAttachmentsRequest{CompartmentId: &d.settings.CompartmentOCID, Limit: new(pageSize), Page: page})
		for _, a := range list.Items {
			if a.LifecycleState == core.VnicAttachmentLifecycleStateAttached && a.VnicId != nil {
				out[*a.VnicId] = fleet.Value(a.InstanceId, "")
			}
		}
		return list.OpcNextPage, err
	})
	return out, err
}

func (d *driver) privateIPs(ctx context.Context) ([]core.PrivateIp, error) {
	var out []core.PrivateIp
	err := pages(func(page *string) (*string, error) {
		list, err := d.network.ListPrivateIps(ctx, core.ListPrivateIpsRequest{SubnetId: &d.settings.SubnetOCID, Limit: new(pageSize), Page: page})
		out = append(out, list.Items...)
		return list.OpcNextPage, err
	})
	return out, err
}

// publicIPs finds the ephemeral public addresses, which are listed by
// availability domain. There are none to be found where the override forbids them.
func (d *driver) publicIPs(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	if !d.settings.mayBePublic() {
		return out, nil
	}
	for _, domain := range d.settings.AvailabilityDomains {
		err := pages(func(page *string) (*string, error) {
			list, err := d.network.ListPublicIps(ctx, core.ListPublicIpsRequest{
				CompartmentId: &d.settings.CompartmentOCID, AvailabilityDomain: &domain, Limit: new(pageSize), Page: page,
				Scope: core.ListPublicIpsScopeAvailabilityDomain, Lifetime: core.ListPublicIpsLifetimeEphemeral,
			})
			for _, ip := range list.Items {
				if ip.AssignedEntityType == core.PublicIpAssignedEntityTypePrivateIp || ip.AssignedEntityType == "" {
					out[fleet.Or(fleet.Value(ip.AssignedEntityId, ""), fleet.Value(ip.PrivateIpId, ""))] = fleet.Value(ip.IpAddress, "")
				}
			}
			return list.OpcNextPage, err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ipv6s are listed only where the override asks for such addresses: no subnet
// gives them out by itself.
func (d *driver) ipv6s(ctx context.Context) ([]core.Ipv6, error) {
	if !d.settings.wantsIPv6() {
		return nil, nil
	}
	var out []core.Ipv6
	err := pages(func(page *string) (*string, error) {
		list, err := d.network.ListIpv6s(ctx, core.ListIpv6sRequest{SubnetId: &d.settings.SubnetOCID, Limit: new(pageSize), Page: page})
		out = append(out, list.Items...)
		return list.OpcNextPage, err
	})
	return out, err
}

func (s *Settings) mayBePublic() bool {
	doc, _ := overrideDocument(s.ConfigOverride)
	assign, _ := lookUp(doc, "create_vnic_details", "assign_public_ip")
	return assign != false
}

func (s *Settings) wantsIPv6() bool {
	doc, _ := overrideDocument(s.ConfigOverride)
	assign, _ := lookUp(doc, "create_vnic_details", "assign_ipv6_ip")
	pairs, _ := lookUp(doc, "create_vnic_details", "ipv6_address_ipv6_subnet_cidr_pair_details")
	return assign == true || pairs != nil
}
