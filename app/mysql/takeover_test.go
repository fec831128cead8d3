package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"siglab/app/errs"
	"siglab/app/maquinas"
	"siglab/app/mysql"
	"siglab/app/sqlstore"
	"siglab/app/usuarios"
)

// The hashes stand for bcrypt's, which nothing here looks into.
const (
	hashAna = "$2b$12$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hashLuz = "$2b$12$bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// oldDatabases are databases as the old backend may have left them. Each holds the same users and machines.
var oldDatabases = map[string][]string{
	"enums and dates": {
		`CREATE TABLE usuarios (id INT AUTO_INCREMENT PRIMARY KEY, nombre_completo VARCHAR(100) NOT NULL, username VARCHAR(50) NOT NULL UNIQUE,
			password VARCHAR(255) NOT NULL, rol ENUM('admin','usuario') DEFAULT 'usuario') DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_general_ci`,
		`CREATE TABLE maquinas (codigo VARCHAR(50) PRIMARY KEY, tipo ENUM('PC','IMP','Computadora','Impresora') NOT NULL,
			estado ENUM('Operativa','En Mantenimiento','Fuera de Servicio','Dañado') NOT NULL, area VARCHAR(100), fecha DATE, usuario VARCHAR(100))
			DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_general_ci`,
		`INSERT INTO usuarios VALUES (3, 'Ana Ruiz', 'Ana', '` + hashAna + `', 'admin'), (7, 'Luz Núñez', 'luz', '` + hashLuz + `', NULL)`,
		`INSERT INTO maquinas VALUES ('PC-001', 'Computadora', 'Operativa', 'Redes', '2024-03-01', 'Ana Ruiz'), ('Imp 2/ñ', 'Impresora', 'Dañado', 'Óptica', '2023-12-31', NULL),
			('pc-003', 'PC', 'En Mantenimiento', 'Redes', '2020-02-29', '')`,
	},
	"latin1, texts and foreign keys": {
		`CREATE TABLE usuarios (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, nombre_completo TEXT, username VARCHAR(80) NOT NULL, password CHAR(60) BINARY, rol VARCHAR(30),
			correo VARCHAR(80) NOT NULL, UNIQUE KEY (username)) ENGINE = InnoDB DEFAULT CHARSET = latin1`,
		`CREATE TABLE maquinas (codigo VARCHAR(20) NOT NULL, tipo VARCHAR(30), estado VARCHAR(30), area VARCHAR(60), fecha DATETIME, usuario VARCHAR(80), serie VARCHAR(40) NOT NULL,
			PRIMARY KEY (codigo), CONSTRAINT asignada FOREIGN KEY (usuario) REFERENCES usuarios (username) ON UPDATE CASCADE) ENGINE = InnoDB DEFAULT CHARSET = latin1`,
		`CREATE TABLE fallas (id INT AUTO_INCREMENT PRIMARY KEY, codigo VARCHAR(20), CONSTRAINT de FOREIGN KEY (codigo) REFERENCES maquinas (codigo)) ENGINE = InnoDB DEFAULT CHARSET = latin1`,
		`CREATE TRIGGER sellada BEFORE INSERT ON maquinas FOR EACH ROW SET NEW.serie = CONCAT('s-', NEW.codigo)`,
		`INSERT INTO usuarios VALUES (3, 'Ana Ruiz', 'Ana', '` + hashAna + `', 'ADMIN', 'a@b'), (7, 'Luz Núñez', 'luz', '` + hashLuz + `', 'Usuario', ''), (9, 'x', 'Ana Ruiz', 'x', '', '')`,
		`INSERT INTO maquinas VALUES ('PC-001', 'COMPUTADORA', 'operativo', ' Redes ', '2024-03-01 10:11:12', 'Ana Ruiz', ''), ('Imp 2/ñ', 'imp', 'fuera de servicio', 'Óptica', '2023-12-31', NULL, ''),
			('pc-003', 'pc', 'MANTENIMIENTO', 'Redes', '2020-02-29 23:59:59', NULL, '')`,
		`INSERT INTO fallas (codigo) VALUES ('PC-001')`,
	},
	"texts for everything, no keys": {
		`CREATE TABLE usuarios (id VARCHAR(36), nombre_completo VARCHAR(200), username VARCHAR(200), password VARBINARY(100), rol TEXT) ENGINE = MyISAM DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci`,
		`CREATE TABLE maquinas (usuario TEXT, fecha VARCHAR(30), area TEXT, estado TEXT, tipo TEXT, codigo VARBINARY(90)) ENGINE = MyISAM DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci`,
		`INSERT INTO usuarios (nombre_completo, username, password, rol, id) VALUES ('Ana Ruiz', 'Ana', '` + hashAna + `', 'Administrador', 'b9f1'), ('Luz Núñez', 'luz', '` + hashLuz + `', 'usuario', 'a0c3')`,
		`INSERT INTO maquinas VALUES ('Ana Ruiz', '2024-03-01', 'Redes', 'OPERATIVA', 'PC', 'PC-001'), ('', '2023-12-31T08:00:00Z', 'Óptica', 'Dañada', 'IMPRESORA', 'Imp 2/ñ'),
			(NULL, '2020-02-29', 'Redes', ' en mantenimiento ', 'Computadora', 'pc-003')`,
	},
}

func execAll(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.60s: %v", s, err)
		}
	}
}

