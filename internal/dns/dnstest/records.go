package dnstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/settings"
)

const name = "hr-a.desk"

var us = dns.Mark{Installation: "01ji", Server: "01js"} //nolint:gochecknoglobals // a constant in all but name

func address(name string, ttl time.Duration, all ...string) []dns.Record {
	return dns.Addresses(name, all, ttl)
}

// whole is a name as the control loop writes it: the mark, then the addresses.
func whole() []dns.Record {
	return append([]dns.Record{us.Record(name, time.Minute)}, address(name, time.Minute, "10.0.0.1", "10.0.0.2", "2001:db8::1")...)
}

// wholeKeys are its keys in the order of removal: the mark last.
func wholeKeys() []dns.Key {
	return []dns.Key{{Name: name, Type: "A"}, {Name: name, Type: "AAAA"}, dns.MarkKey(name)}
}

func definition(t *testing.T, s *suite) {
	fresh := s.harness.Kind.NewSettings()
	for _, problem := range settings.CheckDefinition(fresh) {
		t.Error(problem)
	}
	if z, ok := fresh.(dns.Zoned); !ok || z.ZoneName() != "" {
		t.Errorf("settings of type %T do not embed dns.Settings", fresh)
	}
	for _, document := range []string{`{}`, `{"zone":"Example.com."}`, `{"zone":"com"}`} {
		found := settings.DecodeJSON([]byte(document), s.harness.Kind.NewSettings(), settings.Options{})
		if !slices.ContainsFunc(found, func(f fieldError) bool { return f.Path == "zone" }) {
			t.Errorf("%s: nothing is said of the zone: %v", document, found)
		}
	}
}

func life(t *testing.T, s *suite) {
	s.set(t, whole()...)
	s.is(t, whole()...)
	s.shown(t, whole()...)
	records, err := s.service.Records(t.Context(), Zone)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(records, func(r dns.Record) bool {
		of, m, ok := dns.ParseMark(r)
		return ok && of == name && m == us
	}) {
		t.Errorf("the mark is not among %v", records)
	}
	s.remove(t, wholeKeys()...)
	s.is(t)
	s.shown(t)
}

func repeated(t *testing.T, s *suite) {
	s.set(t, whole()...)
	s.set(t, whole()...)
	s.is(t, whole()...)
	one := address("hr-b", time.Minute, "10.0.0.7")
	s.set(t, one...)
	before := s.Calls()
	s.set(t, one...)
	if n := s.Calls() - before; n != s.RepeatCalls {
		t.Errorf("a repeated call cost %d requests, expected %d", n, s.RepeatCalls)
	}
	s.is(t, append(whole(), one...)...)
}

func replaces(t *testing.T, s *suite) {
	s.set(t, whole()...)
	s.set(t, address(name, 2*time.Minute, "10.0.0.2", "10.0.0.3")...)
	want := append(address(name, 2*time.Minute, "10.0.0.2", "10.0.0.3"), us.Record(name, time.Minute))
	want = append(want, address(name, time.Minute, "2001:db8::1")...)
	s.is(t, want...)
	s.shown(t, want...)
	s.remove(t, dns.Key{Name: name, Type: "AAAA"})
	s.is(t, want[:3]...)
	// Of one value that is given twice there is one.
	s.set(t, append(address("hr-b", time.Minute, "10.0.0.7"), address("hr-b", time.Minute, "10.0.0.7")...)...)
	s.is(t, append(want[:3:3], address("hr-b", time.Minute, "10.0.0.7")...)...)
}

func nothing(t *testing.T, s *suite) {
	s.set(t, whole()...)
	before := s.Calls()
	s.set(t)
	s.remove(t)
	if n := s.Calls() - before; n != 0 {
		t.Errorf("%d requests were sent for nothing", n)
	}
	s.is(t, whole()...)
}

func deleteTwice(t *testing.T, s *suite) {
	s.set(t, whole()...)
	for range 2 {
		s.remove(t, append(wholeKeys(), dns.Key{Name: "never", Type: "A"}, dns.MarkKey("never"))...)
	}
	s.is(t)
}

