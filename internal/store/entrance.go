package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Entrance is what decides how a session enters a pool, read with one
// statement. What it refers to is shared and must not be changed.
type Entrance struct {
	Pool   *fleet.PoolSpec // nil: there is no such pool
	Zones  []NamedZone     // all of them, by name
	Queued bool            // somebody waits in the queue of the pool
	Staged bool            // a session has been made ahead in the pool
}

// NamedZone is a zone with its name.
type NamedZone struct {
	Name string
	Spec *fleet.ZoneSpec
}

// The orders lead to the indexes of what waits and of what is staged, whatever
// PostgreSQL believes to know of how many there are.
const entranceText = "SELECT '', '', ''," +
	" (SELECT 1 FROM sessions AS e WHERE e.pool = $1 AND e.state = 'queued' ORDER BY e.queue_order LIMIT 1) IS NOT NULL," +
	" (SELECT 1 FROM sessions AS e WHERE e.pool = $1 AND e.state = 'staged' ORDER BY e.need_cores LIMIT 1) IS NOT NULL" +
	" UNION ALL SELECT z.kind, z.name, z.spec, FALSE, FALSE FROM objects AS z WHERE z.kind = 'Zone'" +
	" UNION ALL SELECT p.kind, p.name, p.spec, FALSE, FALSE FROM objects AS p WHERE p.kind = 'Pool' AND p.name = $1"

// Entrance reads what decides how a session enters a pool.
func (tx *Tx) Entrance(pool string) (Entrance, error) {
	var in Entrance
	err := tx.each(entranceText, []any{pool}, func(r row) error {
		var kind fleet.Kind
		var name string
		var spec string
		var queued, staged bool
		if err := r.Scan(&kind, &name, &spec, &queued, &staged); err != nil {
			return err
		}
		var err error
		switch kind {
		case fleet.KindPool:
			in.Pool, err = tx.s.specs.pools.decode(spec)
		case fleet.KindZone:
			z := NamedZone{Name: name}
			z.Spec, err = tx.s.specs.zones.decode(spec)
			in.Zones = append(in.Zones, z)
		default:
			in.Queued, in.Staged = queued, staged
		}
		return err
	})
	if err != nil {
		return Entrance{}, fmt.Errorf("reading how sessions enter pool %s: %w", pool, err)
	}
	// Not by the database, whose order depends on its collation.
	slices.SortFunc(in.Zones, func(a, b NamedZone) int { return cmp.Compare(a.Name, b.Name) })
	return in, nil
}

// decodedSpecs remembers specs by their text, which is read anew each time: a
// spec is decoded once and not with every session.
type decodedSpecs struct {
	pools specMemo[fleet.PoolSpec]
	zones specMemo[fleet.ZoneSpec]
}

// specMemoMost bounds a memo; past it everything is forgotten.
const specMemoMost = 1000

type specMemo[S any] struct {
	mu     sync.Mutex
	byText map[string]*S
}

func (m *specMemo[S]) decode(text string) (*S, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.byText[text]; s != nil {
		return s, nil
	}
	s := new(S)
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, err
	}
	if m.byText == nil || len(m.byText) >= specMemoMost {
		m.byText = map[string]*S{}
	}
	m.byText[text] = s
	return s, nil
}