// wantTakenOver checks a database that was made of one of oldDatabases.
func wantTakenOver(t *testing.T, db *sql.DB) {
	t.Helper()
	sq := &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}
	machines, accounts := &sqlstore.Maquinas{DB: sq}, &sqlstore.Usuarios{DB: sq}
	list, err := machines.Page(t.Context(), maquinas.Query{Campo: maquinas.PorCodigo, Limite: 100})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].ID <= 0 {
			t.Errorf("%s has ID %d", list[i].Codigo, list[i].ID)
		}
		list[i].ID = 0
	}
	want := []maquinas.Maquina{
		{Codigo: "Imp 2/ñ", Tipo: maquinas.IMP, Estado: maquinas.FueraDeServicio, Area: "Óptica", Fecha: "2023-12-31", Version: 1},
		{Codigo: "PC-001", Tipo: maquinas.PC, Estado: maquinas.Operativa, Area: "Redes", Fecha: "2024-03-01", Usuario: "Ana Ruiz", Version: 1},
		{Codigo: "pc-003", Tipo: maquinas.PC, Estado: maquinas.EnMantenimiento, Area: "Redes", Fecha: "2020-02-29", Version: 1},
	}
	if !slices.Equal(list, want) {
		t.Errorf("machines: got %+v, want %+v", list, want)
	}
	for _, c := range []struct {
		username, hash string
		want           usuarios.Usuario
	}{
		{"ANA", hashAna, usuarios.Usuario{NombreCompleto: "Ana Ruiz", Username: "Ana", Rol: usuarios.Admin}},
		{"Luz", hashLuz, usuarios.Usuario{NombreCompleto: "Luz Núñez", Username: "luz", Rol: usuarios.Comun}},
	} {
		got, hash, err := accounts.ByUsername(t.Context(), c.username)
		if err != nil || got != c.want || string(hash) != c.hash {
			t.Errorf("user %s: got %+v, %s, %v; want %+v", c.username, got, hash, err, c.want)
		}
	}
	// It works on: the old codes are found, changed and removed, and new rows go in, whatever columns the old tables had.
	if _, err := machines.Update(t.Context(), "IMP 2/Ñ", func(m maquinas.Maquina) (maquinas.Maquina, error) { m.Area = "Redes"; return m, nil }); err != nil {
		t.Errorf("Update of an old machine: %v", err)
	}
	if _, err := machines.Delete(t.Context(), "pc-001", func(maquinas.Maquina) error { return nil }); err != nil {
		t.Errorf("Delete of an old machine: %v", err)
	}
	if _, _, err := machines.Insert(t.Context(), maquinas.Maquina{Codigo: "PC-001", Tipo: maquinas.PC, Estado: maquinas.Operativa, Area: "x", Fecha: "2024-01-01", Usuario: "nadie"}, nil); err != nil {
		t.Errorf("Insert: %v", err)
	}
	if err := accounts.Insert(t.Context(), usuarios.Usuario{NombreCompleto: "Eva", Username: "eva", Rol: usuarios.Comun}, []byte(hashAna)); err != nil {
		t.Errorf("Insert of a user: %v", err)
	}
	if first, err := accounts.InsertFirst(t.Context(), usuarios.Usuario{NombreCompleto: "Adán", Username: "adan", Rol: usuarios.Admin}, []byte(hashAna)); err != nil || first {
		t.Errorf("InsertFirst beside old users: got %v, %v", first, err)
	}
}

