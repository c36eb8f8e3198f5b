package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
)

// AutoscaleState reads what the loop of a config remembers; without a row, the
// zero value with the config's name.
func (tx *Tx) AutoscaleState(config string) (AutoscaleState, error) {
	s := AutoscaleState{Config: config}
	var surplus, decided sql.NullInt64
	var decision, spare sql.NullString
	_, err := tx.get("SELECT surplus_since, spare, decision, decided_at FROM autoscale_states WHERE config = $1", []any{config}, &surplus, &spare, &decision, &decided)
	if err != nil {
		return AutoscaleState{}, fmt.Errorf("reading the state of autoscale config %s: %w", config, err)
	}
	s.SurplusSince, s.DecidedAt = momentOrZero(surplus), momentOrZero(decided)
	if decision.Valid {
		s.Decision = json.RawMessage(decision.String)
	}
	if spare.Valid {
		s.Spare = json.RawMessage(spare.String)
	}
	return s, nil
}

// SaveAutoscaleState writes what the loop of a config remembers.
func (tx *Tx) SaveAutoscaleState(s AutoscaleState) error {
	text := func(b json.RawMessage) any {
		if len(b) == 0 {
			return nil
		}
		return string(b)
	}
	err := tx.do(`INSERT INTO autoscale_states (config, surplus_since, spare, decision, decided_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (config) DO UPDATE SET surplus_since = excluded.surplus_since, spare = excluded.spare, decision = excluded.decision, decided_at = excluded.decided_at`,
		s.Config, microsOrNull(s.SurplusSince), text(s.Spare), text(s.Decision), microsOrNull(s.DecidedAt))
	if err != nil {
		return fmt.Errorf("saving the state of autoscale config %s: %w", s.Config, err)
	}
	return nil
}

// StateOfDNS is the name under which the state and the sightings of a DNS
// provider are kept, apart from those of a VM provider of the same name: no
// object has a slash in its name.
func StateOfDNS(name string) string { return dnsStates + name }

const dnsStates = "dns/"

// ProviderState reads what the loops of a VM provider remember; without a row,
// the zero value with the provider's name.
func (tx *Tx) ProviderState(name string) (ProviderState, error) {
	s := ProviderState{Provider: name}
	var open, blocked, tokens, listed, stillborn sql.NullInt64
	_, err := tx.get(`SELECT circuit, failures, open_until, error, error_class, blocked_until, blocked_reason, tokens, tokens_at, listed_at, list_error, sweep_error, stillborn, stillborn_at, remnant_error
		FROM provider_states WHERE provider = $1`, []any{name},
		&s.Circuit, &s.Failures, &open, &s.Error, &s.ErrorClass, &blocked, &s.BlockedReason, &s.Tokens, &tokens, &listed, &s.ListError, &s.SweepError, &s.Stillborn, &stillborn, &s.RemnantError)
	if err != nil {
		return ProviderState{}, fmt.Errorf("reading the state of VM provider %s: %w", name, err)
	}
	s.OpenUntil, s.BlockedUntil = momentOrZero(open), momentOrZero(blocked)
	s.TokensAt, s.ListedAt, s.StillbornAt = momentOrZero(tokens), momentOrZero(listed), momentOrZero(stillborn)
	return s, nil
}

// SaveProviderState writes what the loops of a VM provider remember.
func (tx *Tx) SaveProviderState(s ProviderState) error {
	err := tx.do(`INSERT INTO provider_states (provider, circuit, failures, open_until, error, error_class, blocked_until, blocked_reason, tokens, tokens_at, listed_at, list_error, sweep_error, stillborn, stillborn_at, remnant_error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (provider) DO UPDATE SET circuit = excluded.circuit, failures = excluded.failures, open_until = excluded.open_until,
		error = excluded.error, error_class = excluded.error_class, blocked_until = excluded.blocked_until, blocked_reason = excluded.blocked_reason,
		tokens = excluded.tokens, tokens_at = excluded.tokens_at, listed_at = excluded.listed_at, list_error = excluded.list_error, sweep_error = excluded.sweep_error,
		stillborn = excluded.stillborn, stillborn_at = excluded.stillborn_at, remnant_error = excluded.remnant_error`,
		s.Provider, s.Circuit, s.Failures, microsOrNull(s.OpenUntil), s.Error, s.ErrorClass, microsOrNull(s.BlockedUntil), s.BlockedReason,
		s.Tokens, microsOrNull(s.TokensAt), microsOrNull(s.ListedAt), s.ListError, s.SweepError, s.Stillborn, microsOrNull(s.StillbornAt), s.RemnantError)
	if err != nil {
		return fmt.Errorf("saving the state of VM provider %s: %w", s.Provider, err)
	}
	return nil
}

// Sightings lists what a provider showed and no record explained, the longest
// known first.
func (tx *Tx) Sightings(provider string) ([]Sighting, error) {
	list := []Sighting{}
	err := tx.each("SELECT provider, kind, cloud_id, name, server_id, first_seen, last_seen, count FROM sightings WHERE provider = $1 ORDER BY first_seen, kind, cloud_id",
		[]any{provider}, func(r row) error {
			var s Sighting
			var first, last sql.NullInt64
			err := r.Scan(&s.Provider, &s.Kind, &s.CloudID, &s.Name, &s.ServerID, &first, &last, &s.Count)
			s.FirstSeen, s.LastSeen = momentOrZero(first), momentOrZero(last)
			list = append(list, s)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("listing the sightings of VM provider %s: %w", provider, err)
	}
	return list, nil
}

// SaveSighting adds or replaces a sighting.
func (tx *Tx) SaveSighting(s Sighting) error {
	err := tx.do(`INSERT INTO sightings (provider, kind, cloud_id, name, server_id, first_seen, last_seen, count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (provider, kind, cloud_id) DO UPDATE SET name = excluded.name, server_id = excluded.server_id,
		first_seen = excluded.first_seen, last_seen = excluded.last_seen, count = excluded.count`,
		s.Provider, s.Kind, s.CloudID, s.Name, s.ServerID, microsOrNull(s.FirstSeen), microsOrNull(s.LastSeen), s.Count)
	if err != nil {
		return fmt.Errorf("saving a sighting of VM provider %s: %w", s.Provider, err)
	}
	return nil
}

// DeleteSighting forgets a sighting; one that is unknown is no error.
func (tx *Tx) DeleteSighting(provider, kind, cloudID string) error {
	if err := tx.do("DELETE FROM sightings WHERE provider = $1 AND kind = $2 AND cloud_id = $3", provider, kind, cloudID); err != nil {
		return fmt.Errorf("deleting a sighting of VM provider %s: %w", provider, err)
	}
	return nil
}
