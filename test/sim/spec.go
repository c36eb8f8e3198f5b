package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Accident is one thing that happens in a history: the n-th opportunity of its
// kind.
type Accident struct {
	Kind string
	N    int
}

func (a Accident) String() string { return a.Kind + "#" + strconv.Itoa(a.N) }

// Spec says which history is lived through.
type Spec struct {
	Scenario string
	Seed     uint64
	Length   time.Duration // of the part in which things happen
	// Accidents are all that happen; nil: the seed decides.
	Accidents []Accident
}

// String is the spec as ParseSpec reads it.
func (s Spec) String() string {
	out := fmt.Sprintf("scenario=%s seed=%d length=%s", s.Scenario, s.Seed, s.Length)
	if s.Accidents == nil {
		return out
	}
	byKind := map[string][]string{}
	var kinds []string
	for _, a := range s.Accidents {
		if byKind[a.Kind] == nil {
			kinds = append(kinds, a.Kind)
		}
		byKind[a.Kind] = append(byKind[a.Kind], strconv.Itoa(a.N))
	}
	slices.Sort(kinds)
	parts := make([]string, 0, len(kinds))
	for _, k := range kinds {
		parts = append(parts, k+":"+strings.Join(byKind[k], ","))
	}
	return out + " only=" + strings.Join(parts, ";")
}

// ParseSpec reads what Spec.String has written.
func ParseSpec(text string) (Spec, error) {
	var s Spec
	for _, field := range strings.Fields(text) {
		key, value, ok := strings.Cut(field, "=")
		var err error
		switch {
		case !ok:
			err = fmt.Errorf("%q is not key=value", field)
		case key == "scenario":
			s.Scenario = value
		case key == "seed":
			s.Seed, err = strconv.ParseUint(value, 10, 64)
		case key == "length":
			s.Length, err = time.ParseDuration(value)
		case key == "only":
			s.Accidents, err = parseAccidents(value)
		default:
			err = fmt.Errorf("there is no key %q", key)
		}
		if err != nil {
			return s, fmt.Errorf("reading the history %q: %w", text, err)
		}
	}
	return s, nil
}

func parseAccidents(text string) ([]Accident, error) {
	out := []Accident{}
	for _, part := range strings.Split(text, ";") {
		if part == "" {
			continue
		}
		kind, list, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fmt.Errorf("%q is not kind:n,n", part)
		}
		for _, word := range strings.Split(list, ",") {
			n, err := strconv.Atoi(word)
			if err != nil {
				return nil, err
			}
			out = append(out, Accident{kind, n})
		}
	}
	return out, nil
}

// luck decides which accidents happen.
type luck struct {
	seed     uint64
	only     map[Accident]bool // nil: the seed decides
	calm     bool              // nothing happens any more
	count    map[string]int
	happened []Accident
}

func newLuck(s Spec) *luck {
	l := &luck{seed: s.Seed, count: map[string]int{}}
	if s.Accidents != nil {
		l.only = make(map[Accident]bool, len(s.Accidents))
		for _, a := range s.Accidents {
			l.only[a] = true
		}
	}
	return l
}

// hit says whether the next accident of a kind happens, with the probability p
// when the seed decides, and gives the draws for its particulars.
func (l *luck) hit(kind string, p float64) (dice, bool) {
	if p <= 0 {
		return dice{}, false
	}
	a := Accident{kind, l.count[kind]}
	l.count[kind]++
	if l.calm {
		return dice{}, false
	}
	d := dice{mix(l.seed ^ mix(hashOf(kind)+uint64(a.N)))} //nolint:gosec // n is not negative
	happens := d.float() < p
	if l.only != nil {
		happens = l.only[a]
	}
	if happens {
		l.happened = append(l.happened, a)
	}
	return d, happens
}

// roll gives draws for something that always happens.
func (l *luck) roll(kind string) dice {
	n := l.count[kind]
	l.count[kind]++
	return dice{mix(l.seed ^ mix(hashOf(kind)+uint64(n)))} //nolint:gosec // n is not negative
}

// dice are the draws of one accident.
type dice struct{ state uint64 }

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	return mix(d.state)
}

func (d *dice) float() float64 { return float64(d.next()>>11) / (1 << 53) }

// n draws from 0 to n-1.
func (d *dice) n(n int) int { return int(d.next() % uint64(n)) } //nolint:gosec // n is positive and small

// upTo draws a duration from 0 to most.
func (d *dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.float() * float64(most))
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashOf is FNV-1a.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// pick draws one of the choices.
func pick[T any](d *dice, choices ...T) T { return choices[d.n(len(choices))] }
