package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go/logging"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// DNSSettings are what Route 53 needs.
type DNSSettings struct {
	dns.Settings
	Account
	HostedZoneID string `json:"hosted_zone_id,omitempty" pattern:"^(/hostedzone/)?Z[A-Z0-9]{1,31}$" patternDescription:"the id of a hosted zone, which begins with Z" doc:"Hosted zone. Empty: the public one whose name is zone." example:"Z0123456789ABCDEFGHIJ"`
	Region       string `json:"region,omitempty" default:"us-east-1" pattern:"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$" patternDescription:"the name of a region, such as eu-central-1" advanced:"true" doc:"Decides on the partition of AWS (cn-… for China, us-gov-… for GovCloud) and on the token service that assumes the role. Route 53 itself has no regions."`
}

// Validate implements settings.Validator.
func (s *DNSSettings) Validate() []fleet.FieldError { return s.Account.Validate() }

// DNSKind describes Route 53. It needs route53:ListResourceRecordSets and
// route53:ChangeResourceRecordSets on the hosted zone, and without hosted_zone_id
// route53:ListHostedZonesByName.
func DNSKind() dns.Kind {
	return dns.KindOf(dns.Kind{
		Name: KindName, Title: "Amazon Route 53", About: "Records of a hosted zone in Route 53.",
		// Route 53 takes five calls a second of an account. A deletion in a large zone
		// reads each of its names.
		// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests
		RateLimit: 1,
		Batch:     10,
	}, openDNS)
}

func openDNS(_ context.Context, s DNSSettings) (dns.Service, error) {
	region := s.Region
	if region == "" {
		region = "us-east-1"
	}
	c, err := s.open(region)
	if err != nil {
		return nil, err
	}
	return &names{clients: c, id: strings.TrimPrefix(s.HostedZoneID, "/hostedzone/"), api: route53.New(route53.Options{
		Region: region, HTTPClient: c.http, Credentials: c.keys, Retryer: aws.NopRetryer{}, BaseEndpoint: base(s.Endpoint),
		Logger: logging.Nop{}, DisableClockSkewCorrection: true,
	})}, nil
}

// names writes record sets by changes that take effect as a whole.
type names struct {
	*clients
	api *route53.Client
	id  string // of the hosted zone; empty: found by its name
}

const (
	// attempts is how often a deletion is made up anew when somebody else changed the
	// same records between the look and the change.
	attempts = 3

	recordPage = 300 // the most that one call lists
)

func (n *names) fault(ctx context.Context, err error) error {
	var batch *types.InvalidChangeBatch
	if !errors.As(err, &batch) {
		return n.clients.fault(ctx, err)
	}
	text := strings.Join(append([]string{aws.ToString(batch.Message)}, batch.Messages...), "; ")
	out := &provider.Error{Class: provider.Invalid, Cause: err, Message: "InvalidChangeBatch: " + strings.Trim(text, "; ")}
	for _, sign := range []string{"but it was not found", "do not match the current values", "already exists"} {
		if strings.Contains(text, sign) {
			out.Class = provider.Conflict
		}
	}
	return out
}

// zone finds the hosted zone. A private zone may have the same name: it is meant
// only where its id is given.
func (n *names) zone(ctx context.Context, zone string) (string, error) {
	if n.id != "" {
		return n.id, nil
	}
	var public, private []string
	in := &route53.ListHostedZonesByNameInput{DNSName: aws.String(zone + ".")}
	for more := true; more; {
		out, err := n.api.ListHostedZonesByName(ctx, in)
		if err != nil {
			return "", n.fault(ctx, err)
		}
		more = out.IsTruncated && unescaped(aws.ToString(out.NextDNSName)) == zone+"."
		in.DNSName, in.HostedZoneId = out.NextDNSName, out.NextHostedZoneId
		for _, z := range out.HostedZones {
			id := strings.TrimPrefix(aws.ToString(z.Id), "/hostedzone/")
			switch {
			case unescaped(aws.ToString(z.Name)) != zone+".":
				more = false // zones of one name stand together
			case z.Config != nil && z.Config.PrivateZone:
				private = append(private, id)
			default:
				public = append(public, id)
			}
		}
	}
	switch {
	case len(public) == 1:
		return public[0], nil
	case len(public) > 1:
		return "", provider.Errorf(provider.Invalid, "the account has several public hosted zones for %s (%s): give the id of the one to which the domain is delegated in hosted_zone_id", zone, strings.Join(public, ", "))
	case len(private) > 0:
		return "", provider.Errorf(provider.NotFound, "the account has only private hosted zones for %s (%s): give the id of one in hosted_zone_id if that is meant", zone, strings.Join(private, ", "))
	}
	return "", provider.Errorf(provider.NotFound, "the account has no hosted zone for %s: make it, or correct zone", zone)
}

