package fakeoci

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"
	"github.com/oracle/oci-go-sdk/v65/limits"
	"github.com/oracle/oci-go-sdk/v65/workrequests"
)

// operation is one operation of the APIs: the SDK's struct for its request, and
// the permissions that it needs.
// https://docs.oracle.com/en-us/iaas/Content/Identity/Reference/corepolicyreference.htm
type operation struct {
	method, path string
	request      any
	needs        []string
	do           func(t *Tenancy, request any) reply
}

func op[R any](method, path string, do func(*Tenancy, R) reply, needs ...string) operation {
	var request R
	return operation{method, path, request, needs, func(t *Tenancy, r any) reply {
		typed, ok := r.(R)
		if !ok {
			panic(fmt.Sprintf("%T", r))
		}
		return do(t, typed)
	}}
}

func operations() []operation {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	const v = "/20160918"
	return []operation{
		op(post, v+"/instances", (*Tenancy).launch, "INSTANCE_CREATE", "INSTANCE_IMAGE_READ", "VNIC_CREATE", "VNIC_ATTACH", "SUBNET_ATTACH"),
		op(get, v+"/instances", (*Tenancy).listInstances, "INSTANCE_READ"),
		op(get, v+"/instances/{instanceId}", (*Tenancy).getInstance, "INSTANCE_READ"),
		op(del, v+"/instances/{instanceId}", (*Tenancy).terminate, "INSTANCE_DELETE", "VNIC_DELETE", "SUBNET_DETACH"),
		op(get, v+"/instances/{instanceId}/initialCredentials", (*Tenancy).credentials, "INSTANCE_READ"),
		op(get, v+"/vnicAttachments", (*Tenancy).listVnicAttachments, "VNIC_ATTACHMENT_READ", "INSTANCE_INSPECT"),
		op(get, v+"/privateIps", (*Tenancy).listPrivateIPs, "PRIVATE_IP_READ"),
		op(get, v+"/publicIps", (*Tenancy).listPublicIPs, "PRIVATE_IP_READ"),
		op(get, v+"/ipv6", (*Tenancy).listIPv6s, "IPV6_READ"),
		op(get, v+"/bootVolumes", (*Tenancy).listBootVolumes, "VOLUME_INSPECT"),
		op(del, v+"/bootVolumes/{bootVolumeId}", (*Tenancy).deleteBootVolume, "VOLUME_DELETE"),
		op(get, v+"/bootVolumeAttachments", (*Tenancy).listBootVolumeAttachments, "VOLUME_ATTACHMENT_INSPECT", "INSTANCE_INSPECT"),
		op(post, v+"/instanceConsoleHistories", (*Tenancy).capture, "CONSOLE_HISTORY_CREATE", "INSTANCE_READ", "INSTANCE_IMAGE_READ"),
		op(get, v+"/instanceConsoleHistories", (*Tenancy).listHistories, "CONSOLE_HISTORY_READ", "INSTANCE_INSPECT"),
		op(get, v+"/instanceConsoleHistories/{instanceConsoleHistoryId}", (*Tenancy).getHistory, "CONSOLE_HISTORY_READ", "INSTANCE_INSPECT"),
		op(get, v+"/instanceConsoleHistories/{instanceConsoleHistoryId}/data", (*Tenancy).historyContent, "CONSOLE_HISTORY_READ", "INSTANCE_READ", "INSTANCE_IMAGE_READ"),
		op(del, v+"/instanceConsoleHistories/{instanceConsoleHistoryId}", (*Tenancy).deleteHistory, "CONSOLE_HISTORY_DELETE"),
		op(get, v+"/shapes", (*Tenancy).listShapes, "INSTANCE_INSPECT"),
		op(get, v+"/images", (*Tenancy).listImages, "INSTANCE_IMAGE_INSPECT"),
		op(get, v+"/images/{imageId}", (*Tenancy).getImage, "INSTANCE_IMAGE_INSPECT"),
		op(get, v+"/images/{imageId}/shapes", (*Tenancy).listImageShapes, "INSTANCE_IMAGE_INSPECT"),
		op(get, v+"/subnets", (*Tenancy).listSubnets, "SUBNET_READ"),
		op(get, v+"/subnets/{subnetId}", (*Tenancy).getSubnet, "SUBNET_READ"),
		op(get, v+"/networkSecurityGroups", (*Tenancy).listNSGs, "NETWORK_SECURITY_GROUP_READ"),
		op(get, v+"/networkSecurityGroups/{networkSecurityGroupId}", (*Tenancy).getNSG, "NETWORK_SECURITY_GROUP_READ"),
		op(get, v+"/workRequests", (*Tenancy).listWorkRequests, "WORKREQUEST_INSPECT"),
		op(get, v+"/workRequests/{workRequestId}/errors", (*Tenancy).workRequestErrors, "INSTANCE_CREATE"),
		op(get, v+"/availabilityDomains", (*Tenancy).listDomains, "COMPARTMENT_INSPECT"),
		op(get, v+"/compartments", (*Tenancy).listCompartments, "COMPARTMENT_INSPECT"),
		op(get, v+"/compartments/{compartmentId}", (*Tenancy).getCompartment, "COMPARTMENT_INSPECT"),
		op(get, "/20190729/services/{serviceName}/limits/{limitName}/resourceAvailability", (*Tenancy).availability, "RESOURCE_AVAILABILITY_READ"),
		op(get, "/20180115/zones/{zoneNameOrId}", (*Tenancy).getZone, "DNS_ZONE_READ"),
		op(get, "/20180115/zones/{zoneNameOrId}/records", (*Tenancy).zoneRecords, "DNS_ZONE_READ", "DNS_RECORD_READ"),
		op(get, "/20180115/zones/{zoneNameOrId}/records/{domain}/{rtype}", (*Tenancy).getSet, "DNS_RECORD_READ"),
		op(http.MethodPut, "/20180115/zones/{zoneNameOrId}/records/{domain}/{rtype}", (*Tenancy).updateSet, "DNS_RECORD_UPDATE"),
		op(http.MethodPatch, "/20180115/zones/{zoneNameOrId}/records/{domain}/{rtype}", (*Tenancy).patchSet, "DNS_RECORD_UPDATE"),
	}
}

