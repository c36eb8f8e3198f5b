package oci

import (
	"context"
	"fmt"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Choices implements provider.Catalog.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	s := &d.settings
	var out []provider.Choice
	add := func(value *string, label, description string) {
		if value != nil {
			out = append(out, provider.Choice{Value: *value, Label: label, Description: description})
		}
	}
	var err error
	switch setting {
	case "compartment_ocid":
		err = d.compartments(ctx, add)
	case "availability_domains":
		root := fleet.Or(s.TenancyOCID, s.CompartmentOCID)
		err = pages(func(*string) (*string, error) {
			list, err := d.identity.ListAvailabilityDomains(ctx, identity.ListAvailabilityDomainsRequest{CompartmentId: &root})
			for _, a := range list.Items {
				add(a.Name, "", "")
			}
			return nil, err
		})
	case "shape":
		err = pages(func(page *string) (*string, error) {
			req := core.ListShapesRequest{CompartmentId: &s.CompartmentOCID, Limit: new(pageSize), Page: page}
			if len(s.AvailabilityDomains) > 0 {
				req.AvailabilityDomain = &s.AvailabilityDomains[0]
			}
			list, err := d.compute.ListShapes(ctx, req)
			for i := range list.Items {
				shape := &list.Items[i]
				add(shape.Shape, sizeLabel(shape), fleet.Value(shape.ProcessorDescription, ""))
			}
			return list.OpcNextPage, err
		})
	case "image_ocid":
		err = pages(func(page *string) (*string, error) {
			list, err := d.compute.ListImages(ctx, core.ListImagesRequest{
				CompartmentId: &s.CompartmentOCID, Limit: new(pageSize), Page: page, LifecycleState: core.ImageLifecycleStateAvailable,
				SortBy: core.ListImagesSortByTimecreated, SortOrder: core.ListImagesSortOrderDesc,
			})
			for i := range list.Items {
				image := &list.Items[i]
				add(image.Id, fleet.Value(image.DisplayName, ""), strings.TrimSpace(fleet.Value(image.OperatingSystem, "")+" "+fleet.Value(image.OperatingSystemVersion, "")))
			}
			return list.OpcNextPage, err
		})
	case "subnet_ocid":
		err = pages(func(page *string) (*string, error) {
			list, err := d.network.ListSubnets(ctx, core.ListSubnetsRequest{CompartmentId: &s.CompartmentOCID, Limit: new(pageSize), Page: page})
			for i := range list.Items {
				n := &list.Items[i]
				public := "public addresses"
				if fleet.Value(n.ProhibitPublicIpOnVnic, false) {
					public = "private"
				}
				add(n.Id, fleet.Value(n.DisplayName, ""), fleet.Value(n.CidrBlock, "")+", "+public)
			}
			return list.OpcNextPage, err
		})
	case "nsg_ocids":
		err = pages(func(page *string) (*string, error) {
			list, err := d.network.ListNetworkSecurityGroups(ctx, core.ListNetworkSecurityGroupsRequest{CompartmentId: &s.CompartmentOCID, Limit: new(pageSize), Page: page})
			for _, g := range list.Items {
				add(g.Id, fleet.Value(g.DisplayName, ""), "")
			}
			return list.OpcNextPage, err
		})
	default:
		return nil, provider.Errorf(provider.Unsupported, "Oracle Cloud has no choices for %q", setting)
	}
	return out, err
}

// compartments are the tenancy and all below it; the identity of an instance
// sees those below the compartment of the settings.
func (d *driver) compartments(ctx context.Context, add func(value *string, label, description string)) error {
	s := &d.settings
	root := fleet.Or(s.TenancyOCID, s.CompartmentOCID)
	add(&root, "", "")
	return pages(func(page *string) (*string, error) {
		req := identity.ListCompartmentsRequest{
			CompartmentId: &root, Limit: new(pageSize), Page: page, AccessLevel: identity.ListCompartmentsAccessLevelAccessible, LifecycleState: identity.CompartmentLifecycleStateActive,
		}
		if strings.HasPrefix(root, "ocid1.tenancy.") { // only there the whole tree is listed
			req.CompartmentIdInSubtree = new(true)
		}
		list, err := d.identity.ListCompartments(ctx, req)
		for _, c := range list.Items {
			add(c.Id, fleet.Value(c.Name, ""), fleet.Value(c.Description, ""))
		}
		return list.OpcNextPage, err
	})
}

func sizeLabel(s *core.Shape) string {
	o, m := s.OcpuOptions, s.MemoryOptions
	if o != nil && m != nil {
		return fmt.Sprintf("%g to %g OCPUs, %g to %g GiB", fleet.Value(o.Min, 0), fleet.Value(o.Max, 0), fleet.Value(m.MinInGBs, 0), fleet.Value(m.MaxInGBs, 0))
	}
	return fmt.Sprintf("%g OCPUs, %g GiB", fleet.Value(s.Ocpus, 0), fleet.Value(s.MemoryInGBs, 0))
}
