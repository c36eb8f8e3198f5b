package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/store"
)

// opener makes clients of clouds from stored provider configs.
type opener struct {
	kinds   []provider.Kind
	keeper  *secret.Keeper
	owner   string // installation
	host    provider.Host
	clock   clock.WithTicker
	metrics *provider.Metrics
}

func (o *opener) kind(name string) (provider.Kind, error) {
	for _, k := range o.kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return provider.Kind{}, fleet.Errorf(fleet.CodeInvalid, "provider kind %q is not built into this version", name)
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
	secrets, err := o.keeper.Open(ctx, obj.Secrets)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets of provider %s: %w", obj.Name, err)
	}
	// Secrets are stored by their path in the spec: "settings.token".
	public := map[string]any{}
	if spec.Settings != nil {
		public["settings"] = spec.Settings
	}
	merged, _ := settings.MergeSecrets(public, secrets)["settings"].(map[string]any)
	decoded := kind.NewSettings()
	if wrong := settings.DecodeMap(merged, decoded, settings.Options{Path: "spec.settings"}); len(wrong) > 0 {
		return nil, fleet.Invalid("settings of provider "+obj.Name, wrong)
	}
	settings.ApplyDefaults(decoded)
	driver, err := kind.Open(ctx, decoded, o.host)
	if err != nil {
		return nil, err
	}
	redact := make([]string, 0, len(secrets))
	for _, v := range secrets {
		redact = append(redact, v)
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
	kind, err := o.kind(spec.Provider)
	if err != nil {
		return fleet.Resources{}
	}
	decoded := kind.NewSettings()
	if _, ok := decoded.(provider.Shaped); !ok {
		return fleet.Resources{}
	}
	// The settings were checked when they were saved; what has become invalid
	// since is reported by open.
	if b, err := json.Marshal(spec.Settings); err == nil {
		_ = json.Unmarshal(b, decoded)
	}
	settings.ApplyDefaults(decoded)
	shaped, _ := decoded.(provider.Shaped)
	return shaped.Shape()
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