func TestTakeover(t *testing.T) {
	for name, statements := range oldDatabases {
		t.Run(name, func(t *testing.T) {
			cfg := newDatabase(t)
			db := openPool(t, cfg)
			execAll(t, db, statements...)
			if _, ok := errors.AsType[*mysql.SchemaError](mysql.Ready(t.Context(), db)); !ok {
				t.Errorf("Ready before the migration: got %v, want a SchemaError", mysql.Ready(t.Context(), db))
			}
			before := dump(t, db, "usuarios", "maquinas")
			for range 2 {
				if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
					t.Fatalf("Migrate: %v", err)
				}
			}
			if err := mysql.Ready(t.Context(), db); err != nil {
				t.Errorf("Ready: %v", err)
			}
			wantTakenOver(t, db)
			after := dump(t, db, "usuarios_anterior", "maquinas_anterior")
			if strings.ReplaceAll(after, "_anterior", "") != before {
				t.Errorf("the old tables changed:\n%s\nwere\n%s", after, before)
			}
			if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
				t.Errorf("Migrate again: %v", err)
			}
		})
	}
}

func TestTakeoverOfOneTable(t *testing.T) {
	for name, statements := range oldDatabases {
		for _, gone := range []string{"maquinas", "usuarios"} {
			t.Run(name+" without "+gone, func(t *testing.T) {
				cfg := newDatabase(t)
				db := openPool(t, cfg)
				execAll(t, db, "SET SESSION foreign_key_checks = 0")
				execAll(t, db, statements...)
				execAll(t, db, "DROP TABLE IF EXISTS fallas")
				if gone == "usuarios" && strings.Contains(name, "foreign") {
					execAll(t, db, "ALTER TABLE maquinas DROP FOREIGN KEY asignada")
				}
				execAll(t, db, "DROP TABLE "+gone)
				if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
					t.Fatalf("Migrate: %v", err)
				}
				var n int
				if err := db.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM usuarios) + (SELECT COUNT(*) FROM maquinas)").Scan(&n); err != nil || n < 2 {
					t.Errorf("got %d rows, %v", n, err)
				}
			})
		}
	}
}

// dump returns a database's tables and their definitions and rows, or those of some tables, as one text.
func dump(t *testing.T, db *sql.DB, tables ...string) string {
	t.Helper()
	var b strings.Builder
	if len(tables) == 0 {
		for _, r := range texts(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1") {
			tables = append(tables, r[0])
		}
	}
	for _, table := range tables {
		fmt.Fprintln(&b, texts(t, db, "SHOW CREATE TABLE "+table))
		rows := texts(t, db, "SELECT * FROM "+table)
		slices.SortFunc(rows, slices.Compare)
		fmt.Fprintln(&b, rows)
	}
	return b.String()
}

