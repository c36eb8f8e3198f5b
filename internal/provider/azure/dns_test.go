package azure_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
)

func openedDNS(t *testing.T) (dns.Service, *fakeazure.Subscription) {
	t.Helper()
	c := theCloud()
	p := c.fake.NewSubscription()
	s := &azure.DNSSettings{Account: account(c, p), ResourceGroup: p.Group}
	s.Zone = "example.com"
	service, err := azure.DNSKind().Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return service, p
}

func TestDNS(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t)
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
	markLine := "TXT/_headroom.hr-a.desk 60 " + mark.Value
	set(append(addresses(time.Minute, "10.0.0.1", "10.0.0.2", "2001:db8::1"), mark)...)
	is("A/hr-a.desk 60 10.0.0.1,10.0.0.2", "AAAA/hr-a.desk 60 2001:db8::1", markLine)
	set(addresses(time.Second, "10.0.0.3")...)
	calls := p.Calls()
	set(addresses(time.Second, "10.0.0.3")...) // a repeated call changes nothing
	if n := p.Calls() - calls; n != 1 {
		t.Errorf("a repeated call cost %d calls, expected a look", n)
	}
	is("A/hr-a.desk 1 10.0.0.3", "AAAA/hr-a.desk 60 2001:db8::1", markLine)

	p.AddText("spf", []string{`v=spf1 `, `"quoted" a\b`}, []string{"plain"})
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

// TestDNSPages: all pages are listed, or none.
func TestDNSPages(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t)
	for i := range 120 {
		p.AddText(fmt.Sprintf("n%03d", i), []string{"x"})
	}
	records, err := service.Records(t.Context(), "example.com")
	if err != nil || len(records) != 121 { // and the zone's own
		t.Errorf("%d records, %v", len(records), err)
	}
	p.Spoil(fakeazure.Fault{Path: "/all?", After: 2, Status: http.StatusTooManyRequests, Code: "TooManyRequests", Message: "slow down", Header: map[string]string{"Retry-After": "3"}})
	records, err = service.Records(t.Context(), "example.com")
	if provider.ClassOf(err) != provider.RateLimited || provider.RetryAfter(err) != 3*time.Second || records != nil {
		t.Errorf("a third page that is refused: %d records, %v", len(records), err)
	}
}

// TestDNSLongText: what is longer than a piece of a text arrives whole.
func TestDNSLongText(t *testing.T) {
	t.Parallel()
	service, _ := openedDNS(t)
	for _, want := range []string{strings.Repeat(`ü"\ `, 200), strings.Repeat("x", 255), strings.Repeat("x", 256), ""} {
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
}

// TestDNSClash: a change that somebody else's overtook is made up anew, and not for
// ever.
func TestDNSClash(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t)
	clash := func(method string, n int) {
		for range n {
			p.Spoil(fakeazure.Fault{Method: method, Path: "/A/hr-b", Status: http.StatusPreconditionFailed, Code: "PreconditionFailed", Message: "The Etag provided did not match."})
		}
	}
	record := dns.Addresses("hr-b", []string{"10.0.0.1"}, time.Minute)
	clash(http.MethodPut, 2)
	if err := service.Set(t.Context(), "example.com", record); err != nil {
		t.Errorf("after two clashes: %v", err)
	}
	clash(http.MethodDelete, 3)
	key := []dns.Key{{Name: "hr-b", Type: "A"}}
	if err := service.Delete(t.Context(), "example.com", key); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("after three clashes: %v", err)
	}
	if err := service.Delete(t.Context(), "example.com", key); err != nil {
		t.Error(err)
	}
}

func TestDNSCheck(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t)
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
	actions := []string{"Microsoft.Authorization/permissions/read", "Microsoft.Network/dnsZones/read", "Microsoft.Network/dnsZones/all/read"}
	for _, kind := range []string{"A", "AAAA", "TXT"} {
		for _, verb := range []string{"read", "write", "delete"} {
			actions = append(actions, "Microsoft.Network/dnsZones/"+kind+"/"+verb)
		}
	}
	for _, action := range actions {
		p.Lack(action)
		if diff := cmp.Diff([]string{"permission " + action}, failed("example.com")); diff != "" {
			t.Errorf("without %s:\n%s", action, diff)
		}
	}
	p.Lack("Microsoft.Network/dnsZones/A/write")
	err := service.Set(t.Context(), "example.com", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute))
	if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "Microsoft.Network/dnsZones/A/write") {
		t.Errorf("without the action: %v", err)
	}
	p.Lack()
	if err := service.Set(t.Context(), "example.org", dns.Addresses("hr-c", []string{"10.0.0.1"}, time.Minute)); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a zone that is not there: %v", err)
	}
	if _, err := service.Records(t.Context(), "example.org"); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("records of a zone that is not there: %v", err)
	}
	p.Expire(true)
	if _, err := service.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("with a secret that is refused: %v", err)
	}
}
