package fakeazure

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
)

// maxCustomData is how many characters custom data may have, encoded.
const maxCustomData = 64 << 10

var adminRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// document is the body of a request as it was sent.
func document(r *http.Request) map[string]any {
	if r == nil || r.Body == nil {
		return nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out) // it was read before
	return out
}

func invalid(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "InvalidParameter", format, args...)
}

// checkMachine refuses what Azure refuses at once.
func (p *Subscription) checkMachine(name string, m *armcompute.VirtualMachine) error {
	v := m.Properties
	switch {
	case v == nil || v.HardwareProfile == nil || v.HardwareProfile.VMSize == nil:
		return invalid("Required parameter 'hardwareProfile.vmSize' is missing (null).")
	case val(m.Location) != p.Region:
		return refuse(http.StatusBadRequest, "LocationNotAvailableForResourceType", "The provided location '%s' is not available for resource type 'Microsoft.Compute/virtualMachines'.", val(m.Location))
	case v.StorageProfile == nil || v.StorageProfile.OSDisk == nil:
		return invalid("Required parameter 'storageProfile.osDisk' is missing (null).")
	case len(m.Zones) > 1:
		return invalid("A virtual machine is in one zone.")
	}
	if err := p.checkSize(m); err != nil {
		return err
	}
	if err := p.checkImage(m); err != nil {
		return err
	}
	if err := p.checkProfile(v); err != nil {
		return err
	}
	if err := p.checkNetwork(name, v.NetworkProfile); err != nil {
		return err
	}
	spot := val(v.Priority) == armcompute.VirtualMachinePriorityTypesSpot
	switch {
	case (v.EvictionPolicy != nil || v.BillingProfile != nil) && !spot:
		return invalid("Eviction policy and billing profile can be set on Azure Spot Virtual Machines only.")
	case spot && v.BillingProfile != nil && v.BillingProfile.MaxPrice != nil && *v.BillingProfile.MaxPrice <= 0 && *v.BillingProfile.MaxPrice != -1:
		return invalid("The max price must be greater than 0, or -1.")
	case v.SecurityProfile != nil && v.SecurityProfile.UefiSettings != nil && (v.SecurityProfile.SecurityType == nil || *v.SecurityProfile.SecurityType == "Standard"):
		return refuse(http.StatusBadRequest, "BadRequest", "Use of UefiSettings is not supported without a security type.")
	case len(m.Tags) > 50:
		return refuse(http.StatusBadRequest, "TooManyTags", "A resource may have at most 50 tags.")
	}
	for _, d := range v.StorageProfile.DataDisks {
		if d.Lun == nil || d.CreateOption == nil {
			return invalid("Required parameter 'dataDisk.lun' is missing (null).")
		}
	}
	return nil
}

func (p *Subscription) checkSize(m *armcompute.VirtualMachine) error {
	size := string(val(m.Properties.HardwareProfile.VMSize))
	z, known := sizes[size]
	if !known {
		return invalid("The value %s provided for the VM size is not valid. The valid sizes in the current region are: Standard_B1s.", size)
	}
	for _, zone := range m.Zones {
		if !slices.Contains(z.zones, val(zone)) {
			return refuse(http.StatusBadRequest, "AvailabilityZoneNotSupported", "The zone(s) '%s' for resource 'Microsoft.Compute/virtualMachines/x' is not supported. The supported zones for location 'westeurope' are '1,2'", val(zone))
		}
	}
	return nil
}

func (p *Subscription) checkImage(m *armcompute.VirtualMachine) error {
	ref := m.Properties.StorageProfile.ImageReference
	switch {
	case ref == nil:
		return invalid("Required parameter 'imageReference' is missing (null).")
	case ref.ID != nil:
		if !strings.Contains(*ref.ID, "/images/golden") {
			return refuse(http.StatusNotFound, "ImageNotFound", "The Image '%s' cannot be found in 'westeurope' region.", *ref.ID)
		}
		return nil
	case ref.CommunityGalleryImageID != nil || ref.SharedGalleryImageID != nil:
		return nil
	}
	i, known := market[val(ref.Publisher)+":"+val(ref.Offer)+":"+val(ref.SKU)]
	switch {
	case !known:
		return refuse(http.StatusNotFound, "PlatformImageNotFound", "The platform image '%s:%s:%s:%s' is not available. Verify that all fields in the storage profile are correct.", val(ref.Publisher), val(ref.Offer), val(ref.SKU), val(ref.Version))
	case i.plan && m.Plan == nil:
		return refuse(http.StatusBadRequest, "VMMarketplaceInvalidInput", "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image requires Plan information in the request.")
	case i.plan && !p.agreed:
		return refuse(http.StatusBadRequest, "MarketplacePurchaseEligibilityFailed", "Marketplace purchase eligibilty check returned errors. See inner errors for details.")
	}
	return nil
}

