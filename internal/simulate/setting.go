package simulate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// Setting is what a back-test takes for granted. Maps are by provider config;
// the name "" stands for every one that is not named.
type Setting struct {
	Kinds    []provider.Kind // that manifests may name
	Seed     uint64
	Boot     map[string]time.Duration // from the create call until a machine is ready
	BootLaw  string                   // one of BootLaws, for Boot; empty: the first
	Shapes   map[string]fleet.Shape   // of machines; needed where the settings of a provider do not tell
	Prices   map[string]float64       // of a machine and hour, by hand: they win over Table
	Currency string                   // of Prices; empty: provider.DefaultCurrency
	Table    *price.Table             // prices of what Prices does not name; nil: none
	Patience time.Duration            // waiting time after which a session is given up; 0: DefaultPatience
	WarmUp   time.Duration            // before the demand begins; 0: DefaultWarmUp
}

// BootLaws are the ways in which boot times can be distributed around their
// mean.
func BootLaws() []string {
	return []string{string(sim.Fixed), string(sim.Uniform), string(sim.Exponential), string(sim.Lognormal)}
}

func (s *Setting) defaults() {
	s.Patience = fleet.Or(s.Patience, DefaultPatience)
	s.WarmUp = fleet.Or(s.WarmUp, DefaultWarmUp)
}

// decode reads the settings of a provider config, without its secrets.
func (s *Setting) decode(spec fleet.VMProviderSpec) (kind provider.Kind, decoded any, err error) {
	i := slices.IndexFunc(s.Kinds, func(k provider.Kind) bool { return k.Name == spec.Provider })
	if i < 0 {
		return kind, nil, fleet.Errorf(fleet.CodeInvalid, "provider kind %q is not built into this version", spec.Provider)
	}
	kind = s.Kinds[i]
	decoded = kind.NewSettings()
	b, err := json.Marshal(spec.Settings)
	if err != nil {
		return kind, nil, fmt.Errorf("reading settings: %w", err)
	}
	if err := json.Unmarshal(b, decoded); err != nil {
		return kind, nil, fmt.Errorf("reading settings: %w", err)
	}
	settings.ApplyDefaults(decoded)
	return kind, decoded, nil
}

// cloud says how the simulated cloud stands in for a provider config.
func (s *Setting) cloud(o *store.Object, spec fleet.VMProviderSpec) (provider.Kind, sim.Behaviour, error) {
	kind, decoded, err := s.decode(spec)
	if err != nil {
		return provider.Kind{}, sim.Behaviour{}, err
	}
	b := sim.Behaviour{Boot: sim.Always(DefaultBoot)}
	if own, ok := decoded.(*sim.Settings); ok {
		b = own.Behaviour()
	}
	b.Token, b.Latency, b.RequestRate = "", sim.Spread{}, 0
	if boot, ok := named(s.Boot, o.Name); ok {
		b.Boot = sim.Spread{Law: sim.Law(s.BootLaw), Mean: boot}
	}
	b.Shape = s.shapeOf(o.Name, decoded)
	standIn := provider.Kind{Name: kind.Name, Defaults: kind.Defaults}
	standIn.Defaults.RateLimit = 0
	// The engine looks when the cloud changes.
	standIn.Defaults.BusyInterval, standIn.Defaults.RestInterval = 5*time.Minute, 6*time.Hour
	return standIn, b, nil
}

func named[T any](m map[string]T, name string) (T, bool) {
	if v, ok := m[name]; ok {
		return v, true
	}
	v, ok := m[""]
	return v, ok
}

func (s *Setting) shapeOf(name string, decoded any) fleet.Resources {
	if shape, ok := named(s.Shapes, name); ok {
		return shape.Resources()
	}
	if shaped, ok := decoded.(provider.Shaped); ok {
		return shaped.Shape()
	}
	return fleet.Resources{}
}

