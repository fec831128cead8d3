package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/maquinas"
	"siglab/app/mongo"
	"siglab/app/mysql"
	"siglab/app/sqlstore"
)

// migrateTimeout is how long Migrate waits for the servers and works, in all.
const migrateTimeout = 10 * time.Minute

// Migrate brings the tables and the collection to this version, waiting for their servers to come up, and returns what it could not do. Several may
// run at once: one works, and the others wait for it. With DATA_DIR there is nothing to do, since opening the file does it.
func Migrate(ctx context.Context, o Options) (err error) {
	c := o.Config
	var closers closers
	defer func() { err = errors.Join(err, closers.close()) }()
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	tel, err := o.telemetry(ctx)
	if err != nil {
		return err
	}
	closers.add("telemetry", tel.Shutdown)
	log := tel.Log
	if c.DataDir != "" {
		st, err := openStores(c, tel)
		if err != nil {
			return err
		}
		return st.close(ctx)
	}

	ddl := c.mysql(tel)
	if c.MySQLMigrateUser != "" {
		ddl.User, ddl.Password = c.MySQLMigrateUser, string(c.MySQLMigratePassword)
	}
	err = wait(ctx, log, "MySQL", func(ctx context.Context) error {
		err := mysql.Migrate(ctx, ddl, log)
		if err != nil && !mysql.Outage(err) && !mysql.Refused(err) && ctx.Err() == nil {
			return &fatal{"the tables", err}
		}
		return unlessRefused("MySQL (MYSQL_MIGRATE_USER or MYSQL_USER, and its password)", err, mysql.Refused)
	})
	if err != nil {
		return err
	}

	db, err := mysql.Open(ddl)
	if err != nil {
		return err
	}
	closers.add("MySQL pool", func(context.Context) error { return db.Close() })
	tables := &sqlstore.Maquinas{DB: &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}}
	docs, err := mongo.Open(c.mongo(), mongo.Hooks{})
	if err != nil {
		return err
	}
	closers.add("MongoDB pool", docs.Close)
	return wait(ctx, log, "MongoDB", func(ctx context.Context) error {
		done, err := docs.Migrate(ctx, func(ctx context.Context, codigos []string) (map[string]maquinas.Maquina, error) {
			return byCodigo(ctx, tables, codigos)
		})
		if err != nil {
			return unlessRefused("MongoDB (MONGO_USER, MONGO_PASSWORD or MONGO_URI)", err, mongo.Refused)
		}
		for _, left := range done.Left {
			log.Warn(left)
		}
		log.Info("migrated", zap.Int64("records_adopted", done.Adopted), zap.Int64("records_without_machine", done.Orphans))
		return nil
	})
}

// byCodigo returns the machines of these codes that exist, by the key of their code.
func byCodigo(ctx context.Context, store maquinas.Store, codigos []string) (map[string]maquinas.Maquina, error) {
	found := make(map[string]maquinas.Maquina, len(codigos))
	for _, codigo := range codigos {
		m, err := store.ByCodigo(ctx, codigo)
		switch {
		case err == nil:
			found[clave.Of(codigo)] = m
		case errs.KindOf(err) != errs.NotFound:
			return nil, fmt.Errorf("the machine of an old record: %w", err)
		}
	}
	return found, nil
}
