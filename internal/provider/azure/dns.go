package azure

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// DNSSettings are what Azure DNS needs.
type DNSSettings struct {
	dns.Settings
	Account
	ResourceGroup string `json:"resource_group" maxLength:"90" pattern:"^[-\\w._()]*[-\\w_()]$" patternDescription:"the name of a resource group, not its id" doc:"Resource group of the DNS zone." example:"dns"`
}

// Validate implements settings.Validator.
func (s *DNSSettings) Validate() []fleet.FieldError { return s.Account.Validate() }

// dnsActions are what the app needs on the zone.
var dnsActions = []string{
	"Microsoft.Network/dnsZones/A/delete", "Microsoft.Network/dnsZones/A/read", "Microsoft.Network/dnsZones/A/write",
	"Microsoft.Network/dnsZones/AAAA/delete", "Microsoft.Network/dnsZones/AAAA/read", "Microsoft.Network/dnsZones/AAAA/write",
	"Microsoft.Network/dnsZones/TXT/delete", "Microsoft.Network/dnsZones/TXT/read", "Microsoft.Network/dnsZones/TXT/write",
	"Microsoft.Network/dnsZones/all/read", "Microsoft.Network/dnsZones/read",
}

// DNSKind describes Azure DNS. The role DNS Zone Contributor has the actions that
// it needs, dnsActions.
func DNSKind() dns.Kind {
	return dns.KindOf(dns.Kind{
		Name: KindName, Title: "Azure DNS", About: "Records of a public zone in Azure DNS.",
		// What the service takes in a minute is not published; it answers 429 above it.
		RateLimit: 2,
		Batch:     6, // each name takes two requests, a look and a change
	}, openDNS)
}

func openDNS(ctx context.Context, s DNSSettings) (dns.Service, error) {
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	f, err := armdns.NewClientFactory(s.SubscriptionID, nil, o)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the connection to Azure cannot be set up: %w", err)
	}
	d, err := open(ctx, Settings{Account: s.Account, ResourceGroup: s.ResourceGroup}, provider.Host{Now: func() time.Time { return time.Time{} }}) // answers bear their own date
	if err != nil {
		return nil, err
	}
	return &names{d: d, group: s.ResourceGroup, zones: f.NewZonesClient(), sets: f.NewRecordSetsClient()}, nil
}

// names writes record sets, each by a request of its own: the service has no
// other way.
type names struct {
	d     *driver // for permissions
	group string
	zones *armdns.ZonesClient
	sets  *armdns.RecordSetsClient
}

// attempts is how often a change is made up anew when somebody else changed the
// same records between the look and the change.
const attempts = 3

// fault classifies an error; how long to wait after throttling is said by the
// service.
func (n *names) fault(err error) error {
	out := classify(err, n.d.now())
	if isGone(err) {
		return provider.Errorf(provider.NotFound, "the zone is not in resource group %s: make it there, or correct zone and resource_group (%w)", n.group, out)
	}
	return out
}

// Check implements dns.Service.
func (n *names) Check(ctx context.Context, zone string) (provider.Report, error) {
	r := &report{d: n.d, lacked: map[string]bool{}}
	scope := n.d.settings.group(n.group) + "/providers/Microsoft.Network/dnsZones/" + zone
	z, err := n.zones.Get(ctx, n.group, zone, nil)
	found, fatal := r.look("zone "+zone, "Microsoft.Network/dnsZones/read", scope, err, "make the zone (az network dns zone create), or correct zone and resource_group")
	if fatal != nil {
		return provider.Report{}, fatal
	}
	if !found && statusOf(err) == http.StatusNotFound {
		return r.Report, nil
	}
	all, err := n.d.permissions(ctx, scope)
	if err != nil {
		fault := n.fault(err)
		if provider.ClassOf(fault) != provider.Forbidden {
			return provider.Report{}, fault
		}
		r.lack("Microsoft.Authorization/permissions/read", scope)
		return r.Report, nil
	}
	for _, action := range dnsActions {
		if !allows(all, action) {
			r.lack(action, scope)
		}
	}
	if p := z.Properties; found && p != nil {
		switch have, most := val(p.NumberOfRecordSets), val(p.MaxNumberOfRecordSets); {
		case val(p.ZoneType) == armdns.ZoneTypePrivate:
			r.failed("zone "+zone, "is a private zone", "take a public one")
		case most > 0 && have >= most:
			r.failed("zone "+zone, fmt.Sprintf("holds %d record sets of at most %d", have, most), "take another zone for machines, or ask Microsoft to raise the limit")
		case len(r.Findings) == 0:
			r.ok("zone "+zone, "%d record sets of at most %d", have, most)
		}
	}
	return r.Report, nil
}

