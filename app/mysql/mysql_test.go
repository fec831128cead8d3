package mysql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"go.uber.org/zap"

	"siglab/app/guard"
	"siglab/app/maquinas"
	"siglab/app/mysql"
	"siglab/app/sqlstore"
	"siglab/app/storetest"
	"siglab/app/usuarios"
)

// newDatabase makes a database of the test's own and returns what opens it. Without a server the test is skipped, or fails where
// servers are required.
func newDatabase(t *testing.T) mysql.Config {
	t.Helper()
	dsn := os.Getenv("TEST_MYSQL_DSN")
	if dsn == "" {
		if os.Getenv("TEST_SERVERS") == "required" {
			t.Fatal("TEST_MYSQL_DSN is not set and TEST_SERVERS=required")
		}
		t.Skip("TEST_MYSQL_DSN is not set")
	}
	parsed, err := mysqldriver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(parsed.Addr, ":")
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	var random [6]byte
	_, _ = rand.Read(random[:])
	cfg := mysql.Config{
		Host: host, Port: number, User: parsed.User, Password: parsed.Passwd, Database: "siglab_test_" + hex.EncodeToString(random[:]),
		Timeout: 20 * time.Second, // the machine that runs tests may be busy
	}
	admin, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	// The server's own default is what the old backend's tables got.
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+cfg.Database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+cfg.Database); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
		admin.Close()
	})
	return cfg
}

func openPool(t *testing.T, cfg mysql.Config) *sql.DB {
	t.Helper()
	db, err := mysql.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// open returns a store's database with its schema.
func open(t *testing.T, now func() time.Time) *sqlstore.DB {
	t.Helper()
	cfg := newDatabase(t)
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Fatalf("Migrate: %v", err)
	}
	db := openPool(t, cfg)
	return &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect(), Guard: guard.New(cfg.Timeout, mysql.Outage, nil), Now: now}
}

// emptied empties the tables, which is much faster than making a database for each test of a suite.
func emptied(t *testing.T, d *sqlstore.DB) {
	t.Helper()
	for _, table := range []string{"maquinas", "borrados", "idempotencia", "usuarios", "revocaciones"} {
		execAll(t, d.Write, "DELETE FROM "+table)
	}
}

func TestMaquinas(t *testing.T) {
	d := open(t, nil)
	storetest.Maquinas(t, func(t *testing.T, now func() time.Time) (maquinas.Store, maquinas.Outbox) {
		emptied(t, d)
		own := *d
		own.Now = now
		s := &sqlstore.Maquinas{DB: &own}
		return s, s
	})
}

func TestUsuarios(t *testing.T) {
	d := open(t, nil)
	storetest.Usuarios(t, func(t *testing.T) usuarios.Store {
		emptied(t, d)
		return &sqlstore.Usuarios{DB: d}
	})
}
