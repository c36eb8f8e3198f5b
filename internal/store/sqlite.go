package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	sqliteReaders = 4
	sqliteBatch   = 128
)

func openSQLite(rawURL string) (backend, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite://")
	if ok && path == ":memory:" {
		return openSQLiteMemory()
	}
	if u, err := url.PathUnescape(path); err == nil {
		path = u
	}
	if !ok || !filepath.IsAbs(path) || strings.ContainsAny(path, "?#\x00") {
		return backend{}, fleet.Errorf(fleet.CodeInvalid, "the database URL %q is not valid: write sqlite:// and an absolute path without ? and #, for example sqlite:///var/lib/headroom/headroom.db", rawURL)
	}
	// SQLite gives the files beside the database the mode of the database.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Chmod(0o600), f.Close())
	}
	if err != nil {
		return backend{}, &fleet.Error{Code: fleet.CodeUnavailable, Cause: err, Message: "the database file cannot be opened for writing: " + err.Error()}
	}

	dsn := (&url.URL{Scheme: "file", Path: path}).String() + "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(0)&_pragma=cache_size(-65536)&_pragma=temp_store(MEMORY)"
	// The write-ahead log is synced at every commit (FULL): a commit that was
	// answered survives a power cut.
	wdb, err := sql.Open("sqlite", dsn+"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)")
	if err != nil {
		return backend{}, err
	}
	rdb, err := sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return backend{}, errors.Join(err, wdb.Close())
	}
	wdb.SetMaxOpenConns(1)
	b := sqliteBackend(path, newPool(wdb, 1), newPool(rdb, sqliteReaders))
	b.close = func() error {
		b.readers.drain()
		b.writers.drain()
		return errors.Join(rdb.Close(), wdb.Close())
	}
	return b, nil
}

// openSQLiteMemory opens a database that lives as long as its one connection,
// which readers and writers take in turns.
func openSQLiteMemory() (backend, error) {
	db, err := sql.Open("sqlite", "file::memory:?_pragma=foreign_keys(0)")
	if err != nil {
		return backend{}, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	p := newPool(db, 1)
	b := sqliteBackend("in memory", p, p)
	b.close = func() error {
		p.drain()
		return db.Close()
	}
	return b, nil
}

func sqliteBackend(name string, writers, readers *pool) backend {
	return backend{
		name:       name,
		writers:    writers,
		readers:    readers,
		lanes:      1,
		batch:      sqliteBatch,
		beginWrite: "BEGIN IMMEDIATE",
		beginRead:  "BEGIN",
		classify:   func(err error, _ bool) (fate, error) { return classifySQLite(name, err) },
		migrate:    func(ctx context.Context) (int64, error) { return migrateSQLite(ctx, name, writers.db) },
	}
}

// classifySQLite tells errors of a statement from those that end the whole
// transaction: on the latter SQLite may have rolled back everything.
func classifySQLite(name string, err error) (fate, error) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fateAlive, err
	}
	unavailable := func(text string) (fate, error) {
		return fateBroken, &fleet.Error{Code: fleet.CodeUnavailable, Message: text, Cause: err}
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return unavailable("the database cannot be written: no space left on the device holding " + name + "; free some, and it works again by itself")
	case sqlite3.SQLITE_READONLY:
		return unavailable("the database cannot be written: " + name + " is read-only; check its mode, its owner and the mount")
	case sqlite3.SQLITE_IOERR:
		return unavailable("the database cannot be used: the device holding " + name + " reports an input or output error; look into the system's log")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return unavailable("the database " + name + " is damaged or is no database: stop Headroom, keep a copy of the file, and restore a backup")
	case sqlite3.SQLITE_CANTOPEN:
		return unavailable("the database " + name + " cannot be opened: check that its directory exists and belongs to the user that Headroom runs as")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return unavailable("the database " + name + " is locked by another program: end that program")
	case sqlite3.SQLITE_NOMEM:
		return unavailable("the database cannot be used: there is no memory left")
	case sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_ABORT:
		return fateBroken, err
	}
	return fateAlive, err
}
