package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"go.uber.org/zap"
)

//go:embed migrations/*.sql
var migrations embed.FS

// version is the schema that this binary needs. A newer one does: migrations only add, so that a release can be rolled back.
const version = 2

// The lock's times. Whoever is killed while it migrates holds the others up for one lease.
const (
	lease     = 20 * time.Second
	heartbeat = 4 * time.Second
	knock     = time.Second
	knocks    = 600
)

// Migrate brings the schema up to date, taking over the old backend's tables if they are there. Several may run it at once: one
// works, under goose's table lock, and the others wait. It is safe to run again after it was killed. A *DataError says that the old
// tables hold what cannot be taken over, and that nothing was changed.
func Migrate(ctx context.Context, cfg Config, log *zap.Logger) error {
	db, err := openMigrating(cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	err = Ready(ctx, db)
	schema, older := errors.AsType[*SchemaError](err)
	switch {
	case err == nil:
		log.Info("the schema is up to date")
		return nil
	case !older:
		return fmt.Errorf("mysql: %w", err)
	}
	t := takeover{db: db, log: log}
	if schema.Found == 0 {
		// Before even the lock's table is made: data that is refused must find its database as it was.
		if _, err := t.plan(ctx); err != nil {
			return err
		}
	}
	locker, err := lock.NewMySQLTableLocker(
		lock.WithTableLeaseDuration(lease), lock.WithTableHeartbeatInterval(heartbeat), lock.WithTableLockTimeout(knock, knocks),
	)
	if err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files,
		goose.WithDisableGlobalRegistry(true),
		goose.WithLocker(locker),
		goose.WithLogger(goose.NopLogger()),
		goose.WithGoMigrations(goose.NewGoMigration(1, &goose.GoFunc{RunDB: t.run}, nil)),
	)
	if err != nil {
		return err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		log.Info("migrated", zap.Int64("version", r.Source.Version), zap.Duration("took", r.Duration))
	}
	if err != nil {
		if data, ok := errors.AsType[*DataError](err); ok {
			return data
		}
		return fmt.Errorf("mysql: migrating: %w", err)
	}
	return nil
}

// openMigrating opens a pool whose statements may take as long as a large table needs. Its locks on tables may not: requests queue
// up behind a statement that waits for one.
func openMigrating(cfg Config) (*sql.DB, error) {
	cfg = cfg.withDefaults()
	d, err := cfg.driverConfig()
	if err != nil {
		return nil, err
	}
	d.ReadTimeout, d.WriteTimeout = time.Hour, time.Minute
	d.ParseTime = true // goose reads times
	d.Params["lock_wait_timeout"] = "10"
	d.Params["innodb_lock_wait_timeout"] = "10"
	connector, err := mysqldriver.NewConnector(d)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// SchemaError says that the database's schema is older than this binary needs; version 0 is a database without one.
type SchemaError struct{ Found, Needed int64 }

func (e *SchemaError) Error() string {
	return fmt.Sprintf("the schema is at version %d and this binary needs %d: run siglab migrate", e.Found, e.Needed)
}

// Ready returns nil when the schema is at the version this binary needs or a newer one, and a *SchemaError when it is older.
func Ready(ctx context.Context, db *sql.DB) error {
	var found sql.NullInt64
	err := db.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version WHERE is_applied = 1`).Scan(&found)
	if number(err) == 1146 {
		err = nil // no table of versions, so version 0
	}
	if err == nil && found.Int64 < version {
		return &SchemaError{Found: found.Int64, Needed: version}
	}
	return err
}

// WaitSchema waits until the schema is ready, saying in the log what it waits for. It gives up when ctx ends, and when the server does
// not let the account in, which no waiting mends.
func WaitSchema(ctx context.Context, db *sql.DB, log *zap.Logger) error {
	var said string
	for {
		look, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := Ready(look, db)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case Refused(err):
			return fmt.Errorf("MySQL does not let this account in (MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE): %w", err)
		}
		if text := err.Error(); text != said {
			said = text
			log.Warn("waiting for MySQL", zap.Error(err))
		}
		pause := time.NewTimer(500 * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}
