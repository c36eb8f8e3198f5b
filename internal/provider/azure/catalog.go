package azure

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/provider"
)

// offersOf are the marketplace's images that are offered besides those of the
// resource group: publisher and offer.
var offersOf = [][2]string{
	{"Canonical", "ubuntu-24_04-lts"},
	{"Canonical", "0001-com-ubuntu-server-jammy"},
	{"Debian", "debian-12"},
	{"MicrosoftWindowsServer", "WindowsServer"},
	{"MicrosoftWindowsDesktop", "windows-11"},
}

// Choices implements provider.Catalog.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	var out []provider.Choice
	var err error
	switch setting {
	case "resource_group":
		out, err = d.named(ctx, "/resourcegroups", "2021-04-01")
	case "region":
		out, err = d.named(ctx, "/locations", "2022-12-01")
	case "vm_size":
		err = d.eachSize(ctx, func(s *armcompute.ResourceSKU) {
			c := provider.Choice{Value: val(s.Name), Label: fmt.Sprintf("%s cores, %s GiB", capability(s, "vCPUs"), capability(s, "MemoryGB"))}
			if why := restriction(s, ""); why != "" {
				c.Description = why
			}
			out = append(out, c)
		})
	case "image":
		out, err = d.imageChoices(ctx)
	case "network_security_group":
		pages := d.firewalls.NewListAllPager(nil)
		for pages.More() && err == nil {
			page, failed := pages.NextPage(ctx)
			err = failed
			for _, g := range page.Value {
				if strings.EqualFold(val(g.Location), d.settings.Region) {
					out = append(out, d.choice(val(g.ID), val(g.Name)))
				}
			}
		}
	case "subnet":
		pages := d.networks.NewListAllPager(nil)
		for pages.More() && err == nil {
			page, failed := pages.NextPage(ctx)
			err = failed
			for _, n := range page.Value {
				if n.Properties == nil || !strings.EqualFold(val(n.Location), d.settings.Region) {
					continue
				}
				for _, s := range n.Properties.Subnets {
					c := d.choice(val(s.ID), val(n.Name)+"/"+val(s.Name))
					if s.Properties != nil {
						c.Label = val(s.Properties.AddressPrefix)
					}
					out = append(out, c)
				}
			}
		}
	default:
		return nil, provider.Errorf(provider.Unsupported, "Azure has no choices for %q", setting)
	}
	if err != nil {
		return nil, d.inGroup(err)
	}
	return out, nil
}

// choice is by name in the resource group, and by id elsewhere.
func (d *driver) choice(id, name string) provider.Choice {
	if strings.EqualFold(groupOf(id), d.settings.ResourceGroup) {
		return provider.Choice{Value: name}
	}
	return provider.Choice{Value: id, Description: "in resource group " + groupOf(id)}
}

// named lists what the subscription has of something that only has a name.
func (d *driver) named(ctx context.Context, path, version string) ([]provider.Choice, error) {
	var list struct {
		Value []struct {
			Name        string `json:"name"`
			DisplayName string `json:"displayName"`
			Location    string `json:"location"`
		} `json:"value"`
		NextLink string `json:"nextLink"`
	}
	var out []provider.Choice
	for next := "/subscriptions/" + d.settings.SubscriptionID + path; next != ""; {
		list.NextLink, list.Value = "", nil
		if err := d.page(ctx, next, version, &list); err != nil {
			return nil, err
		}
		for _, v := range list.Value {
			c := provider.Choice{Value: v.Name, Label: v.DisplayName}
			if v.Location != "" {
				c.Label = "in " + v.Location
			}
			out = append(out, c)
		}
		next = list.NextLink
	}
	return out, nil
}

// page reads a path, or the link to a next page of the same service.
func (d *driver) page(ctx context.Context, path, version string, into any) error {
	if !strings.HasPrefix(path, "http") {
		return d.get(ctx, path, version, into)
	}
	u, err := url.Parse(path)
	here, here2 := url.Parse(d.arm.Endpoint())
	if err != nil || here2 != nil || u.Host != here.Host || u.Scheme != here.Scheme {
		return provider.Errorf(provider.Unknown, "a listing goes on at another host")
	}
	return d.follow(ctx, u.String(), into)
}

// eachSize looks at the sizes of virtual machines in the region.
func (d *driver) eachSize(ctx context.Context, look func(*armcompute.ResourceSKU)) error {
	pages := d.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: to.Ptr("location eq '" + d.settings.Region + "'")})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, s := range page.Value {
			if val(s.ResourceType) == "virtualMachines" {
				look(s)
			}
		}
	}
	return nil
}

func capability(s *armcompute.ResourceSKU, name string) string {
	for _, c := range s.Capabilities {
		if strings.EqualFold(val(c.Name), name) {
			return val(c.Value)
		}
	}
	return ""
}

// restriction says why the subscription cannot have a size in the region, or in a
// zone; empty when it can.
func restriction(s *armcompute.ResourceSKU, zone string) string {
	for _, r := range s.Restrictions {
		why := "is not available to the subscription"
		if val(r.ReasonCode) == armcompute.ResourceSKURestrictionsReasonCodeQuotaID {
			why = "is not part of the subscription's offer"
		}
		switch val(r.Type) {
		case armcompute.ResourceSKURestrictionsTypeLocation:
			return why + " in the region"
		case armcompute.ResourceSKURestrictionsTypeZone:
			if r.RestrictionInfo == nil {
				continue
			}
			for _, z := range r.RestrictionInfo.Zones {
				if zone != "" && val(z) == zone {
					return why + " in zone " + zone
				}
			}
		}
	}
	return ""
}

// imageChoices are the images of the resource group, and some of the marketplace.
func (d *driver) imageChoices(ctx context.Context) ([]provider.Choice, error) {
	var out []provider.Choice
	pages := d.ownImages.NewListByResourceGroupPager(d.settings.ResourceGroup, nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.Value {
			out = append(out, provider.Choice{Value: val(i.ID), Label: val(i.Name)})
		}
	}
	for _, o := range offersOf {
		skus, err := d.images.ListSKUs(ctx, d.settings.Region, o[0], o[1], nil)
		if statusOf(err) == 404 {
			continue // another cloud has other offers
		}
		if err != nil {
			return nil, err
		}
		for _, s := range skus.VirtualMachineImageResourceArray {
			out = append(out, provider.Choice{Value: o[0] + ":" + o[1] + ":" + val(s.Name) + ":latest", Label: o[1] + " " + val(s.Name)})
		}
	}
	return out, nil
}
