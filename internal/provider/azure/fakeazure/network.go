package fakeazure

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9/fake"
)

// build makes what a machine is made of: interfaces and addresses as the body
// describes them, and disks that bear the machine's tags.
func (p *Subscription) build(name string, m *armcompute.VirtualMachine) {
	v := m.Properties
	for _, c := range v.NetworkProfile.NetworkInterfaceConfigurations {
		n := &armnetwork.Interface{
			ID: to.Ptr(p.id("Microsoft.Network/networkInterfaces/%s", *c.Name)), Name: c.Name, Location: m.Location, Tags: c.Tags,
			Properties: &armnetwork.InterfacePropertiesFormat{
				VirtualMachine: &armnetwork.SubResource{ID: m.ID}, ProvisioningState: to.Ptr(armnetwork.ProvisioningStateSucceeded), Primary: c.Properties.Primary,
			},
		}
		for i, ip := range c.Properties.IPConfigurations {
			p.serial++
			config := &armnetwork.InterfaceIPConfiguration{Name: ip.Name, Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{
				PrivateIPAddress: to.Ptr(fmt.Sprintf("10.0.%d.%d", p.serial/250, p.serial%250+4)),
			}}
			if a := ip.Properties.PublicIPAddressConfiguration; a != nil {
				p.serial++
				address := &armnetwork.PublicIPAddress{
					ID: to.Ptr(p.id("Microsoft.Network/publicIPAddresses/%s", *a.Name)), Name: a.Name, Location: m.Location, Tags: a.Tags,
					Properties: &armnetwork.PublicIPAddressPropertiesFormat{
						IPAddress: to.Ptr(fmt.Sprintf("203.0.113.%d", p.serial%250+1)), ProvisioningState: to.Ptr(armnetwork.ProvisioningStateSucceeded),
						IPConfiguration: &armnetwork.IPConfiguration{ID: to.Ptr(fmt.Sprintf("%s/ipConfigurations/%d", *n.ID, i))},
						DeleteOption:    to.Ptr(armnetwork.DeleteOptions(val(a.Properties.DeleteOption))),
					},
				}
				p.addresses[strings.ToLower(*a.Name)] = address
				config.Properties.PublicIPAddress = &armnetwork.PublicIPAddress{ID: address.ID}
			}
			n.Properties.IPConfigurations = append(n.Properties.IPConfigurations, config)
		}
		p.interfaces[strings.ToLower(*c.Name)] = n
		v.NetworkProfile.NetworkInterfaces = append(v.NetworkProfile.NetworkInterfaces, &armcompute.NetworkInterfaceReference{
			ID: n.ID, Properties: &armcompute.NetworkInterfaceReferenceProperties{Primary: c.Properties.Primary, DeleteOption: c.Properties.DeleteOption},
		})
	}
	v.NetworkProfile.NetworkInterfaceConfigurations = nil // described, and never shown
	disk := func(name string) {
		p.disks[strings.ToLower(name)] = &armcompute.Disk{
			ID: to.Ptr(p.id("Microsoft.Compute/disks/%s", name)), Name: to.Ptr(name), Location: m.Location, Tags: m.Tags, ManagedBy: m.ID,
			Properties: &armcompute.DiskProperties{
				CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionFromImage)}, DiskState: to.Ptr(armcompute.DiskStateAttached),
				ProvisioningState: to.Ptr("Succeeded"), TimeCreated: to.Ptr(stamp()),
			},
		}
	}
	if v.StorageProfile.OSDisk.Name == nil {
		v.StorageProfile.OSDisk.Name = to.Ptr(name + "_OsDisk_1")
	}
	disk(*v.StorageProfile.OSDisk.Name)
	for i, d := range v.StorageProfile.DataDisks {
		if val(d.CreateOption) == armcompute.DiskCreateOptionTypesAttach {
			continue
		}
		if d.Name == nil {
			d.Name = to.Ptr(fmt.Sprintf("%s_disk_%d", name, i))
		}
		disk(*d.Name)
	}
}

