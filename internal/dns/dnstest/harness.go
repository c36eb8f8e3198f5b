// Package dnstest is the suite that every kind of DNS service passes. A kind
// describes how an account is made and looked at without its own help; the suite
// asks the questions.
package dnstest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// Zone is the zone of every account: it exists, and holds nothing but what the
// service puts into it by itself.
const Zone = "example.com"

// Missing is a zone that no account has.
const Missing = "example.org"

// Harness is what a kind brings along.
type Harness struct {
	Kind dns.Kind
	// New makes an account of its own for a case.
	New func(t *testing.T) Account
}

// Account is an account at the service. A hook that is nil skips the cases that
// need it; say in the harness why it is.
type Account struct {
	Settings any // for Zone
	// WrongCA are the same settings that trust another authority than the one that
	// signed the service's certificate.
	WrongCA any
	// Secrets are texts that no error may hold.
	Secrets []string

	// Stored lists the records of Zone without the driver's help, as Line writes
	// them, in any order and without those that the service puts there itself.
	Stored func() []string
	// AddText puts a TXT record there as somebody else would.
	AddText func(name, text string)
	// Calls counts the requests that the service has got so far.
	Calls func() int64
	// RepeatCalls is how many requests it costs to set one record set that is as it
	// should be.
	RepeatCalls int64
	// LeastTTL is the shortest time to live that the service takes; 0: a second.
	LeastTTL time.Duration

	// Expire lets the service refuse the credentials from now on.
	Expire func()
	// Lack takes the permissions away, and gives back those of an earlier call.
	Lack func(permissions ...string)
	// Checked are the permissions that Check names when they are missing.
	Checked []string
	// Write is a permission without which nothing can be written, and WriteHint a
	// text of the error that tells so.
	Write, WriteHint string
	// WriteClass is the class of that error, where the service does not tell a
	// missing right from a missing zone; empty: Forbidden.
	WriteClass provider.Class

	// Unseen says that Check warns of the right to write, which the service shows
	// with the first name only.
	Unseen bool

	// Fail lets the next request fail as the service does for each class.
	Fail map[provider.Class]func()
	// BreakPage lets a page of a listing other than the first fail with an error of
	// the service's own.
	BreakPage func()
	// BreakWrite lets a request that changes records fail, after the given number of
	// them have passed.
	BreakWrite func(after int)
	// Clash lets the next deletions, or the next writes, fail since somebody else's
	// change has overtaken them. Nil where changes replace what is there unseen.
	Clash       func(deletions bool, changes int)
	ClashDelete bool // writes do that, deletions do not
	// Private makes a private zone of the name of Zone beside the public one.
	Private func()
}

// Line is a record as Account.Stored shows it.
func Line(r dns.Record) string {
	return strings.Join([]string{r.Name, r.Type, r.TTL.String(), r.Value}, " ")
}

// Lines reads records that are written as "fully.qualified.name TYPE SECONDS
// VALUE,VALUE" into what Stored answers: the form of most stand-ins.
func Lines(stored []string) []string {
	var out []string
	for _, text := range stored {
		part := strings.SplitN(text, " ", 4)
		name, ok := dns.Relative(part[0], Zone)
		ttl, err := time.ParseDuration(part[2] + "s")
		if !ok || err != nil {
			out = append(out, "not a record of the zone: "+text)
			continue
		}
		r := dns.Record{Key: dns.Key{Name: name, Type: part[1]}, TTL: ttl}
		values := strings.Split(part[3], ",")
		if r.Type == "TXT" {
			values = []string{dns.Unquote(part[3])}
		}
		for _, r.Value = range values {
			out = append(out, Line(r))
		}
	}
	return out
}

var cases = []struct {
	name string
	run  func(*testing.T, *suite)
}{
	{"settings", definition},
	{"a name is written, listed and removed", life},
	{"a repeated call changes nothing", repeated},
	{"set replaces what was there, of its types alone", replaces},
	{"nothing to do is no error", nothing},
	{"deleting twice, and what never was", deleteTwice},
	{"the zone itself", apex},
	{"times to live", lifetimes},
	{"texts arrive as they were", texts},
	{"somebody else's records stay", foreign},
	{"addresses never stand without their mark", cutOff},
	{"all pages", pages},
	{"half a listing is an error", halfListing},
	{"errors have their class", classes},
	{"a change that was overtaken", clashes},
	{"a private zone of the same name", private},
	{"a zone that is not there", missingZone},
	{"credentials that are refused", refused},
	{"missing rights are named", rights},
	{"a stranger's certificate", stranger},
	{"a call that was given up", givenUp},
}

// Run puts a kind through every case.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, (&suite{harness: h}).again(t))
		})
	}
}

type suite struct {
	Account
	harness Harness
	service dns.Service
}

// again is the suite with a new account.
func (s *suite) again(t *testing.T) *suite {
	t.Helper()
	a := s.harness.New(t)
	for _, with := range []any{a.Settings, a.WrongCA} {
		if with != nil {
			settings.ApplyDefaults(with)
		}
	}
	if a.LeastTTL == 0 {
		a.LeastTTL = time.Second
	}
	out := &suite{Account: a, harness: s.harness}
	out.service = out.open(t, a.Settings)
	return out
}

func (s *suite) open(t *testing.T, with any) dns.Service {
	t.Helper()
	service, err := s.harness.Kind.Open(t.Context(), with)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return watched{t: t, secrets: s.Secrets, Service: service}
}

// is holds what the service stores against what it should.
func (s *suite) is(t *testing.T, want ...dns.Record) {
	t.Helper()
	var lines []string
	for _, r := range want {
		lines = append(lines, Line(r))
	}
	sameLines(t, "the service stores", lines, s.Stored())
}

// shown holds what the driver lists of the given names against what it should.
func (s *suite) shown(t *testing.T, want ...dns.Record) {
	t.Helper()
	records, err := s.service.Records(t.Context(), Zone)
	if err != nil {
		t.Fatalf("records: %v", err)
	}
	var lines, got []string
	for _, r := range want {
		lines = append(lines, Line(r))
	}
	for _, r := range records {
		if r.Type == "A" || r.Type == "AAAA" || r.Type == "TXT" {
			got = append(got, Line(r))
		}
	}
	sameLines(t, "the driver lists", lines, got)
}

func sameLines(t *testing.T, what string, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("%s\n\t%s\nexpected\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (s *suite) set(t *testing.T, records ...dns.Record) {
	t.Helper()
	if err := s.service.Set(t.Context(), Zone, records); err != nil {
		t.Fatalf("set: %v", err)
	}
}

func (s *suite) remove(t *testing.T, keys ...dns.Key) {
	t.Helper()
	if err := s.service.Delete(t.Context(), Zone, keys); err != nil {
		t.Fatalf("delete: %v", err)
	}
}

// ops are the calls that every error is looked at with, in order.
func (s *suite) ops(t *testing.T, zone string) []op {
	return []op{
		{"records", func() error { _, err := s.service.Records(t.Context(), zone); return err }},
		{"set", func() error { return s.service.Set(t.Context(), zone, address("hr-b", time.Minute, "10.0.0.1")) }},
		{"delete", func() error { return s.service.Delete(t.Context(), zone, []dns.Key{{Name: "hr-b", Type: "A"}}) }},
	}
}

type op struct {
	name string
	call func() error
}
