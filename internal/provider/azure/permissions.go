package azure

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

const (
	permissionsVersion = "2022-04-01"
	locksVersion       = "2016-09-01"
	groupsVersion      = "2021-04-01"
	termsVersion       = "2021-01-01"
	galleriesVersion   = "2024-03-03"
)

// actions are what the settings need on the resource group, in order of the
// alphabet.
func (s *Settings) actions() []string {
	out := []string{
		"Microsoft.Compute/disks/delete", "Microsoft.Compute/disks/read", "Microsoft.Compute/disks/write",
		"Microsoft.Compute/virtualMachines/delete", "Microsoft.Compute/virtualMachines/read", "Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action", "Microsoft.Compute/virtualMachines/write",
		"Microsoft.Network/networkInterfaces/delete", "Microsoft.Network/networkInterfaces/join/action", "Microsoft.Network/networkInterfaces/read", "Microsoft.Network/networkInterfaces/write",
		"Microsoft.Network/publicIPAddresses/delete", "Microsoft.Network/publicIPAddresses/read",
	}
	if s.PublicIP {
		out = append(out, "Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/publicIPAddresses/write")
	}
	if s.Windows {
		out = append(out, "Microsoft.Compute/virtualMachines/extensions/read", "Microsoft.Compute/virtualMachines/extensions/write")
	}
	slices.Sort(out)
	return out
}

// permission is what one role grants at a scope.
// https://learn.microsoft.com/rest/api/authorization/permissions
type permission struct {
	Actions    []string `json:"actions"`
	NotActions []string `json:"notActions"`
}

// permissions are what the caller may do at a scope.
func (d *driver) permissions(ctx context.Context, scope string) ([]permission, error) {
	var all []permission
	var list struct {
		Value    []permission `json:"value"`
		NextLink string       `json:"nextLink"`
	}
	for next := scope + "/providers/Microsoft.Authorization/permissions"; next != ""; next = list.NextLink {
		list.NextLink, list.Value = "", nil
		if err := d.page(ctx, next, permissionsVersion, &list); err != nil {
			return nil, err
		}
		all = append(all, list.Value...)
	}
	return all, nil
}

// allows says that some role grants an action. What a role excludes, another may
// grant.
func allows(all []permission, action string) bool {
	for _, p := range all {
		if matches(p.Actions, action) && !matches(p.NotActions, action) {
			return true
		}
	}
	return false
}

// matches compares an action with patterns: * stands for anything, case does not
// count.
func matches(patterns []string, action string) bool {
	for _, p := range patterns {
		rule := "(?i)^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*") + "$"
		if ok, err := regexp.MatchString(rule, action); err == nil && ok {
			return true
		}
	}
	return false
}

// roleFor is the built-in role that has an action.
func roleFor(action string) string {
	switch {
	case strings.HasPrefix(action, "Microsoft.Compute/galleries/"), strings.HasPrefix(action, "Microsoft.Compute/images/"), strings.HasPrefix(action, "Microsoft.Compute/skus/"), strings.HasPrefix(action, "Microsoft.Compute/locations/"):
		return "Reader"
	case strings.HasPrefix(action, "Microsoft.Compute/"):
		return "Virtual Machine Contributor"
	case strings.HasPrefix(action, "Microsoft.Network/dnsZones/"), strings.HasPrefix(action, "Microsoft.Network/dnszones/"):
		return "DNS Zone Contributor"
	case strings.HasPrefix(action, "Microsoft.Network/"):
		return "Network Contributor"
	}
	return "Reader"
}
