package oci

import (
	"context"
	"strings"
	"time"

	cloud "github.com/oracle/oci-go-sdk/v65/dns"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const dnsVersion = "20180115"

// DNSSettings are what OCI DNS needs.
type DNSSettings struct {
	dns.Settings
	Account
	ZoneOCID string `json:"zone_ocid,omitempty" pattern:"^ocid1\\.dns-zone\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of a zone: ocid1.dns-zone.oc1.." maxLength:"255" group:"Zone" title:"Zone OCID" doc:"OCID of the zone. Empty: the public zone of that name, or the private one in view_ocid." example:"ocid1.dns-zone.oc1..aaaaaaaaexample"`
	ViewOCID string `json:"view_ocid,omitempty" pattern:"^ocid1\\.dnsview\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of a view: ocid1.dnsview.oc1.REGION." maxLength:"255" group:"Zone" title:"View" doc:"OCID of the view of a private zone, which only the networks of the view see. Empty: a public zone."`
}

// Validate implements settings.Validator.
func (s *DNSSettings) Validate() []fleet.FieldError {
	problems := s.Account.Validate()
	if s.ZoneOCID != "" && s.Auth != authPrincipal && s.TenancyOCID != "" && realmOf(s.ZoneOCID) != realmOf(s.TenancyOCID) {
		problems = append(problems, fleet.FieldError{Path: "zone_ocid", Value: s.ZoneOCID, Message: "is of realm " + realmOf(s.ZoneOCID) + " and the tenancy is of realm " + realmOf(s.TenancyOCID) + ": take both from the same console"})
	}
	return problems
}

// DNSKind describes OCI DNS. It needs these policy statements in the compartment
// of the zone:
//
//	Allow group GROUP to read dns-zones in compartment NAMES
//	Allow group GROUP to use dns-records in compartment NAMES
//
// https://docs.oracle.com/en-us/iaas/Content/Identity/policyreference/dnspolicyreference.htm
func DNSKind() dns.Kind {
	return dns.KindOf(dns.Kind{
		Name: KindName, Title: "Oracle Cloud DNS", About: "Records of a zone in OCI DNS, public or private.",
		RateLimit: 3,
		Batch:     10, // each name and type is a call
	}, openDNS)
}

func openDNS(_ context.Context, s DNSSettings) (dns.Service, error) {
	realm := realmOf(fleet.Or(fleet.Or(s.TenancyOCID, s.ZoneOCID), s.ViewOCID))
	c, err := s.connect(realm, time.Now) //nolint:forbidigo // the moment of an answer, for its Retry-After
	if err != nil {
		return nil, err
	}
	return &names{api: cloud.DnsClient{BaseClient: c.base("dns", dnsVersion)}, settings: s}, nil
}

// names writes the records of one name and type a call: UpdateRRSet makes them be
// exactly those given, whatever was there, and PatchRRSet removes them and
// does not mind when there are none. PatchZoneRecords would take many at once, but
// its additions and removals are conditions on the outcome, so that replacing a
// set by both would contradict itself, and it needs the right to change the zone
// besides. If-Match is not used: the version is the zone's, in which other people's
// names change at any time.
type names struct {
	api      cloud.DnsClient
	settings DNSSettings
}

// fault classifies an error. What is not found is the zone, or the right to see
// it.
func (n *names) fault(err error, zone string) error {
	err = classify(err)
	if isClass(err, provider.NotFound) {
		return provider.Errorf(provider.NotFound, "there is no zone %s, or the credentials may not see it; Oracle Cloud does not tell which (%w): make it, correct zone, zone_ocid or view_ocid, or grant read dns-zones and use dns-records in its compartment", zone, err)
	}
	return err
}

// target names the zone as the API wants it.
func (n *names) target(zone string) *string { return new(fleet.Or(n.settings.ZoneOCID, zone)) }

// view is what tells a private zone from the public one of its name.
func (n *names) view() *string {
	if n.settings.ViewOCID == "" {
		return nil
	}
	return &n.settings.ViewOCID
}

func (n *names) private() bool { return n.settings.ViewOCID != "" }

// Check implements dns.Service. A zone that is not there is told from a right that
// is missing by calls that need different ones.
func (n *names) Check(ctx context.Context, zone string) (provider.Report, error) {
	r := &report{evidence: evidence{proven: map[string]bool{}}}
	zoneReq := cloud.GetZoneRequest{ZoneNameOrId: n.target(zone), ViewId: n.view()}
	set := cloud.GetRRSetRequest{ZoneNameOrId: n.target(zone), ViewId: n.view(), Domain: &zone, Rtype: new("SOA")}
	if n.private() {
		zoneReq.Scope, set.Scope = cloud.GetZoneScopePrivate, cloud.GetRRSetScopePrivate
	}
	z, err := n.api.GetZone(ctx, zoneReq)
	zoneFound, fatal := r.look(err, "DNS_ZONE_READ")
	if fatal == nil {
		_, err = n.api.GetRRSet(ctx, set)
		var recordsFound bool
		recordsFound, fatal = r.look(err, "DNS_RECORD_READ")
		switch {
		case zoneFound && !recordsFound:
			r.failed("DNS_RECORD_READ")
		case !zoneFound && recordsFound:
			r.failed("DNS_ZONE_READ")
		case !zoneFound:
			r.add(provider.VerdictFailed, "zone "+zone, "there is no such zone, or the credentials may not see it; Oracle Cloud does not tell which", "make the zone, correct zone, zone_ocid or view_ocid, or add the policy statements of this provider's page for the compartment of the zone")
		}
	}
	switch {
	case isClass(fatal, provider.Unauthenticated):
		r.add(provider.VerdictFailed, "credentials", messageOf(fatal), "correct the account's settings, as the message says")
		return r.Report, nil
	case fatal != nil:
		return provider.Report{}, fatal
	}
	if zoneFound {
		judge(r, &z.Zone, zone)
	}
	r.Findings = append(r.Findings, r.findings()...)
	if r.OK() {
		r.add(provider.VerdictWarning, "permission DNS_RECORD_UPDATE", "whether it is granted cannot be seen without changing a record", remedyFor("DNS_RECORD_UPDATE")+"; the first name tells")
	}
	return r.Report, nil
}

// judge holds the zone that was found against the one that is meant.
func judge(r *report, z *cloud.Zone, zone string) {
	switch {
	case !strings.EqualFold(strings.TrimSuffix(fleet.Value(z.Name, ""), "."), zone):
		r.add(provider.VerdictFailed, "zone_ocid", "is the zone "+fleet.Value(z.Name, "")+", and zone is "+zone, "correct one of them")
	case z.ZoneType != cloud.ZoneZoneTypePrimary:
		r.add(provider.VerdictFailed, "zone "+zone, "is a "+string(z.ZoneType)+" zone, whose records are kept elsewhere", "take a primary zone")
	case z.LifecycleState != cloud.ZoneLifecycleStateActive && z.LifecycleState != cloud.ZoneLifecycleStateUpdating:
		r.add(provider.VerdictFailed, "zone "+zone, "its state is "+string(z.LifecycleState), "wait until it is active, or take another zone")
	default:
		r.ok("zone "+zone, "%s zone %s", strings.ToLower(string(z.Scope)), fleet.Value(z.Id, ""))
	}
}

func (n *names) list(zone string) cloud.GetZoneRecordsRequest {
	out := cloud.GetZoneRecordsRequest{ZoneNameOrId: n.target(zone), ViewId: n.view(), Limit: new(int64(100))}
	if n.private() {
		out.Scope = cloud.GetZoneRecordsScopePrivate
	}
	return out
}

// Records implements dns.Service.
func (n *names) Records(ctx context.Context, zone string) ([]dns.Record, error) {
	var out []dns.Record
	req := n.list(zone)
	for {
		list, err := n.api.GetZoneRecords(ctx, req)
		if err != nil {
			return nil, n.fault(err, zone)
		}
		for _, r := range list.Items {
			name, ok := dns.Relative(fleet.Value(r.Domain, ""), zone)
			if !ok {
				continue
			}
			rec := dns.Record{Key: dns.Key{Name: name, Type: fleet.Value(r.Rtype, "")}, Value: fleet.Value(r.Rdata, ""), TTL: time.Duration(fleet.Value(r.Ttl, 0)) * time.Second}
			if rec.Type == "TXT" {
				rec.Value = dns.Unquote(rec.Value)
			}
			out = append(out, rec)
		}
		next := fleet.Value(list.OpcNextPage, "")
		if next == "" {
			return out, nil
		}
		if next == fleet.Value(req.Page, "") {
			return nil, provider.Errorf(provider.Unavailable, "the list of records does not get on: a page names itself as the next one")
		}
		req.Page = &next
	}
}

// Set implements dns.Service.
func (n *names) Set(ctx context.Context, zone string, records []dns.Record) error {
	for _, s := range dns.Sets(records) {
		req := cloud.UpdateRRSetRequest{ZoneNameOrId: n.target(zone), ViewId: n.view(), Domain: new(absolute(s.Name, zone)), Rtype: new(s.Type)}
		for _, value := range s.Values {
			if s.Type == "TXT" {
				value = dns.Quote(value)
			}
			req.Items = append(req.Items, cloud.RecordDetails{Domain: req.Domain, Rtype: req.Rtype, Rdata: &value, Ttl: new(max(int(s.TTL/time.Second), 1))})
		}
		if n.private() {
			req.Scope = cloud.UpdateRRSetScopePrivate
		}
		if _, err := n.api.UpdateRRSet(ctx, req); err != nil {
			return n.fault(err, zone)
		}
	}
	return nil
}

// Delete implements dns.Service.
func (n *names) Delete(ctx context.Context, zone string, keys []dns.Key) error {
	for _, k := range keys {
		domain := absolute(k.Name, zone)
		req := cloud.PatchRRSetRequest{
			ZoneNameOrId: n.target(zone), ViewId: n.view(), Domain: &domain, Rtype: new(k.Type),
			PatchRrSetDetails: cloud.PatchRrSetDetails{Items: []cloud.RecordOperation{{Domain: &domain, Rtype: new(k.Type), Operation: cloud.RecordOperationOperationRemove}}},
		}
		if n.private() {
			req.Scope = cloud.PatchRRSetScopePrivate
		}
		if _, err := n.api.PatchRRSet(ctx, req); err != nil {
			return n.fault(err, zone)
		}
	}
	return nil
}

func absolute(name, zone string) string {
	if name == "@" {
		return zone
	}
	return name + "." + zone
}
