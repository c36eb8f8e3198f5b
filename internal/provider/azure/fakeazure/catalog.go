package fakeazure

import (
	"context"
	"net/http"
	"strings"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9/fake"
)

// size is a size of virtual machines.
type size struct {
	cores, memory string
	zones         []string
	caps          map[string]string
	denied        string // a zone that the subscription may not use; all: none
}

var sizes = map[string]size{
	"Standard_D2s_v5":   {"2", "8", []string{"1", "2"}, map[string]string{"PremiumIO": "True", "LowPriorityCapable": "True"}, ""},
	"Standard_D4as_v5":  {"4", "16", []string{"1", "2"}, map[string]string{"PremiumIO": "True", "LowPriorityCapable": "True"}, ""},
	"Standard_D2_v5":    {"2", "8", []string{"1"}, map[string]string{"PremiumIO": "False", "LowPriorityCapable": "False", "TrustedLaunchDisabled": "True"}, ""},
	"Standard_DC2as_v5": {"2", "8", []string{"1"}, map[string]string{"PremiumIO": "True", "ConfidentialComputingType": "SNP"}, ""},
	"Standard_E2s_v5":   {"2", "16", []string{"1", "2"}, map[string]string{"PremiumIO": "True"}, "2"},
	"Standard_M8ms":     {"8", "218", nil, map[string]string{"PremiumIO": "True"}, "all"},
}

// offered is an image of the marketplace.
type offered struct {
	system, generation string
	plan               bool
}

var market = map[string]offered{
	"Canonical:ubuntu-24_04-lts:server":                                  {"Linux", "V2", false},
	"Canonical:ubuntu-24_04-lts:server-gen1":                             {"Linux", "V1", false},
	"MicrosoftWindowsServer:WindowsServer:2022-datacenter-azure-edition": {"Windows", "V2", false},
	"acme:appliance:standard":                                            {"Linux", "V2", true},
}

func (p *Subscription) skuServer() *computefake.ResourceSKUsServer {
	return &computefake.ResourceSKUsServer{NewListPager: func(o *armcompute.ResourceSKUsClientListOptions) (resp azfake.PagerResponder[armcompute.ResourceSKUsClientListResponse]) {
		var page armcompute.ResourceSKUsClientListResponse
		page.Value = []*armcompute.ResourceSKU{{Name: to.Ptr("Premium_LRS"), ResourceType: to.Ptr("disks")}}
		if o == nil || val(o.Filter) != "location eq '"+p.Region+"'" {
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		}
		for _, name := range sorted(sizes) {
			z := sizes[name]
			k := &armcompute.ResourceSKU{
				Name: to.Ptr(name), ResourceType: to.Ptr("virtualMachines"), Locations: []*string{to.Ptr(p.Region)},
				LocationInfo: []*armcompute.ResourceSKULocationInfo{{Location: to.Ptr(p.Region), Zones: to.SliceOfPtrs(z.zones...)}},
				Capabilities: []*armcompute.ResourceSKUCapabilities{{Name: to.Ptr("vCPUs"), Value: to.Ptr(z.cores)}, {Name: to.Ptr("MemoryGB"), Value: to.Ptr(z.memory)}},
			}
			for _, c := range sorted(z.caps) {
				k.Capabilities = append(k.Capabilities, &armcompute.ResourceSKUCapabilities{Name: to.Ptr(c), Value: to.Ptr(z.caps[c])})
			}
			if z.denied != "" {
				r := &armcompute.ResourceSKURestrictions{ReasonCode: to.Ptr(armcompute.ResourceSKURestrictionsReasonCodeNotAvailableForSubscription), Type: to.Ptr(armcompute.ResourceSKURestrictionsTypeZone)}
				r.RestrictionInfo = &armcompute.ResourceSKURestrictionInfo{Zones: []*string{to.Ptr(z.denied)}, Locations: []*string{to.Ptr(p.Region)}}
				if z.denied == "all" {
					r.Type = to.Ptr(armcompute.ResourceSKURestrictionsTypeLocation)
				}
				k.Restrictions = append(k.Restrictions, r)
			}
			page.Value = append(page.Value, k)
		}
		resp.AddPage(http.StatusOK, page, nil)
		return resp
	}}
}

