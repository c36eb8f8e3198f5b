package oci_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

const view = "ocid1.dnsview.oc1.eu-frankfurt-1.aaaaaaaaview"

func openedDNS(t *testing.T, change func(*oci.DNSSettings, *fakeoci.Tenancy)) (dns.Service, *fakeoci.Tenancy) {
	t.Helper()
	c := open(t)
	of := c.fake.NewTenancy()
	s := &oci.DNSSettings{}
	s.Zone = "example.com"
	c.account(&s.Account, of)
	if change != nil {
		change(s, of)
	}
	if problems := s.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	service, err := oci.DNSKind().Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return service, of
}

func TestDNS(t *testing.T) {
	t.Parallel()
	service, of := openedDNS(t, nil)
	of.PrivateZone("example.com", view) // of the same name, and not what is meant
	ctx := t.Context()
	is := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, of.Records()); diff != "" {
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
	markLine := `_headroom.hr-a.desk.example.com TXT 60 "` + mark.Value + `"`
	set(append(addresses(time.Minute, "10.0.0.1", "10.0.0.2", "2001:db8::1"), mark)...)
	is(markLine, "hr-a.desk.example.com A 60 10.0.0.1", "hr-a.desk.example.com A 60 10.0.0.2", "hr-a.desk.example.com AAAA 60 2001:db8::1")
	for range 2 {
		set(addresses(time.Second, "10.0.0.3")...)
	}
	is(markLine, "hr-a.desk.example.com A 1 10.0.0.3", "hr-a.desk.example.com AAAA 60 2001:db8::1")

	of.AddRecord("spf.example.com", "TXT", 60, `"v=spf1 " "\"quoted\" a\\b"`)
	of.AddRecord("spf.example.com", "TXT", 60, `"\195\188ber"`)
	records, err := service.Records(ctx, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	marked := false
	for _, r := range records {
		if r.Name == "spf" {
			texts = append(texts, r.Value)
		}
		name, m, ok := dns.ParseMark(r)
		marked = marked || ok && name == "hr-a.desk" && m.Server == "01js" && r.Value == mark.Value
	}
	if diff := cmp.Diff([]string{`v=spf1 "quoted" a\b`, "über"}, texts); diff != "" || !marked {
		t.Errorf("the mark is found: %v; texts:\n%s", marked, diff)
	}

	gone := []dns.Key{{Name: "hr-a.desk", Type: "A"}, {Name: "hr-a.desk", Type: "AAAA"}, mark.Key, {Name: "never", Type: "A"}, {Name: "spf", Type: "TXT"}}
	for range 2 {
		if err := service.Delete(ctx, "example.com", gone); err != nil {
			t.Fatal(err)
		}
	}
	is()
	for _, nothing := range []error{service.Set(ctx, "example.com", nil), service.Delete(ctx, "example.com", nil)} {
		if nothing != nil {
			t.Error(nothing)
		}
	}
}

// TestDNSPages: a zone of more than one page, and a text of more than one piece.
func TestDNSPages(t *testing.T) {
	t.Parallel()
	service, of := openedDNS(t, nil)
	for n := range 120 {
		of.AddRecord(fmt.Sprintf("n%d.example.com", n), "A", 60, "10.0.0.1")
	}
	want := strings.Repeat(`ü"\ `, 200)
	if err := service.Set(t.Context(), "example.com", []dns.Record{{Key: dns.Key{Name: "long", Type: "TXT"}, Value: want, TTL: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	records, err := service.Records(t.Context(), "example.com")
	if err != nil || len(records) != 123 { // with SOA and NS
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, r := range records {
		if r.Name == "long" && r.Value != want {
			t.Errorf("the text became %q", r.Value)
		}
	}
	of.Spoil(fakeoci.Fault{Path: "/records", Status: http.StatusInternalServerError, Code: "InternalError", Message: "x", After: 1})
	if records, err := service.Records(t.Context(), "example.com"); err == nil {
		t.Errorf("half a zone of %d records passes for the whole", len(records))
	}
}

// TestDNSZones: a public and a private zone of one name, by name and by OCID.
func TestDNSZones(t *testing.T) {
	t.Parallel()
	for name, byID := range map[string]bool{"by name": false, "by OCID": true} {
		service, of := openedDNS(t, func(s *oci.DNSSettings, of *fakeoci.Tenancy) {
			s.ViewOCID = view
			if id := of.PrivateZone("example.com", view); byID {
				s.ZoneOCID = id
			}
		})
		if err := service.Set(t.Context(), "example.com", dns.Addresses("hr-a", []string{"10.0.0.1"}, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"hr-a.example.com A 60 10.0.0.1"}, of.RecordsOf(view)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if public := of.Records(); len(public) > 0 {
			t.Errorf("%s: in the public zone: %v", name, public)
		}
		records, err := service.Records(t.Context(), "example.com")
		if err != nil || len(records) != 3 {
			t.Errorf("%s: %v, %v", name, records, err)
		}
		if err := service.Delete(t.Context(), "example.com", []dns.Key{{Name: "hr-a", Type: "A"}}); err != nil || len(of.RecordsOf(view)) > 0 {
			t.Errorf("%s: %v, %v", name, err, of.RecordsOf(view))
		}
		r, err := service.Check(t.Context(), "example.com")
		if err != nil || !r.OK() || !strings.HasPrefix(r.Findings[0].Message, "private zone ocid1.dns-zone.") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestDNSCheck(t *testing.T) {
	t.Parallel()
	service, of := openedDNS(t, nil)
	failed := func(service dns.Service, zone string) []string {
		t.Helper()
		r, err := service.Check(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range r.Findings {
			if f.Verdict == provider.VerdictFailed {
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
	if diff := cmp.Diff([]string{"zone example.org"}, failed(service, "example.org")); diff != "" {
		t.Error(diff)
	}
	other, _ := openedDNS(t, func(s *oci.DNSSettings, of *fakeoci.Tenancy) { s.ZoneOCID = of.PrivateZone("example.org", view) })
	if diff := cmp.Diff([]string{"zone_ocid"}, failed(other, "example.com")); diff != "" {
		t.Error(diff)
	}
	for _, permission := range []string{"DNS_ZONE_READ", "DNS_RECORD_READ"} {
		of.Lack(permission)
		if diff := cmp.Diff([]string{"permission " + permission}, failed(service, "example.com")); diff != "" {
			t.Errorf("without %s:\n%s", permission, diff)
		}
		if _, err := service.Records(t.Context(), "example.com"); err == nil {
			t.Errorf("the zone is listed without %s", permission)
		}
	}
	of.Lack("DNS_RECORD_UPDATE")
	for op, err := range map[string]error{
		"set":    service.Set(t.Context(), "example.com", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute)),
		"delete": service.Delete(t.Context(), "example.com", []dns.Key{{Name: "hr-c", Type: "A"}}),
	} {
		if err == nil || !strings.Contains(err.Error(), "use dns-records") {
			t.Errorf("%s without the permission: %v", op, err)
		}
	}
	of.Lack()
	of.Expire(true)
	if diff := cmp.Diff([]string{"credentials"}, failed(service, "example.com")); diff != "" {
		t.Error(diff)
	}
	if _, err := service.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("with a key that is refused: %v", err)
	}
}

// TestDNSErrors: a change that clashes with somebody else's is a conflict, and
// nothing is repeated by itself.
func TestDNSErrors(t *testing.T) {
	t.Parallel()
	service, of := openedDNS(t, nil)
	for _, c := range []struct {
		status int
		code   string
		want   provider.Class
	}{
		{409, "IncorrectState", provider.Conflict},
		{409, "Conflict", provider.Conflict},
		{412, "NoEtagMatch", provider.Conflict},
		{429, "TooManyRequests", provider.RateLimited},
		{500, "InternalError", provider.Unavailable},
		{400, "InvalidParameter", provider.Invalid},
		{400, "QuotaExceeded", provider.Quota},
	} {
		f := fakeoci.Fault{Status: c.status, Code: c.code, Message: "x"}
		for op, call := range map[string]func() error{
			"set": func() error {
				return service.Set(t.Context(), "example.com", dns.Addresses("hr-b", []string{"10.0.0.1"}, time.Minute))
			},
			"delete":  func() error { return service.Delete(t.Context(), "example.com", []dns.Key{{Name: "hr-b", Type: "A"}}) },
			"records": func() error { _, err := service.Records(t.Context(), "example.com"); return err },
		} {
			of.Spoil(f)
			before := of.Calls()
			if err := call(); provider.ClassOf(err) != c.want || of.Calls()-before != 1 {
				t.Errorf("%s, %d %s: %v after %d calls, expected %s", op, c.status, c.code, err, of.Calls()-before, c.want)
			}
		}
	}
}
