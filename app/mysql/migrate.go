package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"go.uber.org/zap"

	"siglab/app/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// version is the schema that this binary needs. A newer one does: migrations only add, so that a release can be rolled back.
const version = 2

// The lock's times. Whoever is killed while it migrates holds the others up for one lease.
const (
	lease     = 20 * time.Second
	heartbeat = 4 * time.Second
	knock     = time.Second // between two tries to take or to leave it
	toTake    = 600
	toLeave   = 5
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
	// A server that does not answer is the caller's to wait for; what a large table makes of a statement's time does not count yet.
	look, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = Ready(look, db)
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
		lock.WithTableLeaseDuration(lease), lock.WithTableHeartbeatInterval(heartbeat),
		lock.WithTableLockTimeout(knock, toTake), lock.WithTableUnlockTimeout(knock, toLeave),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)), // what matters comes back as an error
		// That another has the lock is no error of the server's. Of those only a lost race is worth another try.
		lock.WithTableRetryPolicy(func(err error) bool { return Dialect().Contended(err) || number(err) == 0 && !Outage(err) }),
	)
	if err != nil {
		return err
	}
	// Taken here and not by goose, which looks at its own table before it takes the lock.
	if err := locker.Lock(ctx, db); err != nil {
		return fmt.Errorf("mysql: the lock of migrations: %w", err)
	}
	err = up(ctx, t)
	if unlockErr := locker.Unlock(ctx, db); unlockErr != nil {
		log.Warn("the lock of migrations ends with its lease", zap.Error(unlockErr))
	}
	if data, ok := errors.AsType[*DataError](err); ok {
		return data
	}
	if err != nil {
		return fmt.Errorf("mysql: migrating: %w", err)
	}
	return nil
}

// up runs the migrations that are missing. Its caller holds the lock.
func up(ctx context.Context, t takeover) error {
	// Killed after it made its table and before it filled it, goose takes neither an empty one nor none.
	var empty bool
	err := t.db.QueryRowContext(ctx, `SELECT NOT EXISTS (SELECT 1 FROM goose_db_version)`).Scan(&empty)
	if err != nil && number(err) != 1146 {
		return err
	}
	if err == nil && empty {
		if err := t.exec(ctx, "DROP TABLE goose_db_version"); err != nil {
			return err
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, t.db, files,
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
		goose.WithGoMigrations(goose.NewGoMigration(1, &goose.GoFunc{RunDB: t.run}, nil)),
	)
	if err != nil {
		return err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		t.log.Info("migrated", zap.Int64("version", r.Source.Version), zap.Duration("took", r.Duration))
	}
	return err
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
	return sql.OpenDB(sqlstore.Connector(connecting{connector}, Dialect(), cfg.Observe)), nil
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
