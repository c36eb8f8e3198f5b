package oci

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"
	"github.com/oracle/oci-go-sdk/v65/limits"
	"github.com/oracle/oci-go-sdk/v65/workrequests"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// maxLimits is how many limits one check looks at, a call each.
const maxLimits = 12

// report gathers findings and what the calls prove.
type report struct {
	provider.Report
	evidence
	shapes map[string]core.Shape // that some availability domain offers
	subnet bool                  // is there
}

func (r *report) add(verdict provider.Verdict, subject, message, remedy string) {
	r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
}

func (r *report) ok(subject, format string, args ...any) {
	r.add(provider.VerdictOK, subject, fmt.Sprintf(format, args...), "")
}

// look judges a call that needs the permissions. found says that it worked;
// fatal ends the check.
func (r *report) look(err error, needs ...string) (found bool, fatal error) {
	if err = classify(err); err == nil {
		r.worked(needs...)
		return true, nil
	}
	switch provider.ClassOf(err) {
	case provider.NotFound, provider.Forbidden, provider.Invalid:
		return false, nil
	}
	return false, err
}

// probe is look for calls that name nothing that could be missing.
func (r *report) probe(err error, needs ...string) error {
	found, fatal := r.look(err, needs...)
	if !found && fatal == nil {
		r.failed(needs...)
	}
	return fatal
}

// Check implements provider.Driver.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	r := &report{evidence: evidence{proven: map[string]bool{}}, shapes: map[string]core.Shape{}}
	for _, step := range []func(context.Context, *report) (goOn bool, err error){
		d.checkCredentials, d.checkCompartment, d.checkShapes, d.checkImage, d.checkNetwork, d.checkListings, d.checkLimits,
	} {
		goOn, err := step(ctx, r)
		if err != nil {
			if isClass(err, provider.Unauthenticated) {
				r.add(provider.VerdictFailed, "credentials", messageOf(err), "correct the account's settings, as the message says")
				return r.Report, nil
			}
			return provider.Report{}, err
		}
		if !goOn {
			return r.Report, nil
		}
	}
	r.Findings = append(r.Findings, r.findings()...)
	rest := slices.Clone(unseen)
	if len(d.settings.NSGOCIDs) > 0 {
		rest = append(rest, "NETWORK_SECURITY_GROUP_UPDATE_MEMBERS", "VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP")
	}
	r.add(provider.VerdictWarning, "permissions for launches", "whether "+strings.Join(rest, ", ")+" are granted cannot be seen without making a machine", "see that the policy has the statements of this provider's page; the first machine tells")
	return r.Report, nil
}

func messageOf(err error) string {
	_, text, _ := strings.Cut(err.Error(), ": ")
	return text
}

// checkCredentials makes the first call, which shows whether the signature is
// taken and the region is there.
func (d *driver) checkCredentials(ctx context.Context, r *report) (bool, error) {
	s := &d.settings
	root := fleet.Or(s.TenancyOCID, s.CompartmentOCID)
	list, err := d.identity.ListAvailabilityDomains(ctx, identity.ListAvailabilityDomainsRequest{CompartmentId: &root})
	found, fatal := r.look(err, "COMPARTMENT_INSPECT")
	if fatal != nil {
		return false, fatal
	}
	if !found {
		r.failed("COMPARTMENT_INSPECT")
		return true, nil
	}
	r.ok("credentials", "the signature is taken in region %s", s.Region)
	var names []string
	for _, a := range list.Items {
		names = append(names, fleet.Value(a.Name, ""))
	}
	for _, domain := range s.AvailabilityDomains {
		if slices.Contains(names, domain) {
			r.ok("availability domain "+domain, "is in region %s", s.Region)
			continue
		}
		r.add(provider.VerdictFailed, "availability domain "+domain, "region "+s.Region+" has "+strings.Join(names, ", "), "take one of those; the prefix is another in each tenancy")
	}
	return true, nil
}

