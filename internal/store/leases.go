package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// LeaseTime is how long a node counts as alive after it was heard of last, by
// the clock of the database. Only after it may others take what the node owns.
const LeaseTime = 10 * time.Second

// forgetNode is how long the row of a dead node is kept for people to see.
const forgetNode = time.Hour

// ErrLost is the answer that the work belongs to another node meanwhile.
var ErrLost = errors.New("the work belongs to another node meanwhile")

// Owner says which node works on a key. Each taking of a key has an epoch that
// is greater than all before, so that a node that was stopped and goes on
// cannot be taken for the present owner, even when that is itself.
type Owner struct {
	Key   string
	Node  string
	Epoch int64
}

// Shared says that other processes may work with the same database, so that
// work must be owned.
func (s *Store) Shared() bool { return s.db.postgres }

// Shared says the same as [Store.Shared].
func (tx *Tx) Shared() bool { return tx.s.Shared() }

// ProvidersInUse lists the VM providers that have servers which are not gone.
func (tx *Tx) ProvidersInUse() ([]string, error) {
	// A jump from name to name through the index, however many servers there are.
	names := []string{}
	err := tx.each(`WITH RECURSIVE used (name) AS (
			SELECT MIN(vm_provider) FROM servers WHERE live AND vm_provider > ''
			UNION ALL
			SELECT (SELECT MIN(vm_provider) FROM servers WHERE live AND vm_provider > used.name) FROM used WHERE used.name IS NOT NULL)
		SELECT name FROM used WHERE name IS NOT NULL`, nil, func(r row) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the VM providers in use: %w", err)
	}
	return names, nil
}

// CheckOwner returns ErrLost unless o is the present owner, and keeps it so
// until the commit: whoever takes the key waits. It is checked together with the
// next statement, which may return the error instead. On a database that is not
// shared nobody else can be the owner.
func (tx *Tx) CheckOwner(o Owner) error {
	if !tx.s.Shared() {
		return nil
	}
	lost := fmt.Errorf("checking the owner of %s: %w", o.Key, ErrLost)
	if err := tx.doOr(lost, "SELECT 1 FROM owners WHERE key = $1 AND node = $2 AND epoch = $3 FOR SHARE", o.Key, o.Node, o.Epoch); err != nil {
		return fmt.Errorf("checking the owner of %s: %w", o.Key, err)
	}
	return nil
}

// Membership is this process among the nodes of a shared database. It has a
// connection of its own, so that a heartbeat never waits behind other work. It
// is used by one goroutine at a time.
type Membership struct {
	s           *Store
	id, address string
	conn        *pgx.Conn // nil: to be opened
}

// View is what a heartbeat sees.
type View struct {
	Nodes      []string         // that are alive, this one among them, in order
	Owners     map[string]Owner // by key; Node is empty when nobody owns it
	NextExpiry time.Duration    // until the next other node dies unless it is heard of
	Offset     time.Duration    // how far the clock of the database is ahead of that of this host
	Newer      int64            // version of the schema, when a newer Headroom has made it; 0 otherwise
}

// Join makes this process a node of the database under a new id; the first
// Renew tells the others. address is for people. Leave ends it. A database that
// is not shared has no nodes: nil.
func (s *Store) Join(address string) *Membership {
	if !s.Shared() {
		return nil
	}
	return &Membership{s: s, id: s.NewID(), address: address}
}

// ID is the id of the node.
func (m *Membership) ID() string { return m.id }

// hintOwners is the channel on which nodes say that work has become free.
const hintOwners = "headroom_owners"

// dbNow is the database's time in microseconds.
const dbNow = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT"

// with runs f on the node's connection, which is opened when there is none and
// closed when it fails.
func (m *Membership) with(ctx context.Context, doing string, f func(*pgx.Conn) error) error {
	err := func() (err error) {
		if m.conn == nil {
			if m.conn, err = m.s.db.connect(ctx); err != nil {
				return err
			}
			if _, err := m.conn.Exec(ctx, "LISTEN "+hintOwners); err != nil {
				return err
			}
		}
		return f(m.conn)
	}()
	if err == nil {
		return nil
	}
	m.hangUp(ctx)
	_, shown := m.s.db.classify(err, true)
	return fmt.Errorf("%s: %w", doing, shown)
}

func (m *Membership) hangUp(ctx context.Context) {
	if m.conn != nil {
		closeConn(ctx, m.conn)
		m.conn = nil
	}
}

// closeConn says good-bye to the server, for a moment at most.
func closeConn(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = c.Close(ctx) // it is dropped in any case
}

// Renew is the heartbeat: it keeps the node alive for another LeaseTime, and
// shows who else is and who owns what.
func (m *Membership) Renew(ctx context.Context) (View, error) {
	var v View
	err := m.with(ctx, "renewing the lease of this node", func(c *pgx.Conn) error {
		joined, err := c.Exec(ctx, `INSERT INTO nodes (id, address, started_at, renewed_at, expires_at)
			SELECT $1, $2, t, t, t + $3 FROM (SELECT `+dbNow+` AS t) AS clock
			ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at, expires_at = excluded.expires_at`,
			m.id, m.address, LeaseTime.Microseconds())
		if err != nil {
			return err
		}
		if joined.RowsAffected() != 1 {
			return errors.New("the row of this node was not written")
		}
		if _, err := c.Exec(ctx, "DELETE FROM nodes WHERE expires_at < "+dbNow+" - $1", forgetNode.Microseconds()); err != nil {
			return err
		}
		v, err = m.look(ctx, c)
		return err
	})
	return v, err
}

