package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/store"
)

// rereadAfter is how long a cache lives on changes alone. The rest of the
// system never needs it: it heals what somebody has changed in the database by
// hand.
const rereadAfter = time.Hour

// Cache keeps the servers that are not gone, and the settings, in memory. Each
// call but Copy first asks the database for the number of its last change and catches up
// with what was changed since, so that its answers are those of the database at
// the time of the call; see [store.Tx.Changes]. Losing it costs a read.
//
// Servers that it returns are shared: they must not be changed.
type Cache struct {
	store  *store.Store
	access fleet.AccessFunc

	mu        sync.Mutex
	at        int64 // change number; negative: empty
	filledAt  time.Time
	settings  *settings
	servers   map[string]*fleet.Server // by id
	pools     map[string]*group
	providers map[string]*group // by VM provider; "" for servers that were registered by hand
}

// NewCache makes an empty cache of a store. access may be nil.
func NewCache(s *store.Store, access fleet.AccessFunc) *Cache {
	return &Cache{store: s, access: access, at: -1}
}

// Load is like the function of the same name.
func (c *Cache) Load(ctx context.Context, pool string, now time.Time, shape ShapeFunc) (plan.Input, error) {
	var in plan.Input
	err := c.read(ctx, now, func(tx *store.Tx, unlock func()) (err error) {
		set, servers := c.settings, c.pools[pool].list()
		counts := map[string]int64{}
		for _, cfg := range set.configs[pool] {
			for _, name := range cfg.spec.VMProviders {
				counts[name] = c.providers[name].count()
			}
		}
		unlock()
		exists := func(provider string) (int64, error) { return counts[provider], nil }
		l := loading{tx: tx, settings: set, shape: shape, exists: exists}
		in, err = l.load(pool, servers, now)
		return err
	})
	return in, err
}

// Servers lists the servers of a VM provider that are not gone, by the time of
// their creation, and says whether the provider is configured.
func (c *Cache) Servers(ctx context.Context, provider string, now time.Time) (list []*fleet.Server, configured bool, err error) {
	err = c.look(ctx, now, func() {
		list = c.providers[provider].list()
		_, configured = c.settings.providers[provider]
	})
	return list, configured, err
}

// Server is one server with the config that made it; a config that is gone
// leaves the defaults. store.ErrNotFound: the server is gone.
func (c *Cache) Server(ctx context.Context, id string, now time.Time) (*fleet.Server, fleet.AutoscaleConfigSpec, error) {
	var s *fleet.Server
	var spec fleet.AutoscaleConfigSpec
	err := c.look(ctx, now, func() {
		if s = c.servers[id]; s != nil {
			spec = c.settings.config[s.AutoscaleConfig]
		}
	})
	if err == nil && s == nil {
		err = fmt.Errorf("server %s: %w", id, store.ErrNotFound)
	}
	return s, spec, err
}

// Halted says why people want no machine made for a server: its pool or its
// provider is frozen, or its config is disabled. Empty: they do.
func (c *Cache) Halted(ctx context.Context, s *fleet.Server, now time.Time) (why string, err error) {
	err = c.look(ctx, now, func() {
		config, ok := c.settings.config[s.AutoscaleConfig]
		switch {
		case c.settings.providers[s.VMProvider].spec.Frozen:
			why = "provider " + s.VMProvider + " is frozen"
		case c.settings.pools[s.Pool].Frozen:
			why = "pool " + s.Pool + " is frozen"
		case ok && !fleet.Value(config.Enabled, true):
			why = "autoscale config " + s.AutoscaleConfig + " is disabled"
		}
	})
	return why, err
}

// Revision is the one that the settings of a provider are at; 0: there is no
// such provider.
func (c *Cache) Revision(ctx context.Context, provider string, now time.Time) (revision int64, err error) {
	err = c.look(ctx, now, func() { revision = c.settings.providers[provider].revision })
	return revision, err
}

// Copy is a server as the cache has it, without a look at the database; nil: it
// has none. Who writes it back relies on its version.
func (c *Cache) Copy(id string) *fleet.Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[id]
	if s == nil || c.at < 0 {
		return nil
	}
	own := *s
	return &own
}

// look has f look at the cache as the database is now.
func (c *Cache) look(ctx context.Context, now time.Time, f func()) error {
	c.mu.Lock()
	if c.fresh(now) && c.store.Unchanged(c.at) {
		defer c.mu.Unlock()
		f()
		return nil
	}
	c.mu.Unlock()
	return c.read(ctx, now, func(*store.Tx, func()) error {
		f()
		return nil
	})
}

