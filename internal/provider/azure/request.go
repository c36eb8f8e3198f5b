package azure

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// What a computer may be called.
const (
	maxWindowsName = 15
	maxLinuxName   = 64
)

// body is the machine that is asked for.
func (s *Settings) body(req provider.Request, o offer) (*armcompute.VirtualMachine, error) {
	invalid := func(format string, args ...any) error { return provider.Errorf(provider.Invalid, format, args...) }
	longest := maxLinuxName
	if s.Windows {
		longest = maxWindowsName
	}
	switch n := len(req.Bootstrap.UserData); {
	case len(req.Name) > longest:
		return nil, invalid("the machine's name %q has %d characters, the computer's may have %d", req.Name, len(req.Name), longest)
	case !s.Windows && n > customDataLimit:
		return nil, invalid("the startup script has %d bytes, custom data of Azure hold %d (64 KiB of base64)", n, customDataLimit)
	}
	for key, value := range ownTags(req.Tags) {
		if len(value) > 256 {
			return nil, invalid("the tag %s of the machine has %d characters, a tag of Azure holds 256", key, len(value))
		}
	}
	image, err := s.imageReference()
	if err != nil {
		return nil, invalid("image %w", err)
	}
	network, err := s.network(req.Name)
	if err != nil {
		return nil, err
	}
	p := &armcompute.VirtualMachineProperties{
		StorageProfile: &armcompute.StorageProfile{
			ImageReference: image,
			OSDisk: &armcompute.OSDisk{
				CreateOption: to.Ptr(armcompute.DiskCreateOptionTypesFromImage), DeleteOption: to.Ptr(armcompute.DiskDeleteOptionTypesDelete),
				ManagedDisk: &armcompute.ManagedDiskParameters{StorageAccountType: to.Ptr(armcompute.StorageAccountTypes(fleet.Or(s.OSDiskType, "Premium_LRS")))},
			},
		},
		NetworkProfile: network,
		OSProfile:      s.profile(),
		// Without an account of one's own: the service keeps the console.
		DiagnosticsProfile: &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: to.Ptr(true)}},
		SecurityProfile:    s.security(),
	}
	if s.OSDiskSize > 0 {
		p.StorageProfile.OSDisk.DiskSizeGB = to.Ptr(int32(s.OSDiskSize)) //nolint:gosec // at most 4095
	}
	if s.SecurityType == "ConfidentialVM" {
		p.StorageProfile.OSDisk.ManagedDisk.SecurityProfile = &armcompute.VMDiskSecurityProfile{SecurityEncryptionType: to.Ptr(armcompute.SecurityEncryptionTypesVMGuestStateOnly)}
	}
	if s.Spot {
		p.Priority = to.Ptr(armcompute.VirtualMachinePriorityTypesSpot)
		p.EvictionPolicy = to.Ptr(armcompute.VirtualMachineEvictionPolicyTypes(fleet.Or(s.EvictionPolicy, "Delete")))
		p.BillingProfile = &armcompute.BillingProfile{MaxPrice: to.Ptr(fleet.Or(s.MaxPrice, -1))}
	}
	out := &armcompute.VirtualMachine{Location: to.Ptr(s.Region), Tags: pointers(s.Tags), Properties: p}
	if s.Plan != (Plan{}) {
		out.Plan = &armcompute.Plan{Name: to.Ptr(s.Plan.Name), Product: to.Ptr(s.Plan.Product), Publisher: to.Ptr(s.Plan.Publisher)}
	}
	if out, err = applyOverride(out, s.ConfigOverride); err != nil {
		return nil, err
	}
	s.seal(out, req, o)
	return out, nil
}

// network describes the interface that is made with the machine.
func (s *Settings) network(name string) (*armcompute.NetworkProfile, error) {
	subnet, err := s.subnet()
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "subnet %w", err)
	}
	firewall, err := s.firewall()
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "network_security_group %w", err)
	}
	ip := &armcompute.VirtualMachineNetworkInterfaceIPConfigurationProperties{
		Subnet: &armcompute.SubResource{ID: to.Ptr(subnet.subnetID())}, Primary: to.Ptr(true),
	}
	if s.PublicIP {
		ip.PublicIPAddressConfiguration = &armcompute.VirtualMachinePublicIPAddressConfiguration{
			Name: to.Ptr(name + "-ip"),
			SKU:  &armcompute.PublicIPAddressSKU{Name: to.Ptr(armcompute.PublicIPAddressSKUNameStandard), Tier: to.Ptr(armcompute.PublicIPAddressSKUTierRegional)},
			Properties: &armcompute.VirtualMachinePublicIPAddressConfigurationProperties{
				PublicIPAllocationMethod: to.Ptr(armcompute.PublicIPAllocationMethodStatic),
			},
		}
	}
	return &armcompute.NetworkProfile{NetworkInterfaceConfigurations: []*armcompute.VirtualMachineNetworkInterfaceConfiguration{{
		Name: to.Ptr(name + "-nic"),
		Properties: &armcompute.VirtualMachineNetworkInterfaceConfigurationProperties{
			Primary: to.Ptr(true), NetworkSecurityGroup: &armcompute.SubResource{ID: to.Ptr(firewall.firewallID())},
			IPConfigurations: []*armcompute.VirtualMachineNetworkInterfaceIPConfiguration{{Name: to.Ptr("primary"), Properties: ip}},
		},
	}}}, nil
}

