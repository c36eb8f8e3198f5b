package fakeoci

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/dns"
)

// zone is a zone of OCI DNS. view is empty for public ones.
type zone struct {
	id, name, view string
	version        int
	records        []dns.Record
}

func (t *Tenancy) addZone(name, view string) *zone {
	z := &zone{id: t.server.id("dns-zone", ""), name: name, view: view, version: 1}
	z.records = []dns.Record{record(name, "SOA", 300, "ns1.p68.dns.oraclecloud.net. hostmaster."+name+". 1 3600 600 604800 1800"), record(name, "NS", 86400, "ns1.p68.dns.oraclecloud.net.")}
	t.zones[z.id] = z
	return z
}

func record(domain, kind string, ttl int, data string) dns.Record {
	return dns.Record{Domain: &domain, Rtype: &kind, Ttl: &ttl, Rdata: &data, IsProtected: new(kind == "SOA" || kind == "NS"), RecordHash: new(domain + kind + data), RrsetVersion: new("1")}
}

// find finds a zone by its OCID, or by its name and view.
func (t *Tenancy) find(nameOrID string, scope string, view *string) *zone {
	if z := t.zones[nameOrID]; z != nil {
		return z
	}
	for _, id := range sortedKeys(t.zones) {
		z := t.zones[id]
		private := scope == "PRIVATE"
		if z.name == strings.TrimSuffix(strings.ToLower(nameOrID), ".") && (z.view == "" && !private || private && view != nil && *view == z.view) {
			return z
		}
	}
	return nil
}

func (z *zone) summary(t *Tenancy) dns.ZoneSummary {
	out := dns.ZoneSummary{
		Name: &z.name, ZoneType: dns.ZoneSummaryZoneTypePrimary, CompartmentId: &t.Compartment, Scope: dns.ScopeGlobal, FreeformTags: map[string]string{}, DefinedTags: map[string]map[string]any{},
		ResolutionMode: dns.ZoneResolutionModeStatic, DnssecState: dns.ZoneDnssecStateDisabled, Self: new("/zones/" + z.id), Id: &z.id, TimeCreated: stamp(t.server.now()),
		Version: new(strconv.Itoa(z.version)), Serial: new(int64(z.version)), LifecycleState: dns.ZoneSummaryLifecycleStateActive, IsProtected: new(false),
	}
	if z.view != "" {
		out.Scope, out.ViewId = dns.ScopePrivate, &z.view
	}
	return out
}

func (t *Tenancy) getZone(r dns.GetZoneRequest) reply {
	z := t.find(*r.ZoneNameOrId, string(r.Scope), r.ViewId)
	if z == nil {
		return absent()
	}
	s := z.summary(t)
	out := ok(dns.Zone{
		Name: s.Name, ZoneType: dns.ZoneZoneTypePrimary, CompartmentId: s.CompartmentId, Scope: s.Scope, FreeformTags: s.FreeformTags, DefinedTags: s.DefinedTags,
		ResolutionMode: s.ResolutionMode, DnssecState: s.DnssecState, ExternalMasters: []dns.ExternalMaster{}, ExternalDownstreams: []dns.ExternalDownstream{}, Self: s.Self, Id: s.Id,
		TimeCreated: s.TimeCreated, Version: s.Version, Serial: s.Serial, LifecycleState: dns.ZoneLifecycleStateActive, IsProtected: s.IsProtected, Nameservers: []dns.Nameserver{{Hostname: new("ns1")}}, ViewId: s.ViewId,
	})
	out.header = map[string]string{"Etag": strconv.Itoa(z.version)}
	return out
}

func (t *Tenancy) zoneRecords(r dns.GetZoneRecordsRequest) reply {
	z := t.find(*r.ZoneNameOrId, string(r.Scope), r.ViewId)
	if z == nil {
		return absent()
	}
	all := without(z.records, func(o dns.Record) bool {
		return r.Domain != nil && *o.Domain != *r.Domain || r.Rtype != nil && *o.Rtype != *r.Rtype
	})
	var limit *int
	if r.Limit != nil {
		limit = new(int(*r.Limit))
	}
	out := paged(all, limit, r.Page)
	if items, is := out.body.([]dns.Record); is {
		out.body = dns.RecordCollection{Items: items}
	}
	out.header = map[string]string{"Etag": strconv.Itoa(z.version)}
	return out
}

