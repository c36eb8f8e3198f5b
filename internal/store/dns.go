package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// DNSRecord is the name of a machine that is, or may be, registered. The row is
// there before the first call to the service and until the last has succeeded.
type DNSRecord struct {
	ServerID    string
	DNSProvider string
	Zone        string
	Name        string   // relative to the zone
	Written     []string // addresses that were last written
	Attempts    int64    // failed in a row
	DueAt       time.Time
	Error       string
}

// DNSRecords lists the names of a DNS provider, in order of their servers' ids.
func (tx *Tx) DNSRecords(dnsProvider string) ([]DNSRecord, error) {
	return tx.dnsRecords("WHERE dns_provider = $1 ORDER BY server_id", dnsProvider)
}

// DNSRecord reads the name of a server; ErrNotFound.
func (tx *Tx) DNSRecord(serverID string) (*DNSRecord, error) {
	list, err := tx.dnsRecords("WHERE server_id = $1", serverID)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading the DNS name of server %s: %w", serverID, err)
	}
	return &list[0], nil
}

func (tx *Tx) dnsRecords(where string, arg string) ([]DNSRecord, error) {
	list := []DNSRecord{}
	err := tx.each("SELECT server_id, dns_provider, zone, name, written, attempts, due_at, error FROM dns_records "+where, []any{arg}, func(r row) error {
		var d DNSRecord
		var written string
		var due int64
		if err := r.Scan(&d.ServerID, &d.DNSProvider, &d.Zone, &d.Name, &written, &d.Attempts, &due, &d.Error); err != nil {
			return err
		}
		d.DueAt = moment(due)
		list = append(list, d)
		return json.Unmarshal([]byte(written), &list[len(list)-1].Written)
	})
	if err != nil {
		return nil, fmt.Errorf("reading DNS names: %w", err)
	}
	return list, nil
}

// SaveDNSRecord adds or replaces the name of a server.
func (tx *Tx) SaveDNSRecord(d *DNSRecord) error {
	written := d.Written
	if written == nil {
		written = []string{}
	}
	b, err := json.Marshal(written)
	if err != nil {
		return err
	}
	err = tx.do(`INSERT INTO dns_records (server_id, dns_provider, zone, name, written, attempts, due_at, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (server_id) DO UPDATE SET dns_provider = excluded.dns_provider, zone = excluded.zone, name = excluded.name,
		written = excluded.written, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error`,
		d.ServerID, d.DNSProvider, d.Zone, d.Name, string(b), d.Attempts, d.DueAt.UnixMicro(), d.Error)
	if err != nil {
		return fmt.Errorf("writing the DNS name of server %s: %w", d.ServerID, err)
	}
	return nil
}

// DeleteDNSRecord forgets the name of a server; one without is no error.
func (tx *Tx) DeleteDNSRecord(serverID string) error {
	if err := tx.do("DELETE FROM dns_records WHERE server_id = $1", serverID); err != nil {
		return fmt.Errorf("deleting the DNS name of server %s: %w", serverID, err)
	}
	return nil
}

// CountDNSRecords counts the names of a DNS provider, and those of them whose
// last call failed.
func (tx *Tx) CountDNSRecords(dnsProvider string) (all, failing int64, err error) {
	_, err = tx.get("SELECT COUNT(*), COALESCE(SUM(CASE WHEN error <> '' THEN 1 ELSE 0 END), 0) FROM dns_records WHERE dns_provider = $1", []any{dnsProvider}, &all, &failing)
	if err != nil {
		return 0, 0, fmt.Errorf("counting DNS names: %w", err)
	}
	return all, failing, nil
}
