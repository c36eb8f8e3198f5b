package store

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	sqliteReaders = 4
	sqliteBatch   = 128
	// The flush shared by so many is little to each of them.
	sqliteFull = 32
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

	uri := (&url.URL{Scheme: "file", Path: path}).String()
	b := sqliteBackend(path, newPool(1), newPool(sqliteReaders))
	b.writers.open = func() (*liteConn, error) { return openLite(uri, writerSetUp()...) }
	b.readers.open = func() (*liteConn, error) { return openLite(uri, readerSetUp()...) }
	b.migrate = func(ctx context.Context, program string) (version int64, err error) {
		return migrateSQLite(ctx, path, uri, program, nil)
	}
	return b, nil
}

// The write-ahead log is synced at every commit (FULL): a commit that was
// answered survives a power cut.
func writerSetUp() []string {
	return append(anySetUp(), "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 4000", "PRAGMA journal_size_limit = 67108864")
}

func readerSetUp() []string { return append(anySetUp(), "PRAGMA query_only = 1") }

func anySetUp() []string {
	return []string{"PRAGMA busy_timeout = 5000", "PRAGMA foreign_keys = 0", "PRAGMA cache_size = -65536", "PRAGMA temp_store = MEMORY"}
}

// openSQLiteMemory opens a database that lives as long as its one connection,
// which readers and writers take in turns.
func openSQLiteMemory() (backend, error) {
	c, err := openLite("file::memory:", "PRAGMA foreign_keys = 0")
	if err != nil {
		return backend{}, err
	}
	p := newPool(1)
	<-p.slots
	p.slots <- &conn{pool: p, lite: c}
	p.open = func() (*liteConn, error) { return nil, errors.New("the database was in memory and is gone") }
	b := sqliteBackend("in memory", p, p)
	b.migrate = func(ctx context.Context, program string) (int64, error) {
		// A database in memory of which a second connection is possible.
		uri := "file:/" + rand.Text() + "?vfs=memdb"
		return migrateSQLite(ctx, b.name, uri, program, c)
	}
	return b, nil
}

func sqliteBackend(name string, writers, readers *pool) backend {
	b := backend{
		name:       name,
		writers:    writers,
		readers:    readers,
		lanes:      1,
		batch:      sqliteBatch,
		full:       sqliteFull,
		beginWrite: "BEGIN IMMEDIATE",
		beginRead:  "BEGIN",
		classify:   func(err error, _ bool) (fate, error) { return classifySQLite(name, err) },
	}
	b.close = func() error {
		if readers != writers {
			readers.drain()
		}
		writers.drain()
		return nil
	}
	return b
}

// classifySQLite tells errors of a statement from those that end the whole
// transaction: on the latter SQLite may have rolled back everything.
func classifySQLite(name string, err error) (fate, error) {
	code, ok := liteCode(err)
	if !ok {
		return fateAlive, err
	}
	unavailable := func(text string) (fate, error) {
		return fateBroken, &fleet.Error{Code: fleet.CodeUnavailable, Message: text, Cause: err}
	}
	switch code & 0xff {
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