// remove ends a machine, with everything whose deleteOption is Delete.
func (p *Subscription) remove(key string) {
	v := p.machines[key].vm.Properties
	delete(p.machines, key)
	for _, ref := range v.NetworkProfile.NetworkInterfaces {
		name := strings.ToLower(tail(val(ref.ID)))
		n := p.interfaces[name]
		if n == nil {
			continue
		}
		n.Properties.VirtualMachine = nil
		if ref.Properties != nil && val(ref.Properties.DeleteOption) == armcompute.DeleteOptionsDelete && !p.leak {
			p.dropInterface(name)
		}
	}
	drop := func(name *string, option *armcompute.DiskDeleteOptionTypes) {
		d := p.disks[strings.ToLower(val(name))]
		if d == nil {
			return
		}
		d.ManagedBy, d.Properties.DiskState = nil, to.Ptr(armcompute.DiskStateUnattached)
		if val(option) == armcompute.DiskDeleteOptionTypesDelete && !p.leak {
			delete(p.disks, strings.ToLower(val(name)))
		}
	}
	drop(v.StorageProfile.OSDisk.Name, v.StorageProfile.OSDisk.DeleteOption)
	for _, d := range v.StorageProfile.DataDisks {
		drop(d.Name, d.DeleteOption)
	}
}

// dropInterface removes an interface, and its addresses as their deleteOption says.
func (p *Subscription) dropInterface(name string) {
	for _, c := range p.interfaces[name].Properties.IPConfigurations {
		if c.Properties.PublicIPAddress == nil {
			continue
		}
		key := strings.ToLower(tail(val(c.Properties.PublicIPAddress.ID)))
		if a := p.addresses[key]; a != nil {
			a.Properties.IPConfiguration = nil
			if val(a.Properties.DeleteOption) == armnetwork.DeleteOptionsDelete {
				delete(p.addresses, key)
			}
		}
	}
	delete(p.interfaces, name)
}

