// Package gauges shows the state of the fleet to a monitoring system: how many
// servers and sessions there are, what room is left, and which providers do not
// work. It asks the database when it is asked itself, so that every controller
// of one database shows the same.
package gauges

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/cost"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

const (
	// patience is how long a scrape waits for the database.
	patience = 5 * time.Second
	// keep is how long an answer serves other scrapes.
	keep = 2 * time.Second
)

// phases and states are those for which a number is always shown, be it 0: an
// alert on a series that comes and goes does not work.
var (
	phases = [...]fleet.Phase{
		fleet.PhasePlanned, fleet.PhaseCreating, fleet.PhaseBooting, fleet.PhaseConfiguring,
		fleet.PhaseReady, fleet.PhaseDraining, fleet.PhaseFailed, fleet.PhaseDeleting,
	}
	states = [...]fleet.SessionState{fleet.SessionQueued, fleet.SessionStaged, fleet.SessionActive}
)

// Collector reads the gauges from the database. It is safe for concurrent use.
type Collector struct {
	store *store.Store
	clock clock.PassiveClock
	log   *slog.Logger

	servers, sessions, capacity, free       *prometheus.Desc
	circuit, instances, most, listed, swept *prometheus.Desc
	remnants, names, costs, priceless       *prometheus.Desc
	works                                   *prometheus.Desc
	price                                   cost.QuoteFunc

	mu   sync.Mutex // held while the database is asked: one scrape asks for all
	last []prometheus.Metric
	at   time.Time
}

// New makes a collector. It asks nothing before it is collected. A nil price
// knows none.
func New(s *store.Store, c clock.PassiveClock, log *slog.Logger, price cost.QuoteFunc) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("headroom_"+name, help, labels, nil)
	}
	return &Collector{
		store: s, clock: c, log: log, price: price,
		servers:   desc("servers", "Servers that are not gone.", "pool", "vm_provider", "phase"),
		sessions:  desc("sessions", "Sessions that have not ended.", "pool", "state"),
		capacity:  desc("pool_capacity", "What the servers offer that take sessions.", "pool", "resource"),
		free:      desc("pool_free", "What of the capacity new sessions could get.", "pool", "resource"),
		circuit:   desc("provider_circuit_open", "1 while nothing is made at the provider, since it could not work.", "vm_provider"),
		instances: desc("provider_instances", "Machines that may exist at the provider.", "vm_provider"),
		most:      desc("provider_max_instances", "The ceiling max_instances of the provider.", "vm_provider"),
		listed:    desc("provider_listing_failed", "1 while the machines of the provider cannot be listed.", "vm_provider"),
		swept:     desc("sweep_stopped", "1 while the clean-up of the provider has stopped itself.", "vm_provider"),
		remnants:  desc("remnant_sweep_stopped", "1 while the clean-up of disks, addresses and other objects of the provider has stopped itself.", "vm_provider"),
		names:     desc("dns_sweep_stopped", "1 while the clean-up of names at the DNS provider has stopped itself.", "dns_provider"),
		costs:     desc("cost_per_hour", "What the machines cost that may exist, by known prices. A pool and provider with machines of which none has a price shows nothing.", "pool", "vm_provider", "currency"),
		priceless: desc("machines_without_price", "Machines that may exist of which something has no price: headroom_cost_per_hour leaves that out.", "pool", "vm_provider"),
		works:     desc("gauges_up", "1 when the gauges of the fleet could be read from the database."),
	}
}

// Describe tells what Collect may send.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.servers, c.sessions, c.capacity, c.free, c.circuit, c.instances, c.most, c.listed, c.swept, c.remnants, c.names, c.costs, c.priceless, c.works,
	} {
		to <- d
	}
}

// Collect sends the gauges. When the database does not answer in time it sends
// none but headroom_gauges_up 0, so that the other metrics can be read.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.current() {
		to <- m
	}
}

func (c *Collector) current() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.clock.Since(c.at) < keep {
		return c.last
	}
	// A collector is not told of the context of the request.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := c.read(ctx)
	up := 1.0
	if err != nil {
		c.log.WarnContext(ctx, "the gauges of the fleet could not be read", "error", err)
		list, up = nil, 0
	}
	c.last, c.at = append(list, gauge(c.works, up)), c.clock.Now()
	return c.last
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// source is a pair of pool and provider that servers have in common.
type source struct{ pool, provider string }

// read makes every gauge from one snapshot of the database.
func (c *Collector) read(ctx context.Context) (list []prometheus.Metric, err error) {
	err = c.store.Read(ctx, func(tx *store.Tx) error {
		list = nil
		pools, err := tx.Objects(fleet.KindPool)
		if err != nil {
			return err
		}
		servers, instances, err := serversOf(tx)
		if err != nil {
			return err
		}
		for from, counts := range servers {
			for _, phase := range phases {
				list = append(list, gauge(c.servers, counts[phase], from.pool, from.provider, string(phase)))
			}
		}
		for _, part := range []func(*store.Tx, []*store.Object) ([]prometheus.Metric, error){c.readSessions, c.readRoom} {
			more, err := part(tx, pools)
			if err != nil {
				return err
			}
			list = append(list, more...)
		}
		more, err := c.readProviders(tx, instances)
		if err != nil {
			return err
		}
		list = append(list, more...)
		more, err = c.readCosts(tx)
		list = append(list, more...)
		return err
	})
	return list, err
}

