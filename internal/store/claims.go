package store

import (
	"database/sql"
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// How a claim finds its server without looking at the whole pool
//
// The servers of a pool lie in bays, one for each zone and origin (fixed or
// autoscaled), of which a pool has a handful. The index servers_room holds, for
// each bay, the servers that take one more user, ordered by free GPUs, cores
// and memory; servers_places holds those with free places, ordered by places
// first. Filling up (pack) goes through a bay upwards from what is needed,
// spreading downwards from the top, and takes the first that fits.
//
// One statement finds the first of every bay. A first that does not fit, say
// because it has the cores and not the memory, is not followed by its
// neighbour but by a new search that begins at the least (or greatest) vector
// behind it that could fit. A search costs O(log n), and there is one for each
// different combination of the leading dimensions that occurs in the bay at
// most, however many servers share it: a pool of any size that has run out of
// memory with cores to spare is answered after a few. Should there be more than
// claimProbes combinations, the index alone is read through from there, in one
// statement.
//
// Users who are on a server already may come back to it when it takes no
// further user ("crowded"). Those servers are found from the user's own
// sessions, claimFamiliar of them at most, and only in pools that have any.
const (
	claimProbes   = 64
	claimFamiliar = 256
	claimRivals   = 100 // candidates lost to rivals before a claim gives up
)

// Claim takes what q needs from the best open server that has room for it, in
// one conditional statement: no two claims take the same. The best is, among
// fixed servers first if they are preferred, the one with the least free GPUs,
// then cores, then memory (of places before all), or with the most when
// spreading. ErrNotFound: none has room. The caller then inserts or saves the
// session in the same transaction.
func (tx *Tx) Claim(q ClaimQuery) (*fleet.Server, error) {
	for range claimRivals {
		c, err := tx.candidate(q)
		if err != nil {
			return nil, fmt.Errorf("claiming %s in pool %s: %w", q.Need, q.Pool, err)
		}
		s, err := tx.take(c, q)
		if err == nil && s == nil && q.ServerID != "" {
			err = ErrNotFound
		}
		if err != nil {
			return nil, fmt.Errorf("claiming %s in pool %s: %w", q.Need, q.Pool, err)
		}
		if s != nil {
			tx.changed.server(s.ID, s)
			return s, nil
		}
	}
	return nil, fleet.Errorf(fleet.CodeUnavailable, "pool %s is under too many rival claims: try again", q.Pool)
}

// candidate is the best server as things stand; ErrNotFound.
func (tx *Tx) candidate(q ClaimQuery) (*candidate, error) {
	if q.ServerID != "" {
		c := &candidate{id: q.ServerID}
		found, err := tx.get("SELECT max_users, "+knownHere+" FROM servers AS s WHERE s.id = $1", []any{q.ServerID, q.User}, &c.maxUsers, &c.known)
		if err == nil && !found {
			err = ErrNotFound
		}
		return c, err
	}
	w := claimWayOf(q)
	best, crowded, err := tx.firsts(w, q)
	if err == nil && crowded && q.User != "" {
		best, err = tx.familiar(w, q, best)
	}
	if err == nil && best == nil {
		err = ErrNotFound
	}
	return best, err
}

// firsts is the best server of all bays, nil if none fits, and whether the pool
// has crowded servers.
func (tx *Tx) firsts(w *claimWay, q ClaimQuery) (best *candidate, crowded bool, err error) {
	need := w.need(q.Need)
	args, query := append([]any{q.Pool, q.User}, w.start(need)...), w.firstsAnywhere
	if q.Zone != "" {
		args, query = append(args, q.Zone), w.firstsInZone
	}
	var astray []*candidate // the first of their bay, and they do not fit
	err = tx.each(query, args, func(r row) error {
		var zone string
		var fixed bool
		var id sql.NullString
		var maxUsers sql.NullInt64
		var known sql.NullBool
		free := make([]sql.NullInt64, len(w.columns))
		dest := []any{&crowded, &zone, &fixed, &id, &maxUsers, &known}
		for i := range free {
			dest = append(dest, &free[i])
		}
		if err := r.Scan(dest...); err != nil || !id.Valid {
			return err
		}
		c := &candidate{id: id.String, zone: zone, fixed: fixed, maxUsers: maxUsers.Int64, known: known.Bool}
		for _, f := range free {
			c.free = append(c.free, f.Int64)
		}
		if !fits(c.free, need) {
			astray = append(astray, c)
		} else if best == nil || w.better(q, c, best) {
			best = c
		}
		return nil
	})
	for i := 0; i < len(astray) && err == nil; i++ {
		var c *candidate
		c, err = tx.onwards(w, q, need, astray[i])
		if c != nil && (best == nil || w.better(q, c, best)) {
			best = c
		}
	}
	return best, crowded, err
}

// onwards goes on through the bay of c, which does not fit, to the first that
// does; nil: there is none.
func (tx *Tx) onwards(w *claimWay, q ClaimQuery, need []int64, c *candidate) (*candidate, error) {
	for probe := 1; ; probe++ {
		from := w.skip(c.free, need)
		if from == nil {
			return nil, nil
		}
		args, query := []any{q.Pool, q.User, c.zone, c.fixed}, w.next
		for _, n := range from {
			args = append(args, n)
		}
		if probe == claimProbes {
			query = w.readThrough
			for _, n := range need {
				args = append(args, n)
			}
		}
		n := &candidate{zone: c.zone, fixed: c.fixed, free: make([]int64, len(w.columns))}
		dest := []any{&n.id, &n.maxUsers, &n.known}
		for i := range n.free {
			dest = append(dest, &n.free[i])
		}
		found, err := tx.get(query, args, dest...)
		if err != nil || !found {
			return nil, err
		}
		if fits(n.free, need) {
			return n, nil
		}
		c = n
	}
}

// familiar is the better of best and the crowded servers on which the user has
// a session.
func (tx *Tx) familiar(w *claimWay, q ClaimQuery, best *candidate) (*candidate, error) {
	need := w.need(q.Need)
	err := tx.each(w.familiar, []any{q.Pool, q.User, claimFamiliar}, func(r row) error {
		c := &candidate{known: true, free: make([]int64, len(w.columns))}
		dest := []any{&c.zone, &c.fixed, &c.id, &c.maxUsers}
		for i := range c.free {
			dest = append(dest, &c.free[i])
		}
		if err := r.Scan(dest...); err != nil {
			return err
		}
		if fits(c.free, need) && (q.Zone == "" || q.Zone == c.zone) && (best == nil || w.better(q, c, best)) {
			best = c
		}
		return nil
	})
	return best, err
}

const takeText = `UPDATE servers SET version = version + 1, used = TRUE,
		claimed_cores = claimed_cores + $2, free_cores = free_cores - $2,
		claimed_memory = claimed_memory + $3, free_memory = free_memory - $3,
		claimed_gpus = claimed_gpus + $4, free_gpus = free_gpus - $4,
		claimed_places = claimed_places + $5, free_places = free_places - $5,
		sessions = sessions + 1, users = users + $6,
		room = (max_users = 0 OR users + $6 < max_users),
		crowded = (max_users > 0 AND users + $6 >= max_users)
		WHERE id = $1 AND open AND (room OR CAST($6 AS BIGINT) = 0)
		AND free_cores >= $2 AND free_memory >= $3 AND free_gpus >= $4 AND free_places >= $5
		AND pool = $7 AND zone = COALESCE(CAST($8 AS TEXT), zone)
		RETURNING ` + serverColumns

// take claims from one server; nil: it has no room any more.
func (tx *Tx) take(c *candidate, q ClaimQuery) (*fleet.Server, error) {
	if tx.s.db.postgres && c.maxUsers > 0 {
		// A rival's session of the same user may have come or gone since.
		if err := tx.lockServer(c.id); err != nil {
			return nil, err
		}
		if _, err := tx.get("SELECT "+knownHere+" FROM servers AS s WHERE s.id = $1", []any{c.id, q.User}, &c.known); err != nil {
			return nil, err
		}
	}
	joins := 1
	if c.known {
		joins = 0
	}
	var zone any = q.Zone
	if q.Zone == "" {
		zone = nil
	}
	if err := tx.ready(true); err != nil {
		return nil, err
	}
	return tx.oneServer(takeText,
		c.id, int64(q.Need.Cores), q.Need.MemoryMiB, q.Need.GPUs, q.Need.Places, joins, q.Pool, zone)
}

// Release gives back what a session held, after the session has been saved as
// one that holds nothing (or moved away), and counts the server's users anew.
// ErrNotFound: the server is gone from the database. To give back more than was
// claimed is an error.
func (tx *Tx) Release(serverID string, need fleet.Resources, user string) (*fleet.Server, error) {
	s, err := tx.release(serverID, need)
	if err != nil {
		return nil, fmt.Errorf("releasing %s of user %q on server %s: %w", need, user, serverID, err)
	}
	return s, nil
}

func (tx *Tx) release(serverID string, need fleet.Resources) (*fleet.Server, error) {
	users, err := tx.usersOn(serverID)
	if err != nil {
		return nil, err
	}
	if err := tx.ready(true); err != nil {
		return nil, err
	}
	s, err := tx.oneServer(`UPDATE servers SET version = version + 1,
		claimed_cores = claimed_cores - $2, claimed_memory = claimed_memory - $3,
		claimed_gpus = claimed_gpus - $4, claimed_places = claimed_places - $5,
		free_cores = CASE WHEN capacity_cores > claimed_cores - $2 THEN capacity_cores - claimed_cores + $2 ELSE 0 END,
		free_memory = CASE WHEN capacity_memory > claimed_memory - $3 THEN capacity_memory - claimed_memory + $3 ELSE 0 END,
		free_gpus = CASE WHEN capacity_gpus > claimed_gpus - $4 THEN capacity_gpus - claimed_gpus + $4 ELSE 0 END,
		free_places = CASE WHEN capacity_places > claimed_places - $5 THEN capacity_places - claimed_places + $5 ELSE 0 END,
		sessions = sessions - 1, users = $6,
		room = (open AND (max_users = 0 OR CAST($6 AS BIGINT) < max_users)),
		crowded = (open AND max_users > 0 AND CAST($6 AS BIGINT) >= max_users)
		WHERE id = $1 AND sessions > 0
		AND claimed_cores >= $2 AND claimed_memory >= $3 AND claimed_gpus >= $4 AND claimed_places >= $5
		RETURNING `+serverColumns,
		serverID, int64(need.Cores), need.MemoryMiB, need.GPUs, need.Places, users)
	if s != nil {
		tx.changed.server(s.ID, s)
	}
	if err != nil || s != nil {
		return s, err
	}
	now, err := tx.Server(serverID)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("only %s in %d sessions are claimed there", now.Claimed, now.Sessions)
}

// recountUsers is for sessions that change hands. The server's version stays:
// nothing that SaveServer writes has changed.
func (tx *Tx) recountUsers(serverID string) error {
	users, err := tx.usersOn(serverID)
	if err != nil {
		return err
	}
	tx.changed.server(serverID, nil)
	_, err = tx.exec(`UPDATE servers SET users = $2,
		room = (open AND (max_users = 0 OR CAST($2 AS BIGINT) < max_users)),
		crowded = (open AND max_users > 0 AND CAST($2 AS BIGINT) >= max_users)
		WHERE id = $1 AND users <> $2`, serverID, users)
	return err
}

// usersOn counts the users of a server: sessions without a user belong to
// somebody unknown each.
func (tx *Tx) usersOn(serverID string) (n int64, err error) {
	if err := tx.lockServer(serverID); err != nil {
		return 0, err
	}
	_, err = tx.get(`SELECT COUNT(DISTINCT CASE WHEN user_name <> '' THEN user_name END) + COUNT(CASE WHEN user_name = '' THEN 1 END)
		FROM sessions WHERE server_id = $1 AND live AND holds`, []any{serverID}, &n)
	return n, err
}

// lockServer keeps rivals from the row until the commit. SQLite has one writer
// at a time and needs nothing.
func (tx *Tx) lockServer(id string) error {
	if !tx.s.db.postgres {
		return nil
	}
	return tx.do("SELECT 1 FROM servers WHERE id = $1 FOR UPDATE", id)
}