// profile says how people enter the machine.
func (s *Settings) profile() *armcompute.OSProfile {
	user := fleet.Or(s.OSUsername, "headroom")
	out := &armcompute.OSProfile{AdminUsername: to.Ptr(user)}
	if s.OSPassword != "" {
		out.AdminPassword = to.Ptr(s.OSPassword)
	}
	if s.Windows {
		out.WindowsConfiguration = &armcompute.WindowsConfiguration{ProvisionVMAgent: to.Ptr(true), EnableAutomaticUpdates: to.Ptr(false)}
		return out
	}
	out.LinuxConfiguration = &armcompute.LinuxConfiguration{DisablePasswordAuthentication: to.Ptr(s.OSPassword == "")}
	if key := strings.TrimSpace(s.SSHPublicKey); key != "" {
		out.LinuxConfiguration.SSH = &armcompute.SSHConfiguration{PublicKeys: []*armcompute.SSHPublicKey{{
			Path: to.Ptr("/home/" + user + "/.ssh/authorized_keys"), KeyData: to.Ptr(key),
		}}}
	}
	return out
}

func (s *Settings) security() *armcompute.SecurityProfile {
	if s.SecurityType == "" {
		return nil
	}
	out := &armcompute.SecurityProfile{SecurityType: to.Ptr(armcompute.SecurityTypes(s.SecurityType))}
	if s.SecurityType != "Standard" {
		out.UefiSettings = &armcompute.UefiSettings{SecureBootEnabled: to.Ptr(fleet.Value(s.SecureBoot, true)), VTpmEnabled: to.Ptr(fleet.Value(s.VTPM, true))}
	}
	return out
}

// seal sets what no override may change: what the machine is found by, what it
// runs, and that everything that is made with it goes with it.
func (s *Settings) seal(out *armcompute.VirtualMachine, req provider.Request, o offer) {
	tags := ownTags(req.Tags)
	if out.Tags == nil {
		out.Tags = map[string]*string{}
	}
	setTags(out.Tags, tags)
	if o.zone != "" {
		out.Zones = []*string{to.Ptr(o.zone)}
	}
	p := out.Properties
	if p.HardwareProfile == nil {
		p.HardwareProfile = &armcompute.HardwareProfile{}
	}
	p.HardwareProfile.VMSize = to.Ptr(armcompute.VirtualMachineSizeTypes(o.size))
	if p.OSProfile != nil {
		p.OSProfile.ComputerName = to.Ptr(req.Name)
		// Windows runs no custom data: its script comes by an extension.
		if script := req.Bootstrap.UserData; len(script) > 0 && !s.Windows {
			p.OSProfile.CustomData = to.Ptr(base64.StdEncoding.EncodeToString(script))
		}
	}
	if st := p.StorageProfile; st != nil {
		if st.OSDisk != nil && val(st.OSDisk.CreateOption) != armcompute.DiskCreateOptionTypesAttach {
			st.OSDisk.Name, st.OSDisk.DeleteOption = to.Ptr(req.Name+"-os"), to.Ptr(armcompute.DiskDeleteOptionTypesDelete)
		}
		for i, d := range st.DataDisks {
			if d == nil || val(d.CreateOption) == armcompute.DiskCreateOptionTypesAttach {
				continue // a disk that was there before is not the machine's
			}
			d.Name, d.DeleteOption = to.Ptr(fmt.Sprintf("%s-data%d", req.Name, i)), to.Ptr(armcompute.DiskDeleteOptionTypesDelete)
		}
	}
	if n := p.NetworkProfile; n != nil && len(n.NetworkInterfaceConfigurations) > 0 {
		if n.NetworkAPIVersion == nil {
			n.NetworkAPIVersion = to.Ptr(armcompute.NetworkAPIVersion("2022-11-01"))
		}
		for _, c := range n.NetworkInterfaceConfigurations {
			s.sealInterface(c, tags)
		}
	}
}

func (s *Settings) sealInterface(c *armcompute.VirtualMachineNetworkInterfaceConfiguration, tags map[string]string) {
	if c == nil || c.Properties == nil {
		return
	}
	merged := func(have map[string]*string) map[string]*string {
		out := pointers(s.Tags)
		for key, value := range have {
			out[key] = value
		}
		setTags(out, tags)
		return out
	}
	c.Tags, c.Properties.DeleteOption = merged(c.Tags), to.Ptr(armcompute.DeleteOptionsDelete)
	for _, ip := range c.Properties.IPConfigurations {
		if ip == nil || ip.Properties == nil || ip.Properties.PublicIPAddressConfiguration == nil {
			continue
		}
		a := ip.Properties.PublicIPAddressConfiguration
		if a.Properties == nil {
			a.Properties = &armcompute.VirtualMachinePublicIPAddressConfigurationProperties{}
		}
		a.Tags, a.Properties.DeleteOption = merged(a.Tags), to.Ptr(armcompute.DeleteOptionsDelete)
	}
}

// setTags lays tags over others, whose names may be spelled otherwise.
func setTags(all map[string]*string, tags map[string]string) {
	for key := range all {
		if strings.HasPrefix(strings.ToLower(key), ownPrefix) {
			delete(all, key)
		}
	}
	for key, value := range tags {
		all[key] = to.Ptr(value)
	}
}
