package store

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const tokenColumns = "id, name, role, pool, created_at, created_by, expires_at, last_used_at"

func scanToken(r row) (*fleet.APIToken, error) {
	var t fleet.APIToken
	var created int64
	var expires, used sql.NullInt64
	if err := r.Scan(&t.ID, &t.Name, &t.Role, &t.Pool, &created, &t.CreatedBy, &expires, &used); err != nil {
		return nil, err
	}
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt = moment(created), momentp(expires), momentp(used)
	return &t, nil
}

// InsertToken adds a token by the hash of its secret; an id and a time of
// creation are filled in where they are missing. ErrExists: the id or the hash
// is taken.
func (tx *Tx) InsertToken(t *fleet.APIToken, hash string) error {
	n := *t
	if n.ID == "" {
		n.ID = tx.s.newID()
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = tx.s.clock.Now()
	}
	n.CreatedAt, n.ExpiresAt, n.LastUsedAt = exact(n.CreatedAt), exactp(n.ExpiresAt), exactp(n.LastUsedAt)
	rows, err := tx.exec("INSERT INTO api_tokens ("+tokenColumns+", hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
		n.ID, n.Name, string(n.Role), n.Pool, n.CreatedAt.UnixMicro(), n.CreatedBy, micros(n.ExpiresAt), micros(n.LastUsedAt), hash)
	if err == nil && rows == 0 {
		err = ErrExists
	}
	if err != nil {
		return fmt.Errorf("adding token %s: %w", n.Name, err)
	}
	*t = n
	return nil
}

// TokenByHash reads the token with that hash; ErrNotFound. Expiry is for the
// caller to judge.
func (tx *Tx) TokenByHash(hash string) (*fleet.APIToken, error) {
	list, err := tx.tokens("SELECT "+tokenColumns+" FROM api_tokens WHERE hash = $1", hash)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	return list[0], nil
}

// Tokens lists the tokens by the time of their creation.
func (tx *Tx) Tokens() ([]*fleet.APIToken, error) {
	list, err := tx.tokens("SELECT " + tokenColumns + " FROM api_tokens ORDER BY created_at, id")
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	return list, nil
}

func (tx *Tx) tokens(query string, args ...any) ([]*fleet.APIToken, error) {
	list := []*fleet.APIToken{}
	err := tx.each(query, args, func(r row) error {
		t, err := scanToken(r)
		list = append(list, t)
		return err
	})
	return list, err
}

// TouchToken notes the last use of a token; one that is gone is no error.
func (tx *Tx) TouchToken(id string, at time.Time) error {
	if err := tx.do("UPDATE api_tokens SET last_used_at = $2 WHERE id = $1", id, at.UnixMicro()); err != nil {
		return fmt.Errorf("noting the use of token %s: %w", id, err)
	}
	return nil
}

// DeleteToken removes a token; ErrNotFound.
func (tx *Tx) DeleteToken(id string) error {
	rows, err := tx.exec("DELETE FROM api_tokens WHERE id = $1", id)
	if err == nil && rows == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("deleting token %s: %w", id, err)
	}
	return nil
}

// SetAgentCredential makes hash the credential of a server's agent. The one
// before stays valid until the new one has been used, so that a rotation
// survives a lost answer. To set the present one again changes nothing.
// ErrExists: another server has this credential.
func (tx *Tx) SetAgentCredential(serverID, hash string, at time.Time) error {
	err := tx.setAgentCredential(serverID, hash, at)
	if err != nil {
		return fmt.Errorf("setting the agent credential of server %s: %w", serverID, err)
	}
	return nil
}

func (tx *Tx) setAgentCredential(serverID, hash string, at time.Time) error {
	var owner string
	taken, err := tx.get("SELECT server_id FROM agent_credentials WHERE hash = $1 OR previous = $1", []any{hash}, &owner)
	if err != nil {
		return err
	}
	if taken && owner != serverID {
		return ErrExists
	}
	// As long as the present one has not been used, the one before is what the
	// agent may still have. Going back to that one drops the present one.
	err = tx.do(`INSERT INTO agent_credentials (server_id, hash, at, previous) VALUES ($1, $2, $3, NULL)
		ON CONFLICT (server_id) DO UPDATE SET at = excluded.at, hash = excluded.hash,
		previous = CASE WHEN COALESCE(agent_credentials.previous, agent_credentials.hash) = excluded.hash THEN NULL
			ELSE COALESCE(agent_credentials.previous, agent_credentials.hash) END
		WHERE agent_credentials.hash <> excluded.hash`, serverID, hash, at.UnixMicro())
	return err
}

// ServerByAgentCredential reads the server whose agent bears the credential, and
// when the present credential of that agent was set; ErrNotFound. The first use
// of a new credential ends the one before, also from within a Read.
func (tx *Tx) ServerByAgentCredential(hash string) (s *fleet.Server, at time.Time, err error) {
	s, at, err = tx.serverByAgentCredential(hash)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading the server of an agent credential: %w", err)
	}
	return s, at, nil
}

func (tx *Tx) serverByAgentCredential(hash string) (s *fleet.Server, at time.Time, err error) {
	var current string
	var previous sql.NullString
	var us int64
	err = tx.each("SELECT hash, previous, at, "+serverColumns+" FROM agent_credentials JOIN servers ON id = server_id WHERE hash = $1 OR previous = $1",
		[]any{hash}, func(r row) (err error) {
			s, err = scanServer(behind{r, []any{&current, &previous, &us}})
			return err
		})
	if err == nil && s == nil {
		err = ErrNotFound
	}
	if err != nil || current != hash || !previous.Valid {
		return s, moment(us), err
	}
	end := func(tx *Tx) error {
		return tx.do("UPDATE agent_credentials SET previous = NULL WHERE server_id = $1 AND hash = $2", s.ID, hash)
	}
	if tx.write {
		err = end(tx)
	} else {
		tx.after = append(tx.after, end)
	}
	return s, moment(us), err
}

// behind is a row whose first columns belong to somebody else.
type behind struct {
	row
	first []any
}

func (b behind) Scan(dest ...any) error { return b.row.Scan(append(b.first, dest...)...) }

// AgentCredential is the present credential of a server's agent and when it
// was set; ErrNotFound.
func (tx *Tx) AgentCredential(serverID string) (hash string, at time.Time, err error) {
	var us int64
	found, err := tx.get("SELECT hash, at FROM agent_credentials WHERE server_id = $1", []any{serverID}, &hash, &us)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("reading the agent credential of server %s: %w", serverID, err)
	}
	return hash, moment(us), nil
}

// DeleteAgentCredentials makes every credential of a server's agent invalid.
func (tx *Tx) DeleteAgentCredentials(serverID string) error {
	if err := tx.do("DELETE FROM agent_credentials WHERE server_id = $1", serverID); err != nil {
		return fmt.Errorf("deleting the agent credentials of server %s: %w", serverID, err)
	}
	return nil
}
