package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/store"
)

// opener makes clients of clouds from stored provider configs.
type opener struct {
	kinds   []provider.Kind
	dns     []dns.Kind
	keeper  *secret.Keeper
	owner   string // installation
	host    provider.Host
	clock   clock.WithTicker
	metrics *provider.Metrics
	prices  *price.Table
}

func (o *opener) kind(name string) (provider.Kind, error) {
	for _, k := range o.kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return provider.Kind{}, fleet.Errorf(fleet.CodeInvalid, "provider kind %q is not built into this version", name)
}

// decode reads the settings of a stored config, secrets included, and lists the
// secrets.
func (o *opener) decode(ctx context.Context, obj *store.Object, given map[string]any, decoded any) (redact []string, err error) {
	secrets, err := o.keeper.Open(ctx, obj.Secrets)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets of %s %s: %w", obj.Kind, obj.Name, err)
	}
	// Secrets are stored by their path in the spec: "settings.token".
	public := map[string]any{}
	if given != nil {
		public["settings"] = given
	}
	merged, _ := settings.MergeSecrets(public, secrets)["settings"].(map[string]any)
	wrong := settings.DecodeMap(merged, decoded, settings.Options{Path: "spec.settings"})
	// What stands in an override may break rules that this version has learned
	// since it was saved. The machines that were made with it are looked after all
	// the same; a create is refused by the driver or by the cloud.
	wrong = slices.DeleteFunc(wrong, func(f fleet.FieldError) bool { return strings.HasPrefix(f.Path, "spec.settings.config_override.") })
	if len(wrong) > 0 {
		return nil, fleet.Invalid(fmt.Sprintf("settings of %s %s", obj.Kind, obj.Name), wrong)
	}
	settings.ApplyDefaults(decoded)
	for _, v := range secrets {
		redact = append(redact, v)
	}
	return redact, nil
}

// openDNS makes a client for a DNS provider config.
func (o *opener) openDNS(ctx context.Context, obj *store.Object) (*dns.Client, error) {
	spec, err := store.Spec[fleet.DNSProviderSpec](obj)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(o.dns, func(k dns.Kind) bool { return k.Name == spec.Provider })
	if i < 0 {
		return nil, fleet.Errorf(fleet.CodeInvalid, "DNS provider kind %q is not built into this version", spec.Provider)
	}
	decoded := o.dns[i].NewSettings()
	redact, err := o.decode(ctx, obj, spec.Settings, decoded)
	if err != nil {
		return nil, err
	}
	zoned, ok := decoded.(dns.Zoned)
	if !ok {
		return nil, fmt.Errorf("the settings of DNS provider kind %s name no zone", spec.Provider)
	}
	service, err := o.dns[i].Open(ctx, decoded)
	if err != nil {
		return nil, err
	}
	return dns.NewClient(o.dns[i], service, zoned.ZoneName(), redact, o.clock), nil
}

// open makes a client for a provider config as of one revision.
func (o *opener) open(ctx context.Context, obj *store.Object) (*provider.Client, error) {
	spec, err := store.Spec[fleet.VMProviderSpec](obj)
	if err != nil {
		return nil, err
	}
	kind, err := o.kind(spec.Provider)
	if err != nil {
		return nil, err
	}
	decoded := kind.NewSettings()
	redact, err := o.decode(ctx, obj, spec.Settings, decoded)
	if err != nil {
		return nil, err
	}
	driver, err := kind.Open(ctx, decoded, o.host)
	if err != nil {
		return nil, err
	}
	return provider.NewClient(provider.ClientOptions{
		Kind: kind, Driver: driver, Clock: o.clock, Metrics: o.metrics, Secrets: redact,
		Owner:     provider.Owner{Installation: o.owner, Provider: obj.Name},
		RateLimit: spec.RateLimit, Concurrency: int(spec.Concurrency),
	}), nil
}

// shape tells what a machine of a provider config offers; zero when its kind
// cannot tell from the settings.
func (o *opener) shape(spec fleet.VMProviderSpec) fleet.Resources {
	if shaped, ok := o.public(spec).(provider.Shaped); ok {
		return shaped.Shape()
	}
	return fleet.Resources{}
}

// price tells what a machine of a provider config costs.
func (o *opener) price(spec fleet.VMProviderSpec, offer string) price.Quote {
	return provider.Price(o.prices, spec, o.public(spec), offer)
}

// public are the settings of a provider config without secrets; nil when its
// kind is not known.
func (o *opener) public(spec fleet.VMProviderSpec) any {
	kind, err := o.kind(spec.Provider)
	if err != nil {
		return nil
	}
	decoded := kind.NewSettings()
	// The settings were checked when they were saved; what has become invalid
	// since is reported by open.
	if b, err := json.Marshal(spec.Settings); err == nil {
		_ = json.Unmarshal(b, decoded)
	}
	settings.ApplyDefaults(decoded)
	return decoded
}

// LoadPrices reads the list prices and, over them, the operator's own table.
func LoadPrices(file string, kinds []provider.Kind) (*price.Table, error) {
	table, err := price.List()
	if err != nil || file == "" {
		return table, err
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	rows, err := price.ReadFile(file, names)
	if err != nil {
		return nil, err
	}
	return table.With(rows), nil
}

// simClouds are the simulated clouds of this process.
type simClouds struct {
	clock clock.WithTicker

	mu     sync.Mutex
	clouds map[string]*sim.Cloud
	made   func(*sim.Cloud) // starts the agents of a new cloud
}

func (s *simClouds) get(name string) *sim.Cloud {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clouds[name]; c != nil {
		return c
	}
	c := sim.NewCloud(sim.Options{Clock: s.clock})
	s.clouds[name] = c
	if s.made != nil {
		s.made(c)
	}
	return c
}

func newHost(cfg Config, c clock.PassiveClock) provider.Host {
	return provider.Host{DataDir: cfg.DataDir, Executable: cfg.Executable, Now: c.Now, Random: rand.Reader}
}
