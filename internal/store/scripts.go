package store

import (
	"database/sql"
	"fmt"
	"time"
)

// ServerScript is how far the startup script of a machine has come that is run
// through the guest.
type ServerScript struct {
	ServerID  string
	Progress  string // the driver's own
	Note      string // for people
	StartedAt time.Time
	EndedAt   *time.Time
	ExitCode  *int64
}

// ServerScript reads how far the script of a server has come; ErrNotFound
// before its first step.
func (tx *Tx) ServerScript(serverID string) (*ServerScript, error) {
	s := ServerScript{ServerID: serverID}
	var started int64
	var ended, code sql.NullInt64
	found, err := tx.get("SELECT progress, note, started_at, ended_at, exit_code FROM server_scripts WHERE server_id = $1",
		[]any{serverID}, &s.Progress, &s.Note, &started, &ended, &code)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading the script of server %s: %w", serverID, err)
	}
	s.StartedAt, s.EndedAt = moment(started), momentp(ended)
	if code.Valid {
		s.ExitCode = &code.Int64
	}
	return &s, nil
}

// SaveServerScript writes how far the script of a server has come.
func (tx *Tx) SaveServerScript(s *ServerScript) error {
	var code any
	if s.ExitCode != nil {
		code = *s.ExitCode
	}
	err := tx.do(`INSERT INTO server_scripts (server_id, progress, note, started_at, ended_at, exit_code) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (server_id) DO UPDATE SET progress = excluded.progress, note = excluded.note, ended_at = excluded.ended_at, exit_code = excluded.exit_code`,
		s.ServerID, s.Progress, s.Note, s.StartedAt.UnixMicro(), micros(s.EndedAt), code)
	if err != nil {
		return fmt.Errorf("writing the script of server %s: %w", s.ServerID, err)
	}
	return nil
}