// paged gives one page of a list. Names of pages are offsets.
func paged[T any](all []T, limit *int, page *string) reply {
	size, from := pageLimit, 0
	if limit != nil && *limit < size {
		size = *limit
	}
	if page != nil {
		n, err := strconv.Atoi(*page)
		if err != nil || n > len(all) {
			return fault(http.StatusBadRequest, "InvalidParameter", "Invalid page token")
		}
		from = n
	}
	to := min(from+size, len(all))
	out := ok(append([]T{}, all[from:to]...))
	if to < len(all) {
		out.next = strconv.Itoa(to)
	}
	return out
}

// inside says whether a compartment is the tenancy's.
func (t *Tenancy) inside(compartment *string) bool {
	return compartment != nil && (*compartment == t.Compartment || *compartment == t.Tenancy)
}

type shapeOf struct {
	name    string
	domains []int
	arm     bool
}

var shapes = []shapeOf{ //nolint:gochecknoglobals // never changed
	{"VM.Standard.E5.Flex", []int{1, 2, 3}, false},
	{"VM.Standard.E4.Flex", []int{1, 2}, false},
	{"VM.Standard2.1", []int{1}, false},
	{"VM.Standard.A1.Flex", []int{1, 2, 3}, true},
}

func (s shapeOf) in(domain string) bool {
	for _, n := range s.domains {
		if Domain(n) == domain {
			return true
		}
	}
	return false
}

func (s shapeOf) flexible() bool { return s.name != "VM.Standard2.1" }

func (t *Tenancy) listShapes(r core.ListShapesRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	var all []core.Shape
	for _, s := range shapes {
		if r.AvailabilityDomain != nil && !s.in(*r.AvailabilityDomain) {
			continue
		}
		shape := core.Shape{Shape: new(s.name), ProcessorDescription: new("2.4 GHz"), QuotaNames: []string{"standard-core-count"}, IsFlexible: new(s.flexible()), Ocpus: new(float32(1)), MemoryInGBs: new(float32(15))}
		if s.flexible() {
			shape.OcpuOptions = &core.ShapeOcpuOptions{Min: new(float32(1)), Max: new(float32(94))}
			shape.MemoryOptions = &core.ShapeMemoryOptions{MinInGBs: new(float32(1)), MaxInGBs: new(float32(1049)), MinPerOcpuInGBs: new(float32(1)), MaxPerOcpuInGBs: new(float32(64))}
		}
		if s.name == "VM.Standard.E4.Flex" {
			shape.BaselineOcpuUtilizations = []core.ShapeBaselineOcpuUtilizationsEnum{core.ShapeBaselineOcpuUtilizations8, core.ShapeBaselineOcpuUtilizations2, core.ShapeBaselineOcpuUtilizations1}
		}
		all = append(all, shape)
	}
	return paged(all, r.Limit, r.Page)
}

func (t *Tenancy) images() []core.Image {
	var out []core.Image
	for _, i := range []struct{ id, name, system string }{{t.Image, "Oracle-Linux-9", "Oracle Linux"}, {t.Windows, "Windows-Server-2022", "Windows"}, {t.Arm, "Oracle-Linux-9-aarch64", "Oracle Linux"}} {
		out = append(out, core.Image{
			CompartmentId: &t.Compartment, CreateImageAllowed: new(true), Id: new(i.id), LifecycleState: core.ImageLifecycleStateAvailable, DisplayName: new(i.name),
			OperatingSystem: new(i.system), OperatingSystemVersion: new("9"), TimeCreated: stamp(t.server.now()), SizeInMBs: new(int64(47694)),
		})
	}
	return out
}