// checkCompartment tells a compartment that is not there from rights that are
// missing in it, by asking for the compartment itself.
func (d *driver) checkCompartment(ctx context.Context, r *report) (bool, error) {
	s := &d.settings
	subject := "compartment " + s.CompartmentOCID
	_, err := d.compute.ListInstances(ctx, core.ListInstancesRequest{CompartmentId: &s.CompartmentOCID, Limit: new(1)})
	found, fatal := r.look(err, "INSTANCE_READ")
	if found || fatal != nil {
		if found {
			r.ok(subject, "its instances can be listed")
		}
		return true, fatal
	}
	_, err = d.compute.ListShapes(ctx, core.ListShapesRequest{CompartmentId: &s.CompartmentOCID, Limit: new(1)})
	shapes, fatal := r.look(err, "INSTANCE_INSPECT")
	if fatal != nil {
		return false, fatal
	}
	c, err := d.identity.GetCompartment(ctx, identity.GetCompartmentRequest{CompartmentId: &s.CompartmentOCID})
	itself, fatal := r.look(err)
	if fatal != nil {
		return false, fatal
	}
	switch {
	case !shapes && !itself:
		r.add(provider.VerdictFailed, subject, "there is no such compartment, or the credentials have no rights in it; Oracle Cloud does not tell which", "correct compartment_ocid, or add the policy statements of this provider's page for the compartment")
		return false, nil
	case itself && c.LifecycleState != identity.CompartmentLifecycleStateActive:
		r.add(provider.VerdictFailed, subject, "its state is "+string(c.LifecycleState), "take another compartment")
		return false, nil
	}
	r.failed("INSTANCE_READ")
	return true, nil
}

func (d *driver) checkShapes(ctx context.Context, r *report) (bool, error) {
	s := &d.settings
	for _, domain := range s.AvailabilityDomains {
		offered := map[string]core.Shape{}
		err := pages(func(page *string) (*string, error) {
			list, err := d.compute.ListShapes(ctx, core.ListShapesRequest{CompartmentId: &s.CompartmentOCID, AvailabilityDomain: &domain, Limit: new(pageSize), Page: page})
			for i := range list.Items {
				offered[fleet.Value(list.Items[i].Shape, "")] = list.Items[i]
			}
			return list.OpcNextPage, err
		})
		found, fatal := r.look(err, "INSTANCE_INSPECT")
		switch {
		case fatal != nil:
			return false, fatal
		case !found:
			r.failed("INSTANCE_INSPECT")
			return true, nil
		}
		for _, name := range s.Shapes {
			subject := "shape " + name + " in " + domain
			shape, ok := offered[name]
			if !ok {
				r.add(provider.VerdictFailed, subject, "is not offered there", "leave it or the availability domain out, or take one of `headroom provider catalog --setting shape`")
				continue
			}
			r.shapes[name] = shape
			if wrong := s.faultOfShape(&shape); wrong.Subject != "" {
				wrong.Verdict = provider.VerdictFailed
				r.Findings = append(r.Findings, wrong)
				continue
			}
			r.ok(subject, "is offered")
		}
	}
	return true, nil
}

