package gcp

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	cloud "google.golang.org/api/dns/v1"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
)

// DNSSettings are what Cloud DNS needs.
type DNSSettings struct {
	dns.Settings
	Account
	ManagedZone string `json:"managed_zone,omitempty" maxLength:"63" pattern:"^[a-z]([-a-z0-9]*[a-z0-9])?$" patternDescription:"the name of a managed zone" doc:"Name of the managed zone. Empty: the public one whose DNS name is zone." example:"example-com"`
}

// dnsPermissions are what the service account needs in the project or on the
// managed zone.
var dnsPermissions = []string{
	"dns.changes.create", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update",
}

// DNSKind describes Cloud DNS. The role roles/dns.admin has the permissions that
// it needs: those of dnsPermissions and dns.managedZones.list.
func DNSKind() dns.Kind {
	return dns.KindOf(dns.Kind{
		Name: KindName, Title: "Google Cloud DNS", About: "Records of a managed zone in Cloud DNS.",
		RateLimit: 3,
		Batch:     10, // each name is read by a call of its own before the one change
	}, openDNS)
}

func openDNS(ctx context.Context, s DNSSettings) (dns.Service, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	api, err := cloud.NewService(ctx, s.options(client, "/")...)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the connection to Google Cloud cannot be set up: %w", err)
	}
	return &names{api: api, project: s.Project, managed: s.ManagedZone}, nil
}

// names writes record sets by changes that take effect as a whole.
type names struct {
	api              *cloud.Service
	project, managed string
}

// attempts is how often a change is made up anew when somebody else changed the
// same records between the look and the change.
const attempts = 3

// fault classifies an error; how long to wait after throttling is for the loop
// to say.
func (n *names) fault(err error) error { return classify(err, time.Time{}) }

