package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

func aMachine(codigo string) maquinas.Maquina {
	return maquinas.Maquina{Codigo: codigo, Tipo: maquinas.PC, Estado: maquinas.Operativa, Area: "Redes", Fecha: "2024-03-01"}
}

func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?mode=memory#%41ñ&_txlock=x")
	if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open in a folder that does not exist: got %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // opened again it holds what it held
		db, err := sqlite.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &sqlstore.Maquinas{DB: db.SQL(nil)}
		if _, _, err := s.Insert(t.Context(), aMachine(fmt.Sprint("PC-", i)), nil); err != nil {
			t.Error(err)
		}
		if n, err := s.Count(t.Context(), maquinas.Filtro{}); err != nil || n != int64(i+1) {
			t.Errorf("Count: got %d, %v; want %d", n, err, i+1)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 3 {
			t.Errorf("the folder holds %v, %v", files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: got %v, %v; want 0600", f.Name(), info, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, sqlite.File), []byte(strings.Repeat("no es una base", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir, nil); err == nil {
		t.Error("Open of a file that is no database succeeded")
	}
}

// TestReadersDoNotWait reads while a transaction writes.
func TestReadersDoNotWait(t *testing.T) {
	db := open(t)
	s := &sqlstore.Maquinas{DB: db.SQL(nil)}
	if _, _, err := s.Insert(t.Context(), aMachine("PC-1"), nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.Delete(t.Context(), "PC-1", func(maquinas.Maquina) error {
		if _, err := s.ByCodigo(t.Context(), "PC-1"); err != nil {
			t.Errorf("ByCodigo beside a writer: %v", err)
		}
		if _, err := sqlite.NewMantenimientos(db, nil).Resumen(t.Context(), "2024-01-01"); err != nil {
			t.Errorf("Resumen beside a writer: %v", err)
		}
		// A writer that waits does so only as long as its context.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, _, err := s.Insert(ctx, aMachine("PC-2"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Insert beside a writer: got %v, want its context's end", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := db.Read.ExecContext(t.Context(), "DELETE FROM maquinas"); err == nil {
		t.Error("a reading connection wrote")
	}
}

// TestTwoProcesses opens the file twice, as an import beside the running service does.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	const handles, each = 3, 20
	for h := range handles {
		all.Go(func() {
			db, err := sqlite.Open(t.Context(), dir, nil)
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			defer db.Close()
			s := &sqlstore.Maquinas{DB: db.SQL(nil)}
			for i := range each {
				if _, _, err := s.Insert(t.Context(), aMachine(fmt.Sprint(h, "-", i)), nil); err != nil {
					t.Errorf("Insert: %v", err)
				}
			}
		})
	}
	all.Wait()
	db, err := sqlite.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n, err := (&sqlstore.Maquinas{DB: db.SQL(nil)}).Count(t.Context(), maquinas.Filtro{}); err != nil || n != handles*each {
		t.Errorf("Count: got %d, %v; want %d", n, err, handles*each)
	}
}

// TestKilled kills a process that writes. What it said was written is there.
func TestKilled(t *testing.T) {
	const variable = "SIGLAB_TEST_WRITE_UNTIL_KILLED"
	if dir := os.Getenv(variable); dir != "" {
		db, err := sqlite.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &sqlstore.Maquinas{DB: db.SQL(nil)}
		before, err := s.Count(t.Context(), maquinas.Filtro{})
		if err != nil {
			t.Fatal(err)
		}
		for i := before; i < before+100_000; i++ {
			if _, _, err := s.Insert(t.Context(), aMachine(fmt.Sprint("PC-", i)), nil); err != nil {
				t.Fatal(err)
			}
			fmt.Println("written", i)
		}
		return
	}
	dir := t.TempDir()
	written := 0
	for round := range 3 {
		writer := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		writer.Env = append(os.Environ(), variable+"="+dir)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for more := 30; lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "written ") {
				written++
				if more--; more == 0 {
					_ = writer.Process.Kill() // what it wrote until then is still read
				}
			}
		}
		_ = writer.Wait() // killed, as it should be
		db, err := sqlite.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatalf("Open after a kill: %v", err)
		}
		n, err := (&sqlstore.Maquinas{DB: db.SQL(nil)}).Count(t.Context(), maquinas.Filtro{})
		if err != nil || n < int64(written) || written < 30*(round+1) {
			t.Errorf("%d machines were written and %d are there, %v", written, n, err)
		}
		written = int(n)
		db.Close()
	}
}
