package dns_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestMarkRoundTrip(t *testing.T) {
	t.Parallel()
	m := dns.Mark{Installation: "01jinstallation", Server: "01jserver"}
	r := m.Record("hr-a.desk", time.Minute)
	if r.Name != "_headroom.hr-a.desk" || r.Type != "TXT" {
		t.Errorf("record %+v", r)
	}
	for _, quoted := range []string{r.Value, `"` + r.Value + `"`} {
		r.Value = quoted
		if name, got, ok := dns.ParseMark(r); !ok || name != "hr-a.desk" || got != m {
			t.Errorf("%q reads as %q, %+v, %v", quoted, name, got, ok)
		}
	}
	for _, r := range []dns.Record{
		{Key: dns.Key{Name: "hr-a", Type: "TXT"}, Value: r.Value},
		{Key: dns.Key{Name: "_headroom.hr-a", Type: "A"}, Value: r.Value},
		{Key: dns.Key{Name: "_headroom.hr-a", Type: "TXT"}, Value: "v=spf1 -all"},
		{Key: dns.Key{Name: "_headroom.hr-a", Type: "TXT"}, Value: "headroom,installation=x"},
	} {
		if _, _, ok := dns.ParseMark(r); ok {
			t.Errorf("%+v passes for a mark", r)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	got := dns.Addresses("hr-a", []string{"2001:db8::1", "10.0.0.2", "10.0.0.1", "10.0.0.1", "127.0.0.1", "fe80::1", "0.0.0.0", "::ffff:10.0.0.3", "host.example.com"}, time.Minute)
	want := []dns.Record{
		{Key: dns.Key{Name: "hr-a", Type: "A"}, Value: "10.0.0.1", TTL: time.Minute},
		{Key: dns.Key{Name: "hr-a", Type: "A"}, Value: "10.0.0.2", TTL: time.Minute},
		{Key: dns.Key{Name: "hr-a", Type: "A"}, Value: "10.0.0.3", TTL: time.Minute},
		{Key: dns.Key{Name: "hr-a", Type: "AAAA"}, Value: "2001:db8::1", TTL: time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRelative(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a.example.com": "a", "A.b.Example.com.": "a.b", "example.com": "@"} {
		if got, ok := dns.Relative(name, "example.com"); !ok || got != want {
			t.Errorf("%s is %q, %v; expected %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"example.org", "badexample.com", "com"} {
		if got, ok := dns.Relative(name, "example.com"); ok {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, p := range settings.CheckDefinition(&dns.Settings{}) {
		t.Error(p)
	}
}

func TestSets(t *testing.T) {
	t.Parallel()
	mark := dns.Mark{Installation: "i", Server: "s"}.Record("hr-b", time.Minute)
	in := append([]dns.Record{mark}, dns.Addresses("hr-b", []string{"10.0.0.1", "10.0.0.2", "2001:db8::1"}, time.Minute)...)
	in = append(in, dns.Record{Key: in[1].Key, Value: in[1].Value, TTL: time.Hour})
	want := []dns.Set{
		{Key: mark.Key, TTL: time.Minute, Values: []string{mark.Value}},
		{Key: dns.Key{Name: "hr-b", Type: "A"}, TTL: time.Minute, Values: []string{"10.0.0.1", "10.0.0.2"}},
		{Key: dns.Key{Name: "hr-b", Type: "AAAA"}, TTL: time.Minute, Values: []string{"2001:db8::1"}},
	}
	if diff := cmp.Diff(want, dns.Sets(in)); diff != "" {
		t.Error(diff)
	}
}

type toySettings struct {
	dns.Settings
	Key string
}

type toy struct {
	dns.Service
	key string
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	k := dns.KindOf(dns.Kind{Name: "toy"}, func(_ context.Context, s toySettings) (dns.Service, error) { return toy{key: s.Key}, nil })
	s, ok := k.NewSettings().(*toySettings)
	if !ok {
		t.Fatalf("the kind makes settings %#v", k.NewSettings())
	}
	s.Key = "k"
	if got, err := k.Open(t.Context(), s); err != nil || got != (toy{key: "k"}) {
		t.Errorf("opened: %#v, %v", got, err)
	}
	for _, other := range []any{nil, toySettings{}, &struct{}{}} {
		if got, err := k.Open(t.Context(), other); err == nil || got != nil || !strings.Contains(err.Error(), "toy") {
			t.Errorf("settings of type %T: %#v, %v", other, got, err)
		}
	}
}
