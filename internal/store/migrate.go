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
func migrateSQLite(ctx context.Context, name, uri string, into *liteConn) (version int64, err error) {
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
	if version, err = migrate(ctx, database.DialectSQLite3, db); err != nil || into == nil {
		return version, err
	}
	from, err := openLite(uri)
	if err != nil {
		return 0, err
	}
	defer from.close()
	return version, into.copyFrom(from)
}

func migratePostgres(ctx context.Context, name string, db *sql.DB) (version int64, err error) {
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
	return migrate(ctx, database.DialectPostgres, db)
}

// migrate brings the schema to the version that this program knows, which it
// returns.
func migrate(ctx context.Context, dialect database.Dialect, db *sql.DB) (version int64, err error) {
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
		return 0, fleet.Errorf(fleet.CodeUnavailable,
			"the database has schema version %d and this headroom knows versions up to %d: start a headroom at least as new as the one that used the database last, or restore a backup from before that upgrade", current, target)
	}
	if current == target {
		return target, nil
	}
	if _, err := p.Up(ctx); err != nil {
		return 0, fmt.Errorf("upgrading the database from schema version %d to %d: %w", current, target, err)
	}
	return target, nil
}