func texts(t *testing.T, db *sql.DB, query string) (list [][]string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		targets := make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			if row[i] = v.String; !v.Valid {
				row[i] = "NULL"
			}
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTakeoverRefuses(t *testing.T) {
	cfg := newDatabase(t)
	db := openPool(t, cfg)
	execAll(t, db, "SET SESSION sql_mode = ''") // as a server that lets impossible days in
	db.SetMaxOpenConns(1)
	execAll(t, db,
		`CREATE TABLE usuarios (id INT PRIMARY KEY, nombre_completo VARCHAR(300), username VARCHAR(300), password VARCHAR(60), rol VARCHAR(30)) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin`,
		`CREATE TABLE maquinas (codigo VARCHAR(300) PRIMARY KEY, tipo VARCHAR(30), estado VARCHAR(30), area VARCHAR(300), fecha VARCHAR(30), usuario VARCHAR(300)) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin`,
		`INSERT INTO usuarios VALUES (1, 'Ana', 'ana', 'x', 'admin'), (2, 'Ana', 'ANA', 'x', 'usuario'), (3, 'Luz', 'luz', 'x', 'root'), (4, 'Nadie', '', 'x', 'usuario'), (5, REPEAT('n', 256), 'larga', 'x', 'usuario')`,
		`INSERT INTO maquinas VALUES ('PC-1', 'PC', 'operativa', 'Redes', '2024-01-01', NULL), ('pc-1', 'PC', 'operativa', 'Redes', '2024-01-01', NULL), ('Ñ', 'PC', 'operativa', 'x', '2024-01-01', ''),
			('ñ', 'PC', 'operativa', 'x', '2024-01-01', ''), ('N', 'PC', 'operativa', 'x', '2024-01-01', ''), ('T', 'Escáner', 'operativa', 'x', '2024-01-01', ''), ('E', 'PC', 'perdida', 'x', '2024-01-01', ''),
			('F1', 'PC', 'operativa', 'x', '2023-02-29', ''), ('F2', 'PC', 'operativa', 'x', '0000-00-00', ''), ('F3', 'PC', 'operativa', 'x', '01/02/2023', ''), ('F4', 'PC', 'operativa', 'x', NULL, ''),
			('V', NULL, NULL, 'x', '2024-01-01', ''), ('L', 'PC', 'operativa', REPEAT('a', 192), '2024-01-01', ''), (REPEAT('c', 192), 'PC', 'operativa', 'x', '2024-01-01', '')`,
	)
	before := dump(t, db)
	err := mysql.Migrate(t.Context(), cfg, zap.NewNop())
	data, ok := errors.AsType[*mysql.DataError](err)
	if !ok {
		t.Fatalf("Migrate: got %v, want a DataError", err)
	}
	for _, part := range []string{
		`users ["ANA" "ana"] differ only in case`, `user "luz": rol "root" is unknown`, `user "": the user name is empty`, `user "larga": nombre_completo has more than 255 characters`,
		`machines ["PC-1" "pc-1"] differ only in case`, `machines ["Ñ" "ñ"] differ only in case`, `machine "T": tipo "Escáner" is unknown`, `machine "E": estado "perdida" is unknown`,
		`machine "F1": fecha "2023-02-29" is not a day`, `machine "F2": fecha "0000-00-00" is not a day`, `machine "F3": fecha "01/02/2023" is not a day`, `machine "F4": fecha NULL is not a day`,
		`machine "V": tipo NULL is unknown, estado NULL is unknown`, `machine "L": area has more than 191 characters`, `codigo has more than 191 characters`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %s:\n%v", part, err)
		}
	}
	if len(data.Problems) != 15 {
		t.Errorf("got %d problems, want 15: %q", len(data.Problems), data.Problems)
	}
	if after := dump(t, db); after != before {
		t.Errorf("a refused migration changed the database:\n%s\nwas\n%s", after, before)
	}
	// Once they are mended it goes on.
	execAll(t, db, "DELETE FROM usuarios WHERE id <> 1", "DELETE FROM maquinas WHERE codigo NOT IN ('PC-1', 'Ñ', 'N')")
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Errorf("Migrate of what was mended: %v", err)
	}
}

func TestTakeoverRefusesOtherTables(t *testing.T) {
	for _, c := range []struct {
		name, statement, want string
	}{
		{"a column is missing", "CREATE TABLE maquinas (codigo VARCHAR(50), tipo TEXT, estado TEXT, area TEXT)", "lacks the columns fecha, usuario"},
		{"a view", "CREATE VIEW usuarios AS SELECT 1 AS id", "is a view"},
		{"a backup of before", "CREATE TABLE maquinas_anterior AS SELECT 1 AS codigo", "maquinas_anterior"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := newDatabase(t)
			db := openPool(t, cfg)
			execAll(t, db, c.statement)
			if strings.Contains(c.statement, "anterior") {
				execAll(t, db, oldDatabases["enums and dates"]...)
			}
			before := dump(t, db)
			err := mysql.Migrate(t.Context(), cfg, zap.NewNop())
			if _, ok := errors.AsType[*mysql.DataError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Migrate: got %v, want a DataError with %q", err, c.want)
			}
			if after := dump(t, db); after != before {
				t.Errorf("a refused migration changed the database:\n%s\nwas\n%s", after, before)
			}
		})
	}
}

// reset makes a database empty again.
func reset(t *testing.T, db *sql.DB) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "SET foreign_key_checks = 0"); err != nil {
		t.Fatal(err)
	}
	for _, r := range texts(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()") {
		if _, err := conn.ExecContext(t.Context(), "DROP TABLE "+r[0]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), "SET foreign_key_checks = 1"); err != nil {
		t.Fatal(err)
	}
}