// machine is what a machine of a config on a provider offers.
func (s *Setting) machine(t fleet.PoolType, spec fleet.AutoscaleConfigSpec, name string, vm fleet.VMProviderSpec) (fleet.Resources, error) {
	_, decoded, err := s.decode(vm)
	if err != nil {
		return fleet.Resources{}, err
	}
	out := snapshot.Capacity(t, spec, s.shapeOf(name, decoded))
	if t == fleet.PoolDockerAgent && (out.Cores == 0 || out.MemoryMiB == 0) {
		return out, fleet.Errorf(fleet.CodeInvalid, "what a machine of provider %s offers is not known: say it with --shape %s=4cores,16Gi, or set agent_cores_override and agent_memory_override", name, name)
	}
	return out, nil
}

// describe says what is taken for granted of a provider config.
func (s *Setting) describe(name string, spec fleet.VMProviderSpec) (string, error) {
	kind, b, err := s.cloud(&store.Object{Name: name}, spec)
	if err != nil {
		return "", err
	}
	var parts []string
	if !b.Shape.IsZero() {
		parts = append(parts, b.Shape.String())
	}
	boot := "ready after " + fleet.Duration(b.Boot.Mean).String()
	if b.Boot.Law != "" && b.Boot.Law != sim.Fixed {
		boot += " on average (" + string(b.Boot.Law) + ")"
	}
	parts = append(parts, boot, "at most "+strconv.FormatInt(spec.MaxInstances, 10)+" machines")
	if text := priceOf(s.quote(name, spec)); text != "" {
		parts = append(parts, text)
	}
	return fmt.Sprintf("%s (%s): %s", name, kind.Name, strings.Join(parts, ", ")), nil
}

// quote is what a machine of a provider config costs. The offer that is tried
// first stands for all.
func (s *Setting) quote(name string, spec fleet.VMProviderSpec) price.Quote {
	if p, ok := s.Prices[name]; ok {
		return price.Fixed(name, p, fleet.Or(s.Currency, provider.DefaultCurrency), price.ByHand)
	}
	_, decoded, err := s.decode(spec)
	if err != nil {
		return price.Quote{}
	}
	return provider.Price(s.Table, spec, decoded, "")
}

// priceOf says what is taken for granted of a price, and where it is from; empty
// when nothing is known.
func priceOf(q price.Quote) string {
	if q.PerHour == nil {
		return ""
	}
	text := price.Figure(*q.PerHour) + " " + q.Currency + " an hour"
	switch {
	case q.Lines[0].Origin == price.FromProvider:
		text += " (set in the VM provider)"
	case q.Overridden():
		text += " (price table)"
	case q.Lines[0].Origin == price.FromList:
		text += " (list price of " + q.Oldest() + ")"
	}
	return text
}

// check refuses names that no provider config has.
func (s *Setting) check(specs map[string]fleet.VMProviderSpec) error {
	known := strings.Join(slices.Sorted(maps.Keys(specs)), ", ")
	for _, m := range []struct {
		flag  string
		names []string
	}{
		{"--boot", slices.Sorted(maps.Keys(s.Boot))},
		{"--shape", slices.Sorted(maps.Keys(s.Shapes))},
		{"--price", slices.Sorted(maps.Keys(s.Prices))},
	} {
		for _, name := range m.names {
			if _, ok := specs[name]; !ok && name != "" {
				return fleet.Errorf(fleet.CodeInvalid, "%s names provider %q, which the policy does not have: it has %s", m.flag, name, fleet.Or(known, "none"))
			}
		}
	}
	return nil
}

// nameMark is where a provider config carries its name in its settings, since
// the planner asks for shapes by settings.
const nameMark = "back-test/name"

// shape tells the planner what a machine of a provider config offers.
func (s *Setting) shape(spec fleet.VMProviderSpec) fleet.Resources {
	_, decoded, err := s.decode(spec)
	if err != nil {
		return fleet.Resources{}
	}
	name, _ := spec.Settings[nameMark].(string)
	return s.shapeOf(name, decoded)
}