// zone finds the managed zone. A private zone may have the same DNS name: it is
// meant only where it is named.
func (n *names) zone(ctx context.Context, zone string) (string, error) {
	if n.managed != "" {
		return n.managed, nil
	}
	var public, private []string
	err := n.api.ManagedZones.List(n.project).DnsName(zone+".").Pages(ctx, func(l *cloud.ManagedZonesListResponse) error {
		for _, z := range l.ManagedZones {
			switch {
			case z.DnsName != zone+".":
			case z.Visibility == "private":
				private = append(private, z.Name)
			default:
				public = append(public, z.Name)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return "", n.fault(err)
	case len(public) == 1:
		return public[0], nil
	case len(public) > 1:
		return "", provider.Errorf(provider.Invalid, "project %s has several public zones for %s (%s): name one in managed_zone", n.project, zone, strings.Join(public, ", "))
	case len(private) > 0:
		return "", provider.Errorf(provider.NotFound, "project %s has only private zones for %s (%s): name one in managed_zone if that is meant", n.project, zone, strings.Join(private, ", "))
	}
	return "", provider.Errorf(provider.NotFound, "project %s has no managed zone for %s: make it, or correct zone", n.project, zone)
}

// Check implements dns.Service.
func (n *names) Check(ctx context.Context, zone string) (provider.Report, error) {
	var r provider.Report
	add := func(verdict provider.Verdict, subject, message, remedy string) {
		r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
	}
	const role = "grant roles/dns.admin in the project or on the managed zone"
	managed, err := n.zone(ctx, zone)
	switch provider.ClassOf(err) {
	case provider.NotFound, provider.Invalid:
		add(provider.VerdictFailed, "zone "+zone, messageOf(err), "make a public managed zone with this DNS name, correct zone, or set managed_zone")
		return r, nil
	case provider.Forbidden:
		add(provider.VerdictFailed, "permission dns.managedZones.list", messageOf(err), role+", or name the zone in managed_zone")
		return r, nil
	default:
		if err != nil {
			return provider.Report{}, err
		}
	}
	got, err := n.api.ManagedZones.TestIamPermissions("projects/"+n.project+"/managedZones/"+managed, &cloud.GoogleIamV1TestIamPermissionsRequest{Permissions: dnsPermissions}).Context(ctx).Do()
	if err != nil {
		fault := n.fault(err)
		switch provider.ClassOf(fault) {
		case provider.NotFound:
			add(provider.VerdictFailed, "managed zone "+managed, "there is no such managed zone", "correct managed_zone, or leave it out")
			return r, nil
		case provider.Forbidden, provider.Invalid, provider.Unsupported:
			add(provider.VerdictWarning, "managed zone "+managed, "its permissions cannot be asked for: "+messageOf(fault), role)
			return r, nil
		}
		return provider.Report{}, fault
	}
	before := len(r.Findings)
	for _, p := range dnsPermissions {
		if !slices.Contains(got.Permissions, p) {
			add(provider.VerdictFailed, "permission "+p, "the service account lacks it on managed zone "+managed, role)
		}
	}
	if len(r.Findings) == before {
		add(provider.VerdictOK, "zone "+zone, "managed zone "+managed, "")
	}
	return r, nil
}

// Records implements dns.Service.
func (n *names) Records(ctx context.Context, zone string) ([]dns.Record, error) {
	managed, err := n.zone(ctx, zone)
	if err != nil {
		return nil, err
	}
	var out []dns.Record
	err = n.api.ResourceRecordSets.List(n.project, managed).Pages(ctx, func(l *cloud.ResourceRecordSetsListResponse) error {
		for _, s := range l.Rrsets {
			name, ok := dns.Relative(s.Name, zone)
			if !ok {
				continue
			}
			for _, data := range s.Rrdatas {
				r := dns.Record{Key: dns.Key{Name: name, Type: s.Type}, Value: data, TTL: time.Duration(s.Ttl) * time.Second}
				if s.Type == "TXT" {
					r.Value = dns.Unquote(data)
				}
				out = append(out, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, n.fault(err)
	}
	return out, nil
}

// Set implements dns.Service.
func (n *names) Set(ctx context.Context, zone string, records []dns.Record) error {
	var keys []dns.Key
	wanted := map[dns.Key]*cloud.ResourceRecordSet{}
	for _, s := range dns.Sets(records) {
		set := &cloud.ResourceRecordSet{Name: absolute(s.Name, zone), Type: s.Type, Ttl: max(int64(s.TTL/time.Second), 1), Rrdatas: s.Values}
		if s.Type == "TXT" {
			for i, text := range set.Rrdatas {
				set.Rrdatas[i] = dns.Quote(text)
			}
		}
		wanted[s.Key] = set
		keys = append(keys, s.Key)
	}
	return n.change(ctx, zone, keys, wanted)
}

// Delete implements dns.Service.
func (n *names) Delete(ctx context.Context, zone string, keys []dns.Key) error {
	return n.change(ctx, zone, keys, nil)
}

// change makes the record sets of the keys be the wanted ones, in one step.
func (n *names) change(ctx context.Context, zone string, keys []dns.Key, wanted map[dns.Key]*cloud.ResourceRecordSet) error {
	if len(keys) == 0 {
		return nil
	}
	managed, err := n.zone(ctx, zone)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		c := &cloud.Change{}
		for _, k := range keys {
			have, err := n.get(ctx, managed, absolute(k.Name, zone), k.Type)
			if err != nil {
				return err
			}
			want := wanted[k]
			if have != nil && want != nil && same(have, want) {
				continue
			}
			if have != nil {
				c.Deletions = append(c.Deletions, have)
			}
			if want != nil {
				c.Additions = append(c.Additions, want)
			}
		}
		if len(c.Additions)+len(c.Deletions) == 0 {
			return nil
		}
		_, err := n.api.Changes.Create(n.project, managed, c).Context(ctx).Do()
		status := statusOf(err)
		if err == nil {
			return nil
		}
		if clash := status == http.StatusConflict || status == http.StatusPreconditionFailed || status == http.StatusNotFound && len(c.Deletions) > 0; !clash || try == attempts {
			return n.fault(err)
		}
	}
}

// get reads one record set; nil when there is none.
func (n *names) get(ctx context.Context, managed, name, kind string) (*cloud.ResourceRecordSet, error) {
	list, err := n.api.ResourceRecordSets.List(n.project, managed).Name(name).Type(kind).Context(ctx).Do()
	if err != nil {
		return nil, n.fault(err)
	}
	for _, s := range list.Rrsets {
		if strings.EqualFold(s.Name, name) && s.Type == kind {
			// A deletion names the set as it is stored.
			return &cloud.ResourceRecordSet{Name: s.Name, Type: s.Type, Ttl: s.Ttl, Rrdatas: s.Rrdatas, RoutingPolicy: s.RoutingPolicy}, nil
		}
	}
	return nil, nil
}

func same(a, b *cloud.ResourceRecordSet) bool {
	x, y := slices.Sorted(slices.Values(a.Rrdatas)), slices.Sorted(slices.Values(b.Rrdatas))
	return a.Ttl == b.Ttl && a.RoutingPolicy == nil && slices.Equal(x, y)
}

func messageOf(err error) string {
	_, text, _ := strings.Cut(err.Error(), ": ")
	return text
}

func absolute(name, zone string) string {
	if name == "@" {
		return zone + "."
	}
	return name + "." + zone + "."
}
