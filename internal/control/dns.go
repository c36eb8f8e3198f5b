package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

const (
	defaultDNSTTL = time.Minute
	dnsSweepEvery = 10 * time.Minute
	dnsGrace      = 10 * time.Minute // a name without a row is no orphan below this age
	sightingName  = "dns-name"
)

// zones keeps the clients of DNS providers.
type zones struct {
	mu      sync.Mutex
	clients map[string]openZone
}

type openZone struct {
	version int64
	client  *dns.Client
}

// zone is the client of a DNS provider with its present settings.
func (c *Controller) zone(ctx context.Context, o *store.Object) (*dns.Client, error) {
	c.zones.mu.Lock()
	have, ok := c.zones.clients[o.Name]
	c.zones.mu.Unlock()
	if ok && have.version == o.Version {
		return have.client, nil
	}
	if c.OpenDNS == nil {
		return nil, provider.Errorf(provider.Unsupported, "this controller speaks to no DNS service")
	}
	client, err := c.OpenDNS(ctx, o)
	if err != nil {
		return nil, err
	}
	c.zones.mu.Lock()
	defer c.zones.mu.Unlock()
	c.zones.clients[o.Name] = openZone{o.Version, client}
	return client, nil
}

// names is what a DNS provider has to do.
type names struct {
	object  *store.Object
	rows    map[string]store.DNSRecord // by server
	wanted  map[string]wantedName      // by server
	servers map[string]*fleet.Server
}

type wantedName struct {
	fqdn      string
	addresses []string
	ttl       time.Duration
}

// ReconcileDNS brings the names of machines up to date with one DNS provider:
// those that machines lack are written, those of machines that are going are
// removed. A failure delays the names that it is about and nothing else; the
// machines themselves never wait for their names. It returns after which time
// another pass is worthwhile.
func (c *Controller) ReconcileDNS(ctx context.Context, name string) (time.Duration, error) {
	n, err := c.dnsNames(ctx, name)
	if err != nil || n == nil {
		return never, err
	}
	client, err := c.zone(ctx, n.object)
	if err != nil {
		if len(n.rows)+len(n.wanted) == 0 {
			return never, nil //nolint:nilerr // nobody needs the service
		}
		return time.Minute, c.dnsTrouble(ctx, n, err)
	}
	if err := c.planNames(ctx, n, name, client.Zone); err != nil {
		return 0, err
	}
	now := c.now()
	next := never
	var write, remove []store.DNSRecord
	for _, id := range sortedIDs(n.rows) {
		row := n.rows[id]
		w, wanted := n.wanted[id]
		if wanted && row.Error == "" && slices.Equal(row.Written, w.addresses) {
			continue
		}
		if wait := row.DueAt.Sub(now); wait > 0 {
			if next == never || wait < next {
				next = wait
			}
			continue
		}
		switch {
		case wanted && len(write) < client.Batch:
			write = append(write, row)
		case !wanted && len(remove) < client.Batch:
			remove = append(remove, row)
		default:
			next = 0 // the next pass goes on
		}
	}
	for _, step := range []struct {
		rows []store.DNSRecord
		do   func(ctx context.Context, client *dns.Client, n *names, rows []store.DNSRecord) error
	}{{write, c.writeNames}, {remove, c.removeNames}} {
		wait, err := c.inBatches(ctx, client, n, step.rows, step.do)
		if err != nil {
			return 0, err
		}
		if wait > 0 && (next == never || wait < next) {
			next = wait
		}
	}
	return next, nil
}