func (c *Cache) fresh(now time.Time) bool { return c.at >= 0 && now.Sub(c.filledAt) < rereadAfter }

// read has f work in a transaction with the cache as of that transaction. The
// cache stays locked until f calls unlock or returns.
func (c *Cache) read(ctx context.Context, now time.Time, f func(tx *store.Tx, unlock func()) error) error {
	c.mu.Lock() // before the transaction begins: a later one must not overtake it
	unlock := sync.OnceFunc(c.mu.Unlock)
	defer unlock()
	return c.store.Read(ctx, func(tx *store.Tx) error {
		if err := c.catchUp(tx, now); err != nil {
			c.at = -1
			return err
		}
		return f(tx, unlock)
	})
}

func (c *Cache) catchUp(tx *store.Tx, now time.Time) error {
	after := c.at
	if !c.fresh(now) {
		after = -1
	}
	changes, err := tx.Changes(after)
	if err != nil {
		return err
	}
	if changes.All {
		c.filledAt = now
		err = c.fill(tx)
	} else {
		err = c.apply(tx, changes)
	}
	c.at = changes.Upto
	return err
}

// fill reads everything.
func (c *Cache) fill(tx *store.Tx) (err error) {
	c.servers, c.pools, c.providers = map[string]*fleet.Server{}, map[string]*group{}, map[string]*group{}
	if c.settings, err = loadSettings(tx, c.access); err != nil {
		return err
	}
	list, err := tx.Servers(store.ServerFilter{})
	if err != nil {
		return fmt.Errorf("reading all servers: %w", err)
	}
	for _, s := range list {
		c.put(s)
	}
	return nil
}

// apply reads what has changed and is not told.
func (c *Cache) apply(tx *store.Tx, changes store.Changes) (err error) {
	if changes.Objects {
		if c.settings, err = loadSettings(tx, c.access); err != nil {
			return err
		}
	}
	var unknown []string
	for id, s := range changes.Servers {
		if s == nil {
			unknown = append(unknown, id)
			continue
		}
		c.put(s)
	}
	list, err := tx.ServersByID(unknown)
	if err != nil {
		return err
	}
	for _, id := range unknown { // what has no row any more
		c.remove(id)
	}
	for _, s := range list {
		c.put(s)
	}
	return nil
}

// put takes in a server as it is now.
func (c *Cache) put(s *fleet.Server) {
	if s.Phase == fleet.PhaseGone {
		c.remove(s.ID)
		return
	}
	if old := c.servers[s.ID]; old != nil && (old.Pool != s.Pool || old.VMProvider != s.VMProvider || !old.CreatedAt.Equal(s.CreatedAt)) {
		c.remove(s.ID)
	}
	c.servers[s.ID] = s
	groupOf(c.pools, s.Pool).put(s)
	groupOf(c.providers, s.VMProvider).put(s)
}

func (c *Cache) remove(id string) {
	s := c.servers[id]
	if s == nil {
		return
	}
	delete(c.servers, id)
	groupOf(c.pools, s.Pool).remove(s)
	groupOf(c.providers, s.VMProvider).remove(s)
}

func groupOf(groups map[string]*group, name string) *group {
	g := groups[name]
	if g == nil {
		g = &group{}
		groups[name] = g
	}
	return g
}

// group is a list of servers by the time of their creation.
type group struct{ servers []*fleet.Server }

func byCreation(a, b *fleet.Server) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func (g *group) find(s *fleet.Server) (int, bool) {
	if n := len(g.servers); n == 0 || byCreation(g.servers[n-1], s) < 0 {
		return n, false // new servers are the youngest
	}
	return slices.BinarySearchFunc(g.servers, s, byCreation)
}

func (g *group) put(s *fleet.Server) {
	i, found := g.find(s)
	if found {
		g.servers[i] = s
		return
	}
	g.servers = slices.Insert(g.servers, i, s)
}

func (g *group) remove(s *fleet.Server) {
	if i, found := g.find(s); found {
		g.servers = slices.Delete(g.servers, i, i+1)
	}
}

// list is a copy: the group changes with the next look.
func (g *group) list() []*fleet.Server {
	if g == nil {
		return nil
	}
	return slices.Clone(g.servers)
}

func (g *group) count() int64 {
	if g == nil {
		return 0
	}
	return int64(len(g.servers))
}