func (p *Subscription) checkProfile(v *armcompute.VirtualMachineProperties) error {
	o := v.OSProfile
	if o == nil {
		return nil // a specialised image
	}
	windows := o.WindowsConfiguration != nil
	longest := 64
	if windows {
		longest = 15
	}
	data, err := base64.StdEncoding.DecodeString(val(o.CustomData))
	switch {
	case !adminRule.MatchString(val(o.AdminUsername)):
		return invalid("The Admin Username specified is not allowed.")
	case len(val(o.ComputerName)) > longest || val(o.ComputerName) == "":
		return invalid("%s computer name cannot be more than %d characters long, be entirely numeric, or contain special characters.", map[bool]string{true: "Windows", false: "Linux"}[windows], longest)
	case err != nil || len(val(o.CustomData)) > maxCustomData:
		return invalid("Custom data in OSProfile must be in Base64 encoding and with a maximum length of %d characters (%d were given).", maxCustomData, len(data))
	case windows && o.AdminPassword == nil:
		return invalid("Required parameter 'adminPassword' is missing (null).")
	case o.LinuxConfiguration != nil && val(o.LinuxConfiguration.DisablePasswordAuthentication) && o.LinuxConfiguration.SSH == nil:
		return invalid("Authentication using either SSH or by user name and password must be enabled in Linux profile.")
	}
	return nil
}

// checkNetwork looks at the interfaces that are to be made, and at the rights on
// what they refer to.
func (p *Subscription) checkNetwork(name string, n *armcompute.NetworkProfile) error {
	if n == nil || len(n.NetworkInterfaceConfigurations)+len(n.NetworkInterfaces) == 0 {
		return invalid("A virtual machine must have at least one network interface.")
	}
	if len(n.NetworkInterfaceConfigurations) > 0 && n.NetworkAPIVersion == nil {
		return invalid("networkApiVersion must be specified with networkInterfaceConfigurations.")
	}
	linked := func(action, scope string) error {
		if p.allowed(action) {
			return nil
		}
		return refuse(http.StatusForbidden, "LinkedAuthorizationFailed", "The client '%s' with object id '%s' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope '%s'; however, it does not have permission to perform action '%s' on the linked scope(s) '%s' or the linked scope(s) are invalid.", p.Client, p.Client, p.id("Microsoft.Compute/virtualMachines/%s", name), action, scope)
	}
	for _, c := range n.NetworkInterfaceConfigurations {
		if c.Properties == nil || len(c.Properties.IPConfigurations) == 0 || val(c.Name) == "" {
			return invalid("A network interface needs a name and an IP configuration.")
		}
		if g := c.Properties.NetworkSecurityGroup; g != nil {
			if !strings.EqualFold(val(g.ID), p.id("Microsoft.Network/networkSecurityGroups/desktops")) {
				return refuse(http.StatusBadRequest, "InvalidResourceReference", "Resource %s referenced by resource %s was not found.", val(g.ID), name)
			}
			if err := linked("Microsoft.Network/networkSecurityGroups/join/action", val(g.ID)); err != nil {
				return err
			}
		}
		for _, ip := range c.Properties.IPConfigurations {
			if ip.Properties == nil || ip.Properties.Subnet == nil || !p.hasSubnet(val(ip.Properties.Subnet.ID)) {
				return refuse(http.StatusBadRequest, "InvalidResourceReference", "The subnet referenced by resource %s was not found.", name)
			}
			actions := []string{"Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.Network/networkInterfaces/write", "Microsoft.Network/networkInterfaces/join/action", "Microsoft.Compute/disks/write"}
			if ip.Properties.PublicIPAddressConfiguration != nil {
				actions = append(actions, "Microsoft.Network/publicIPAddresses/write", "Microsoft.Network/publicIPAddresses/join/action")
			}
			for _, action := range actions {
				if err := linked(action, val(ip.Properties.Subnet.ID)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
