package gcp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
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
	service, p := openedDNS(t, "")
	ctx := t.Context()
	is := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, p.Records()); diff != "" {
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
	calls := p.Calls()
	set(addresses(time.Second, "10.0.0.3")...) // a repeated call changes nothing
	if n := p.Calls() - calls; n != 2 {
		t.Errorf("a repeated call cost %d calls: the zone, the one record", n)
	}
	is(markLine, "hr-a.desk.example.com. A 1 10.0.0.3", "hr-a.desk.example.com. AAAA 60 2001:db8::1")

	p.AddRecords("spf.example.com.", "TXT", 60, `"v=spf1 " "\"quoted\" a\\b"`, `plain`)
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
	if diff := cmp.Diff([]string{`v=spf1 "quoted" a\b`, "plain"}, texts); diff != "" || !marked {
		t.Errorf("the mark is found: %v; texts:\n%s", marked, diff)
	}

	gone := []dns.Key{{Name: "hr-a.desk", Type: "A"}, {Name: "hr-a.desk", Type: "AAAA"}, mark.Key, {Name: "never", Type: "A"}, {Name: "spf", Type: "TXT"}}
	for range 2 {
		if err := service.Delete(ctx, "example.com", gone); err != nil {
			t.Fatal(err)
		}
	}
	is()
}

// TestDNSLongText: what is longer than a piece of a text arrives whole.
func TestDNSLongText(t *testing.T) {
	t.Parallel()
	service, _ := openedDNS(t, "")
	want := strings.Repeat(`ü"\ `, 200)
	if err := service.Set(t.Context(), "example.com", []dns.Record{{Key: dns.Key{Name: "long", Type: "TXT"}, Value: want, TTL: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	records, err := service.Records(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Name == "long" && r.Value != want {
			t.Errorf("the text became %q", r.Value)
		}
	}
}

// TestDNSClash: a change that somebody else's overtook is made up anew, and not
// for ever.
func TestDNSClash(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t, "")
	for _, status := range []int{http.StatusConflict, http.StatusPreconditionFailed} {
		record := dns.Addresses("hr-b", []string{"10.0.0.1"}, time.Minute)
		for range 2 {
			p.Spoil(fakegcp.Fault{Path: "/changes", Status: status, Reason: "conditionNotMet", Message: "Precondition not met for 'entity.change.deletions[0]'"})
		}
		if err := service.Set(t.Context(), "example.com", record); err != nil {
			t.Errorf("after two clashes with status %d: %v", status, err)
		}
		for range 3 {
			p.Spoil(fakegcp.Fault{Path: "/changes", Status: status, Reason: "conditionNotMet", Message: "Precondition not met"})
		}
		if err := service.Delete(t.Context(), "example.com", []dns.Key{{Name: "hr-b", Type: "A"}}); provider.ClassOf(err) != provider.Conflict {
			t.Errorf("after three clashes with status %d: %v", status, err)
		}
		if err := service.Delete(t.Context(), "example.com", []dns.Key{{Name: "hr-b", Type: "A"}}); err != nil {
			t.Error(err)
		}
	}
}

func TestDNSCheck(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t, "")
	p.PrivateZone() // of the same name, and not what is meant
	failed := func(zone string) []string {
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
	if got := failed("example.com"); got != nil {
		t.Errorf("a healthy zone: %v", got)
	}
	if diff := cmp.Diff([]string{"zone example.org"}, failed("example.org")); diff != "" {
		t.Error(diff)
	}
	for _, permission := range []string{"dns.managedZones.list", "dns.changes.create", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update"} {
		p.Lack(permission)
		if diff := cmp.Diff([]string{"permission " + permission}, failed("example.com")); diff != "" {
			t.Errorf("without %s:\n%s", permission, diff)
		}
	}
	err := service.Set(t.Context(), "example.com", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute))
	if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "dns.resourceRecordSets.update") {
		t.Errorf("without the permission: %v", err)
	}
	p.Lack()
	if err := service.Set(t.Context(), "example.org", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute)); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a zone that is not there: %v", err)
	}
	named, _ := openedDNS(t, "no-such-zone")
	if _, err := named.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a managed zone that is not there: %v", err)
	}
	p.Expire(true)
	if _, err := service.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("with a key that is refused: %v", err)
	}
}
