package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/dns/dnstest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
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
	dnstest.Run(t, dnstest.Harness{Kind: aws.DNSKind(), New: dnsAccount})
}

func dnsAccount(t *testing.T) dnstest.Account {
	machines, a := account(t)
	s := &aws.DNSSettings{Account: machines.Account}
	s.Zone = dnstest.Zone
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	fail := func(status int, code string) func() {
		return func() { a.Spoil(fakeaws.Fault{Status: status, Code: code, Message: "x"}) }
	}
	return dnstest.Account{
		Settings: s, WrongCA: &wrong, Secrets: []string{s.SecretAccessKey},
		Stored:  func() []string { return dnstest.Lines(a.Records(exampleZone)) },
		AddText: func(name, text string) { a.AddRecords(exampleZone, name+".example.com.", "TXT", 60, dns.Quote(text)) },
		Calls:   a.Calls, RepeatCalls: 2, // the zone, and the change
		Expire: func() { a.Expire(true) }, Lack: a.Lack,
		Checked: []string{"route53:ListHostedZonesByName", "route53:ListResourceRecordSets"},
		Write:   "route53:ChangeResourceRecordSets", WriteHint: "route53:ChangeResourceRecordSets",
		Fail: map[provider.Class]func(){
			provider.RateLimited: fail(400, "Throttling"), provider.Unavailable: fail(503, "ServiceUnavailable"), provider.Invalid: fail(400, "InvalidInput"), provider.NotFound: fail(404, "NoSuchHostedZone"),
		},
		BreakPage: func() {
			a.Spoil(fakeaws.Fault{Name: "ListResourceRecordSets", Status: 503, Code: "ServiceUnavailable", Message: "busy", After: 1})
		},
		BreakWrite: func(after int) {
			a.Spoil(fakeaws.Fault{Name: "ChangeResourceRecordSets", Status: 503, Code: "ServiceUnavailable", Message: "busy", After: after})
		},
		Clash: func(_ bool, changes int) {
			for range changes {
				a.Spoil(clash)
			}
		},
		ClashDelete: true, // an UPSERT replaces what is there
		Private:     func() { a.AddZone("Z0PRIVATE", "example.com.", true) },
	}
}

// clash is the answer to a deletion of what somebody has changed since the look.
var clash = fakeaws.Fault{Name: "ChangeResourceRecordSets", Status: 400, Code: "InvalidChangeBatch", Message: "[Tried to delete resource record set [name='hr-b.example.com.', type='A'] but the values provided do not match the current values]"}

// TestDNSTexts: as Route 53 keeps them, and as others write them.
func TestDNSTexts(t *testing.T) {
	t.Parallel()
	service, a := openedDNS(t, "")
	long := strings.Repeat(`ü"\ `, 200) + "\t" + strings.Repeat("x", 300)
	mark := dns.Mark{Installation: "01ji", Server: "01js"}.Record("hr-a.desk", time.Minute)
	if err := service.Set(t.Context(), "example.com", []dns.Record{mark}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`_headroom.hr-a.desk.example.com. TXT 60 "` + mark.Value + `"`}, a.Records(exampleZone)); diff != "" {
		t.Error(diff)
	}
	if err := service.Set(t.Context(), "example.com", []dns.Record{{Key: dns.Key{Name: "long", Type: "TXT"}, Value: long, TTL: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	a.AddRecords(exampleZone, "spf.example.com.", "TXT", 60, `"v=spf1 " "\"quoted\" a\\b \303\274"`, `"plain"`)
	a.AddRecords(exampleZone, `\052.example.com.`, "A", 60, "10.9.9.9")
	records, err := service.Records(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, r := range records {
		got[r.Name] = append(got[r.Name], r.Value)
	}
	for name, want := range map[string][]string{"spf": {`v=spf1 "quoted" a\b ü`, "plain"}, "*": {"10.9.9.9"}, "long": {long}} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if err := service.Delete(t.Context(), "example.com", []dns.Key{{Name: "*", Type: "A"}, {Name: "spf", Type: "TXT"}, {Name: "long", Type: "TXT"}, mark.Key}); err != nil {
		t.Fatal(err)
	}
	if left := a.Records(exampleZone); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestDNSAlias: a name that is an alias of somebody else's is a conflict.
func TestDNSAlias(t *testing.T) {
	t.Parallel()
	service, a := openedDNS(t, "")
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
	record := dns.Addresses("hr-b", []string{"10.0.0.1"}, time.Minute)
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
	for _, zone := range []string{"example.org", "inside.example.com", "twice.example.com", "com"} {
		if diff := cmp.Diff([]string{"zone " + zone}, failed(service, zone)); diff != "" {
			t.Errorf("%s:\n%s", zone, diff)
		}
	}
	if _, err := service.Records(t.Context(), "twice.example.com"); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "Z0TWICE1, Z0TWICE2") {
		t.Errorf("two public zones of one name: %v", err)
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
