package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

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
	if tx.write {
		if in, known := tx.s.entrances.get(pool, tx.s.clock.Now()); known {
			return in, nil
		}
	}
	in, err := tx.readEntrance(pool)
	if err == nil && tx.write && in.Pool != nil && !in.Queued && !in.Staged {
		tx.s.entrances.keep(pool, in, tx.s.clock.Now())
	}
	return in, err
}

func (tx *Tx) readEntrance(pool string) (Entrance, error) {
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

// freeEntrances remembers, on SQLite, the entrances of pools in which nobody waits
// and nothing has been made ahead, which most sessions go through.
//
// This process is the only one that writes, and one transaction follows the
// other, so that what a write transaction has read holds for the next until
// something is written that says otherwise: a session that waits or is made
// ahead, or an object. What is taken back may have been read meanwhile, so that
// everything is forgotten then. What a read transaction sees is older than what
// is being written: it takes no part.
type freeEntrances struct {
	on     bool
	mu     sync.Mutex
	byPool map[string]freeEntrance
}

type freeEntrance struct {
	Entrance
	at time.Time // when it was read
}

// Entrances are read again after so long, should somebody have changed the
// database by hand; and all of them when there are too many.
const (
	entranceFor  = time.Minute
	entranceMost = 1000
)

func (f *freeEntrances) get(pool string, now time.Time) (Entrance, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, known := f.byPool[pool]
	age := now.Sub(in.at)
	return in.Entrance, known && age >= 0 && age < entranceFor
}

func (f *freeEntrances) keep(pool string, in Entrance, now time.Time) {
	if !f.on {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byPool == nil || len(f.byPool) >= entranceMost {
		f.byPool = map[string]freeEntrance{}
	}
	f.byPool[pool] = freeEntrance{in, now}
}

// note is told of every session that is written.
func (f *freeEntrances) note(s *fleet.Session) {
	if s.State != fleet.SessionQueued && s.State != fleet.SessionStaged {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byPool, s.Pool)
}

func (f *freeEntrances) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byPool = nil
}

// decodedSpecs remembers specs by their text, which is read anew each time: a
// spec is decoded once and not with every session.
type decodedSpecs struct {
	pools specMemo[fleet.PoolSpec]
	zones specMemo[fleet.ZoneSpec]

	configs specMemo[fleet.AutoscaleConfigSpec]
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
