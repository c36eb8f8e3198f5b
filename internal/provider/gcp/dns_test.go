package gcp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/dns/dnstest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

func openedDNS(t *testing.T, managed string) (dns.Service, *fakegcp.Project) {
	t.Helper()
	machines, p := project(t)
	s := &gcp.DNSSettings{Account: machines.Account, ManagedZone: managed}
	s.Zone = "example.com"
	service, err := gcp.DNSKind().Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return service, p
}

func TestDNS(t *testing.T) {
	t.Parallel()
	dnstest.Run(t, dnstest.Harness{Kind: gcp.DNSKind(), New: dnsAccount})
}

func dnsAccount(t *testing.T) dnstest.Account {
	machines, p := project(t)
	s := &gcp.DNSSettings{Account: machines.Account}
	s.Zone = dnstest.Zone
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	fail := func(status int, reason string) func() {
		return func() { p.Spoil(fakegcp.Fault{Path: "/dns/", Status: status, Reason: reason, Message: "x"}) }
	}
	return dnstest.Account{
		Settings: s, WrongCA: &wrong, Secrets: []string{keyOf(t, s.Credentials), "ya29."},
		Stored:  func() []string { return dnstest.Lines(p.Records()) },
		AddText: func(name, text string) { p.AddRecords(name+".example.com.", "TXT", 60, dns.Quote(text)) },
		Calls:   p.Calls, RepeatCalls: 2, // the zone, the one record set
		Expire: func() { p.Expire(true) }, Lack: p.Lack,
		Checked: []string{"dns.managedZones.list", "dns.changes.create", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update"},
		Write:   "dns.resourceRecordSets.update", WriteHint: "dns.resourceRecordSets.update",
		Fail: map[provider.Class]func(){
			provider.RateLimited: fail(http.StatusTooManyRequests, "rateLimitExceeded"), provider.Unavailable: fail(http.StatusServiceUnavailable, "backendError"),
		},
		BreakPage: func() {
			p.Spoil(fakegcp.Fault{Path: "/rrsets", After: 1, Status: http.StatusInternalServerError, Reason: "backendError", Message: "x"})
		},
		BreakWrite: func(after int) {
			p.Spoil(fakegcp.Fault{Path: "/changes", After: after, Status: http.StatusInternalServerError, Reason: "backendError", Message: "x"})
		},
		Clash: func(_ bool, changes int) {
			for n := range changes {
				status := []int{http.StatusConflict, http.StatusPreconditionFailed}[n%2]
				p.Spoil(fakegcp.Fault{Path: "/changes", Status: status, Reason: "conditionNotMet", Message: "Precondition not met for 'entity.change.deletions[0]'"})
			}
		},
		Private: p.PrivateZone,
	}
}

// TestDNSTexts: as Cloud DNS keeps them, and as others write them.
func TestDNSTexts(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t, "")
	mark := dns.Mark{Installation: "01ji", Server: "01js"}.Record("hr-a.desk", time.Minute)
	if err := service.Set(t.Context(), "example.com", []dns.Record{mark}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`_headroom.hr-a.desk.example.com. TXT 60 "` + mark.Value + `"`}, p.Records()); diff != "" {
		t.Error(diff)
	}
	p.AddRecords("spf.example.com.", "TXT", 60, `"v=spf1 " "\"quoted\" a\\b"`, `plain`)
	records, err := service.Records(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, r := range records {
		if r.Name == "spf" {
			texts = append(texts, r.Value)
		}
	}
	if diff := cmp.Diff([]string{`v=spf1 "quoted" a\b`, "plain"}, texts); diff != "" {
		t.Error(diff)
	}
}

func TestDNSNamedZone(t *testing.T) {
	t.Parallel()
	named, _ := openedDNS(t, "no-such-zone")
	if _, err := named.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a managed zone that is not there: %v", err)
	}
}
