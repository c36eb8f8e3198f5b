package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// SweepDNS removes names that bear our mark and that no server explains, under
// the rules of every sweep: seen in two complete listings, old enough, looked up
// once more in the database, and a large share of unknown ones stops it.
func (c *Controller) SweepDNS(ctx context.Context, name string) error {
	n, err := c.dnsNames(ctx, name)
	if err != nil || n == nil {
		return err
	}
	client, err := c.zone(ctx, n.object)
	if err != nil {
		return nil //nolint:nilerr // ReconcileDNS tells of it where anybody needs the service
	}
	at := c.now()
	records, err := client.Records(ctx)
	if err != nil {
		c.Log.WarnContext(ctx, "a sweep of DNS names could not do its work, the next one tries again", "dns_provider", name, "error", err)
		return nil
	}
	marked := map[string]dns.Mark{} // by relative name
	for _, r := range records {
		if relative, m, ok := dns.ParseMark(r); ok && m.Installation == c.Store.Installation() {
			marked[relative] = m
		}
	}
	p := newSweepPass()
	due, unknown, err := c.sightNames(ctx, name, marked, at, p)
	if err != nil {
		return err
	}
	spec, err := store.Spec[fleet.DNSProviderSpec](n.object)
	if err != nil {
		return err
	}
	if unknown > fleet.MaxOrphans(spec.MaxOrphanShare, len(marked)) {
		p.stop("%d of %d names are not in the database; no name that nobody explains is removed, since the database may be the one that is wrong: remove them in the zone, or bring back the database that knows them; %s",
			unknown, len(marked), raiseShare(spec.MaxOrphanShare, fleet.KindDNSProvider))
		due = nil
	}
	if _, err := c.endSweep(ctx, store.StateOfDNS(name), p, sweepOfNames()); err != nil {
		return err
	}
	for _, row := range due {
		row.Zone = client.Zone
		if err := c.removeNames(ctx, client, n, []store.DNSRecord{row}); err != nil {
			c.Log.WarnContext(ctx, "a DNS name could not be removed, the next sweep tries again", "dns_provider", name, "name", row.Name, "error", err)
			continue
		}
		err := c.write(ctx, func(tx *store.Tx) error {
			tx.Emit(fleet.Event{
				At: c.now(), Type: fleet.EventOrphanRemoved, Kind: string(fleet.KindDNSProvider), Name: name, Actor: Actor,
				Message: fmt.Sprintf("the name %s.%s was removed: no server explains it", row.Name, client.Zone),
			})
			return tx.DeleteSighting(store.StateOfDNS(name), sightingName, row.Name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func isName(s store.Sighting) bool { return s.Kind == sightingName }

func sweepOfNames() sweepOf {
	return sweepOf{isName, func(s *store.ProviderState) *string { return &s.SweepError }, fleet.KindDNSProvider, "the sweep of names goes on"}
}

// sightNames counts names without a server and says which may go. unknown is
// how many of those the database has never heard of.
func (c *Controller) sightNames(ctx context.Context, name string, marked map[string]dns.Mark, at time.Time, p *sweepPass) (due []store.DNSRecord, unknown int, err error) {
	err = c.write(ctx, func(tx *store.Tx) error {
		due, unknown = nil, 0
		before, err := sightings(tx, store.StateOfDNS(name), isName)
		if err != nil {
			return err
		}
		for _, relative := range sortedIDs(marked) {
			m := marked[relative]
			if _, err := tx.DNSRecord(m.Server); err == nil {
				continue // its row sees to it
			} else if !errors.Is(err, store.ErrNotFound) {
				return err
			}
			server, err := tx.Server(m.Server)
			switch {
			case errors.Is(err, store.ErrNotFound):
				server = nil
			case err != nil:
				return err
			case named(server):
				continue
			}
			key := sightKey{sightingName, relative}
			p.confirm(key)
			s, again := before[key]
			if !again || s.LastSeen.After(at.Add(clockSkew)) {
				s = store.Sighting{Provider: store.StateOfDNS(name), Kind: sightingName, CloudID: relative, Name: relative, ServerID: m.Server, FirstSeen: at}
			}
			if at.After(s.LastSeen) {
				s.Count, s.LastSeen = s.Count+1, at
			}
			if err := tx.SaveSighting(s); err != nil {
				return err
			}
			if s.Count < 2 || s.LastSeen.Sub(s.FirstSeen) < dnsGrace {
				continue
			}
			if server == nil {
				unknown++
			}
			due = append(due, store.DNSRecord{ServerID: m.Server, Name: relative, DNSProvider: name})
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("recording sightings of DNS provider %s: %w", name, err)
	}
	return due, unknown, nil
}