// dnsNames reads what a DNS provider has to do; nil when it is gone.
func (c *Controller) dnsNames(ctx context.Context, name string) (*names, error) {
	n := &names{rows: map[string]store.DNSRecord{}, wanted: map[string]wantedName{}, servers: map[string]*fleet.Server{}}
	err := c.Store.Read(ctx, func(tx *store.Tx) error {
		o, err := tx.Object(fleet.KindDNSProvider, name)
		if err != nil {
			return err
		}
		n.object = o
		rows, err := tx.DNSRecords(name)
		if err != nil {
			return err
		}
		for _, r := range rows {
			n.rows[r.ServerID] = r
		}
		configs, err := tx.Objects(fleet.KindAutoscaleConfig)
		if err != nil {
			return err
		}
		for _, o := range configs {
			spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
			if err != nil {
				return err
			}
			if !spec.RegisterDNS || spec.DNSProvider != name {
				continue
			}
			servers, err := tx.Servers(store.ServerFilter{AutoscaleConfig: o.Name})
			if err != nil {
				return err
			}
			for _, s := range servers {
				n.servers[s.ID] = s
				if named(s) {
					n.want(s, spec)
				}
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the names of DNS provider %s: %w", name, err)
	}
	return n, nil
}

// named says that a machine should have its name: from when it has an address
// until it is being deleted. One that drains still serves its sessions.
func named(s *fleet.Server) bool {
	switch s.Phase {
	case fleet.PhaseBooting, fleet.PhaseConfiguring, fleet.PhaseReady, fleet.PhaseDraining:
		return true
	case fleet.PhasePlanned, fleet.PhaseCreating, fleet.PhaseFailed, fleet.PhaseDeleting, fleet.PhaseGone:
	}
	return false
}

func (n *names) want(s *fleet.Server, spec fleet.AutoscaleConfigSpec) {
	var addresses []string
	for _, r := range dns.Addresses("", s.Addresses, 0) {
		addresses = append(addresses, r.Value)
	}
	if len(addresses) > 0 {
		n.wanted[s.ID] = wantedName{fqdn: spec.FQDN(s.Name), addresses: addresses, ttl: fleet.Or(spec.DNSTTL.D(), defaultDNSTTL)}
	}
}

// planNames writes down which names will be written, before the service is
// called for the first time.
func (c *Controller) planNames(ctx context.Context, n *names, dnsProvider, zone string) error {
	var fresh []store.DNSRecord
	for id, w := range n.wanted {
		relative, inside := dns.Relative(w.fqdn, zone)
		row, ok := n.rows[id]
		if ok && (row.Name != relative || row.Zone != zone) {
			delete(n.wanted, id) // the old name goes first
			continue
		}
		if !ok && inside {
			fresh = append(fresh, store.DNSRecord{ServerID: id, DNSProvider: dnsProvider, Zone: zone, Name: relative, DueAt: c.now()})
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	err := c.write(ctx, func(tx *store.Tx) error {
		for i := range fresh {
			if err := tx.SaveDNSRecord(&fresh[i]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, row := range fresh {
		n.rows[row.ServerID] = row
	}
	return err
}

// inBatches does something with many names in one call. When that fails in a
// way that one bad name can cause, each is tried alone.
func (c *Controller) inBatches(ctx context.Context, client *dns.Client, n *names, rows []store.DNSRecord,
	do func(context.Context, *dns.Client, *names, []store.DNSRecord) error,
) (time.Duration, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	err := do(ctx, client, n, rows)
	if err == nil {
		return 0, nil
	}
	if class := provider.ClassOf(err); len(rows) > 1 && (class == provider.Invalid || class == provider.Conflict || class == provider.Unknown) {
		var shortest time.Duration
		for _, row := range rows {
			wait, err := c.inBatches(ctx, client, n, []store.DNSRecord{row}, do)
			if err != nil {
				return 0, err
			}
			if wait > 0 && (shortest == 0 || wait < shortest) {
				shortest = wait
			}
		}
		return shortest, nil
	}
	return c.postpone(ctx, n, rows, err)
}

// writeNames writes marks, then addresses, and records both.
func (c *Controller) writeNames(ctx context.Context, client *dns.Client, n *names, rows []store.DNSRecord) error {
	var marks, addresses []dns.Record
	var stale []dns.Key
	for _, row := range rows {
		w := n.wanted[row.ServerID]
		marks = append(marks, dns.Mark{Installation: c.Store.Installation(), Server: row.ServerID}.Record(row.Name, w.ttl))
		records := dns.Addresses(row.Name, w.addresses, w.ttl)
		addresses = append(addresses, records...)
		for _, kind := range []string{"A", "AAAA"} {
			has := func(r dns.Record) bool { return r.Type == kind }
			if !slices.ContainsFunc(records, has) && slices.ContainsFunc(dns.Addresses(row.Name, row.Written, 0), has) {
				stale = append(stale, dns.Key{Name: row.Name, Type: kind})
			}
		}
	}
	if err := client.Set(ctx, marks); err != nil {
		return err
	}
	if err := client.Set(ctx, addresses); err != nil {
		return err
	}
	if len(stale) > 0 {
		if err := client.Delete(ctx, stale); err != nil {
			return err
		}
	}
	return c.write(ctx, func(tx *store.Tx) error {
		for _, row := range rows {
			w := n.wanted[row.ServerID]
			row.Written, row.Attempts, row.Error, row.DueAt = w.addresses, 0, "", c.now()
			if err := tx.SaveDNSRecord(&row); err != nil {
				return err
			}
			if s := n.servers[row.ServerID]; s != nil {
				c.emitServer(tx, s, fleet.EventDNSRegistered, fmt.Sprintf("%s is registered", w.fqdn), map[string]any{"fqdn": w.fqdn})
			}
		}
		return nil
	})
}

// removeNames removes addresses, then marks, and forgets both.
func (c *Controller) removeNames(ctx context.Context, client *dns.Client, n *names, rows []store.DNSRecord) error {
	if rows[0].Zone != client.Zone {
		return provider.Errorf(provider.Invalid, "the names were written to zone %s, and the DNS provider is for zone %s now: remove them by hand", rows[0].Zone, client.Zone)
	}
	if err := client.Delete(ctx, addressKeys(rows)); err != nil {
		return err
	}
	var marks []dns.Key
	for _, row := range rows {
		marks = append(marks, dns.MarkKey(row.Name))
	}
	if err := client.Delete(ctx, marks); err != nil {
		return err
	}
	return c.write(ctx, func(tx *store.Tx) error {
		for _, row := range rows {
			if err := tx.DeleteDNSRecord(row.ServerID); err != nil {
				return err
			}
			if s, err := tx.Server(row.ServerID); err == nil {
				c.emitServer(tx, s, fleet.EventDNSRemoved, fmt.Sprintf("%s.%s is removed", row.Name, row.Zone), nil)
			} else if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

func addressKeys(rows []store.DNSRecord) []dns.Key {
	var keys []dns.Key
	for _, row := range rows {
		keys = append(keys, dns.Key{Name: row.Name, Type: "A"}, dns.Key{Name: row.Name, Type: "AAAA"})
	}
	return keys
}

// postpone records what went wrong and when it is tried again; the first
// failure of a name is an event.
func (c *Controller) postpone(ctx context.Context, n *names, rows []store.DNSRecord, cause error) (time.Duration, error) {
	class := provider.ClassOf(cause)
	var shortest time.Duration
	err := c.write(ctx, func(tx *store.Tx) error {
		shortest = 0
		for _, row := range rows {
			first := row.Error == ""
			if class != provider.RateLimited {
				row.Attempts++
				row.Error = cause.Error()
			}
			wait := max(provider.RetryAfter(cause), provider.Backoff(class, max(row.Attempts, 1)))
			row.DueAt = c.now().Add(wait)
			if err := tx.SaveDNSRecord(&row); err != nil {
				return err
			}
			if shortest == 0 || wait < shortest {
				shortest = wait
			}
			s := n.servers[row.ServerID]
			if first && row.Error != "" && s != nil {
				c.emitServer(tx, s, fleet.EventDNSError, fmt.Sprintf("the DNS name %s.%s could not be brought up to date, it is tried again: %s", row.Name, row.Zone, row.Error), nil)
			}
		}
		return nil
	})
	return shortest, err
}

// dnsTrouble records that a DNS provider cannot be opened with every name.
func (c *Controller) dnsTrouble(ctx context.Context, n *names, cause error) error {
	var rows []store.DNSRecord
	for _, id := range sortedIDs(n.rows) {
		rows = append(rows, n.rows[id])
	}
	c.Log.WarnContext(ctx, "a DNS provider cannot be opened", "dns_provider", n.object.Name, "error", cause)
	_, err := c.postpone(ctx, n, rows, cause)
	return err
}

func sortedIDs[V any](m map[string]V) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