func (p *Subscription) marketServer() *computefake.VirtualMachineImagesServer {
	return &computefake.VirtualMachineImagesServer{
		List: func(_ context.Context, _, publisher, offer, sku string, _ *armcompute.VirtualMachineImagesClientListOptions) (resp azfake.Responder[armcompute.VirtualMachineImagesClientListResponse], no azfake.ErrorResponder) {
			if _, known := market[publisher+":"+offer+":"+sku]; !known {
				no.SetError(refuse(http.StatusNotFound, "NotFound", "The VMImage was not found."))
				return resp, no
			}
			resp.SetResponse(http.StatusOK, armcompute.VirtualMachineImagesClientListResponse{VirtualMachineImageResourceArray: []*armcompute.VirtualMachineImageResource{{Name: to.Ptr("24.4.1"), Location: to.Ptr(p.Region)}}}, nil)
			return resp, no
		},
		Get: func(_ context.Context, _, publisher, offer, sku, version string, _ *armcompute.VirtualMachineImagesClientGetOptions) (resp azfake.Responder[armcompute.VirtualMachineImagesClientGetResponse], no azfake.ErrorResponder) {
			i, known := market[publisher+":"+offer+":"+sku]
			if !known || version != "24.4.1" {
				no.SetError(refuse(http.StatusNotFound, "NotFound", "The VMImage was not found."))
				return resp, no
			}
			out := armcompute.VirtualMachineImage{Name: to.Ptr(version), Location: to.Ptr(p.Region), Properties: &armcompute.VirtualMachineImageProperties{
				HyperVGeneration: to.Ptr(armcompute.HyperVGenerationTypes(i.generation)), OSDiskImage: &armcompute.OSDiskImage{OperatingSystem: to.Ptr(armcompute.OperatingSystemTypes(i.system))},
			}}
			if i.plan {
				out.Properties.Plan = &armcompute.PurchasePlan{Name: to.Ptr(sku), Product: to.Ptr(offer), Publisher: to.Ptr(publisher)}
			}
			resp.SetResponse(http.StatusOK, armcompute.VirtualMachineImagesClientGetResponse{VirtualMachineImage: out}, nil)
			return resp, no
		},
		ListSKUs: func(_ context.Context, _, publisher, offer string, _ *armcompute.VirtualMachineImagesClientListSKUsOptions) (resp azfake.Responder[armcompute.VirtualMachineImagesClientListSKUsResponse], no azfake.ErrorResponder) {
			var out armcompute.VirtualMachineImagesClientListSKUsResponse
			for _, urn := range sorted(market) {
				if sku, ok := strings.CutPrefix(urn, publisher+":"+offer+":"); ok {
					out.VirtualMachineImageResourceArray = append(out.VirtualMachineImageResourceArray, &armcompute.VirtualMachineImageResource{Name: to.Ptr(sku), Location: to.Ptr(p.Region)})
				}
			}
			if out.VirtualMachineImageResourceArray == nil {
				no.SetError(refuse(http.StatusNotFound, "NotFound", "The VMImage was not found."))
				return resp, no
			}
			resp.SetResponse(http.StatusOK, out, nil)
			return resp, no
		},
	}
}

func (p *Subscription) ownImages() map[string]*armcompute.Image {
	image := func(name, region string, system armcompute.OperatingSystemTypes) *armcompute.Image {
		return &armcompute.Image{ID: to.Ptr(p.id("Microsoft.Compute/images/%s", name)), Name: to.Ptr(name), Location: to.Ptr(region), Properties: &armcompute.ImageProperties{
			HyperVGeneration: to.Ptr(armcompute.HyperVGenerationTypesV2), StorageProfile: &armcompute.ImageStorageProfile{OSDisk: &armcompute.ImageOSDisk{OSType: to.Ptr(system), OSState: to.Ptr(armcompute.OperatingSystemStateTypesGeneralized)}},
		}}
	}
	return map[string]*armcompute.Image{
		"golden-7": image("golden-7", p.Region, armcompute.OperatingSystemTypesLinux), "golden-windows": image("golden-windows", p.Region, armcompute.OperatingSystemTypesWindows),
		"golden-far": image("golden-far", "eastus", armcompute.OperatingSystemTypesLinux),
	}
}