// faultOfShape holds the sizes of the settings against what a flexible shape
// can be.
func (s *Settings) faultOfShape(shape *core.Shape) provider.Finding {
	name := fleet.Value(shape.Shape, "")
	if !isFlexible(name) {
		return provider.Finding{}
	}
	if o := shape.OcpuOptions; o != nil {
		low, high := float64(fleet.Value(o.Min, 0)), float64(fleet.Value(o.Max, 0))
		if s.FlexOCPUs < low || high > 0 && s.FlexOCPUs > high {
			return provider.Finding{Subject: "flex_ocpus", Message: fmt.Sprintf("is %g, and %s takes %g to %g", s.FlexOCPUs, name, low, high), Remedy: "correct it, or take another shape"}
		}
	}
	if m := shape.MemoryOptions; m != nil && s.FlexMemory > 0 {
		low, high := float64(fleet.Value(m.MinInGBs, 0)), float64(fleet.Value(m.MaxInGBs, 0))
		if each := float64(fleet.Value(m.MinPerOcpuInGBs, 0)) * s.FlexOCPUs; each > low {
			low = each
		}
		if each := float64(fleet.Value(m.MaxPerOcpuInGBs, 0)) * s.FlexOCPUs; each > 0 && (high == 0 || each < high) {
			high = each
		}
		if s.FlexMemory < low || high > 0 && s.FlexMemory > high {
			return provider.Finding{Subject: "flex_memory", Message: fmt.Sprintf("is %g GiB, and %s with %g OCPUs takes %g to %g", s.FlexMemory, name, s.FlexOCPUs, low, high), Remedy: "correct it, or leave it out for the shape's own"}
		}
	}
	baseline := core.ShapeBaselineOcpuUtilizationsEnum(s.BaselineOCPUUtilization)
	if baseline != "" && baseline != core.ShapeBaselineOcpuUtilizations1 && !slices.Contains(shape.BaselineOcpuUtilizations, baseline) {
		return provider.Finding{Subject: "baseline_ocpu_utilization", Message: name + " cannot be burstable with " + s.BaselineOCPUUtilization, Remedy: "leave it out, or take another shape"}
	}
	return provider.Finding{}
}

func (d *driver) checkImage(ctx context.Context, r *report) (bool, error) {
	s := &d.settings
	subject := "image " + s.ImageOCID
	i, err := d.compute.GetImage(ctx, core.GetImageRequest{ImageId: &s.ImageOCID})
	found, fatal := r.look(err, "INSTANCE_IMAGE_INSPECT")
	if fatal != nil {
		return false, fatal
	}
	if !found {
		_, err := d.compute.ListImages(ctx, core.ListImagesRequest{CompartmentId: &s.CompartmentOCID, Limit: new(1)})
		return true, r.missing(err, subject, "take one of `headroom provider catalog --setting image_ocid`; each region has OCIDs of its own, and a custom image of another compartment needs the statement `read instance-images` there", "INSTANCE_IMAGE_INSPECT")
	}
	windows := strings.Contains(strings.ToLower(fleet.Value(i.OperatingSystem, "")), "windows")
	size := fleet.Value(i.SizeInMBs, 0)
	switch {
	case i.LifecycleState != core.ImageLifecycleStateAvailable:
		r.add(provider.VerdictFailed, subject, "its state is "+string(i.LifecycleState), "wait until it is available, or take another image")
	case s.BootVolumeSize > 0 && s.BootVolumeSize*1024 < size:
		r.add(provider.VerdictFailed, "boot_volume_size", fmt.Sprintf("is %d GiB and the image needs %d", s.BootVolumeSize, (size+1023)/1024), "raise it, or leave it out")
	case windows != (s.OSType == "windows"):
		r.add(provider.VerdictFailed, "os_type", fmt.Sprintf("is %s, and the image has %s: startup scripts would not run", fleet.Or(s.OSType, "linux"), fleet.Value(i.OperatingSystem, "")), "correct os_type or image_ocid")
	default:
		r.ok(subject, "%s", fleet.Value(i.DisplayName, ""))
	}
	fits := map[string]bool{}
	err = pages(func(page *string) (*string, error) {
		list, err := d.compute.ListImageShapeCompatibilityEntries(ctx, core.ListImageShapeCompatibilityEntriesRequest{ImageId: &s.ImageOCID, Limit: new(pageSize), Page: page})
		for _, e := range list.Items {
			fits[fleet.Value(e.Shape, "")] = true
		}
		return list.OpcNextPage, err
	})
	if found, fatal = r.look(err); !found || len(fits) == 0 {
		return true, fatal // an image without entries says nothing
	}
	for _, name := range s.Shapes {
		if !fits[name] {
			r.add(provider.VerdictFailed, "image with shape "+name, "the image does not run on it", "take an image for the processors of the shape, or leave the shape out")
		}
	}
	return true, nil
}

