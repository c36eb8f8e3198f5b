package fakeaws

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type hostedZone struct {
	id, name string
	private  bool
	sets     []recordSet
}

type recordSet struct {
	name, kind, identifier string
	ttl                    int64
	values                 []string
	alias                  bool
}

func newZone(id, name string, private bool) *hostedZone {
	return &hostedZone{id: id, name: name, private: private, sets: []recordSet{
		{name: name, kind: "NS", ttl: 172800, values: []string{"ns-1.awsdns-00.com."}},
		{name: name, kind: "SOA", ttl: 900, values: []string{"ns-1.awsdns-00.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}},
	}}
}

// takeApartREST finds the operation of a request to Route 53 by its path.
func (s *Server) takeApartREST(c *call, r *http.Request, body []byte) []string {
	m := s.model.services["route53"]
	c.in = map[string]any{}
	for name, op := range m.Operations {
		path, _, _ := strings.Cut(op.HTTP.URI, "?")
		path = strings.TrimSuffix(path, "/")
		var names []string
		pattern := regexp.MustCompile(`\\\{(\w+)\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(path), func(p string) string {
			names = append(names, strings.Trim(p, `\{}`))
			return "([^/]+)"
		})
		found := regexp.MustCompile("^" + pattern + "/?$").FindStringSubmatch(r.URL.Path)
		// The service takes paths with and without a slash at their end; SDKs differ.
		if found == nil || op.HTTP.Method != r.Method {
			continue
		}
		c.name, c.op = name, op
		return s.bind(c, m, r, names, found[1:], body)
	}
	return []string{fmt.Sprintf("no operation answers %s %s", r.Method, r.URL.Path)}
}

// bind reads the parameters of path, query and body.
func (s *Server) bind(c *call, m *service, r *http.Request, names, values []string, body []byte) []string {
	input := m.Shapes[c.op.Input.Shape]
	var wrong []string
	query := r.URL.Query()
	take := func(name string, member *reference, text string) {
		value, faults := m.Shapes[member.Shape].scalar(text, c.name+"."+name)
		c.in[name], wrong = value, append(wrong, faults...)
	}
	hasBody := false
	for name, member := range input.Members {
		switch member.Location {
		case "uri":
			for i, n := range names {
				if n == member.LocationName {
					take(name, member, values[i])
				}
			}
		case "querystring":
			if query.Has(member.LocationName) {
				take(name, member, query.Get(member.LocationName))
				query.Del(member.LocationName)
			}
		default:
			hasBody = true
		}
	}
	for key := range query {
		wrong = append(wrong, c.name+": unknown parameter "+key)
	}
	switch {
	case hasBody:
		root, err := parseXML(bytes.NewReader(body))
		if err != nil {
			return append(wrong, c.name+": the body is no XML: "+err.Error())
		}
		if want := c.op.Input.LocationName; root.name != want {
			wrong = append(wrong, fmt.Sprintf("%s: the body is a %s, expected %s", c.name, root.name, want))
		}
		got, faults := m.readXML(&reference{Shape: c.op.Input.Shape}, root, c.name)
		fields, _ := got.(map[string]any)
		for name, value := range fields {
			c.in[name] = value
		}
		for _, f := range faults { // what the path gives is not missing in the body
			name, missing := strings.CutSuffix(strings.TrimPrefix(f, c.name+"."), " is missing")
			if member := input.Members[name]; !missing || member == nil || member.Location == "" {
				wrong = append(wrong, f)
			}
		}
	case len(body) > 0:
		wrong = append(wrong, c.name+" takes no body")
	}
	return append(wrong, input.missing(c.in, c.name)...)
}

func (z *hostedZone) show() map[string]any {
	return map[string]any{"Id": "/hostedzone/" + z.id, "Name": z.name, "CallerReference": "x", "Config": map[string]any{"PrivateZone": z.private}, "ResourceRecordSetCount": len(z.sets)}
}

// route53 answers a call.
func (a *Account) route53(c *call) (map[string]any, *refusal) {
	if no := a.need("route53:" + c.name); no != nil {
		return nil, no
	}
	if c.name == "ListHostedZonesByName" {
		return a.zonesByName(c.in)
	}
	id := strings.TrimPrefix(textOf(c.in, "HostedZoneId")+textOf(c.in, "Id"), "/hostedzone/")
	at := slices.IndexFunc(a.zones, func(z *hostedZone) bool { return z.id == id })
	if at < 0 {
		return nil, refuse(http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: %s", id)
	}
	switch c.name {
	case "ListResourceRecordSets":
		return a.zones[at].list(c.in)
	case "ChangeResourceRecordSets":
		return a.zones[at].change(c.in)
	}
	return nil, refuse(bad, "InvalidAction", "Could not find operation %s", c.name)
}

// backwards is a name as the service sorts it: by labels from the right.
func backwards(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

func (a *Account) zonesByName(in map[string]any) (map[string]any, *refusal) {
	size := 2 // small, so that paging is seen
	from := backwards(textOf(in, "DNSName"))
	list := slices.Clone(a.zones)
	slices.SortFunc(list, func(x, y *hostedZone) int {
		return strings.Compare(backwards(x.name)+x.id, backwards(y.name)+y.id)
	})
	out := map[string]any{"IsTruncated": false, "MaxItems": strconv.Itoa(size)}
	zones := []any{}
	for _, z := range list {
		if b := backwards(z.name); b < from || b == from && z.id < textOf(in, "HostedZoneId") {
			continue
		}
		if len(zones) == size {
			out["IsTruncated"], out["NextDNSName"], out["NextHostedZoneId"] = true, z.name, z.id
			break
		}
		zones = append(zones, z.show())
	}
	out["HostedZones"] = zones
	return out, nil
}

func (z *hostedZone) list(in map[string]any) (map[string]any, *refusal) {
	size := 100
	if n, err := strconv.Atoi(textOf(in, "MaxItems")); err == nil {
		size = min(size, n)
	}
	key := func(name, kind, identifier string) string {
		return backwards(name) + "\x00" + kind + "\x00" + identifier
	}
	if textOf(in, "StartRecordType") != "" && textOf(in, "StartRecordName") == "" {
		return nil, refuse(bad, "InvalidInput", "StartRecordType requires StartRecordName")
	}
	from := ""
	if textOf(in, "StartRecordName") != "" {
		from = key(strings.TrimSuffix(textOf(in, "StartRecordName"), ".")+".", textOf(in, "StartRecordType"), textOf(in, "StartRecordIdentifier"))
	}
	sets := slices.Clone(z.sets)
	slices.SortFunc(sets, func(x, y recordSet) int {
		return strings.Compare(key(x.name, x.kind, x.identifier), key(y.name, y.kind, y.identifier))
	})
	out := map[string]any{"IsTruncated": false, "MaxItems": strconv.Itoa(size)}
	list := []any{}
	for _, s := range sets {
		if key(s.name, s.kind, s.identifier) < from {
			continue
		}
		if len(list) == size {
			out["IsTruncated"], out["NextRecordName"], out["NextRecordType"] = true, s.name, s.kind
			if s.identifier != "" {
				out["NextRecordIdentifier"] = s.identifier
			}
			break
		}
		shown := map[string]any{"Name": s.name, "Type": s.kind}
		if s.identifier != "" {
			shown["SetIdentifier"], shown["Weight"] = s.identifier, 1
		}
		if s.alias {
			shown["AliasTarget"] = map[string]any{"HostedZoneId": "Z2FDTNDATAQYW2", "DNSName": "d123.cloudfront.net.", "EvaluateTargetHealth": false}
		} else {
			values := []any{}
			for _, v := range s.values {
				values = append(values, map[string]any{"Value": v})
			}
			shown["ResourceRecords"], shown["TTL"] = values, s.ttl
		}
		list = append(list, shown)
	}
	out["ResourceRecordSets"] = list
	return out, nil
}

var (
	quotedRule  = regexp.MustCompile(`^"([^"\\]|\\.)*"( "([^"\\]|\\.)*")*$`)
	escapedRule = regexp.MustCompile(`\\[0-7]{3}|\\.|.`)
)

// change applies a whole batch or nothing.
func (z *hostedZone) change(in map[string]any) (map[string]any, *refusal) {
	batch, _ := in["ChangeBatch"].(map[string]any)
	sets := slices.Clone(z.sets)
	invalid := func(format string, args ...any) (map[string]any, *refusal) {
		return nil, refuse(bad, "InvalidChangeBatch", "["+format+"]", args...)
	}
	elements := 0
	for _, c := range listOf(batch, "Changes") {
		set, _ := c["ResourceRecordSet"].(map[string]any)
		want := recordSet{name: strings.TrimSuffix(textOf(set, "Name"), ".") + ".", kind: textOf(set, "Type"), identifier: textOf(set, "SetIdentifier")}
		want.ttl, _ = set["TTL"].(int64)
		for _, r := range listOf(set, "ResourceRecords") {
			want.values = append(want.values, textOf(r, "Value"))
		}
		elements += len(want.values)
		if !strings.HasSuffix("."+want.name, "."+z.name) {
			return invalid("RRSet with DNS name %s is not permitted in zone %s", want.name, z.name)
		}
		if len(want.values) == 0 {
			return nil, refuse(bad, "InvalidInput", "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none in Change with [Action=%s, Name=%s]", textOf(c, "Action"), want.name)
		}
		for _, v := range want.values {
			if want.kind != "TXT" {
				continue
			}
			if !quotedRule.MatchString(v) || slices.ContainsFunc([]byte(v), func(b byte) bool { return b < 32 || b > 126 }) {
				return invalid("Invalid Resource Record: FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '%s'", v)
			}
			for _, piece := range strings.Split(v, `" "`) {
				if len(escapedRule.FindAllString(strings.Trim(piece, `"`), -1)) > 255 {
					return invalid("Invalid Resource Record: FATAL problem: CharacterStringTooLong (Value is too long) encountered with '%s'", v)
				}
			}
		}
		at := slices.IndexFunc(sets, func(s recordSet) bool {
			return s.name == want.name && s.kind == want.kind && s.identifier == want.identifier
		})
		clash := slices.ContainsFunc(sets, func(s recordSet) bool {
			return s.name == want.name && (s.kind == "CNAME") != (want.kind == "CNAME") || s.name == want.name && s.kind == want.kind && s.identifier != want.identifier
		})
		switch action := textOf(c, "Action"); {
		case action == "DELETE" && at < 0:
			return invalid("Tried to delete resource record set [name='%s', type='%s'] but it was not found", want.name, want.kind)
		case action == "DELETE" && (sets[at].ttl != want.ttl || !sameValues(sets[at].values, want.values)):
			return invalid("Tried to delete resource record set [name='%s', type='%s'] but the values provided do not match the current values", want.name, want.kind)
		case action == "DELETE":
			sets = slices.Delete(sets, at, at+1)
		case clash:
			return invalid("RRSet of type %s with DNS name %s is not permitted because a conflicting RRSet of type  CNAME with the same DNS name already exists in zone %s", want.kind, want.name, z.name)
		case action == "CREATE" && at >= 0:
			return invalid("Tried to create resource record set [name='%s', type='%s'] but it already exists", want.name, want.kind)
		case at >= 0:
			sets[at] = want
		default:
			sets = append(sets, want)
		}
	}
	if elements > 1000 {
		return invalid("Number of records limit of 1000 exceeded.")
	}
	z.sets = sets
	return map[string]any{"ChangeInfo": map[string]any{"Id": "/change/C1", "Status": "PENDING", "SubmittedAt": time.Now()}}, nil
}

func sameValues(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
