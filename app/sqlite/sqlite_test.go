package sqlite_test

import (
	"testing"
	"time"

	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/sqlite"
	"siglab/app/sqlstore"
	"siglab/app/storetest"
	"siglab/app/usuarios"
)

func open(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func TestMaquinas(t *testing.T) {
	storetest.Maquinas(t, func(t *testing.T, now func() time.Time) (maquinas.Store, maquinas.Outbox) {
		s := &sqlstore.Maquinas{DB: open(t).SQL(now)}
		return s, s
	})
}

func TestUsuarios(t *testing.T) {
	storetest.Usuarios(t, func(t *testing.T) usuarios.Store { return &sqlstore.Usuarios{DB: open(t).SQL(nil)} })
}

func TestMantenimientos(t *testing.T) {
	storetest.Mantenimientos(t, func(t *testing.T, now func() time.Time) mantenimientos.Store {
		return sqlite.NewMantenimientos(open(t), now)
	})
}
