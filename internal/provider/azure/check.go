package azure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// report gathers findings. An action is named once, however many calls lack it.
type report struct {
	provider.Report
	d      *driver
	lacked map[string]bool
}

func (r *report) add(verdict provider.Verdict, subject, message, remedy string) {
	r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
}

func (r *report) ok(subject, format string, args ...any) {
	r.add(provider.VerdictOK, subject, fmt.Sprintf(format, args...), "")
}

func (r *report) failed(subject, message, remedy string) {
	r.add(provider.VerdictFailed, subject, message, remedy)
}

func (r *report) lack(action, scope string) {
	if r.lacked[action] {
		return
	}
	r.lacked[action] = true
	role := roleFor(action)
	r.failed("permission "+action, "the app lacks it on "+scope,
		fmt.Sprintf("give it the role %q there (az role assignment create --role %q --assignee CLIENT_ID --scope …), or add the action to its custom role", role, role))
}

// look judges the answer to a call that reads a reference and needs an action.
// found says that it can be looked at further; fatal ends the check.
func (r *report) look(subject, action, scope string, err error, remedy string) (found bool, fatal error) {
	if err == nil {
		return true, nil
	}
	fault := classify(err, r.d.now())
	switch provider.ClassOf(fault) {
	case provider.NotFound, provider.Invalid:
		r.failed(subject, "there is no such thing: "+messageOf(fault), remedy)
		return false, nil
	case provider.Forbidden:
		if codeOf(err) == "AuthorizationFailed" {
			r.lack(action, scope)
		} else {
			r.failed(subject, messageOf(fault), "see what the message says")
		}
		return false, nil
	}
	return false, fault
}

func messageOf(err error) string {
	var e *provider.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// Check implements provider.Driver.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	r := &report{d: d, lacked: map[string]bool{}}
	for _, step := range []func(context.Context, *report) error{d.checkGroup, d.checkStatuses, d.checkSizes, d.checkImage, d.checkSubnet, d.checkFirewall} {
		if err := step(ctx, r); err != nil {
			return provider.Report{}, classify(err, d.now())
		}
	}
	return r.Report, nil
}

func (d *driver) checkGroup(ctx context.Context, r *report) error {
	s := &d.settings
	scope := s.group(s.ResourceGroup)
	subject := "resource group " + s.ResourceGroup
	var group struct {
		Location string `json:"location"`
	}
	err := d.get(ctx, scope, groupsVersion, &group)
	there, fatal := r.look(subject, "Microsoft.Resources/subscriptions/resourceGroups/read", scope, err, "make it (az group create), or correct resource_group and subscription_id")
	if fatal != nil {
		return fatal
	}
	if !there && statusOf(err) == 404 {
		return nil // nothing else can be asked of it
	}
	all, err := d.permissions(ctx, scope)
	if err != nil {
		fault := classify(err, d.now())
		if c := provider.ClassOf(fault); c != provider.Forbidden {
			return fault
		}
		r.lack("Microsoft.Authorization/permissions/read", scope)
		return nil
	}
	before, wanted := len(r.lacked), s.actions()
	for _, action := range wanted {
		if !allows(all, action) {
			r.lack(action, scope)
		}
	}
	if len(r.lacked) == before && there {
		r.ok(subject, "all %d actions are granted; the group is in %s", len(wanted), group.Location)
	}
	return d.checkLocks(ctx, r, scope)
}

// checkLocks looks for what would keep machines from being removed.
func (d *driver) checkLocks(ctx context.Context, r *report, scope string) error {
	var list struct {
		Value []struct {
			Name       string `json:"name"`
			Properties struct {
				Level string `json:"level"`
			} `json:"properties"`
		} `json:"value"`
	}
	err := d.get(ctx, scope+"/providers/Microsoft.Authorization/locks", locksVersion, &list)
	if _, fatal := r.look("locks", "Microsoft.Authorization/locks/read", scope, err, "see that the resource group exists"); fatal != nil {
		return fatal
	}
	for _, l := range list.Value {
		what := "machines could not be deleted and would cost money"
		if l.Properties.Level == "ReadOnly" {
			what = "machines could neither be made nor deleted"
		}
		r.failed("lock "+l.Name, fmt.Sprintf("is %s: %s", l.Properties.Level, what), "remove the lock (az lock delete), or take a resource group without one")
	}
	return nil
}

// checkStatuses asks for what listings need of the subscription.
func (d *driver) checkStatuses(ctx context.Context, r *report) error {
	_, err := d.vms.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: to.Ptr("true")}).NextPage(ctx)
	_, fatal := r.look("power states", "Microsoft.Compute/virtualMachines/read", "/subscriptions/"+d.settings.SubscriptionID, err, "see that subscription_id is right")
	return fatal
}

func (d *driver) checkSizes(ctx context.Context, r *report) error {
	s := &d.settings
	sizes := map[string]*armcompute.ResourceSKU{}
	err := d.eachSize(ctx, func(k *armcompute.ResourceSKU) { sizes[strings.ToLower(val(k.Name))] = k })
	if found, fatal := r.look("region "+s.Region, "Microsoft.Compute/skus/read", "/subscriptions/"+s.SubscriptionID, err, "take one of `headroom provider catalog --setting region`"); !found {
		return fatal
	}
	if len(sizes) == 0 {
		r.failed("region "+s.Region, "no size of virtual machines is offered there", "take one of `headroom provider catalog --setting region`")
		return nil
	}
	for _, name := range s.VMSize {
		subject, k := "size "+name, sizes[strings.ToLower(name)]
		if k == nil {
			r.failed(subject, "is not offered in "+s.Region, "take one of `headroom provider catalog --setting vm_size`")
			continue
		}
		before := len(r.Findings)
		d.checkSize(r, k, subject)
		if len(r.Findings) == before {
			r.ok(subject, "%s cores, %s GiB", capability(k, "vCPUs"), capability(k, "MemoryGB"))
		}
	}
	return nil
}