// missing judges a reference that was not found by a call for its kind in the
// compartment: where that works, the right is there and the object is not.
func (r *report) missing(err error, subject, remedy, permission string) error {
	found, fatal := r.look(err, permission)
	switch {
	case fatal != nil:
		return fatal
	case found:
		r.add(provider.VerdictFailed, subject, "there is no such object, or it is in a compartment that the credentials may not read", remedy)
	default:
		r.failed(permission)
	}
	return nil
}

func (d *driver) checkNetwork(ctx context.Context, r *report) (bool, error) {
	s := &d.settings
	subject := "subnet " + s.SubnetOCID
	n, err := d.network.GetSubnet(ctx, core.GetSubnetRequest{SubnetId: &s.SubnetOCID})
	found, fatal := r.look(err, "SUBNET_READ")
	r.subnet = found
	switch {
	case fatal != nil:
		return false, fatal
	case !found:
		_, err := d.network.ListSubnets(ctx, core.ListSubnetsRequest{CompartmentId: &s.CompartmentOCID, Limit: new(1)})
		if err := r.missing(err, subject, "take one of `headroom provider catalog --setting subnet_ocid`; one of another compartment needs the statement `use subnets` there", "SUBNET_READ"); err != nil {
			return false, err
		}
	case n.LifecycleState != core.SubnetLifecycleStateAvailable && n.LifecycleState != core.SubnetLifecycleStateUpdating:
		r.add(provider.VerdictFailed, subject, "its state is "+string(n.LifecycleState), "take another subnet")
	default:
		r.ok(subject, "%s %s", fleet.Value(n.DisplayName, ""), fleet.Value(n.CidrBlock, ""))
	}
	if own := fleet.Value(n.AvailabilityDomain, ""); own != "" {
		for _, domain := range s.AvailabilityDomains {
			if domain != own {
				r.add(provider.VerdictFailed, "availability domain "+domain, "the subnet is for "+own+" only", "take a regional subnet, or leave the availability domain out")
			}
		}
	}
	for _, id := range s.NSGOCIDs {
		subject := "network security group " + id
		g, err := d.network.GetNetworkSecurityGroup(ctx, core.GetNetworkSecurityGroupRequest{NetworkSecurityGroupId: &id})
		found, fatal := r.look(err, "NETWORK_SECURITY_GROUP_READ")
		switch {
		case fatal != nil:
			return false, fatal
		case !found:
			_, err := d.network.ListNetworkSecurityGroups(ctx, core.ListNetworkSecurityGroupsRequest{CompartmentId: &s.CompartmentOCID, Limit: new(1)})
			if err := r.missing(err, subject, "take one of `headroom provider catalog --setting nsg_ocids`; one of another compartment needs the statement `use network-security-groups` there", "NETWORK_SECURITY_GROUP_READ"); err != nil {
				return false, err
			}
		case n.VcnId != nil && fleet.Value(g.VcnId, "") != *n.VcnId:
			r.add(provider.VerdictFailed, subject, "is of another network than the subnet", "take one of the subnet's network")
		default:
			r.ok(subject, "%s", fleet.Value(g.DisplayName, ""))
		}
	}
	return true, nil
}

