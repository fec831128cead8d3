package contract_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/crypto/bcrypt"

	"siglab/app"
)

// oldTables are the tables of the old backend, as its SQLAlchemy made them.
var oldTables = []string{
	`CREATE TABLE usuarios (
		id INTEGER NOT NULL AUTO_INCREMENT, nombre_completo VARCHAR(100), username VARCHAR(50), password VARCHAR(255), rol VARCHAR(20),
		PRIMARY KEY (id), UNIQUE INDEX ix_usuarios_username (username)
	) DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE maquinas (
		codigo VARCHAR(50) NOT NULL, tipo VARCHAR(50), estado VARCHAR(50), area VARCHAR(100), fecha DATE, usuario VARCHAR(100),
		PRIMARY KEY (codigo)
	) DEFAULT CHARSET=utf8mb4`,
}

func mustExec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// hash is what the old backend kept of a password: passlib writes $2b$ where Go writes $2a$.
func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(h), "$2a$", "$2b$", 1)
}

// oldDatabase fills both databases as the old backend left them.
func oldDatabase(t *testing.T, tables *sql.DB, documents *mongo.Database, adminPassword string) {
	t.Helper()
	for _, q := range oldTables {
		mustExec(t, tables, q)
	}
	user := "INSERT INTO usuarios (nombre_completo, username, password, rol) VALUES (?, ?, ?, ?)"
	mustExec(t, tables, user, "Teresa Olivares", "teresa", hash(t, adminPassword), "admin")
	mustExec(t, tables, user, "Íñigo Peña", "Iñigo", hash(t, "corta"), "usuario")
	mustExec(t, tables, user, "Noelia Rivas", "noelia", hash(t, strings.Repeat("n", 80)[:72]), "Usuario")
	machine := "INSERT INTO maquinas (codigo, tipo, estado, area, fecha, usuario) VALUES (?, ?, ?, ?, ?, ?)"
	mustExec(t, tables, machine, "Lab1-PC-01", "Computadora", "Operativo", "Laboratorio 1", "2023-05-17", "Teresa Olivares")
	mustExec(t, tables, machine, "LAB1-IMP-01", "Impresora", "dañado", "Laboratorio 1", "2022-11-02", nil)
	mustExec(t, tables, machine, "ÑU-2", "PC", "mantenimiento", "Biblioteca", "2024-02-29", "")
	mustExec(t, tables, machine, "srv-9", "IMP", "operativa", "Decanato", "2020-01-01", nil)
	records := documents.Collection("mantenimientos")
	if _, err := records.InsertMany(t.Context(), []any{
		bson.D{{Key: "codigo_maquina", Value: "LAB1-pc-01"}, {Key: "empresa", Value: "TecnoRed"}, {Key: "tecnico", Value: "Saúl Tapia"}, {Key: "tipo", Value: "correctivo"}, {Key: "fecha", Value: "2024-01-10"}, {Key: "observaciones", Value: "Fuente."}, {Key: "usuario", Value: "teresa"}},
		bson.D{{Key: "codigo_maquina", Value: "Lab1-PC-01"}, {Key: "empresa", Value: "TecnoRed"}, {Key: "tecnico", Value: "Saúl Tapia"}, {Key: "fecha", Value: "2023-12-01"}, {Key: "observaciones", Value: "Limpieza."}},
		bson.D{{Key: "codigo_maquina", Value: "ñu-2"}, {Key: "empresa", Value: "Órbita"}, {Key: "tecnico", Value: "Zoe Rivas"}, {Key: "tipo", Value: "Preventivo"}, {Key: "fecha", Value: time.Date(2024, 3, 5, 0, 0, 0, 0, time.UTC)}, {Key: "observaciones", Value: "Revisión."}, {Key: "usuario", Value: nil}},
		bson.D{{Key: "codigo_maquina", Value: "YA-NO-ESTÁ"}, {Key: "empresa", Value: "Órbita"}, {Key: "tecnico", Value: "Zoe Rivas"}, {Key: "tipo", Value: "preventivo"}, {Key: "fecha", Value: "2019-03-05"}, {Key: "observaciones", Value: "Revisión."}},
	}); err != nil {
		t.Fatal(err)
	}
}

func migrate(t *testing.T, c app.Config) error {
	t.Helper()
	return app.Migrate(t.Context(), app.Options{Config: c, Stdout: testLog(t), Stderr: io.Discard})
}