// Records implements dns.Service.
func (n *names) Records(ctx context.Context, zone string) ([]dns.Record, error) {
	var out []dns.Record
	pages := n.sets.NewListAllByDNSZonePager(n.group, zone, &armdns.RecordSetsClientListAllByDNSZoneOptions{Top: to.Ptr[int32](500)})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, n.fault(err)
		}
		for _, s := range page.Value {
			out = append(out, recordsOf(s)...)
		}
	}
	return out, nil
}

// recordsOf are the records of a set, as far as Headroom knows their types.
func recordsOf(s *armdns.RecordSet) []dns.Record {
	p := s.Properties
	if p == nil {
		return nil
	}
	key := dns.Key{Name: strings.ToLower(val(s.Name)), Type: tail(val(s.Type))}
	ttl := time.Duration(val(p.TTL)) * time.Second
	var out []dns.Record
	add := func(value string) { out = append(out, dns.Record{Key: key, Value: value, TTL: ttl}) }
	for _, a := range p.ARecords {
		add(val(a.IPv4Address))
	}
	for _, a := range p.AaaaRecords {
		add(val(a.IPv6Address))
	}
	for _, t := range p.TxtRecords {
		var text strings.Builder
		for _, piece := range t.Value {
			text.WriteString(val(piece))
		}
		add(text.String())
	}
	if len(out) == 0 { // another type, or an alias: there is something
		add("")
	}
	return out
}

// Set implements dns.Service.
func (n *names) Set(ctx context.Context, zone string, records []dns.Record) error {
	for _, s := range dns.Sets(records) {
		p := &armdns.RecordSetProperties{TTL: to.Ptr(max(int64(s.TTL/time.Second), 1))}
		for _, value := range s.Values {
			switch s.Type {
			case "A":
				p.ARecords = append(p.ARecords, &armdns.ARecord{IPv4Address: to.Ptr(value)})
			case "AAAA":
				p.AaaaRecords = append(p.AaaaRecords, &armdns.AaaaRecord{IPv6Address: to.Ptr(value)})
			case "TXT":
				p.TxtRecords = append(p.TxtRecords, &armdns.TxtRecord{Value: to.SliceOfPtrs(pieces(value)...)})
			default:
				return provider.Errorf(provider.Invalid, "records of type %s are not written", s.Type)
			}
		}
		if err := n.change(ctx, zone, s.Key, p); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements dns.Service.
func (n *names) Delete(ctx context.Context, zone string, keys []dns.Key) error {
	for _, key := range keys {
		if err := n.change(ctx, zone, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// change makes a record set be the wanted one, nil for none. It looks first, and
// changes only what it has seen: somebody else's change in between is not undone
// unseen.
func (n *names) change(ctx context.Context, zone string, key dns.Key, want *armdns.RecordSetProperties) error {
	kind := armdns.RecordType(key.Type)
	for try := 1; ; try++ {
		got, err := n.sets.Get(ctx, n.group, zone, key.Name, kind, nil)
		there := err == nil
		switch {
		case err == nil:
		case statusOf(err) == http.StatusNotFound && codeOf(err) == "NotFound":
		default:
			return n.fault(err)
		}
		etag := val(got.Etag)
		switch {
		case want == nil && !there, want != nil && there && same(got.Properties, want):
			return nil
		case want == nil:
			_, err = n.sets.Delete(ctx, n.group, zone, key.Name, kind, &armdns.RecordSetsClientDeleteOptions{IfMatch: &etag})
		case there:
			_, err = n.sets.CreateOrUpdate(ctx, n.group, zone, key.Name, kind, armdns.RecordSet{Properties: want}, &armdns.RecordSetsClientCreateOrUpdateOptions{IfMatch: &etag})
		default:
			_, err = n.sets.CreateOrUpdate(ctx, n.group, zone, key.Name, kind, armdns.RecordSet{Properties: want}, &armdns.RecordSetsClientCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")})
		}
		if err == nil {
			return nil
		}
		if clash := statusOf(err) == http.StatusPreconditionFailed || statusOf(err) == http.StatusConflict; !clash || try == attempts {
			return n.fault(err)
		}
	}
}

// same says that a set holds what is wanted and nothing else.
func same(have, want *armdns.RecordSetProperties) bool {
	if have == nil || have.TargetResource != nil || val(have.TTL) != val(want.TTL) {
		return false
	}
	values := func(p *armdns.RecordSetProperties) []string {
		var out []string
		for _, r := range recordsOf(&armdns.RecordSet{Properties: p}) {
			out = append(out, r.Value)
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(values(have), values(want))
}

// pieces cuts a text into what one string of a TXT record holds (RFC 1035, section
// 3.3).
func pieces(text string) []string {
	var out []string
	for first := true; first || text != ""; first = false {
		n := min(len(text), 255)
		for n < len(text) && n > 0 && text[n]&0xc0 == 0x80 { // JSON holds whole characters
			n--
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}