func apex(t *testing.T, s *suite) {
	before, err := s.service.Records(t.Context(), Zone)
	if err != nil {
		t.Fatal(err)
	}
	at := address("@", time.Minute, "10.0.0.1", "2001:db8::1")
	s.set(t, at...)
	s.is(t, at...)
	s.shown(t, at...)
	s.remove(t, dns.Key{Name: "@", Type: "A"}, dns.Key{Name: "@", Type: "AAAA"})
	s.is(t)
	after, err := s.service.Records(t.Context(), Zone)
	if err != nil || len(after) != len(before) {
		t.Errorf("the zone's own records were %v and are %v, %v", before, after, err)
	}
}

func lifetimes(t *testing.T, s *suite) {
	for _, ttl := range []time.Duration{0, time.Second, time.Minute, 24 * time.Hour} {
		s.set(t, address("hr-b", ttl, "10.0.0.1")...)
		want := address("hr-b", max(ttl, s.LeastTTL), "10.0.0.1")
		s.is(t, want...)
		s.shown(t, want...)
	}
}

func texts(t *testing.T, s *suite) {
	for _, text := range []string{
		us.Record(name, 0).Value, "plain", `v=spf1 "quoted" a\b`, `\"`, `;comment (not)`, "a  b", " a ", `\065`, "grüße €",
		strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat(`ü"\ `, 200), strings.Repeat("x", 254) + `\` + strings.Repeat("y", 10),
	} {
		r := dns.Record{Key: dns.Key{Name: "text", Type: "TXT"}, Value: text, TTL: time.Minute}
		s.set(t, r)
		s.shown(t, r)
		s.set(t, r) // what the service shows is what is compared
		s.shown(t, r)
	}
	s.remove(t, dns.Key{Name: "text", Type: "TXT"})
	s.is(t)
}

func foreign(t *testing.T, s *suite) {
	s.AddText("spf", "v=spf1 -all")
	s.AddText(name, "verification=17") // of the same name, and another type
	s.AddText("_headroom.hr-z", "v=1 of another program")
	theirs := s.Stored()
	if len(theirs) != 3 {
		t.Fatalf("the harness added three texts, and stored are %q", theirs)
	}
	s.set(t, whole()...)
	s.set(t, address(name, time.Minute, "10.0.0.9")...)
	s.remove(t, wholeKeys()...)
	s.remove(t, dns.Key{Name: "spf", Type: "A"}, dns.MarkKey("hr-y"), dns.MarkKey("spf"))
	sameLines(t, "of others there are", theirs, s.Stored())
	records, err := s.service.Records(t.Context(), Zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if of, m, ok := dns.ParseMark(r); ok {
			t.Errorf("%v passes for our mark of %s: %+v", r, of, m)
		}
	}
}

// cutOff lets the writing and the removal of a name fail at each of their
// requests: whatever is left can be found by its mark, and the repeated call makes
// it whole.
func cutOff(t *testing.T, s *suite) {
	if s.BreakWrite == nil {
		t.Skip("harness cannot let a change fail")
	}
	broken := 0
	for after := range 6 {
		s := s.again(t)
		s.BreakWrite(after)
		err := s.service.Set(t.Context(), Zone, whole())
		s.marked(t, fmt.Sprintf("set, cut off after %d changes", after))
		if err != nil {
			broken++
			s.set(t, whole()...)
		}
		s.is(t, whole()...)

		s = s.again(t)
		s.set(t, whole()...)
		s.BreakWrite(after)
		err = s.service.Delete(t.Context(), Zone, wholeKeys())
		s.marked(t, fmt.Sprintf("delete, cut off after %d changes", after))
		if err != nil {
			broken++
			s.remove(t, wholeKeys()...)
		}
		s.is(t)
	}
	if broken < 2 {
		t.Errorf("%d changes were cut off: the harness does not do what it says", broken)
	}
}

func (s *suite) marked(t *testing.T, when string) {
	t.Helper()
	has := func(prefix string) bool {
		return slices.ContainsFunc(s.Stored(), func(line string) bool { return strings.HasPrefix(line, prefix) })
	}
	if has(name+" A") && !has(dns.MarkKey(name).Name+" TXT ") {
		t.Errorf("%s, an address stands without its mark: %q", when, s.Stored())
	}
}
