package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// realm is one provider config with one set of settings: a place where
// machines are, and the client that reaches it. Machines that were made with
// other settings are still found where they were made. Revisions that differ in
// secrets and other access alone should be in the same place, so that rotated
// credentials reach old machines; they share a realm as soon as that is proven,
// see handOver.
type realm struct {
	provider string
	key      string
	place    string // the same for realms that differ in nothing but access
	revision int64  // of the settings that the client was opened with
	client   *provider.Client

	mu       sync.Mutex
	short    map[string]time.Time // offers without capacity, until when
	deleted  map[string]time.Time // server id → last accepted delete call
	pausedBy map[string]time.Time // server id → not before, after an error
	omits    map[string]int       // server id → listings in a row that left its machine out though it exists
	unmade   map[string]time.Time // server id → moment of the create call that surely made no machine
	leftOut  map[string]time.Time // server id → first listing without its machine whose id another one has
}

func (r *realm) lastListing() *provider.Listing { return r.client.Latest() }

// clouds opens realms when they are first needed and keeps them.
type clouds struct {
	deps Deps

	mu     sync.Mutex
	realms map[string]map[string]*realm // provider → realm key → realm
	keyOf  map[string]map[int64]string  // provider → revision → realm key
	heirs  map[string]map[string]string // provider → realm key → key of the realm that took its machines over

	// replaced are clients that steps under way may still use; they are closed
	// at the end.
	replaced []*provider.Client
}

func newClouds(d Deps) *clouds {
	return &clouds{deps: d, realms: map[string]map[string]*realm{}, keyOf: map[string]map[int64]string{}, heirs: map[string]map[string]string{}}
}

// forget drops what is known of a provider's revisions after its settings
// have changed; listings and short memories are kept with their realm.
func (cs *clouds) forget(name string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.keyOf, name)
}

// get is the realm of a revision of a provider config. Revision 0 is the
// current one.
func (cs *clouds) get(ctx context.Context, name string, revision int64) (*realm, error) {
	cs.mu.Lock()
	if key, ok := cs.keyOf[name][revision]; ok {
		r := cs.realms[name][key]
		cs.mu.Unlock()
		return r, nil
	}
	cs.mu.Unlock()
	o, key, place, err := cs.newest(ctx, name, revision)
	if err != nil {
		return nil, err
	}
	return cs.open(ctx, name, revision, o, key, place)
}

// newest reads the youngest settings that share a realm with the revision.
func (cs *clouds) newest(ctx context.Context, name string, revision int64) (o *store.Object, key, place string, err error) {
	err = cs.deps.Store.Read(ctx, func(tx *store.Tx) error {
		current, err := tx.Object(fleet.KindVMProvider, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		o = current
		if revision != 0 {
			if o, err = tx.ProviderRevision(name, revision); err != nil {
				return err
			}
		}
		if o == nil {
			return fleet.Errorf(fleet.CodeNotFound, "VM provider %s does not exist", name)
		}
		if key, place, err = cs.realmKey(o); err != nil {
			return err
		}
		if current != nil {
			if currentKey, _, err := cs.realmKey(current); err == nil && (currentKey == key || currentKey == cs.heir(name, key)) {
				o, key = current, currentKey
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", "", fmt.Errorf("reading revision %d of provider %s: %w", revision, name, err)
	}
	return o, key, place, nil
}

func (cs *clouds) heir(name, key string) string {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.heirs[name][key]
}

// handOver gives the machines of one realm to another one that differs in
// nothing but access and whose listing has shown one of them. That is the proof
// that both look at the same place: credentials may belong to another account or
// project, whatever the other settings say, and then the machines must still be
// reached by those they were made with.
func (cs *clouds) handOver(from, to *realm) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.heirs[from.provider] == nil {
		cs.heirs[from.provider] = map[string]string{}
	}
	cs.heirs[from.provider][from.key] = to.key
	maps.DeleteFunc(cs.keyOf[from.provider], func(_ int64, key string) bool { return key == from.key })
}

// realmKey identifies the settings of a provider config, and the place that they
// name. Sealed secrets stay the same for as long as nobody changes them; when
// they are sealed anew the proof is made anew.
func (cs *clouds) realmKey(o *store.Object) (key, place string, err error) {
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return "", "", err
	}
	of := func(settings map[string]any, secrets []byte) (string, error) {
		canonical, err := json.Marshal(struct {
			Provider string
			Settings map[string]any
			Secrets  []byte
		}{spec.Provider, settings, secrets})
		sum := sha256.Sum256(canonical)
		return hex.EncodeToString(sum[:8]), err
	}
	if key, err = of(spec.Settings, o.Secrets); err == nil {
		place, err = of(spec.Lasting(cs.deps.Access), nil)
	}
	if err != nil {
		return "", "", fmt.Errorf("reading settings of provider %s: %w", o.Name, err)
	}
	return key, place, nil
}

func (cs *clouds) open(ctx context.Context, name string, revision int64, o *store.Object, key, place string) (*realm, error) {
	cs.mu.Lock()
	r := cs.realms[name][key]
	cs.mu.Unlock()
	if r == nil || r.revision < o.Revision {
		client, err := cs.deps.Open(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("opening provider %s: %w", name, err)
		}
		r = &realm{
			provider: name, key: key, place: place, revision: o.Revision, client: client,
			short: map[string]time.Time{}, deleted: map[string]time.Time{}, pausedBy: map[string]time.Time{},
			omits:  map[string]int{},
			unmade: map[string]time.Time{}, leftOut: map[string]time.Time{},
		}
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.realms[name] == nil {
		cs.realms[name] = map[string]*realm{}
	}
	switch other := cs.realms[name][key]; {
	case other == nil || other == r:
	case other.revision >= r.revision:
		cs.replaced = append(cs.replaced, r.client)
		r = other // a concurrent caller was faster
	default:
		cs.replaced = append(cs.replaced, other.client)
	}
	cs.realms[name][key] = r
	if cs.keyOf[name] == nil {
		cs.keyOf[name] = map[int64]string{}
	}
	cs.keyOf[name][revision] = key
	return r, nil
}

// close gives back what drivers keep open at their services, all at once.
func (cs *clouds) close(ctx context.Context) {
	cs.mu.Lock()
	clients := cs.replaced
	for _, realms := range cs.realms {
		for _, r := range realms {
			clients = append(clients, r.client)
		}
	}
	cs.replaced = nil
	cs.mu.Unlock()
	var wg sync.WaitGroup
	for _, client := range clients {
		wg.Go(func() {
			if err := client.Close(ctx); err != nil {
				cs.deps.Log.WarnContext(ctx, "a connection to a provider could not be closed in order", "vm_provider", client.Owner().Provider, "error", err)
			}
		})
	}
	wg.Wait()
}

func dialTCP(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
