package aws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
	"github.com/headroom-dev/headroom/internal/settings"
)

const exampleZone = "Z0EXAMPLECOM"

func openedDNS(t *testing.T, id string) (dns.Service, *fakeaws.Account) {
	t.Helper()
	machines, a := account(t)
	s := &aws.DNSSettings{Account: machines.Account, HostedZoneID: id}
	s.Zone = "example.com"
	service, err := aws.DNSKind().Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return service, a
}

func TestDNS(t *testing.T) {
	t.Parallel()
	service, a := openedDNS(t, "")
	ctx := t.Context()
	is := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, a.Records(exampleZone)); diff != "" {
			t.Errorf("records:\n%s", diff)
		}
	}
	mark := dns.Mark{Installation: "01ji", Server: "01js"}.Record("hr-a.desk", time.Minute)
	addresses := func(ttl time.Duration, all ...string) []dns.Record { return dns.Addresses("hr-a.desk", all, ttl) }
	set := func(records ...dns.Record) {
		t.Helper()
		if err := service.Set(ctx, "example.com", records); err != nil {
			t.Fatal(err)
		}
	}
	markLine := `_headroom.hr-a.desk.example.com. TXT 60 "` + mark.Value + `"`
	set(append(addresses(time.Minute, "10.0.0.1", "10.0.0.2", "2001:db8::1"), mark)...)
	is(markLine, "hr-a.desk.example.com. A 60 10.0.0.1,10.0.0.2", "hr-a.desk.example.com. AAAA 60 2001:db8::1")
	set(addresses(time.Second, "10.0.0.3")...)
	calls := a.Calls()
	set(addresses(time.Second, "10.0.0.3")...)
	if n := a.Calls() - calls; n != 2 {
		t.Errorf("a call cost %d requests, expected 2: the zone, and the change", n)
	}
	is(markLine, "hr-a.desk.example.com. A 1 10.0.0.3", "hr-a.desk.example.com. AAAA 60 2001:db8::1")

	a.AddRecords(exampleZone, "spf.example.com.", "TXT", 60, `"v=spf1 " "\"quoted\" a\\b \303\274"`, `"plain"`)
	a.AddRecords(exampleZone, `\052.example.com.`, "A", 60, "10.9.9.9")
	records, err := service.Records(ctx, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	marked, star := false, false
	for _, r := range records {
		if r.Name == "spf" {
			texts = append(texts, r.Value)
		}
		star = star || r.Name == "*"
		name, m, ok := dns.ParseMark(r)
		marked = marked || ok && name == "hr-a.desk" && m.Server == "01js" && r.Value == mark.Value
	}
	if diff := cmp.Diff([]string{`v=spf1 "quoted" a\b ü`, "plain"}, texts); diff != "" || !marked || !star {
		t.Errorf("the mark is found: %v; the asterisk: %v; texts:\n%s", marked, star, diff)
	}

	gone := []dns.Key{{Name: "hr-a.desk", Type: "A"}, {Name: "hr-a.desk", Type: "AAAA"}, mark.Key, {Name: "never", Type: "A"}, {Name: "spf", Type: "TXT"}, {Name: "*", Type: "A"}}
	for range 2 {
		if err := service.Delete(ctx, "example.com", gone); err != nil {
			t.Fatal(err)
		}
	}
	is()
	if err := service.Set(ctx, "example.com", nil); err != nil {
		t.Error(err)
	}
	if err := service.Delete(ctx, "example.com", nil); err != nil {
		t.Error(err)
	}
}

