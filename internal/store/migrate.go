package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/headroom-dev/headroom/internal/fleet"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersions is the table in which the migrations are noted.
const schemaVersions = "schema_versions"

// migrationLock is the key of the advisory lock under which PostgreSQL is
// upgraded: two nodes that start together must not both do it.
const migrationLock = 0x686561_64726f6f // "headroo"

// migrateSQLite brings a database to the present schema, and copies it to into
// if that is not nil.
func migrateSQLite(ctx context.Context, name, uri, program string, into *liteConn) (version int64, err error) {
	defer func() { _, err = classifySQLite(name, err) }()
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	db, err := sql.Open("sqlite", uri+separator+"_pragma=busy_timeout(5000)&_pragma=foreign_keys(0)")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if version, err = migrate(ctx, database.DialectSQLite3, db, program); err != nil || into == nil {
		return version, err
	}
	from, err := openLite(uri)
	if err != nil {
		return 0, err
	}
	defer from.close()
	return version, into.copyFrom(from)
}

func migratePostgres(ctx context.Context, name, program string, db *sql.DB) (version int64, err error) {
	defer func() {
		var own *fleet.Error
		if err != nil && !errors.As(err, &own) {
			_, err = classifyPostgres(name, err, true)
		}
	}()
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // ends the session and with it the lock, whatever it returns
	// The other node may need longer than a batch waits for a row.
	if _, err := conn.ExecContext(ctx, "SET lock_timeout = 0"); err != nil {
		return 0, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return 0, fmt.Errorf("waiting for the upgrade of another node: %w", err)
	}
	return migrate(ctx, database.DialectPostgres, db, program)
}

// migrate brings the schema to the version that this program knows, which it
// returns, and notes the program.
func migrate(ctx context.Context, dialect database.Dialect, db *sql.DB, program string) (version int64, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, err
	}
	p, err := goose.NewProvider(dialect, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(schemaVersions))
	if err != nil {
		return 0, fmt.Errorf("reading the migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the version of the database: %w", err)
	}
	if current > target {
		return 0, tooNew(ctx, db, current, target, program)
	}
	if current < target {
		if _, err := p.Up(ctx); err != nil {
			return 0, fmt.Errorf("upgrading the database from schema version %d to %d: %w", current, target, err)
		}
	}
	return target, noteProgram(ctx, db, target, program)
}

// unreleased is the version of programs that were built from a folder.
const unreleased = "dev"

// noteProgram notes the first program that works with a version of the schema.
// One that is released takes the place of one that is not.
func noteProgram(ctx context.Context, db *sql.DB, version int64, program string) error {
	noted, err := notedProgram(ctx, db, version)
	if err == nil && program != "" && program != noted && (noted == "" || noted == unreleased) {
		_, err = db.ExecContext(ctx, `INSERT INTO schema_programs (schema_version, program) VALUES ($1, $2)
			ON CONFLICT (schema_version) DO UPDATE SET program = excluded.program`, version, program)
	}
	if err != nil {
		return fmt.Errorf("noting that headroom %s works with schema version %d: %w", program, version, err)
	}
	return nil
}

// notedProgram is the program noted with a version of the schema; empty when
// none is.
func notedProgram(ctx context.Context, db *sql.DB, version int64) (program string, err error) {
	err = db.QueryRowContext(ctx, "SELECT program FROM schema_programs WHERE schema_version = $1", version).Scan(&program)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return program, err
}

// tooNew is the answer to a database that a newer program has upgraded.
func tooNew(ctx context.Context, db *sql.DB, current, target int64, program string) error {
	by, remedy := "", "start a headroom at least as new as the one that used the database last"
	// Without the note, which another version may keep elsewhere, the numbers say it.
	if noted, err := notedProgram(ctx, db, current); err == nil && noted != "" && noted != unreleased {
		by, remedy = ", written by headroom "+noted+" or newer", "install headroom "+noted+" or newer"
	}
	if program != "" {
		program = " (" + program + ")"
	}
	return fleet.Errorf(fleet.CodeUnavailable,
		"the database has schema version %d%s, and this headroom%s knows versions up to %d: %s, or restore a backup from before that upgrade", current, by, program, target, remedy)
}