// checkListings makes each call of the listings once, for one object.
func (d *driver) checkListings(ctx context.Context, r *report) (bool, error) {
	s, one := &d.settings, new(1)
	domain := s.AvailabilityDomains[0]
	_, err := d.compute.ListVnicAttachments(ctx, core.ListVnicAttachmentsRequest{CompartmentId: &s.CompartmentOCID, Limit: one})
	if err := r.probe(err, "VNIC_ATTACHMENT_READ", "INSTANCE_INSPECT"); err != nil {
		return false, err
	}
	if r.subnet { // else it is what is missing
		_, err = d.network.ListPrivateIps(ctx, core.ListPrivateIpsRequest{SubnetId: &s.SubnetOCID, Limit: one})
		if err := r.probe(err, "PRIVATE_IP_READ"); err != nil {
			return false, err
		}
		if s.wantsIPv6() {
			_, err = d.network.ListIpv6s(ctx, core.ListIpv6sRequest{SubnetId: &s.SubnetOCID, Limit: one})
			if err := r.probe(err, "IPV6_READ"); err != nil {
				return false, err
			}
		}
	}
	_, err = d.network.ListPublicIps(ctx, core.ListPublicIpsRequest{
		CompartmentId: &s.CompartmentOCID, AvailabilityDomain: &domain, Limit: one,
		Scope: core.ListPublicIpsScopeAvailabilityDomain, Lifetime: core.ListPublicIpsLifetimeEphemeral,
	})
	if err := r.probe(err, "PRIVATE_IP_READ"); err != nil {
		return false, err
	}
	_, err = d.block.ListBootVolumes(ctx, core.ListBootVolumesRequest{CompartmentId: &s.CompartmentOCID, Limit: one})
	if err := r.probe(err, "VOLUME_INSPECT"); err != nil {
		return false, err
	}
	_, err = d.compute.ListBootVolumeAttachments(ctx, core.ListBootVolumeAttachmentsRequest{CompartmentId: &s.CompartmentOCID, AvailabilityDomain: &domain, Limit: one})
	if err := r.probe(err, "VOLUME_ATTACHMENT_INSPECT", "INSTANCE_INSPECT"); err != nil {
		return false, err
	}
	_, err = d.compute.ListConsoleHistories(ctx, core.ListConsoleHistoriesRequest{CompartmentId: &s.CompartmentOCID, Limit: one})
	if err := r.probe(err, "CONSOLE_HISTORY_READ", "INSTANCE_INSPECT"); err != nil {
		return false, err
	}
	_, err = d.work.ListWorkRequests(ctx, workrequests.ListWorkRequestsRequest{CompartmentId: &s.CompartmentOCID, Limit: one})
	return true, r.probe(err, "WORKREQUEST_INSPECT")
}

// checkLimits looks at what is left of the limits that the shapes count against.
func (d *driver) checkLimits(ctx context.Context, r *report) (bool, error) {
	s := &d.settings
	root := fleet.Or(s.TenancyOCID, s.CompartmentOCID)
	asked := 0
	for _, name := range s.Shapes {
		shape, ok := r.shapes[name]
		if !ok || len(shape.QuotaNames) == 0 {
			continue
		}
		for _, domain := range s.AvailabilityDomains {
			if asked++; asked > maxLimits {
				return true, nil
			}
			limit := shape.QuotaNames[0]
			left, err := d.limits.GetResourceAvailability(ctx, limits.GetResourceAvailabilityRequest{ServiceName: new("compute"), LimitName: &limit, CompartmentId: &root, AvailabilityDomain: &domain})
			if provider.ClassOf(classify(err)) == provider.Invalid && err != nil {
				continue // a limit that is not counted by availability domain
			}
			found, fatal := r.look(err, "RESOURCE_AVAILABILITY_READ")
			switch {
			case fatal != nil:
				return false, fatal
			case !found:
				r.failed("RESOURCE_AVAILABILITY_READ")
				return true, nil
			case left.Available == nil:
				continue
			}
			subject := "limit " + limit + " in " + domain
			need := max(s.FlexOCPUs, 1)
			if float64(*left.Available) < need {
				r.add(provider.VerdictWarning, subject, fmt.Sprintf("%d are left, and a machine of %s counts %g", *left.Available, name, need), "have the service limit or the compartment's quota raised")
				continue
			}
			r.ok(subject, "%d are left", *left.Available)
		}
	}
	return true, nil
}
