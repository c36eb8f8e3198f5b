package azure_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/dns/dnstest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
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
	dnstest.Run(t, dnstest.Harness{Kind: azure.DNSKind(), New: dnsAccount})
}

func dnsAccount(t *testing.T) dnstest.Account {
	c := theCloud()
	p := c.fake.NewSubscription()
	s := &azure.DNSSettings{Account: account(c, p), ResourceGroup: p.Group}
	s.Zone = dnstest.Zone
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	fail := func(status int, code string) func() {
		return func() { p.Spoil(fakeazure.Fault{Path: "/dnsZones/", Status: status, Code: code, Message: "x"}) }
	}
	spoil := func(method string, f fakeazure.Fault) {
		f.Method, f.Path = method, "/dnsZones/"
		p.Spoil(f)
	}
	checked := []string{"Microsoft.Authorization/permissions/read", "Microsoft.Network/dnsZones/read", "Microsoft.Network/dnsZones/all/read"}
	for _, kind := range []string{"A", "AAAA", "TXT"} {
		for _, verb := range []string{"read", "write", "delete"} {
			checked = append(checked, "Microsoft.Network/dnsZones/"+kind+"/"+verb)
		}
	}
	return dnstest.Account{
		Settings: s, WrongCA: &wrong, Secrets: []string{p.Secret, "eyJ0."},
		Stored: func() []string {
			var out []string
			for _, line := range p.Records() { // TYPE/NAME SECONDS VALUES
				key, rest, _ := strings.Cut(line, " ")
				kind, name, _ := strings.Cut(key, "/")
				full := name + "." + dnstest.Zone
				if name == "@" {
					full = dnstest.Zone
				}
				ttl, values, _ := strings.Cut(rest, " ")
				if kind == "TXT" {
					values = dns.Quote(values)
				}
				out = append(out, dnstest.Lines([]string{full + " " + kind + " " + ttl + " " + values})...)
			}
			return out
		},
		AddText: func(name, text string) { p.AddText(name, []string{text}) },
		Calls:   p.Calls, RepeatCalls: 1, // a look
		Expire: func() { p.Expire(true) }, Lack: p.Lack, Checked: checked,
		Write: "Microsoft.Network/dnsZones/A/write", WriteHint: "Microsoft.Network/dnsZones/A/write",
		Fail: map[provider.Class]func(){
			provider.RateLimited: fail(http.StatusTooManyRequests, "TooManyRequests"), provider.Unavailable: fail(http.StatusServiceUnavailable, "ServiceUnavailable"),
		},
		BreakPage: func() {
			p.Spoil(fakeazure.Fault{Path: "/all?", After: 1, Status: http.StatusInternalServerError, Code: "InternalServerError", Message: "x"})
		},
		BreakWrite: func(after int) {
			f := fakeazure.Fault{After: after, Status: http.StatusInternalServerError, Code: "InternalServerError", Message: "x"}
			spoil(http.MethodPut, f)
			spoil(http.MethodDelete, f)
		},
		Clash: func(deletions bool, changes int) {
			method := http.MethodPut
			if deletions {
				method = http.MethodDelete
			}
			for range changes {
				p.Spoil(fakeazure.Fault{Method: method, Path: "/A/hr-b", Status: http.StatusPreconditionFailed, Code: "PreconditionFailed", Message: "The Etag provided did not match."})
			}
		},
	}
}

// TestDNSTexts: in pieces, as Azure keeps them and as others write them.
func TestDNSTexts(t *testing.T) {
	t.Parallel()
	service, p := openedDNS(t)
	for _, want := range []string{strings.Repeat(`ü"\ `, 200), ""} {
		if err := service.Set(t.Context(), "example.com", []dns.Record{{Key: dns.Key{Name: "long", Type: "TXT"}, Value: want, TTL: time.Minute}}); err != nil {
			t.Fatal(err)
		}
		if got := textsOf(t, service, "long"); !slices.Equal(got, []string{want}) {
			t.Errorf("the text became %q", got)
		}
	}
	p.AddText("spf", []string{`v=spf1 `, `"quoted" a\b`}, []string{"plain"})
	if diff := cmp.Diff([]string{`v=spf1 "quoted" a\b`, "plain"}, textsOf(t, service, "spf")); diff != "" {
		t.Error(diff)
	}
}

func textsOf(t *testing.T, service dns.Service, name string) (out []string) {
	t.Helper()
	records, err := service.Records(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Name == name {
			out = append(out, r.Value)
		}
	}
	return out
}

// TestDNSPages: what throttling says of the time to wait is told, on whatever page.
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