// Check implements dns.Service. Route 53 has no dry runs: the right to write
// shows with the first name.
func (n *names) Check(ctx context.Context, zone string) (provider.Report, error) {
	r := &report{lacked: map[string]bool{}}
	id, err := n.zone(ctx, zone)
	switch provider.ClassOf(err) {
	case provider.NotFound, provider.Invalid:
		r.fail("zone "+zone, messageOf(err), "make a public hosted zone of this name, correct zone, or set hosted_zone_id")
		return r.Report, nil
	case provider.Forbidden:
		r.lack("route53:ListHostedZonesByName", err)
		r.Findings[len(r.Findings)-1].Remedy += ", or name the zone in hosted_zone_id"
		return r.Report, nil
	default:
		if err != nil {
			return provider.Report{}, err
		}
	}
	out, err := n.api.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String(id), MaxItems: aws.Int32(1)})
	if err != nil {
		fault := n.fault(ctx, err)
		switch provider.ClassOf(fault) {
		case provider.NotFound, provider.Invalid:
			r.fail("hosted zone "+id, "there is no such hosted zone in the account", "correct hosted_zone_id, or leave it out")
			return r.Report, nil
		case provider.Forbidden:
			r.fail("permission route53:ListResourceRecordSets", "the credentials may not do it", line("route53:ListResourceRecordSets", "arn:aws:route53:::hostedzone/"+id))
			return r.Report, nil
		}
		return provider.Report{}, fault
	}
	if len(out.ResourceRecordSets) > 0 { // the first is the zone's own
		if name := unescaped(aws.ToString(out.ResourceRecordSets[0].Name)); name != zone+"." {
			r.fail("hosted zone "+id, "is the zone of "+name, "correct hosted_zone_id, or leave it out")
			return r.Report, nil
		}
	}
	r.ok("zone "+zone, "hosted zone %s; that route53:ChangeResourceRecordSets is granted on it shows with the first name", id)
	return r.Report, nil
}

// Records implements dns.Service.
func (n *names) Records(ctx context.Context, zone string) ([]dns.Record, error) {
	id, err := n.zone(ctx, zone)
	if err != nil {
		return nil, err
	}
	var out []dns.Record
	err = n.list(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String(id), MaxItems: aws.Int32(recordPage)}, func(s types.ResourceRecordSet) {
		name, ok := dns.Relative(unescaped(aws.ToString(s.Name)), zone)
		if !ok {
			return
		}
		for _, v := range s.ResourceRecords { // an alias has none
			r := dns.Record{Key: dns.Key{Name: name, Type: string(s.Type)}, Value: aws.ToString(v.Value), TTL: time.Duration(aws.ToInt64(s.TTL)) * time.Second}
			if s.Type == types.RRTypeTxt {
				r.Value = unquoted(r.Value)
			}
			out = append(out, r)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// list yields all pages from where the input says.
func (n *names) list(ctx context.Context, in *route53.ListResourceRecordSetsInput, each func(types.ResourceRecordSet)) error {
	for {
		out, err := n.api.ListResourceRecordSets(ctx, in)
		if err != nil {
			return n.fault(ctx, err)
		}
		for _, s := range out.ResourceRecordSets {
			each(s)
		}
		if !out.IsTruncated {
			return nil
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
}

// Set implements dns.Service: an UPSERT of each record set.
func (n *names) Set(ctx context.Context, zone string, records []dns.Record) error {
	if len(records) == 0 {
		return nil
	}
	id, err := n.zone(ctx, zone)
	if err != nil {
		return err
	}
	batch := &types.ChangeBatch{}
	for _, s := range dns.Sets(records) {
		set := &types.ResourceRecordSet{Name: aws.String(absolute(s.Name, zone)), Type: types.RRType(s.Type), TTL: aws.Int64(max(int64(s.TTL/time.Second), 1))}
		for _, value := range s.Values {
			if set.Type == types.RRTypeTxt {
				value = quoted(value)
			}
			set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: aws.String(value)})
		}
		batch.Changes = append(batch.Changes, types.Change{Action: types.ChangeActionUpsert, ResourceRecordSet: set})
	}
	_, err = n.api.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: aws.String(id), ChangeBatch: batch})
	if err != nil {
		return n.fault(ctx, err)
	}
	return nil
}

// Delete implements dns.Service. Route 53 deletes what is named whole, with its
// values: they are read first.
func (n *names) Delete(ctx context.Context, zone string, keys []dns.Key) error {
	if len(keys) == 0 {
		return nil
	}
	id, err := n.zone(ctx, zone)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		sets, err := n.find(ctx, id, zone, keys)
		if err != nil || len(sets) == 0 {
			return err
		}
		batch := &types.ChangeBatch{}
		for i := range sets {
			batch.Changes = append(batch.Changes, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: &sets[i]})
		}
		_, err = n.api.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: aws.String(id), ChangeBatch: batch})
		if err == nil {
			return nil
		}
		if fault := n.fault(ctx, err); provider.ClassOf(fault) != provider.Conflict || try == attempts {
			return fault
		}
	}
}

