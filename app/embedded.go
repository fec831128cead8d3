package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"siglab/app/cache"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/memory"
	"siglab/app/sistema"
	"siglab/app/sqlite"
	"siglab/app/sqlstore"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// memoryCache is how much of this process's memory the cache may take, in bytes.
const memoryCache = 64 << 20

// embedded opens SQLite in DATA_DIR, with this process's memory in the place of Redis.
func (st *stores) embedded(c Config, tel *telemetry.Telemetry) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("DATA_DIR: %w", err)
	}
	db, err := sqlite.Open(context.Background(), c.DataDir, tel.Metrics.Operations("sqlite"))
	if err != nil {
		return fmt.Errorf("DATA_DIR: %w", err)
	}
	st.closers.add("database file", func(context.Context) error { return db.Close() })
	tel.Metrics.RegisterSQL(db.Read, "sqlite")
	sql := db.SQL(time.Now)
	machines := &sqlstore.Maquinas{DB: sql}
	st.maquinas, st.outbox, st.usuarios = machines, machines, &sqlstore.Usuarios{DB: sql}
	st.mantenimientos = sqlite.NewMantenimientos(db, time.Now)
	st.cache = memory.NewCache(memoryCache, time.Duration(c.RedisTTL), time.Now)
	st.sessions = memory.NewSessions(10_000)
	st.limiter = memory.NewLimiter(100_000, time.Now)
	st.dependencies = []sistema.Dependency{{Name: "sqlite", Ping: db.Ping}}
	st.prepare = func(context.Context, *zap.Logger) error { return nil } // Open has migrated
	st.follow = func(ctx context.Context, shared *cache.Cache) {
		db.Watch(ctx, time.Second, func() {
			shared.Advance(ctx, maquinas.Space, "", "", nil)
			shared.Advance(ctx, mantenimientos.Space, "", "", nil)
		})
	}
	return nil
}

// sessionKeys returns the keys that sessions are signed with. Only with DATA_DIR is one made when none is given, and kept there.
func sessionKeys(c Config) ([]usuarios.Key, error) {
	text := string(c.JWTKeys)
	if text == "" && c.DataDir == "" {
		return nil, errors.New("JWT_KEYS is not set")
	}
	if text == "" {
		var err error
		if text, err = keptKey(filepath.Join(c.DataDir, "jwt.key")); err != nil {
			return nil, fmt.Errorf("the key in DATA_DIR: %w", err)
		}
	}
	keys, err := usuarios.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("JWT_KEYS: %w", err)
	}
	return keys, nil
}

// keptKey reads the key in a file, or makes one. It appears there whole or not at all.
func keptKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return string(b), err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	key := usuarios.NewKey("local")
	f, err := os.CreateTemp(filepath.Dir(path), ".jwt.key-") // mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // nothing is there any more when all went well
	if _, err = f.WriteString(key); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return key, os.Rename(f.Name(), path)
}