func (t *Tenancy) listImages(r core.ListImagesRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	return paged(t.images(), r.Limit, r.Page)
}

func (t *Tenancy) getImage(r core.GetImageRequest) reply {
	for _, i := range t.images() {
		if *i.Id == *r.ImageId {
			return ok(i)
		}
	}
	return absent()
}

func (t *Tenancy) listImageShapes(r core.ListImageShapeCompatibilityEntriesRequest) reply {
	var all []core.ImageShapeCompatibilitySummary
	for _, s := range shapes {
		if s.arm == (*r.ImageId == t.Arm) {
			all = append(all, core.ImageShapeCompatibilitySummary{ImageId: r.ImageId, Shape: new(s.name)})
		}
	}
	return paged(all, r.Limit, r.Page)
}

func (t *Tenancy) subnet() core.Subnet {
	return core.Subnet{
		CompartmentId: &t.Compartment, Id: &t.Subnet, LifecycleState: core.SubnetLifecycleStateAvailable, RouteTableId: new("ocid1.routetable.oc1.eu-frankfurt-1.aaaaaaaa1"),
		VcnId: new("ocid1.vcn.oc1.eu-frankfurt-1.aaaaaaaa1"), VirtualRouterMac: new("00:00:17:A2:3B:4C"), CidrBlock: new("10.0.0.0/16"), DisplayName: new("desktops"), ProhibitPublicIpOnVnic: new(false),
	}
}

func (t *Tenancy) listSubnets(r core.ListSubnetsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	return paged([]core.Subnet{t.subnet()}, r.Limit, r.Page)
}

func (t *Tenancy) getSubnet(r core.GetSubnetRequest) reply {
	if *r.SubnetId != t.Subnet {
		return absent()
	}
	return ok(t.subnet())
}

func (t *Tenancy) groups() []core.NetworkSecurityGroup {
	var out []core.NetworkSecurityGroup
	for n, id := range []string{t.NSG, t.OtherNSG} {
		out = append(out, core.NetworkSecurityGroup{
			CompartmentId: &t.Compartment, Id: new(id), LifecycleState: core.NetworkSecurityGroupLifecycleStateAvailable, TimeCreated: stamp(t.server.now()),
			VcnId: new(fmt.Sprintf("ocid1.vcn.oc1.eu-frankfurt-1.aaaaaaaa%d", n+1)), DisplayName: new("desktops"),
		})
	}
	return out
}

func (t *Tenancy) listNSGs(r core.ListNetworkSecurityGroupsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	return paged(t.groups(), r.Limit, r.Page)
}

func (t *Tenancy) getNSG(r core.GetNetworkSecurityGroupRequest) reply {
	for _, g := range t.groups() {
		if *g.Id == *r.NetworkSecurityGroupId {
			return ok(g)
		}
	}
	return absent()
}

func (t *Tenancy) listDomains(r identity.ListAvailabilityDomainsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	var all []identity.AvailabilityDomain
	for n := range 3 {
		all = append(all, identity.AvailabilityDomain{Name: new(Domain(n + 1)), Id: new(t.server.id("availabilitydomain", "")), CompartmentId: &t.Tenancy})
	}
	return ok(all)
}

func (t *Tenancy) compartment() identity.Compartment {
	return identity.Compartment{
		Id: &t.Compartment, CompartmentId: &t.Tenancy, Name: new("desktops"), Description: new("machines"), TimeCreated: stamp(t.server.now()), LifecycleState: identity.CompartmentLifecycleStateActive,
	}
}

func (t *Tenancy) listCompartments(r identity.ListCompartmentsRequest) reply {
	if *r.CompartmentId != t.Tenancy {
		return absent()
	}
	return paged([]identity.Compartment{t.compartment()}, r.Limit, r.Page)
}

func (t *Tenancy) getCompartment(r identity.GetCompartmentRequest) reply {
	if *r.CompartmentId != t.Compartment {
		return absent()
	}
	return ok(t.compartment())
}

func (t *Tenancy) availability(r limits.GetResourceAvailabilityRequest) reply {
	if !t.inside(r.CompartmentId) || *r.ServiceName != "compute" {
		return absent()
	}
	return ok(limits.ResourceAvailability{Used: new(int64(0)), Available: new(int64(t.limit))})
}

func (t *Tenancy) listWorkRequests(r workrequests.ListWorkRequestsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	var all []workrequests.WorkRequestSummary
	for _, w := range t.work {
		if r.ResourceId == nil || *r.ResourceId == w.of {
			all = append(all, w.WorkRequestSummary)
		}
	}
	return paged(all, r.Limit, r.Page)
}

func (t *Tenancy) workRequestErrors(r workrequests.ListWorkRequestErrorsRequest) reply {
	for _, w := range t.work {
		if *w.Id == *r.WorkRequestId {
			return paged(w.errs, r.Limit, r.Page)
		}
	}
	return absent()
}