// statementsOf returns the verbs of what a migration of a database sends.
func statementsOf(t *testing.T, cfg mysql.Config) []string {
	t.Helper()
	var mu sync.Mutex
	var verbs []string
	cfg.Observe = func(verb string, _ error, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		verbs = append(verbs, verb)
	}
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Fatalf("Migrate: %v", err)
	}
	return verbs
}

func TestTakeoverInterrupted(t *testing.T) {
	t.Parallel() // the server waits for its disk most of the time
	cfg := newDatabase(t)
	db := openPool(t, cfg)
	old := oldDatabases["latin1, texts and foreign keys"]
	execAll(t, db, old...)
	verbs := statementsOf(t, cfg)
	total := len(verbs)
	for stop := 1; stop < total; stop++ {
		if verb := verbs[stop-1]; verb == "SELECT" || verb == "BEGIN" {
			continue // it left the database as the statement before it did
		}
		reset(t, db)
		execAll(t, db, old...)
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int64
		stopping := cfg
		stopping.Observe = func(string, error, time.Duration) {
			if n.Add(1) == int64(stop) {
				cancel()
			}
		}
		if err := mysql.Migrate(ctx, stopping, zap.NewNop()); err == nil && stop < total-6 {
			t.Errorf("a migration that was stopped after %d of %d statements reported success", stop, total)
		}
		cancel()
		// Killed for good, it would not have given the lock back, and its lease would end by itself.
		if _, err := db.ExecContext(t.Context(), "UPDATE goose_lock SET locked = 0"); err != nil && !strings.Contains(err.Error(), "1146") {
			t.Fatal(err)
		}
		if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
			t.Fatalf("Migrate after one that was stopped after %d of %d statements: %v", stop, total, err)
		}
		wantTakenOver(t, db)
		if t.Failed() {
			t.Fatalf("stopped after %d of %d statements", stop, total)
		}
	}
}

// TestTakeoverBesideTheOldBackend lets the old backend write between any two statements. Its write is in the new table or, when the
// migration refuses, still in the old one, and the next run takes it over.
func TestTakeoverBesideTheOldBackend(t *testing.T) {
	t.Parallel()
	cfg := newDatabase(t)
	db := openPool(t, cfg)
	old := oldDatabases["enums and dates"]
	execAll(t, db, old...)
	verbs := statementsOf(t, cfg)
	total := len(verbs)
	refused := 0
	for moment := 1; moment < total; moment++ {
		if verb := verbs[moment-1]; verb != "DDL" && verb != "SELECT" && verb != "INSERT" || verbs[moment] == verb {
			continue // between two of the same kind it is as if it came before them
		}
		reset(t, db)
		execAll(t, db, old...)
		var n atomic.Int64
		wrote := false
		disturbed := cfg
		disturbed.Observe = func(string, error, time.Duration) {
			if n.Add(1) == int64(moment) {
				// Without what the new table needs, as the old backend does it.
				_, err := db.ExecContext(t.Context(), "INSERT INTO maquinas (codigo, tipo, estado, area, fecha) VALUES ('TARDE', 'PC', 'Operativa', 'Redes', '2024-05-05')")
				wrote = err == nil
			}
		}
		err := mysql.Migrate(t.Context(), disturbed, zap.NewNop())
		if err != nil {
			if !wrote || !strings.Contains(err.Error(), "stop the old backend") {
				t.Fatalf("Migrate, disturbed after statement %d: %v", moment, err)
			}
			refused++
			if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
				t.Fatalf("Migrate after a refused one: %v", err)
			}
		}
		s := &sqlstore.Maquinas{DB: &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}}
		_, err = s.ByCodigo(t.Context(), "tarde")
		if wrote != (err == nil) || err != nil && errs.KindOf(err) != errs.NotFound {
			t.Fatalf("a write after statement %d of %d, which succeeded: %v, is not in the new table: %v", moment, total, wrote, err)
		}
	}
	if refused == 0 {
		t.Errorf("no write came between the copy and the exchange")
	}
}

func TestMigrateAtOnce(t *testing.T) {
	for _, old := range [][]string{nil, oldDatabases["enums and dates"]} {
		cfg := newDatabase(t)
		db := openPool(t, cfg)
		execAll(t, db, old...)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
					t.Errorf("Migrate: %v", err)
				}
			})
		}
		all.Wait()
		if err := mysql.Ready(t.Context(), db); err != nil {
			t.Errorf("Ready: %v", err)
		}
		if old != nil {
			wantTakenOver(t, db)
		}
	}
}