// TestTakeOver migrates the databases of the old backend where they lie and goes on with them.
func TestTakeOver(t *testing.T) {
	c, tables, documents := emptyServers(t)
	c.AdminUsername, c.AdminPassword = "teresa", app.Secret(rand.Text())
	oldDatabase(t, tables, documents, string(c.AdminPassword))
	for range 2 { // the second time does nothing
		if err := migrate(t, c); err != nil {
			t.Fatal(err)
		}
		s := start(t, c) // logs teresa in with the old password

		a := s.admin.get("/api/maquinas/listar").want(200)
		sameJSON(t, "listar", a.list(), []object{
			{"codigo": "LAB1-IMP-01", "tipo": "IMP", "estado": "fuera de servicio", "area": "Laboratorio 1", "fecha": "2022-11-02", "usuario": nil},
			{"codigo": "Lab1-PC-01", "tipo": "PC", "estado": "operativa", "area": "Laboratorio 1", "fecha": "2023-05-17", "usuario": "Teresa Olivares"},
			{"codigo": "srv-9", "tipo": "IMP", "estado": "operativa", "area": "Decanato", "fecha": "2020-01-01", "usuario": nil},
			{"codigo": "ÑU-2", "tipo": "PC", "estado": "en mantenimiento", "area": "Biblioteca", "fecha": "2024-02-29", "usuario": nil},
		})
		a = s.admin.get("/api/mantenimientos/historial/lab1-PC-01").want(200)
		sameList(t, "codes in the history", a.column("codigo_maquina"), []string{"Lab1-PC-01", "Lab1-PC-01"})
		sameList(t, "kinds in the history", a.column("tipo"), []string{"correctivo", "<nil>"})
		a = s.admin.get("/api/mantenimientos/historial/ÑU-2").want(200)
		sameList(t, "days in the history", a.column("fecha"), []string{"2024-03-05"})
		sameList(t, "kinds in the history", a.column("tipo"), []string{"preventivo"})
		sameList(t, "users in the history", a.column("usuario"), []string{"<nil>"})
		same(t, "todos", len(s.admin.get("/api/mantenimientos/todos").want(200).list()), 4)
		d := s.admin.get("/api/maquinas/dashboard").want(200).object()
		sameJSON(t, "maquinas_por_tipo", present(d["maquinas_por_tipo"]), object{"PC": 2, "IMP": 2})

		inigo := s.login(t, "IÑIGO", "corta")
		inigo.delete("/api/maquinas/eliminar/srv-9").want(403)
		s.login(t, "noelia", strings.Repeat("n", 80)).get("/api/maquinas/listar").want(200)
		s.anon.post("/api/auth/login", object{"username": "teresa", "password": "otra-cosa"}).want(401)
		s.stop()
	}

	s := start(t, c)
	s.admin.post("/api/maquinas/agregar", machine("lab1-pc-01")).want(409)
	s.admin.post("/api/auth/register", object{"nombre_completo": "Otra", "username": "TERESA", "password": "contraseña-larga"}).want(409)
	s.addRecord(t, "LAB1-PC-01")
	same(t, "historial", len(s.admin.get("/api/mantenimientos/historial/Lab1-PC-01").want(200).list()), 3)
	s.admin.delete("/api/maquinas/eliminar/Lab1-PC-01").want(200)
	same(t, "todos after the deletion", len(s.admin.get("/api/mantenimientos/todos").want(200).list()), 2)

	t.Log("A machine under the code of an orphan does not get the orphan.")
	s.addMachine(t, "ya-no-está")
	same(t, "historial", len(s.admin.get("/api/mantenimientos/historial/YA-NO-ESTÁ").want(200).list()), 0)
}

// TestTakeOverRefusesCodesThatDifferInCase: the migration stops with a list of them, and changes nothing.
func TestTakeOverRefusesCodesThatDifferInCase(t *testing.T) {
	c, tables, documents := emptyServers(t)
	for i, q := range oldTables {
		if i == 1 { // MySQL's usual collations would not take such codes; some installations compared byte by byte
			q = strings.Replace(q, "DEFAULT CHARSET=utf8mb4", "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin", 1)
		}
		mustExec(t, tables, q)
	}
	for _, codigo := range []string{"PC-1", "pc-1", "Ñ-2", "ñ-2", "SOLA-3"} {
		mustExec(t, tables, "INSERT INTO maquinas (codigo, tipo, estado, area, fecha) VALUES (?, 'Computadora', 'operativo', 'Aula', '2024-01-01')", codigo)
	}
	if _, err := documents.Collection("mantenimientos").InsertOne(t.Context(), bson.D{{Key: "codigo_maquina", Value: "PC-1"}, {Key: "fecha", Value: "2024-01-10"}}); err != nil {
		t.Fatal(err)
	}
	before := dump(t, tables, documents)
	for range 2 {
		err := migrate(t, c)
		if err == nil {
			t.Fatal("the migration did not refuse")
		}
		for _, codigo := range []string{"PC-1", "pc-1", "Ñ-2", "ñ-2"} {
			if !strings.Contains(err.Error(), codigo) {
				t.Errorf("the error does not name %s: %v", codigo, err)
			}
		}
		if strings.Contains(err.Error(), "SOLA-3") {
			t.Errorf("the error names SOLA-3, which is alone: %v", err)
		}
		same(t, "the databases", dump(t, tables, documents), before)
	}
	mustExec(t, tables, "DELETE FROM maquinas WHERE codigo IN ('pc-1', 'ñ-2')")
	mustExec(t, tables, "INSERT INTO usuarios (nombre_completo, username, password, rol) VALUES ('Jefa', 'jefa', ?, 'admin')", hash(t, string(c.AdminPassword)))
	if err := migrate(t, c); err != nil {
		t.Fatal(err)
	}
	s := start(t, c)
	same(t, "machines", len(s.admin.get("/api/maquinas/listar").want(200).list()), 3)
	same(t, "records of PC-1", len(s.admin.get("/api/mantenimientos/historial/pc-1").want(200).list()), 1)
}

// dump is the shape and the content of the old tables and of the collection.
func dump(t *testing.T, tables *sql.DB, documents *mongo.Database) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"usuarios", "maquinas"} {
		var name, ddl string
		if err := tables.QueryRowContext(t.Context(), "SHOW CREATE TABLE "+table).Scan(&name, &ddl); err != nil {
			t.Fatal(err)
		}
		b.WriteString(ddl)
	}
	rows, err := tables.QueryContext(t.Context(), "SELECT codigo, tipo, estado, area, fecha FROM maquinas ORDER BY codigo")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v [5]string
		if err := rows.Scan(&v[0], &v[1], &v[2], &v[3], &v[4]); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q\n", v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	cursor, err := documents.Collection("mantenimientos").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var all []bson.D
	if err := cursor.All(context.WithoutCancel(t.Context()), &all); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%v", all)
	return b.String()
}
