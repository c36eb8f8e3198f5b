package store

import (
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// ServerTally counts the servers that are not gone and have these in common.
type ServerTally struct {
	Pool, VMProvider string
	Phase            fleet.Phase
	Count            int64
}

// TallyServers counts every server that is not gone, in one query.
func (tx *Tx) TallyServers() ([]ServerTally, error) {
	var list []ServerTally
	err := tx.each("SELECT pool, vm_provider, phase, COUNT(*) FROM servers WHERE live GROUP BY pool, vm_provider, phase", nil, func(r row) error {
		var t ServerTally
		err := r.Scan(&t.Pool, &t.VMProvider, &t.Phase, &t.Count)
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting all servers: %w", err)
	}
	return list, nil
}

// SessionTally counts the sessions of a pool that are in one state.
type SessionTally struct {
	Pool  string
	State fleet.SessionState
	Count int64
}

// TallySessions counts every session that has not ended, in one query.
func (tx *Tx) TallySessions() ([]SessionTally, error) {
	var list []SessionTally
	err := tx.each("SELECT pool, state, COUNT(*) FROM sessions WHERE live GROUP BY pool, state", nil, func(r row) error {
		var t SessionTally
		err := r.Scan(&t.Pool, &t.State, &t.Count)
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting all sessions: %w", err)
	}
	return list, nil
}

// PoolRoom is what the servers of a pool that take sessions offer, and what of
// it another session could get.
type PoolRoom struct {
	Capacity, Free fleet.Resources
}

// PoolRooms adds up the servers that take sessions, by pool, in one query.
// Pools that have none are left out.
func (tx *Tx) PoolRooms() (map[string]PoolRoom, error) {
	rooms := map[string]PoolRoom{}
	// PostgreSQL adds up integers to a decimal.
	const sum, free = "CAST(SUM(%s) AS BIGINT)", "CAST(SUM(CASE WHEN room THEN %s ELSE 0 END) AS BIGINT)"
	query := "SELECT pool"
	for _, how := range [][5]string{
		{sum, "capacity_cores", "capacity_memory", "capacity_gpus", "capacity_places"},
		{free, "free_cores", "free_memory", "free_gpus", "free_places"},
	} {
		for _, column := range how[1:] {
			query += ", " + fmt.Sprintf(how[0], column)
		}
	}
	err := tx.each(query+" FROM servers WHERE live AND open GROUP BY pool", nil, func(r row) error {
		var pool string
		var p PoolRoom
		err := r.Scan(&pool, &p.Capacity.Cores, &p.Capacity.MemoryMiB, &p.Capacity.GPUs, &p.Capacity.Places,
			&p.Free.Cores, &p.Free.MemoryMiB, &p.Free.GPUs, &p.Free.Places)
		rooms[pool] = p
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adding up the capacity of all pools: %w", err)
	}
	return rooms, nil
}

// MachineTally counts machines, made or about to be, that have in common what
// their price depends on.
type MachineTally struct {
	Pool, AutoscaleConfig, VMProvider string
	Revision                          int64 // of the VMProvider
	Offer                             string
	Phase                             fleet.Phase
	Count                             int64
}

// TallyMachines counts the servers of providers that are not gone, of one pool
// or with an empty name of all, in one query.
func (tx *Tx) TallyMachines(pool string) ([]MachineTally, error) {
	const columns = "pool, autoscale_config, vm_provider, provider_revision, offer, phase"
	query, args := "SELECT "+columns+", COUNT(*) FROM servers WHERE live AND vm_provider <> ''", []any{}
	if pool != "" {
		query, args = query+" AND pool = $1", append(args, pool)
	}
	var list []MachineTally
	err := tx.each(query+" GROUP BY "+columns, args, func(r row) error {
		var t MachineTally
		err := r.Scan(&t.Pool, &t.AutoscaleConfig, &t.VMProvider, &t.Revision, &t.Offer, &t.Phase, &t.Count)
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting machines: %w", err)
	}
	return list, nil
}