// serversOf counts servers, also for pools whose configs have none, and those
// of each provider.
func serversOf(tx *store.Tx) (map[source]map[fleet.Phase]float64, map[string]float64, error) {
	counts, instances := map[source]map[fleet.Phase]float64{}, map[string]float64{}
	of := func(s source) map[fleet.Phase]float64 {
		if counts[s] == nil {
			counts[s] = map[fleet.Phase]float64{}
		}
		return counts[s]
	}
	configs, err := tx.Objects(fleet.KindAutoscaleConfig)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range configs {
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
		if err != nil {
			return nil, nil, err
		}
		for _, provider := range spec.VMProviders {
			of(source{spec.Pool, provider})
		}
	}
	tallies, err := tx.TallyServers()
	for _, t := range tallies {
		of(source{t.Pool, t.VMProvider})[t.Phase] += float64(t.Count)
		instances[t.VMProvider] += float64(t.Count)
	}
	return counts, instances, err
}

func (c *Collector) readSessions(tx *store.Tx, pools []*store.Object) (list []prometheus.Metric, err error) {
	counts := map[string]map[fleet.SessionState]float64{}
	for _, o := range pools {
		counts[o.Name] = map[fleet.SessionState]float64{}
	}
	tallies, err := tx.TallySessions()
	if err != nil {
		return nil, err
	}
	for _, t := range tallies {
		if counts[t.Pool] == nil {
			counts[t.Pool] = map[fleet.SessionState]float64{}
		}
		counts[t.Pool][t.State] += float64(t.Count)
	}
	for pool, of := range counts {
		for _, state := range states {
			list = append(list, gauge(c.sessions, of[state], pool, string(state)))
		}
	}
	return list, nil
}

func (c *Collector) readRoom(tx *store.Tx, pools []*store.Object) (list []prometheus.Metric, err error) {
	rooms, err := tx.PoolRooms()
	if err != nil {
		return nil, err
	}
	for _, o := range pools {
		if _, ok := rooms[o.Name]; !ok {
			rooms[o.Name] = store.PoolRoom{}
		}
	}
	for pool, room := range rooms {
		for d, r := range map[*prometheus.Desc]fleet.Resources{c.capacity: room.Capacity, c.free: room.Free} {
			list = append(list,
				gauge(d, float64(r.Cores)/float64(fleet.Core), pool, "cores"),
				gauge(d, float64(r.MemoryMiB)*(1<<20), pool, "memory_bytes"),
				gauge(d, float64(r.GPUs), pool, "gpus"),
				gauge(d, float64(r.Places), pool, "places"))
		}
	}
	return list, nil
}

// readCosts sums what machines cost by pool, provider and currency.
func (c *Collector) readCosts(tx *store.Tx) (list []prometheus.Metric, err error) {
	rows, err := cost.Read(tx, "", c.price)
	if err != nil {
		return nil, err
	}
	bills := map[source]*price.Bill{}
	of := func(s source) *price.Bill {
		if bills[s] == nil {
			bills[s] = &price.Bill{}
		}
		return bills[s]
	}
	for _, m := range rows {
		of(source{m.Pool, m.VMProvider}).AddBill(m.Cost)
	}
	configs, err := tx.Objects(fleet.KindAutoscaleConfig)
	if err != nil {
		return nil, err
	}
	prices := cost.Pricing(tx, c.price)
	for _, o := range configs { // a pool that has no machine costs 0, in the currency of the machines that it would have
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
		if err != nil {
			return nil, err
		}
		for _, name := range spec.VMProviders {
			q, err := prices.Of(name, 0, "")
			if err != nil {
				return nil, err
			}
			of(source{spec.Pool, name}).Add(q, 0)
		}
	}
	for s, bill := range bills {
		for _, a := range bill.Amounts {
			list = append(list, gauge(c.costs, a.PerHour, s.pool, s.provider, a.Currency))
		}
		list = append(list, gauge(c.priceless, float64(bill.Unknown), s.pool, s.provider))
	}
	return list, nil
}

func (c *Collector) readProviders(tx *store.Tx, instances map[string]float64) (list []prometheus.Metric, err error) {
	providers, err := tx.Objects(fleet.KindVMProvider)
	if err != nil {
		return nil, err
	}
	for _, o := range providers {
		spec, err := store.Spec[fleet.VMProviderSpec](o)
		if err != nil {
			return nil, err
		}
		state, err := tx.ProviderState(o.Name)
		if err != nil {
			return nil, err
		}
		list = append(list,
			// When its time is over it lets one machine be tried.
			gauge(c.circuit, flag(state.Circuit == snapshot.CircuitOpen && c.clock.Now().Before(state.OpenUntil)), o.Name),
			gauge(c.instances, instances[o.Name], o.Name),
			gauge(c.most, float64(spec.MaxInstances), o.Name),
			gauge(c.listed, flag(state.ListError != ""), o.Name),
			gauge(c.swept, flag(state.SweepError != ""), o.Name),
			gauge(c.remnants, flag(state.RemnantError != ""), o.Name))
	}
	services, err := tx.Objects(fleet.KindDNSProvider)
	if err != nil {
		return nil, err
	}
	for _, o := range services {
		state, err := tx.ProviderState(store.StateOfDNS(o.Name))
		if err != nil {
			return nil, err
		}
		list = append(list, gauge(c.names, flag(state.SweepError != ""), o.Name))
	}
	return list, nil
}
