// Package dns is the contract between Headroom and the services that keep DNS
// records. A kind of service implements [Service] and describes itself with a
// [Kind]; the control loop registers the names of machines, removes them with
// the machines, and sweeps what was left. The kinds live in the folders of the
// clouds that they belong to.
//
// Errors are those of package provider and mean the same: a class each, a text
// that is safe to show.
//
// # Ownership
//
// Beside the address records of a name there is a TXT record under
// "_headroom.<name>" which says whose they are ([Mark]). It is written before
// the addresses and removed after them, so that whatever a crash leaves behind
// can be found by its mark. Names without our mark are never touched.
package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Service speaks to one account of one DNS service. Its methods are called
// concurrently. Names of records are relative to the zone, "@" being the zone
// itself.
type Service interface {
	// Check looks at credentials, permissions and the zone, one finding each. It
	// writes nothing.
	Check(ctx context.Context, zone string) (provider.Report, error)
	// Records lists every record of the zone, all pages. An error means that the
	// list is incomplete.
	Records(ctx context.Context, zone string) ([]Record, error)
	// Set makes the records of each name and type that is given be exactly those
	// given. Records of other names and types stay. It is repeatable.
	Set(ctx context.Context, zone string, records []Record) error
	// Delete removes every record of each name and type that is given, whatever
	// its value. What is absent is no error.
	Delete(ctx context.Context, zone string, names []Key) error
}

// Record is one value of a name.
type Record struct {
	Key
	Value string // an address, or the text of a TXT record without quotes
	TTL   time.Duration
}

// Key is the name and type of records.
type Key struct {
	Name string // relative to the zone
	Type string // A, AAAA or TXT
}

// Set is all that a name and type should have.
type Set struct {
	Key
	TTL    time.Duration
	Values []string // each once
}

// Sets gathers records by their keys, both in the order in which they come first.
// The time to live is that of the first.
func Sets(records []Record) []Set {
	var out []Set
	at := map[Key]int{}
	for _, r := range records {
		i, have := at[r.Key]
		if !have {
			i = len(out)
			at[r.Key] = i
			out = append(out, Set{Key: r.Key, TTL: r.TTL})
		}
		if !slices.Contains(out[i].Values, r.Value) {
			out[i].Values = append(out[i].Values, r.Value)
		}
	}
	return out
}

// Kind describes a kind of DNS service.
type Kind struct {
	Name  string // as in DNSProviderSpec.Provider
	Title string // for people
	About string // one sentence

	// NewSettings returns a pointer to a zero settings struct; its tags are the
	// only definition of the settings. It embeds [Settings].
	NewSettings func() any
	// Open makes a service from settings that have been validated. It calls no
	// network.
	Open func(ctx context.Context, settings any) (Service, error)
	// RateLimit is how many calls a second the service takes; 0: 5.
	RateLimit float64
	// Batch is how many names one call of Set or Delete carries; 0: 50. Services
	// without batches of their own want few, since the call has a deadline.
	Batch int
}

// KindOf completes the description of a kind whose settings are an S: NewSettings
// makes one, and Open is told it instead of an any.
func KindOf[S any](k Kind, open func(context.Context, S) (Service, error)) Kind {
	k.NewSettings = func() any { return new(S) }
	k.Open = func(ctx context.Context, settings any) (Service, error) {
		s, ok := settings.(*S)
		if !ok {
			return nil, fmt.Errorf("the DNS provider kind %s got settings of type %T instead of %T", k.Name, settings, s)
		}
		return open(ctx, *s)
	}
	return k
}

// Settings are what every kind has.
type Settings struct {
	Zone string `json:"zone" pattern:"^([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a domain name in lower case, without a dot at its end" maxLength:"253" immutable:"true" doc:"The zone that records are written to, as the service knows it." example:"example.com"`
}

// ZoneName is the zone; kinds that embed Settings have it.
func (s Settings) ZoneName() string { return s.Zone }

// Zoned are settings that embed [Settings].
type Zoned interface{ ZoneName() string }

// Relative is a full name as a name inside of the zone; ok is false for names
// outside of it.
func Relative(name, zone string) (relative string, ok bool) {
	name, zone = strings.TrimSuffix(strings.ToLower(name), "."), strings.TrimSuffix(strings.ToLower(zone), ".")
	if name == zone {
		return "@", true
	}
	return strings.CutSuffix(name, "."+zone)
}

// Addresses are the records of a name for a machine's addresses: A and AAAA,
// in order. Texts that are no addresses, and addresses that nobody else can
// reach, are left out.
func Addresses(name string, addresses []string, ttl time.Duration) []Record {
	var out []Record
	for _, text := range addresses {
		a, err := netip.ParseAddr(text)
		if err != nil || a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() {
			continue
		}
		a = a.Unmap().WithZone("")
		kind := "A"
		if a.Is6() {
			kind = "AAAA"
		}
		r := Record{Key: Key{Name: name, Type: kind}, Value: a.String(), TTL: ttl}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int {
		return strings.Compare(a.Type+" "+a.Value, b.Type+" "+b.Value)
	})
	return out
}

// Mark says whose a name is.
type Mark struct {
	Installation string
	Server       string // id
}

const (
	markPrefix = "_headroom."
	markIntro  = "headroom"
)

// MarkKey is where the mark of a name stands.
func MarkKey(name string) Key { return Key{Name: markPrefix + name, Type: "TXT"} }

// Record is the mark of a name as a record.
func (m Mark) Record(name string, ttl time.Duration) Record {
	return Record{Key: MarkKey(name), Value: markIntro + ",installation=" + m.Installation + ",server=" + m.Server, TTL: ttl}
}

// ParseMark reads a mark; ok is false for records that are none. Quotes, which
// some services show around texts, are ignored.
func ParseMark(r Record) (name string, m Mark, ok bool) {
	name, found := strings.CutPrefix(r.Name, markPrefix)
	if !found || r.Type != "TXT" {
		return "", Mark{}, false
	}
	parts := strings.Split(strings.Trim(r.Value, `"`), ",")
	if parts[0] != markIntro {
		return "", Mark{}, false
	}
	for _, p := range parts[1:] {
		key, value, _ := strings.Cut(p, "=")
		switch key {
		case "installation":
			m.Installation = value
		case "server":
			m.Server = value
		}
	}
	return name, m, m.Installation != "" && m.Server != ""
}