func (p *Subscription) interfaceServer() *fake.InterfacesServer {
	return &fake.InterfacesServer{
		Get: func(_ context.Context, _, name string, o *armnetwork.InterfacesClientGetOptions) (resp azfake.Responder[armnetwork.InterfacesClientGetResponse], no azfake.ErrorResponder) {
			n := p.interfaces[strings.ToLower(name)]
			if n == nil {
				no.SetError(absent("/providers/Microsoft.Network/networkInterfaces/" + name))
				return resp, no
			}
			out := *n
			props := *n.Properties
			if o != nil && val(o.Expand) == "ipConfigurations/publicIPAddress" {
				props.IPConfigurations = nil
				for _, c := range n.Properties.IPConfigurations {
					config, inner := *c, *c.Properties
					if inner.PublicIPAddress != nil {
						inner.PublicIPAddress = p.addresses[strings.ToLower(tail(val(inner.PublicIPAddress.ID)))]
					}
					config.Properties = &inner
					props.IPConfigurations = append(props.IPConfigurations, &config)
				}
			}
			out.Properties = &props
			resp.SetResponse(http.StatusOK, armnetwork.InterfacesClientGetResponse{Interface: out}, nil)
			return resp, no
		},
		NewListPager: func(string, *armnetwork.InterfacesClientListOptions) (resp azfake.PagerResponder[armnetwork.InterfacesClientListResponse]) {
			var page armnetwork.InterfacesClientListResponse
			page.Value = []*armnetwork.Interface{}
			names, next := p.pageOf(sorted(p.interfaces))
			for _, name := range names {
				page.Value = append(page.Value, p.interfaces[name])
			}
			page.NextLink = next
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
		BeginDelete: func(_ context.Context, _, name string, _ *armnetwork.InterfacesClientBeginDeleteOptions) (resp azfake.PollerResponder[armnetwork.InterfacesClientDeleteResponse], no azfake.ErrorResponder) {
			n := p.interfaces[strings.ToLower(name)]
			switch {
			case n == nil:
				resp.SetTerminalResponse(http.StatusNoContent, armnetwork.InterfacesClientDeleteResponse{}, nil)
			case n.Properties.VirtualMachine != nil:
				no.SetError(refuse(http.StatusBadRequest, "NicInUse", "Network Interface %s is used by existing resource %s.", name, val(n.Properties.VirtualMachine.ID)))
			default:
				p.dropInterface(strings.ToLower(name))
				resp.AddNonTerminalResponse(http.StatusAccepted, nil)
				resp.SetTerminalResponse(http.StatusOK, armnetwork.InterfacesClientDeleteResponse{}, nil)
			}
			return resp, no
		},
	}
}

func (p *Subscription) addressServer() *fake.PublicIPAddressesServer {
	return &fake.PublicIPAddressesServer{
		NewListPager: func(string, *armnetwork.PublicIPAddressesClientListOptions) (resp azfake.PagerResponder[armnetwork.PublicIPAddressesClientListResponse]) {
			var page armnetwork.PublicIPAddressesClientListResponse
			page.Value = []*armnetwork.PublicIPAddress{}
			names, next := p.pageOf(sorted(p.addresses))
			for _, name := range names {
				page.Value = append(page.Value, p.addresses[name])
			}
			page.NextLink = next
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
		BeginDelete: func(_ context.Context, _, name string, _ *armnetwork.PublicIPAddressesClientBeginDeleteOptions) (resp azfake.PollerResponder[armnetwork.PublicIPAddressesClientDeleteResponse], no azfake.ErrorResponder) {
			a := p.addresses[strings.ToLower(name)]
			switch {
			case a == nil:
				resp.SetTerminalResponse(http.StatusNoContent, armnetwork.PublicIPAddressesClientDeleteResponse{}, nil)
			case a.Properties.IPConfiguration != nil:
				no.SetError(refuse(http.StatusBadRequest, "PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s.", name, val(a.Properties.IPConfiguration.ID)))
			default:
				delete(p.addresses, strings.ToLower(name))
				resp.AddNonTerminalResponse(http.StatusAccepted, nil)
				resp.SetTerminalResponse(http.StatusOK, armnetwork.PublicIPAddressesClientDeleteResponse{}, nil)
			}
			return resp, no
		},
	}
}

func (p *Subscription) diskServer() *computefake.DisksServer {
	return &computefake.DisksServer{
		NewListByResourceGroupPager: func(string, *armcompute.DisksClientListByResourceGroupOptions) (resp azfake.PagerResponder[armcompute.DisksClientListByResourceGroupResponse]) {
			var page armcompute.DisksClientListByResourceGroupResponse
			page.Value = []*armcompute.Disk{}
			names, next := p.pageOf(sorted(p.disks))
			for _, name := range names {
				page.Value = append(page.Value, p.disks[name])
			}
			page.NextLink = next
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
		BeginDelete: func(_ context.Context, _, name string, _ *armcompute.DisksClientBeginDeleteOptions) (resp azfake.PollerResponder[armcompute.DisksClientDeleteResponse], no azfake.ErrorResponder) {
			d := p.disks[strings.ToLower(name)]
			switch {
			case d == nil:
				resp.SetTerminalResponse(http.StatusNoContent, armcompute.DisksClientDeleteResponse{}, nil)
			case d.ManagedBy != nil:
				no.SetError(refuse(http.StatusConflict, "OperationNotAllowed", "Disk %s is attached to VM %s.", name, *d.ManagedBy))
			default:
				delete(p.disks, strings.ToLower(name))
				resp.AddNonTerminalResponse(http.StatusAccepted, nil)
				resp.SetTerminalResponse(http.StatusOK, armcompute.DisksClientDeleteResponse{}, nil)
			}
			return resp, no
		},
	}
}

func tail(id string) string { return id[strings.LastIndex(id, "/")+1:] }

func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