// find reads the record sets of the keys, as they are stored: a small zone in one
// call, a large one by a call for each name.
func (n *names) find(ctx context.Context, id, zone string, keys []dns.Key) ([]types.ResourceRecordSet, error) {
	wanted := map[dns.Key]bool{}
	var order []string
	for _, k := range keys {
		wanted[k] = true
		if !slices.Contains(order, k.Name) {
			order = append(order, k.Name)
		}
	}
	var out []types.ResourceRecordSet
	take := func(list []types.ResourceRecordSet, only string) {
		for _, s := range list {
			name, ok := dns.Relative(unescaped(aws.ToString(s.Name)), zone)
			if ok && wanted[dns.Key{Name: name, Type: string(s.Type)}] && (only == "" || only == name) {
				out = append(out, s)
			}
		}
	}
	whole, err := n.api.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String(id), MaxItems: aws.Int32(recordPage)})
	if err != nil {
		return nil, n.fault(ctx, err)
	}
	if !whole.IsTruncated {
		take(whole.ResourceRecordSets, "")
		return out, nil
	}
	for _, name := range order {
		in := &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String(id), StartRecordName: aws.String(absolute(name, zone)), MaxItems: aws.Int32(recordPage)}
		for more := true; more; {
			list, err := n.api.ListResourceRecordSets(ctx, in)
			if err != nil {
				return nil, n.fault(ctx, err)
			}
			take(list.ResourceRecordSets, name)
			// The record sets of a name stand together.
			next, ok := dns.Relative(unescaped(aws.ToString(list.NextRecordName)), zone)
			more = list.IsTruncated && ok && next == name
			in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = list.NextRecordName, list.NextRecordType, list.NextRecordIdentifier
		}
	}
	return out, nil
}

func absolute(name, zone string) string {
	if name == "@" {
		return zone + "."
	}
	return name + "." + zone + "."
}

// quoted is a text as Route 53 takes it: in pieces of at most 255 bytes, with what
// is neither printable nor ASCII as octal numbers.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#TXTFormat
func quoted(text string) string {
	var pieces []string
	for first := true; first || text != ""; first = false {
		n := min(len(text), 255)
		var b strings.Builder
		for i := range n {
			switch c := text[i]; {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, `\%03o`, c)
			default:
				b.WriteByte(c)
			}
		}
		pieces = append(pieces, `"`+b.String()+`"`)
		text = text[n:]
	}
	return strings.Join(pieces, " ")
}

// unquoted undoes quoted.
func unquoted(data string) string {
	var out strings.Builder
	inside := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\\':
			b, n := escape(data[i:])
			out.WriteByte(b)
			i += n - 1
		case c == '"':
			inside = !inside
		case c == ' ' && !inside && strings.Contains(data, `"`):
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// unescaped is a name as people write it: Route 53 shows an asterisk as \052.
func unescaped(name string) string {
	var out strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' {
			out.WriteByte(name[i])
			continue
		}
		b, n := escape(name[i:])
		out.WriteByte(b)
		i += n - 1
	}
	return out.String()
}

// escape reads what stands after a backslash, and how long it is.
func escape(text string) (b byte, length int) {
	if len(text) >= 4 {
		if n, err := strconv.ParseUint(text[1:4], 8, 8); err == nil {
			return byte(n), 4
		}
	}
	if len(text) >= 2 {
		return text[1], 2
	}
	return '\\', 1
}
