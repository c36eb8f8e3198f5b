package store

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// claimWay is one of the ways through a bay, with its statements. $1 is the
// pool and $2 the user in all of them.
type claimWay struct {
	places, spread bool
	columns        []string // the leading dimension first

	firstsAnywhere string // the first server of every bay; the vector from $3
	firstsInZone   string // likewise, with the zone after the vector
	next           string // the first of bay $3, $4 at or behind the vector from $5
	readThrough    string // likewise, and it fits the need after the vector
	familiar       string // crowded servers with a session of the user, $3 at most
}

// candidate is a server with what it has free in the order of a way's columns.
type candidate struct {
	id, zone string
	fixed    bool
	maxUsers int64
	known    bool // the user has a session there
	free     []int64
}

var claimWays = [2][2]*claimWay{ //nolint:gochecknoglobals // texts of statements, made once and never changed
	{newClaimWay(false, false), newClaimWay(false, true)},
	{newClaimWay(true, false), newClaimWay(true, true)},
}

func claimWayOf(q ClaimQuery) *claimWay {
	places, spread := 0, 0
	if q.Need.Places > 0 {
		places = 1
	}
	if q.Spread {
		spread = 1
	}
	return claimWays[places][spread]
}

// knownHere says whether user $2 has a session on server s.
const knownHere = "EXISTS (SELECT 1 FROM sessions AS e WHERE e.live AND e.holds AND e.server_id = s.id AND e.user_name = $2 AND e.user_name <> '')"

func newClaimWay(places, spread bool) *claimWay {
	w := &claimWay{places: places, spread: spread, columns: []string{"free_gpus", "free_cores", "free_memory"}}
	room, compare, direction := "c.room", ">=", ""
	if places {
		w.columns = slices.Insert(w.columns, 0, "free_places")
		room += " AND c.free_places > 0" // as the index says
	}
	if spread {
		compare, direction = "<=", " DESC"
	}
	columns := func(table, after string) string {
		return table + strings.Join(w.columns, after+", "+table) + after
	}
	numbers := func(first int) string {
		marks := make([]string, len(w.columns))
		for i := range marks {
			marks[i] = fmt.Sprintf("$%d", first+i)
		}
		return strings.Join(marks, ", ")
	}
	search := func(bay string, vector int, fit string) string {
		return "(SELECT c.id FROM servers AS c WHERE " + bay + " AND " + room + fit +
			" AND (" + columns("c.", "") + ") " + compare + " (" + numbers(vector) + ")" +
			" ORDER BY " + columns("c.", direction) + ", c.id" + direction + " LIMIT 1)"
	}
	const thisBay = "c.pool = $1 AND c.zone = $3 AND c.fixed = $4"
	fit := ""
	for i, c := range w.columns {
		fit += fmt.Sprintf(" AND c.%s >= $%d", c, 5+len(w.columns)+i)
	}
	found := "s.id, s.max_users, " + knownHere + ", " + columns("s.", "")

	w.firstsAnywhere = "SELECT EXISTS (SELECT 1 FROM servers AS f WHERE f.pool = $1 AND f.crowded), b.zone, b.fixed, " + found +
		" FROM bays AS b LEFT JOIN servers AS s ON s.id = " +
		search("c.pool = b.pool AND c.zone = b.zone AND c.fixed = b.fixed", 3, "") + " WHERE b.pool = $1"
	w.firstsInZone = w.firstsAnywhere + fmt.Sprintf(" AND b.zone = $%d", 3+len(w.columns))
	w.next = "SELECT " + found + " FROM servers AS s WHERE s.id = " + search(thisBay, 5, "")
	w.readThrough = "SELECT " + found + " FROM servers AS s WHERE s.id = " + search(thisBay, 5, fit)
	w.familiar = "SELECT s.zone, s.fixed, s.id, s.max_users, " + columns("s.", "") + " FROM servers AS s WHERE "
	if places {
		// Not by the index of crowded servers: a pool can have any number.
		w.familiar += "s.open AND NOT s.room AND s.id IN (SELECT e.server_id FROM sessions AS e" +
			" WHERE e.holds AND e.need_places > 0 AND e.user_name = $2 AND e.pool = $1 LIMIT $3)"
	} else {
		// Users are limited on machines with places; an agent is the exception.
		w.familiar += "s.pool = $1 AND s.crowded AND " + knownHere + " LIMIT $3"
	}
	return w
}

// need is a need in the order of the columns.
func (w *claimWay) need(r fleet.Resources) []int64 {
	v := []int64{r.GPUs, int64(r.Cores), r.MemoryMiB}
	if w.places {
		v = slices.Insert(v, 0, r.Places)
	}
	return v
}

// start is the vector at which the search of a bay begins.
func (w *claimWay) start(need []int64) []any {
	v := make([]any, len(need))
	for i, n := range need {
		v[i] = n
		if w.spread {
			v[i] = int64(math.MaxInt64)
		}
	}
	return v
}

// skip is the nearest vector behind free, which does not fit, at which one that
// fits can lie; nil: there is none.
func (w *claimWay) skip(free, need []int64) []int64 {
	short := 0 // the first dimension with too little
	for free[short] >= need[short] {
		short++
	}
	next := slices.Clone(free)
	if !w.spread {
		// Upwards: by as little as makes this dimension fit.
		copy(next[short:], need[short:])
		return next
	}
	for i := short; i < len(next); i++ {
		next[i] = math.MaxInt64
	}
	// Downwards this dimension only shrinks: step back in the nearest before it
	// that has something to spare.
	for i := short - 1; i >= 0; i-- {
		if next[i]--; next[i] >= need[i] {
			return next
		}
		next[i] = math.MaxInt64
	}
	return nil
}

// better says which of two candidates is taken first.
func (w *claimWay) better(q ClaimQuery, a, b *candidate) bool {
	if q.PreferFixed && a.fixed != b.fixed {
		return a.fixed
	}
	d := cmp.Or(slices.Compare(a.free, b.free), cmp.Compare(a.id, b.id))
	if w.spread {
		return d > 0
	}
	return d < 0
}

func fits(free, need []int64) bool {
	for i, n := range need {
		if free[i] < n {
			return false
		}
	}
	return true
}
