package oci

import (
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/provider"
)

// statements are what policies say to grant a permission.
// https://docs.oracle.com/en-us/iaas/Content/Identity/Reference/corepolicyreference.htm
var statements = map[string]string{ //nolint:gochecknoglobals // never changed
	"COMPARTMENT_INSPECT":         "inspect compartments in tenancy",
	"RESOURCE_AVAILABILITY_READ":  "read resource-availability in tenancy",
	"INSTANCE_INSPECT":            "manage instances",
	"INSTANCE_READ":               "manage instances",
	"INSTANCE_IMAGE_INSPECT":      "read instance-images",
	"VNIC_ATTACHMENT_READ":        "inspect vnic-attachments",
	"SUBNET_READ":                 "use subnets",
	"NETWORK_SECURITY_GROUP_READ": "use network-security-groups",
	"PRIVATE_IP_READ":             "read private-ips",
	"IPV6_READ":                   "read ipv6s",
	"VOLUME_INSPECT":              "manage volumes",
	"VOLUME_ATTACHMENT_INSPECT":   "inspect volume-attachments",
	"CONSOLE_HISTORY_READ":        "manage console-histories",
	"WORKREQUEST_INSPECT":         "inspect work-requests",
	"DNS_ZONE_READ":               "read dns-zones",
	"DNS_RECORD_READ":             "use dns-records",
	"DNS_RECORD_UPDATE":           "use dns-records",
}

// unseen are permissions that no call uses without making or removing
// something.
var unseen = []string{ //nolint:gochecknoglobals // never changed
	"INSTANCE_CREATE", "INSTANCE_DELETE", "INSTANCE_IMAGE_READ", "VNIC_CREATE", "VNIC_ATTACH", "VNIC_DELETE", "SUBNET_ATTACH", "SUBNET_DETACH",
	"VOLUME_DELETE", "CONSOLE_HISTORY_CREATE", "CONSOLE_HISTORY_DELETE",
}

// dispensable are permissions that only checks use.
var dispensable = []string{"COMPARTMENT_INSPECT", "RESOURCE_AVAILABILITY_READ"} //nolint:gochecknoglobals // never changed

// remedyFor is the statement that grants a permission.
func remedyFor(permission string) string {
	what := statements[permission]
	if !strings.Contains(what, " in ") {
		what += " in compartment NAME"
	}
	return "add the policy statement: Allow group GROUP to " + what
}

// evidence is what calls have shown of the permissions: a call that works proves
// all that it needs. The service never names the one that a refused call lacks.
type evidence struct {
	proven  map[string]bool
	refused [][]string // what each refused call needs
}

func (e *evidence) worked(needs ...string) {
	for _, p := range needs {
		e.proven[p] = true
	}
}

func (e *evidence) failed(needs ...string) { e.refused = append(e.refused, needs) }

// lacking are the permissions of which each refused call lacks one: groups of
// those that could be it. A group that holds another one says nothing new.
func (e *evidence) lacking() [][]string {
	var groups [][]string
	for _, needs := range e.refused {
		var open []string
		for _, p := range needs {
			if !e.proven[p] {
				open = append(open, p)
			}
		}
		if len(open) == 0 { // proven elsewhere: the grant has a narrower place
			open = needs
		}
		slices.Sort(open)
		groups = append(groups, open)
	}
	slices.SortStableFunc(groups, func(a, b []string) int { return len(a) - len(b) })
	var out [][]string
	for _, g := range groups {
		holds := func(other []string) bool {
			return !slices.ContainsFunc(other, func(p string) bool { return !slices.Contains(g, p) })
		}
		if !slices.ContainsFunc(out, holds) {
			out = append(out, g)
		}
	}
	return out
}

// findings are the permissions that are lacking, one line each.
func (e *evidence) findings() []provider.Finding {
	var out []provider.Finding
	for _, group := range e.lacking() {
		f := provider.Finding{
			Subject: "permission " + strings.Join(group, " or "), Verdict: provider.VerdictFailed,
			Message: "the credentials lack it", Remedy: remedyFor(group[0]),
		}
		if slices.Contains(dispensable, group[0]) {
			f.Verdict, f.Message = provider.VerdictWarning, "the credentials lack it, which only this check has a use for"
		}
		out = append(out, f)
	}
	return out
}