func (d *driver) checkSize(r *report, k *armcompute.ResourceSKU, subject string) {
	s := &d.settings
	const another = "leave it out, or take another size, zone or region"
	if why := restriction(k, ""); why != "" {
		r.failed(subject, why, another)
		return
	}
	offered := map[string]bool{}
	for _, l := range k.LocationInfo {
		if strings.EqualFold(val(l.Location), s.Region) {
			for _, z := range l.Zones {
				offered[val(z)] = true
			}
		}
	}
	for _, zone := range s.AvailabilityZones {
		at := subject + " in zone " + zone
		if why := restriction(k, zone); why != "" {
			r.failed(at, why, another)
		} else if !offered[zone] {
			r.failed(at, "is not offered there", another)
		}
	}
	is := func(name, value string) bool { return strings.EqualFold(capability(k, name), value) }
	switch {
	case strings.HasPrefix(fleet.Or(s.OSDiskType, "Premium_LRS"), "Premium") && is("PremiumIO", "False"):
		r.failed(subject, "takes no premium disks", "set os_disk_type to StandardSSD_LRS, or take a size with an s in its name")
	case s.Spot && is("LowPriorityCapable", "False"):
		r.failed(subject, "cannot be a spot machine", "leave it out, or set spot: false")
	case s.SecurityType == "TrustedLaunch" && is("TrustedLaunchDisabled", "True"):
		r.failed(subject, "does not support TrustedLaunch", another)
	case s.SecurityType == "ConfidentialVM" && capability(k, "ConfidentialComputingType") == "":
		r.failed(subject, "does not support ConfidentialVM", another)
	}
}

func (d *driver) checkSubnet(ctx context.Context, r *report) error {
	s := &d.settings
	l, err := s.subnet()
	if err != nil {
		return provider.Errorf(provider.Invalid, "subnet %w", err)
	}
	subject := "subnet " + s.Subnet
	if !strings.EqualFold(l.subscription, s.SubscriptionID) {
		r.add(provider.VerdictWarning, subject, "is in another subscription and is not looked at", "see that the app may join it; the first machine tells")
		return nil
	}
	n, err := d.networks.Get(ctx, l.group, l.names[0], nil)
	found, fatal := r.look(subject, "Microsoft.Network/virtualNetworks/read", l.subnetID(), err, "take one of `headroom provider catalog --setting subnet`")
	if !found {
		return fatal
	}
	if !strings.EqualFold(val(n.Location), s.Region) {
		r.failed(subject, "its network is in "+val(n.Location)+", machines are made in "+s.Region, "take a network in the region")
		return nil
	}
	sub, err := d.subnets.Get(ctx, l.group, l.names[0], l.names[1], nil)
	found, fatal = r.look(subject, "Microsoft.Network/virtualNetworks/subnets/read", l.subnetID(), err, "take one of `headroom provider catalog --setting subnet`")
	if !found {
		return fatal
	}
	return r.permit(ctx, subject, l.subnetID(), "Microsoft.Network/virtualNetworks/subnets/join/action", func() string {
		if sub.Properties == nil {
			return "found"
		}
		return fleet.Or(val(sub.Properties.AddressPrefix), "found")
	})
}

func (d *driver) checkFirewall(ctx context.Context, r *report) error {
	s := &d.settings
	l, err := s.firewall()
	if err != nil {
		return provider.Errorf(provider.Invalid, "network_security_group %w", err)
	}
	subject := "network security group " + s.NetworkSecurityGroup
	if !strings.EqualFold(l.subscription, s.SubscriptionID) {
		r.failed(subject, "is in another subscription, which interfaces cannot use", "take one in the subscription")
		return nil
	}
	g, err := d.firewalls.Get(ctx, l.group, l.names[0], nil)
	found, fatal := r.look(subject, "Microsoft.Network/networkSecurityGroups/read", l.firewallID(), err, "take one of `headroom provider catalog --setting network_security_group`")
	if !found {
		return fatal
	}
	if !strings.EqualFold(val(g.Location), s.Region) {
		r.failed(subject, "is in "+val(g.Location)+", machines are made in "+s.Region, "take a group in the region")
		return nil
	}
	return r.permit(ctx, subject, l.firewallID(), "Microsoft.Network/networkSecurityGroups/join/action", func() string { return "found" })
}

// permit asks for an action on one object.
func (r *report) permit(ctx context.Context, subject, scope, action string, found func() string) error {
	all, err := r.d.permissions(ctx, scope)
	switch fault := classify(err, r.d.now()); {
	case provider.ClassOf(fault) == provider.Forbidden && err != nil:
		r.lack("Microsoft.Authorization/permissions/read", scope)
	case err != nil:
		return fault
	case !allows(all, action):
		r.lack(action, scope)
	default:
		r.ok(subject, "%s", found())
	}
	return nil
}