func (m *Membership) look(ctx context.Context, c *pgx.Conn) (View, error) {
	v := View{Owners: map[string]Owner{}, NextExpiry: LeaseTime}
	shared, follows := m.s.clock.(*Clock)
	var began time.Time
	if follows {
		began = shared.Host().Now()
	}
	var now int64
	err := c.QueryRow(ctx, "SELECT COALESCE(MAX(version_id), 0), "+dbNow+" FROM "+schemaVersions+" WHERE version_id > $1", m.s.db.schema).Scan(&v.Newer, &now)
	if err != nil {
		return v, err
	}
	if follows {
		shared.observe(began, shared.Host().Now(), moment(now))
		v.Offset = shared.Offset()
	}
	rows, err := c.Query(ctx, "SELECT id, expires_at - "+dbNow+" FROM nodes WHERE expires_at > "+dbNow+" ORDER BY id")
	if err != nil {
		return v, err
	}
	var id string
	var left int64
	_, err = pgx.ForEachRow(rows, []any{&id, &left}, func() error {
		v.Nodes = append(v.Nodes, id)
		if id != m.id {
			v.NextExpiry = min(v.NextExpiry, time.Duration(left)*time.Microsecond)
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	if rows, err = c.Query(ctx, "SELECT key, node, epoch FROM owners"); err != nil {
		return v, err
	}
	var o Owner
	_, err = pgx.ForEachRow(rows, []any{&o.Key, &o.Node, &o.Epoch}, func() error {
		v.Owners[o.Key] = o
		return nil
	})
	return v, err
}

// Take makes this node the owner of those of the keys that nobody owns who is
// alive, and of those that it owns already, each with a new epoch. A key that
// a write under way still checks is left for the next time, so that a node
// that was stopped in the middle of a write holds up no other key.
func (m *Membership) Take(ctx context.Context, keys []string) ([]Owner, error) {
	var taken []Owner
	err := m.with(ctx, "taking over work", func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "INSERT INTO owners (key, node, epoch, taken_at) SELECT k, '', 0, 0 FROM unnest($1::TEXT[]) AS k ON CONFLICT DO NOTHING", keys); err != nil {
			return err
		}
		rows, err := c.Query(ctx, `WITH free AS (
				SELECT key FROM owners WHERE key = ANY($1) AND (node = '' OR node = $2
					OR NOT EXISTS (SELECT 1 FROM nodes WHERE id = owners.node AND expires_at > `+dbNow+`))
				ORDER BY key FOR UPDATE OF owners SKIP LOCKED)
			UPDATE owners SET node = $2, epoch = owners.epoch + 1, taken_at = `+dbNow+`
			FROM free WHERE owners.key = free.key RETURNING owners.key, owners.epoch`, keys, m.id)
		if err != nil {
			return err
		}
		o := Owner{Node: m.id}
		_, err = pgx.ForEachRow(rows, []any{&o.Key, &o.Epoch}, func() error {
			taken = append(taken, o)
			return nil
		})
		return err
	})
	return taken, err
}

// Release gives keys up that this node owns in the given epochs, and tells the
// others.
func (m *Membership) Release(ctx context.Context, owners []Owner) error {
	return m.with(ctx, "releasing work", func(c *pgx.Conn) error {
		for _, o := range owners {
			if _, err := c.Exec(ctx, "UPDATE owners SET node = '' WHERE key = $1 AND node = $2 AND epoch = $3", o.Key, m.id, o.Epoch); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, "NOTIFY "+hintOwners)
		return err
	})
}

// Leave gives up everything that this node owns, says good-bye and closes the
// connection. Others take over at once.
func (m *Membership) Leave(ctx context.Context) error {
	defer func() { m.hangUp(ctx) }()
	return m.with(ctx, "leaving the other nodes", func(c *pgx.Conn) error {
		for _, query := range []string{"UPDATE owners SET node = '' WHERE node = $1", "DELETE FROM nodes WHERE id = $1"} {
			if _, err := c.Exec(ctx, query, m.id); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, "NOTIFY "+hintOwners)
		return err
	})
}

// Wait returns when another node says that work has become free, or when ctx
// ends.
func (m *Membership) Wait(ctx context.Context) {
	if m.conn != nil {
		if _, alive := awaitHint(ctx, m.conn); alive {
			return
		}
		m.hangUp(ctx)
	}
	<-ctx.Done()
}

// awaitHint waits for a notification of another connection, hinted, or for the
// end of ctx. Not alive: the connection has broken.
func awaitHint(ctx context.Context, c *pgx.Conn) (hinted, alive bool) {
	for ctx.Err() == nil {
		n, err := c.WaitForNotification(ctx)
		if err == nil && n.PID != c.PgConn().PID() {
			return true, true
		}
		if err != nil {
			return false, ctx.Err() != nil && !c.IsClosed()
		}
	}
	return false, true
}
