package azure

import (
	"context"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "azure"

// customDataLimit is what custom data hold: 64 KiB of base64.
// https://learn.microsoft.com/azure/virtual-machines/custom-data
const customDataLimit = 64 << 10 / 4 * 3

// Kind describes virtual machines of Azure.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name: KindName, Title: "Microsoft Azure", About: "Machines are Azure virtual machines.", VM: true,
		// A subscription has buckets of tokens that are filled again at 25 reads, 10
		// writes and 10 deletes a second in a region, and Compute has lower ones:
		// https://learn.microsoft.com/azure/virtual-machines/compute-throttling-limits
		Defaults: provider.Defaults{
			RateLimit: 5, Concurrency: 12, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 10 * time.Second, RestInterval: time.Minute, Grace: 3 * time.Minute,
			CreateBurst: 20, CreateRate: 1,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	if s.Windows {
		return startup.Channel{Form: startup.FormPlain, System: startup.Windows, Limit: commandLimit, AfterBoot: true}
	}
	return startup.Channel{Form: startup.FormCloudInit, Limit: customDataLimit}
}

func open(_ context.Context, s Settings, host provider.Host) (*driver, error) {
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	d := &driver{settings: s, now: host.Now}
	fault := func(err error) error {
		return provider.Errorf(provider.Invalid, "the connection to Azure cannot be set up: %w", err)
	}
	compute, err := armcompute.NewClientFactory(s.SubscriptionID, nil, o)
	if err != nil {
		return nil, fault(err)
	}
	network, err := armnetwork.NewClientFactory(s.SubscriptionID, nil, o)
	if err != nil {
		return nil, fault(err)
	}
	if d.arm, err = arm.NewClient("headroom", "v1.0.0", nil, o); err != nil {
		return nil, fault(err)
	}
	plain, err := s.HTTPClient()
	if err != nil {
		return nil, err
	}
	plain.CheckRedirect = noRedirect
	d.plain = plain
	d.vms, d.extensions, d.disks = compute.NewVirtualMachinesClient(), compute.NewVirtualMachineExtensionsClient(), compute.NewDisksClient()
	d.skus, d.images, d.ownImages = compute.NewResourceSKUsClient(), compute.NewVirtualMachineImagesClient(), compute.NewImagesClient()
	d.interfaces, d.addresses = network.NewInterfacesClient(), network.NewPublicIPAddressesClient()
	d.subnets, d.networks, d.firewalls = network.NewSubnetsClient(), network.NewVirtualNetworksClient(), network.NewSecurityGroupsClient()
	return d, nil
}

// driver makes machines in one resource group.
type driver struct {
	settings Settings
	now      func() time.Time
	arm      *arm.Client  // what no client of the SDK is here for
	plain    *http.Client // without tokens

	vms        *armcompute.VirtualMachinesClient
	extensions *armcompute.VirtualMachineExtensionsClient
	disks      *armcompute.DisksClient
	skus       *armcompute.ResourceSKUsClient
	images     *armcompute.VirtualMachineImagesClient
	ownImages  *armcompute.ImagesClient
	interfaces *armnetwork.InterfacesClient
	addresses  *armnetwork.PublicIPAddressesClient
	subnets    *armnetwork.SubnetsClient
	networks   *armnetwork.VirtualNetworksClient
	firewalls  *armnetwork.SecurityGroupsClient
}