func (p *Subscription) imageServer() *computefake.ImagesServer {
	return &computefake.ImagesServer{
		Get: func(_ context.Context, _, name string, _ *armcompute.ImagesClientGetOptions) (resp azfake.Responder[armcompute.ImagesClientGetResponse], no azfake.ErrorResponder) {
			i := p.ownImages()[name]
			if i == nil {
				no.SetError(absent("/providers/Microsoft.Compute/images/" + name))
				return resp, no
			}
			resp.SetResponse(http.StatusOK, armcompute.ImagesClientGetResponse{Image: *i}, nil)
			return resp, no
		},
		NewListByResourceGroupPager: func(string, *armcompute.ImagesClientListByResourceGroupOptions) (resp azfake.PagerResponder[armcompute.ImagesClientListByResourceGroupResponse]) {
			var page armcompute.ImagesClientListByResourceGroupResponse
			all := p.ownImages()
			for _, name := range sorted(all) {
				page.Value = append(page.Value, all[name])
			}
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
	}
}

// The networks: office/desktops in the resource group, shared/desktops in another
// group, and far/desktops in another region.
func (p *Subscription) network(group, name string) *armnetwork.VirtualNetwork {
	region := p.Region
	switch {
	case strings.EqualFold(group, p.Group) && name == "far":
		region = "eastus"
	case strings.EqualFold(group, p.Group) && name == "office", strings.EqualFold(group, "networks") && name == "shared":
	default:
		return nil
	}
	id := "/subscriptions/" + p.ID + "/resourceGroups/" + group + "/providers/Microsoft.Network/virtualNetworks/" + name
	return &armnetwork.VirtualNetwork{ID: to.Ptr(id), Name: to.Ptr(name), Location: to.Ptr(region), Properties: &armnetwork.VirtualNetworkPropertiesFormat{
		Subnets: []*armnetwork.Subnet{{ID: to.Ptr(id + "/subnets/desktops"), Name: to.Ptr("desktops"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: to.Ptr("10.0.0.0/16")}}},
	}}
}

func (p *Subscription) hasSubnet(id string) bool {
	for _, n := range []*armnetwork.VirtualNetwork{p.network(p.Group, "office"), p.network("networks", "shared")} {
		if strings.EqualFold(id, *n.Properties.Subnets[0].ID) {
			return true
		}
	}
	return false
}

func (p *Subscription) networkServer() *fake.VirtualNetworksServer {
	return &fake.VirtualNetworksServer{
		Get: func(_ context.Context, group, name string, _ *armnetwork.VirtualNetworksClientGetOptions) (resp azfake.Responder[armnetwork.VirtualNetworksClientGetResponse], no azfake.ErrorResponder) {
			n := p.network(group, name)
			if n == nil {
				no.SetError(absent("/providers/Microsoft.Network/virtualNetworks/" + name))
				return resp, no
			}
			resp.SetResponse(http.StatusOK, armnetwork.VirtualNetworksClientGetResponse{VirtualNetwork: *n}, nil)
			return resp, no
		},
		NewListAllPager: func(*armnetwork.VirtualNetworksClientListAllOptions) (resp azfake.PagerResponder[armnetwork.VirtualNetworksClientListAllResponse]) {
			var page armnetwork.VirtualNetworksClientListAllResponse
			page.Value = []*armnetwork.VirtualNetwork{p.network(p.Group, "office"), p.network(p.Group, "far"), p.network("networks", "shared")}
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
	}
}

func (p *Subscription) subnetServer() *fake.SubnetsServer {
	return &fake.SubnetsServer{Get: func(_ context.Context, group, network, name string, _ *armnetwork.SubnetsClientGetOptions) (resp azfake.Responder[armnetwork.SubnetsClientGetResponse], no azfake.ErrorResponder) {
		n := p.network(group, network)
		if n == nil || name != "desktops" {
			no.SetError(refuse(http.StatusNotFound, "NotFound", "Resource %s not found.", name))
			return resp, no
		}
		resp.SetResponse(http.StatusOK, armnetwork.SubnetsClientGetResponse{Subnet: *n.Properties.Subnets[0]}, nil)
		return resp, no
	}}
}

func (p *Subscription) firewall(name string) *armnetwork.SecurityGroup {
	region, known := map[string]string{"desktops": p.Region, "far": "eastus"}[name]
	if !known {
		return nil
	}
	return &armnetwork.SecurityGroup{ID: to.Ptr(p.id("Microsoft.Network/networkSecurityGroups/%s", name)), Name: to.Ptr(name), Location: to.Ptr(region)}
}

func (p *Subscription) firewallServer() *fake.SecurityGroupsServer {
	return &fake.SecurityGroupsServer{
		Get: func(_ context.Context, _, name string, _ *armnetwork.SecurityGroupsClientGetOptions) (resp azfake.Responder[armnetwork.SecurityGroupsClientGetResponse], no azfake.ErrorResponder) {
			g := p.firewall(name)
			if g == nil {
				no.SetError(absent("/providers/Microsoft.Network/networkSecurityGroups/" + name))
				return resp, no
			}
			resp.SetResponse(http.StatusOK, armnetwork.SecurityGroupsClientGetResponse{SecurityGroup: *g}, nil)
			return resp, no
		},
		NewListAllPager: func(*armnetwork.SecurityGroupsClientListAllOptions) (resp azfake.PagerResponder[armnetwork.SecurityGroupsClientListAllResponse]) {
			var page armnetwork.SecurityGroupsClientListAllResponse
			page.Value = []*armnetwork.SecurityGroup{p.firewall("desktops"), p.firewall("far")}
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
	}
}
