package oci_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/dns/dnstest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
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
	dnstest.Run(t, dnstest.Harness{Kind: oci.DNSKind(), New: dnsAccount})
}

func dnsAccount(t *testing.T) dnstest.Account {
	c := open(t)
	of := c.fake.NewTenancy()
	s := &oci.DNSSettings{}
	s.Zone = dnstest.Zone
	c.account(&s.Account, of)
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	fail := func(status int, code string) func() {
		return func() { of.Spoil(fakeoci.Fault{Status: status, Code: code, Message: "x"}) }
	}
	spoil := func(method string, after int) {
		of.Spoil(fakeoci.Fault{Method: method, Path: "/records/", After: after, Status: http.StatusInternalServerError, Code: "InternalError", Message: "x"})
	}
	return dnstest.Account{
		Settings: s, WrongCA: &wrong, Secrets: []string{s.PrivateKey, strings.Split(s.PrivateKey, "\n")[3]},
		Stored:  func() []string { return dnstest.Lines(of.Records()) },
		AddText: func(name, text string) { of.AddRecord(name+".example.com", "TXT", 60, dns.Quote(text)) },
		Calls:   of.Calls, RepeatCalls: 1, // the change
		Expire: func() { of.Expire(true) }, Lack: of.Lack,
		Checked: []string{"DNS_ZONE_READ", "DNS_RECORD_READ"},
		Write:   "DNS_RECORD_UPDATE", WriteHint: "use dns-records", WriteClass: provider.NotFound, Unseen: true, // the service does not tell
		Fail: map[provider.Class]func(){
			provider.RateLimited: fail(429, "TooManyRequests"), provider.Unavailable: fail(500, "InternalError"),
			provider.Conflict: fail(412, "NoEtagMatch"), provider.Invalid: fail(400, "InvalidParameter"), provider.Quota: fail(400, "QuotaExceeded"),
		},
		BreakPage: func() {
			of.Spoil(fakeoci.Fault{Path: "/records", Status: http.StatusInternalServerError, Code: "InternalError", Message: "x", After: 1})
		},
		BreakWrite: func(after int) {
			spoil(http.MethodPut, after)
			spoil(http.MethodPatch, after)
		},
		Private: func() { of.PrivateZone("example.com", view) },
	}
}

// TestDNSTexts: as the service keeps them, and as others write them.
func TestDNSTexts(t *testing.T) {
	t.Parallel()
	service, of := openedDNS(t, nil)
	mark := dns.Mark{Installation: "01ji", Server: "01js"}.Record("hr-a.desk", time.Minute)
	if err := service.Set(t.Context(), "example.com", []dns.Record{mark}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`_headroom.hr-a.desk.example.com TXT 60 "` + mark.Value + `"`}, of.Records()); diff != "" {
		t.Error(diff)
	}
	of.AddRecord("spf.example.com", "TXT", 60, `"v=spf1 " "\"quoted\" a\\b"`)
	of.AddRecord("spf.example.com", "TXT", 60, `"\195\188ber"`)
	records, err := service.Records(t.Context(), "example.com")
	if err != nil || len(records) != 5 { // with SOA and NS
		t.Fatal(records, err)
	}
	var texts []string
	for _, r := range records {
		if r.Name == "spf" {
			texts = append(texts, r.Value)
		}
	}
	if diff := cmp.Diff([]string{`v=spf1 "quoted" a\b`, "über"}, texts); diff != "" {
		t.Error(diff)
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
