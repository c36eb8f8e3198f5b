package store

import (
	"fmt"
	"hash/fnv"
)

// Setting reads a setting, "" when there is none.
func (tx *Tx) Setting(key string) (string, error) {
	var value string
	if _, err := tx.get("SELECT value FROM settings WHERE name = $1", []any{key}, &value); err != nil {
		return "", fmt.Errorf("reading setting %s: %w", key, err)
	}
	return value, nil
}

// SetSetting writes a setting.
func (tx *Tx) SetSetting(key, value string) error {
	if err := tx.do("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", key, value); err != nil {
		return fmt.Errorf("saving setting %s: %w", key, err)
	}
	return nil
}

// LockPool keeps other writers that lock the same pool waiting until the
// commit. SQLite has one writer at a time and needs nothing.
func (tx *Tx) LockPool(name string) error { return tx.lock("pool", name) }

// LockProvider is like LockPool for a VM provider.
func (tx *Tx) LockProvider(name string) error { return tx.lock("provider", name) }

func (tx *Tx) lock(kind, name string) error {
	err := tx.ready(true)
	if err == nil && tx.s.db.postgres {
		// Advisory: the lock holds for names that have no row, too. Two names
		// with one key merely wait for each other.
		h := fnv.New64a()
		h.Write([]byte("headroom/" + kind + "/" + name)) //nolint:errcheck // it cannot fail
		err = tx.do("SELECT pg_advisory_xact_lock($1)", int64(h.Sum64()))
	}
	if err != nil {
		return fmt.Errorf("locking %s %s: %w", kind, name, err)
	}
	return nil
}
