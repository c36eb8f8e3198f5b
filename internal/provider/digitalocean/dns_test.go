package digitalocean_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/dns/dnstest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean/fakedigitalocean"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

func TestDNS(t *testing.T) {
	t.Parallel()
	dnstest.Run(t, dnstest.Harness{Kind: digitalocean.DNSKind(), New: dnsAccount})
}

func dnsAccount(t *testing.T) dnstest.Account {
	c := open(t)
	token, a := c.fake.NewAccount()
	s := &digitalocean.DNSSettings{}
	s.Zone, s.Token, s.Endpoint, s.CABundle = dnstest.Zone, token, c.url, c.ca
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	const records = "/v2/domains/example.com/records"
	fail := func(status int) func() {
		return func() { a.Spoil(fakedigitalocean.Fault{Status: status, Message: "x"}) }
	}
	spoil := func(method string, after int) {
		a.Spoil(fakedigitalocean.Fault{Method: method, Path: records, Status: http.StatusInternalServerError, Message: "x", After: after})
	}
	return dnstest.Account{
		Settings: s, WrongCA: &wrong, Secrets: []string{token},
		Stored: func() []string {
			var out []string
			for _, line := range a.Records(dnstest.Zone) { // NAME TYPE VALUE SECONDS
				part := strings.SplitN(line, " ", 3)
				at := strings.LastIndex(part[2], " ")
				full := part[0] + "." + dnstest.Zone
				if part[0] == "@" {
					full = dnstest.Zone
				}
				value := part[2][:at]
				if part[1] == "TXT" {
					value = dns.Quote(value)
				}
				if part[1] != "NS" {
					out = append(out, dnstest.Lines([]string{full + " " + part[1] + part[2][at:] + " " + value})...)
				}
			}
			return out
		},
		AddText: func(name, text string) { a.AddText(dnstest.Zone, name, text) },
		Calls:   a.Calls, RepeatCalls: 1, // the list
		LeastTTL: 30 * time.Second,
		Expire:   func() { a.Expire(true) },
		Lack:     func(scopes ...string) { a.Lack(slices.Concat(scopes, []string{""})[0]) },
		Checked:  []string{"domain:read"}, Write: "domain:create", WriteHint: "domain:create",
		Fail: map[provider.Class]func(){
			provider.RateLimited: fail(http.StatusTooManyRequests), provider.Unavailable: fail(http.StatusServiceUnavailable),
		},
		BreakPage: func() { spoil(http.MethodGet, 1) },
		BreakWrite: func(after int) {
			spoil(http.MethodPost, after)
			spoil(http.MethodDelete, after)
		},
	}
}