func (z *zone) has(domain string) bool {
	return (domain == z.name || strings.HasSuffix(domain, "."+z.name)) && !strings.HasSuffix(domain, ".")
}

func (z *zone) changed(t *Tenancy) reply {
	z.version++
	out := ok(dns.RecordCollection{Items: append([]dns.Record{}, z.records...)})
	out.header = map[string]string{"Etag": strconv.Itoa(z.version)}
	return out
}

func (t *Tenancy) getSet(r dns.GetRRSetRequest) reply {
	z := t.find(*r.ZoneNameOrId, string(r.Scope), r.ViewId)
	if z == nil {
		return absent()
	}
	items := without(z.records, func(o dns.Record) bool { return *o.Domain != *r.Domain || *o.Rtype != *r.Rtype })
	return ok(dns.RrSet{Items: append([]dns.Record{}, items...)})
}

// updateSet makes the records of a domain and type be those given.
func (t *Tenancy) updateSet(r dns.UpdateRRSetRequest) reply {
	z := t.find(*r.ZoneNameOrId, string(r.Scope), r.ViewId)
	switch {
	case z == nil:
		return absent()
	case r.IfMatch != nil && *r.IfMatch != strconv.Itoa(z.version):
		return fault(http.StatusPreconditionFailed, "NoEtagMatch", "The etag does not match")
	case !z.has(*r.Domain):
		return invalid("domain is outside of the zone, or ends with a dot")
	case len(r.Items) == 0:
		return invalid("no records are given")
	}
	records := without(z.records, func(o dns.Record) bool { return *o.Domain == *r.Domain && *o.Rtype == *r.Rtype })
	for _, i := range r.Items {
		switch {
		case *i.Domain != *r.Domain || *i.Rtype != *r.Rtype:
			return invalid("a record is of another domain or type than the path")
		case *i.Ttl != *r.Items[0].Ttl || *i.Ttl < 1:
			return invalid("the records of a set have one time to live, of at least a second")
		case *i.Rtype == "TXT" && !strings.HasPrefix(*i.Rdata, `"`):
			return invalid("texts are in quotes")
		}
		records = append(records, record(*i.Domain, *i.Rtype, *i.Ttl, *i.Rdata))
	}
	z.records = records
	return z.changed(t)
}

// patchSet applies removals, all that a driver asks for.
func (t *Tenancy) patchSet(r dns.PatchRRSetRequest) reply {
	z := t.find(*r.ZoneNameOrId, string(r.Scope), r.ViewId)
	switch {
	case z == nil:
		return absent()
	case !z.has(*r.Domain):
		return invalid("domain is outside of the zone, or ends with a dot")
	}
	for _, o := range r.Items {
		if o.Operation != dns.RecordOperationOperationRemove || o.Domain == nil || *o.Domain != *r.Domain || o.Rtype == nil || *o.Rtype != *r.Rtype {
			return invalid("an operation is none, or of another domain or type than the path")
		}
		z.records = without(z.records, func(have dns.Record) bool {
			return *have.Domain == *o.Domain && *have.Rtype == *o.Rtype && !*have.IsProtected
		})
	}
	return z.changed(t)
}

// Records lists the records of example.com as text, without those that every
// zone has.
func (t *Tenancy) Records() []string { return t.RecordsOf("") }

// RecordsOf lists those of the zone in a view; empty: the public one.
func (t *Tenancy) RecordsOf(view string) []string {
	defer t.locked()()
	var out []string
	for _, z := range t.zones {
		for _, r := range z.records {
			if z.view == view && *r.Rtype != "NS" && *r.Rtype != "SOA" {
				out = append(out, fmt.Sprintf("%s %s %d %s", *r.Domain, *r.Rtype, *r.Ttl, *r.Rdata))
			}
		}
	}
	slices.Sort(out)
	return out
}

// AddRecord puts a record there as somebody else would.
func (t *Tenancy) AddRecord(domain, kind string, ttl int, data string) {
	defer t.locked()()
	z := t.find("example.com", "", nil)
	z.records = append(z.records, record(domain, kind, ttl, data))
	z.version++
}

// PrivateZone makes a private zone of a name in a view and answers its OCID.
func (t *Tenancy) PrivateZone(name, view string) string {
	defer t.locked()()
	return t.addZone(name, view).id
}
