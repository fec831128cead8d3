// Package sqlite keeps everything in one file on one machine: the embedded default, for trying the service out, for small
// installations and for tests.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	sqlitedriver "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"siglab/app/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// File is the database's name in its folder.
const File = "siglab.db"

// readers is how many connections read at once. They never wait for the writer, nor it for them.
const readers = 8

// DB is an open file.
type DB struct {
	// Read has the connections that read; Write has one connection. Writers queue for it in the pool, where they wait in order and
	// as long as their contexts last, instead of polling the file's lock.
	Read, Write *sql.DB
}

// Open opens the database in dir, an existing folder, making it and its tables if they are not there. The file is readable by its
// owner alone. observe is told of each statement; nil is nobody.
func Open(ctx context.Context, dir string, observe sqlstore.Observe) (_ *DB, err error) {
	path, err := filepath.Abs(filepath.Join(dir, File))
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	// SQLite would make it by the umask; the files beside it get the permissions that it has.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db := new(DB)
	defer func() {
		if err != nil {
			_ = db.Close() // what went wrong before tells more
		}
	}()
	if db.Write, err = open(path, observe, 1); err != nil {
		return nil, err
	}
	if err := migrate(ctx, db.Write); err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	if db.Read, err = open(path, observe, readers, "query_only(1)"); err != nil {
		return nil, err
	}
	return db, db.Ping(ctx)
}

// open makes a pool. An answered write must survive the process and the machine: WAL with synchronous FULL waits for the disk at each
// commit. Another process, such as an import, may write too: busy_timeout waits for it.
func open(path string, observe sqlstore.Observe, conns int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{
		"_txlock": {"immediate"}, // a transaction that reads first and then writes cannot lose against another
		"_pragma": append([]string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}, pragmas...),
	}
	name := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String()
	connector, err := sqlitedriver.NewConnector(name)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db := sql.OpenDB(sqlstore.Connector(connector, dialect(), observe))
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// Close closes the file. What was committed is in it.
func (db *DB) Close() error {
	var all []error
	for _, pool := range []*sql.DB{db.Read, db.Write} {
		if pool != nil {
			all = append(all, pool.Close())
		}
	}
	return errors.Join(all...)
}

// Ping says whether the file can be read.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.Read.QueryRowContext(ctx, `SELECT 1 FROM (SELECT COUNT(*) FROM usuarios)`).Scan(&one)
}

// SQL returns what sqlstore's stores need. now is their clock; nil is time.Now.
func (db *DB) SQL(now func() time.Time) *sqlstore.DB {
	return &sqlstore.DB{Read: db.Read, Write: db.Write, Dialect: dialect(), Now: now}
}

// dialect is SQLite's. It locks no rows: a transaction of the writing connection is alone.
func dialect() sqlstore.Dialect {
	return sqlstore.Dialect{
		NowMS: "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
		Duplicate: func(err error) bool {
			c := code(err)
			return c == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || c == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY || c == sqlitelib.SQLITE_CONSTRAINT_ROWID
		},
		Contended: func(err error) bool { return code(err)&0xff == sqlitelib.SQLITE_LOCKED },
		Locked:    locked,
		Lost:      func(error) bool { return false }, // there is none to lose
	}
}

// locked says that another process kept the file for longer than busy_timeout.
func locked(err error) bool { return code(err)&0xff == sqlitelib.SQLITE_BUSY } // the low byte is the code without what extends it

// code returns SQLite's extended result code of an error, 0 for all else.
func code(err error) int {
	if e, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		return e.Code()
	}
	return 0
}