// TestDNSLargeZone: all pages are read, and a deletion finds its names in a zone
// that does not fit into one of them.
func TestDNSLargeZone(t *testing.T) {
	t.Parallel()
	service, a := openedDNS(t, exampleZone)
	for n := range 250 {
		a.AddRecords(exampleZone, fmt.Sprintf("hr-%03d.example.com.", n), "A", 60, "10.0.0.1")
	}
	for _, identifier := range []string{"hr-120", "hr-249"} {
		if err := service.Set(t.Context(), "example.com", []dns.Record{dns.Mark{Installation: "i", Server: "s"}.Record(identifier, time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	records, err := service.Records(t.Context(), "example.com")
	if err != nil || len(records) != 250+2+2 {
		t.Errorf("%d records, %v", len(records), err)
	}
	var keys []dns.Key
	for _, name := range []string{"hr-000", "hr-120", "hr-249", "never"} {
		keys = append(keys, dns.Key{Name: name, Type: "A"}, dns.Key{Name: name, Type: "AAAA"}, dns.MarkKey(name))
	}
	if err := service.Delete(t.Context(), "example.com", keys); err != nil {
		t.Fatal(err)
	}
	if left := a.Records(exampleZone); len(left) != 247 || strings.Contains(strings.Join(left, " "), "_headroom") {
		t.Errorf("%d records are left: %v", len(left), left)
	}
	a.Spoil(fakeaws.Fault{Name: "ListResourceRecordSets", Status: 503, Code: "ServiceUnavailable", Message: "busy", After: 1})
	if _, err := service.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("half a listing: %v", err)
	}
}

// TestDNSLongText: what is longer than a piece of a text arrives whole.
func TestDNSLongText(t *testing.T) {
	t.Parallel()
	service, _ := openedDNS(t, "")
	want := strings.Repeat(`ü"\ `, 200) + "\t" + strings.Repeat("x", 300)
	if err := service.Set(t.Context(), "example.com", []dns.Record{{Key: dns.Key{Name: "long", Type: "TXT"}, Value: want, TTL: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	records, err := service.Records(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range records {
		found = found || r.Name == "long"
		if r.Name == "long" && r.Value != want {
			t.Errorf("the text became %q", r.Value)
		}
	}
	if !found {
		t.Error("the text is not there")
	}
}

// TestDNSClash: a deletion that somebody else's change overtook is made up anew,
// and not for ever; a name that is an alias of somebody else's is a conflict.
func TestDNSClash(t *testing.T) {
	t.Parallel()
	service, a := openedDNS(t, "")
	record := dns.Addresses("hr-b", []string{"10.0.0.1"}, time.Minute)
	if err := service.Set(t.Context(), "example.com", record); err != nil {
		t.Fatal(err)
	}
	clash := fakeaws.Fault{Name: "ChangeResourceRecordSets", Status: 400, Code: "InvalidChangeBatch", Message: "[Tried to delete resource record set [name='hr-b.example.com.', type='A'] but the values provided do not match the current values]"}
	for range 3 {
		a.Spoil(clash)
	}
	gone := []dns.Key{{Name: "hr-b", Type: "A"}}
	if err := service.Delete(t.Context(), "example.com", gone); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("after three clashes: %v", err)
	}
	for range 2 {
		a.Spoil(clash)
	}
	if err := service.Delete(t.Context(), "example.com", gone); err != nil {
		t.Errorf("after two clashes: %v", err)
	}
	a.AddRecords(exampleZone, "hr-c.example.com.", "CNAME", 60, "elsewhere.example.org.")
	err := service.Set(t.Context(), "example.com", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute))
	if provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "CNAME") {
		t.Errorf("a name that is an alias: %v", err)
	}
	// One bad record spoils the whole batch, and nothing of it is written.
	before := a.Records(exampleZone)
	if err := service.Set(t.Context(), "example.com", append(dns.Addresses("hr-d", []string{"10.0.0.1"}, time.Minute), dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute)...)); err == nil {
		t.Error("half a batch was written")
	}
	if diff := cmp.Diff(before, a.Records(exampleZone)); diff != "" {
		t.Error(diff)
	}
	for code, want := range map[string]provider.Class{"Throttling": provider.RateLimited, "PriorRequestNotComplete": provider.RateLimited, "InvalidInput": provider.Invalid, "NoSuchHostedZone": provider.NotFound} {
		a.Spoil(fakeaws.Fault{Name: "ChangeResourceRecordSets", Status: 400, Code: code, Message: "Rate exceeded"})
		if err := service.Set(t.Context(), "example.com", record); provider.ClassOf(err) != want {
			t.Errorf("%s: %v, expected %s", code, err, want)
		}
	}
}

func TestDNSCheck(t *testing.T) {
	t.Parallel()
	service, a := openedDNS(t, "")
	a.AddZone("Z0PRIVATE", "example.com.", true) // of the same name, and not what is meant
	a.AddZone("Z0BEFORE", "aaa.example.com.", false)
	a.AddZone("Z0INSIDE", "inside.example.com.", true)
	a.AddZone("Z0TWICE1", "twice.example.com.", false)
	a.AddZone("Z0TWICE2", "twice.example.com.", false)
	failed := func(service dns.Service, zone string) []string {
		t.Helper()
		r, err := service.Check(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range r.Findings {
			if f.Verdict != provider.VerdictOK {
				out = append(out, f.Subject)
			}
			if f.Verdict != provider.VerdictOK && f.Remedy == "" {
				t.Errorf("no remedy: %+v", f)
			}
		}
		return out
	}
	if got := failed(service, "example.com"); got != nil {
		t.Errorf("a healthy zone: %v", got)
	}
	for _, zone := range []string{"example.org", "inside.example.com", "twice.example.com", "com"} {
		if diff := cmp.Diff([]string{"zone " + zone}, failed(service, zone)); diff != "" {
			t.Errorf("%s:\n%s", zone, diff)
		}
	}
	if _, err := service.Records(t.Context(), "twice.example.com"); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "Z0TWICE1, Z0TWICE2") {
		t.Errorf("two public zones of one name: %v", err)
	}
	for _, action := range []string{"route53:ListHostedZonesByName", "route53:ListResourceRecordSets"} {
		a.Lack(action)
		if diff := cmp.Diff([]string{"permission " + action}, failed(service, "example.com")); diff != "" {
			t.Errorf("without %s:\n%s", action, diff)
		}
	}
	a.Lack("route53:ChangeResourceRecordSets")
	err := service.Set(t.Context(), "example.com", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute))
	if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "route53:ChangeResourceRecordSets") {
		t.Errorf("without the permission: %v", err)
	}
	a.Lack()
	a.Expire(true)
	if _, err := service.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("with a key that is refused: %v", err)
	}
	for id, want := range map[string]string{"Z0MISSING": "hosted zone Z0MISSING", "Z0OTHER": "hosted zone Z0OTHER", "/hostedzone/" + exampleZone: ""} {
		named, a := openedDNS(t, id)
		a.AddZone("Z0OTHER", "other.example.org.", false)
		a.Lack("route53:ListHostedZonesByName") // not needed then
		if got := strings.Join(failed(named, "example.com"), " "); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestDNSSettings(t *testing.T) {
	t.Parallel()
	for _, p := range settings.CheckDefinition(&aws.DNSSettings{}) {
		t.Error(p)
	}
	found := settings.DecodeJSON([]byte(`{"zone":"example.com","hosted_zone_id":"example.com","region":"Frankfurt"}`), &aws.DNSSettings{}, settings.Options{})
	var paths []string
	for _, f := range found {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"hosted_zone_id", "region"}, sortedTexts(paths)); diff != "" {
		t.Errorf("%v\n%s", found, diff)
	}
	found = settings.DecodeJSON([]byte(`{"zone":"example.com","access_key_id":"AKIA1"}`), &aws.DNSSettings{}, settings.Options{})
	if len(found) != 1 || found[0].Path != "secret_access_key" {
		t.Errorf("half a key: %v", found)
	}
}
