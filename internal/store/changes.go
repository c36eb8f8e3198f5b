package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// How copies in memory follow the database
//
// Each commit that changes a server or an object takes the next change number,
// under the same lock as the numbers of events, so that the order of change
// numbers is the order of commits on several nodes too. Who holds a copy of the
// rows as of change n asks for what has changed since, in the transaction that
// reads the rest, and has a copy as of that transaction: a copy is never trusted
// without asking the database for its number.
//
// What this process has changed it remembers itself, rows included. What other
// nodes have changed stands in the table changes, ids only. Neither is kept for
// long; who comes too late reads everything again.
const (
	rememberedServers = 1 << 13 // in memory
	keptChanges       = 1 << 12 // in the table
	pruneEvery        = 1 << 8  // commits
)

// Changes is what was committed after some change number.
type Changes struct {
	Upto    int64                    // number of the last change
	All     bool                     // what was changed is not known (any more): read everything again
	Servers map[string]*fleet.Server // by id, as they are now; nil: read the row. Not to be changed
	Objects bool                     // objects have been created, changed or deleted
}

// changeSet is what one commit changes.
type changeSet struct {
	servers map[string]*fleet.Server
	objects bool
	bays    []bay // that are there afterwards
}

// bay is where servers of a pool lie; see claims.go. Its row is never removed.
type bay struct {
	pool, zone string
	fixed      bool
}

func (c *changeSet) empty() bool { return len(c.servers) == 0 && !c.objects }

// server notes that a row is changed; s is the row if it is known whole.
func (c *changeSet) server(id string, s *fleet.Server) {
	if c.servers == nil {
		c.servers = map[string]*fleet.Server{}
	}
	if s != nil {
		own := *s
		s = &own
	}
	c.servers[id] = s
}

// objectsChanged notes that objects are changed.
func (tx *Tx) objectsChanged() {
	tx.changed.objects = true
	tx.s.entrances.forget()
}

func (c *changeSet) add(more changeSet) {
	if c.servers == nil {
		c.servers = more.servers
	} else {
		maps.Copy(c.servers, more.servers)
	}
	c.objects = c.objects || more.objects
	c.bays = append(c.bays, more.bays...)
}

// changeLog remembers the changes that this process has committed lately.
type changeLog struct {
	mu      sync.Mutex
	sets    map[int64]changeSet
	oldest  int64 // no number below is remembered
	servers int   // in all sets
	last    int64 // number of the last commit of this process

	bays map[bay]struct{} // whose rows are known to be there
}

// known says that the row of a bay need not be written.
func (l *changeLog) known(b bay) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.bays[b]
	return known
}

// begin remembers a change that is about to be committed: a reader that sees
// its number finds it here.
func (l *changeLog) begin(n int64, set changeSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil {
		l.sets, l.oldest = map[int64]changeSet{}, n
	}
	l.servers += len(set.servers) - len(l.sets[n].servers)
	l.sets[n] = set
	for l.servers > rememberedServers && l.oldest < n {
		l.servers -= len(l.sets[l.oldest].servers)
		delete(l.sets, l.oldest)
		l.oldest++
	}
}

// end says whether the change was committed. One that was not is forgotten: its
// number is given to another commit.
func (l *changeLog) end(n int64, committed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if committed {
		l.last = max(l.last, n)
		if l.bays == nil {
			l.bays = map[bay]struct{}{}
		}
		for _, b := range l.sets[n].bays {
			l.bays[b] = struct{}{}
		}
		return
	}
	l.servers -= len(l.sets[n].servers)
	delete(l.sets, n)
}

// between adds up what was changed by the numbers after and upto; false: not
// all of it is remembered.
func (l *changeLog) between(after, upto int64) (changeSet, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after+1 < l.oldest || upto-after > int64(len(l.sets)) {
		return changeSet{}, false
	}
	sum := changeSet{servers: map[string]*fleet.Server{}}
	for n := after + 1; n <= upto; n++ {
		set, known := l.sets[n]
		if !known {
			return changeSet{}, false
		}
		sum.add(set)
	}
	return sum, true
}

// Unchanged says that no server and no object has changed since the change of
// that number, without asking the database. It cannot know that where other
// nodes write, too.
func (s *Store) Unchanged(since int64) bool {
	if s.db.postgres {
		return false
	}
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	return s.changes.last == since
}

// Changes tells what was changed after a number, as of this transaction; any
// negative number stands for the beginning.
func (tx *Tx) Changes(after int64) (Changes, error) {
	c, err := tx.changesSince(after)
	if err != nil {
		return Changes{}, fmt.Errorf("reading what has changed: %w", err)
	}
	return c, nil
}

func (tx *Tx) changesSince(after int64) (Changes, error) {
	var c Changes
	if _, err := tx.get("SELECT changes FROM counters WHERE name = 'events'", nil, &c.Upto); err != nil {
		return c, err
	}
	if after < 0 || after > c.Upto {
		c.All = true
		return c, nil
	}
	set, known := tx.s.changes.between(after, c.Upto)
	var err error
	if !known && tx.s.db.postgres {
		set, known, err = tx.changesFromTable(after, c.Upto)
	}
	c.All, c.Servers, c.Objects = !known, set.servers, set.objects
	return c, err
}

func (tx *Tx) changesFromTable(after, upto int64) (set changeSet, known bool, err error) {
	set.servers = map[string]*fleet.Server{}
	if upto-after > keptChanges {
		return set, false, nil
	}
	found := int64(0)
	err = tx.each("SELECT servers, objects FROM changes WHERE n > $1 AND n <= $2", []any{after, upto}, func(r row) error {
		var text string
		var objects bool
		if err := r.Scan(&text, &objects); err != nil {
			return err
		}
		var ids []string
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return err
		}
		for _, id := range ids {
			set.servers[id] = nil
		}
		set.objects = set.objects || objects
		found++
		return nil
	})
	return set, found == upto-after, err
}

// changedServers are the ids of what has changed, for the other nodes.
func changedServers(set changeSet) (string, error) {
	ids := make([]string, 0, len(set.servers))
	for id := range set.servers {
		ids = append(ids, id)
	}
	return jsonText(ids)
}

// serversOfOneRead is how many rows ServersByID reads with one statement.
const serversOfOneRead = 32

// ServersByID reads the servers with these ids, those that are gone included;
// ids without a row are left out. Their order is not told.
func (tx *Tx) ServersByID(ids []string) ([]*fleet.Server, error) {
	var list []*fleet.Server
	for len(ids) > 0 {
		n := min(len(ids), serversOfOneRead)
		var c condition
		oneOf(&c, "id", ids[:n])
		err := tx.each("SELECT "+serverColumns+" FROM servers"+c.where(), c.args, func(r row) error {
			s, err := scanServer(r)
			list = append(list, s)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading servers: %w", err)
		}
		ids = ids[n:]
	}
	return list, nil
}
