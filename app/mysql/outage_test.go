package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"

	"siglab/app/errs"
	"siglab/app/guard"
	"siglab/app/idempotency"
	"siglab/app/maquinas"
	"siglab/app/mysql"
	"siglab/app/sqlstore"
	"siglab/app/usuarios"
)

// listen starts a server that is not MySQL: serve is called with each connection.
func listen(t *testing.T, serve func(net.Conn)) mysql.Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	address := l.Addr().(*net.TCPAddr)
	return mysql.Config{Host: "127.0.0.1", Port: address.Port, User: "u", Password: "p", Database: "d", Timeout: 300 * time.Millisecond}
}

func TestOutage(t *testing.T) {
	closed := listen(t, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed
	nobody.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	for name, cfg := range map[string]mysql.Config{
		"nobody listens":       nobody,
		"closed at once":       closed,
		"silent":               listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }),
		"speaks HTTP":          listen(t, func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); _, _ = c.Read(make([]byte, 1)) }),
		"a broken packet":      listen(t, func(c net.Conn) { _, _ = c.Write([]byte{5, 0, 0, 0, 10, 'x', 0, 0, 0}) }),
		"too many connections": listen(t, func(c net.Conn) { _, _ = c.Write([]byte("\x17\x00\x00\x00\xff\x10\x04Too many connections")) }),
	} {
		t.Run(name, func(t *testing.T) {
			db := openPool(t, cfg)
			start := time.Now()
			err := db.PingContext(t.Context())
			if err == nil || !mysql.Outage(err) || mysql.Refused(err) {
				t.Errorf("Ping: got %v (outage %v, refused %v), want an outage", err, mysql.Outage(err), mysql.Refused(err))
			}
			s := &sqlstore.Maquinas{DB: &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect(), Guard: guard.New(cfg.Timeout, mysql.Outage, nil)}}
			for range 7 { // past the opening of the circuit
				_, err = s.ByCodigo(t.Context(), "PC-1")
				if errs.KindOf(err) != errs.Unavailable {
					t.Errorf("ByCodigo: got %v, want Unavailable", err)
				}
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("eight calls took %v", d)
			}
		})
	}
}

func TestOutageIsNotAnAnswer(t *testing.T) {
	for _, err := range []error{nil, sql.ErrNoRows, context.Canceled, errors.New("x"), errs.New(errs.Conflict, "x")} {
		if mysql.Outage(err) || mysql.Refused(err) {
			t.Errorf("%v is taken for an outage", err)
		}
	}
}

func TestRefused(t *testing.T) {
	cfg := newDatabase(t)
	wrong := cfg
	wrong.Password += "x"
	db := openPool(t, wrong)
	if err := db.PingContext(t.Context()); !mysql.Refused(err) {
		t.Errorf("a wrong password: got %v, want refused", err)
	}
	if err := mysql.Ready(t.Context(), db); !mysql.Refused(err) {
		t.Errorf("Ready with a wrong password: got %v", err)
	}
	if err := mysql.Migrate(t.Context(), wrong, zap.NewNop()); !mysql.Refused(err) {
		t.Errorf("Migrate with a wrong password: got %v", err)
	}
	unknown := cfg
	unknown.Database += "_x"
	if err := openPool(t, unknown).PingContext(t.Context()); !mysql.Outage(err) || mysql.Refused(err) {
		t.Errorf("an unknown database: got %v, want an outage", err)
	}
	for _, bad := range []mysql.Config{{}, {Host: "h", User: "u"}, {Host: "h", User: "u", Database: "d", TLS: "yes"}} {
		if _, err := mysql.Open(bad); err == nil {
			t.Errorf("Open(%+v) succeeded", bad)
		}
	}
}

func TestReady(t *testing.T) {
	cfg := newDatabase(t)
	db := openPool(t, cfg)
	err := mysql.Ready(t.Context(), db)
	if schema, ok := errors.AsType[*mysql.SchemaError](err); !ok || schema.Found != 0 || schema.Needed < 1 || mysql.Outage(err) {
		t.Errorf("Ready of an empty database: got %v, want a SchemaError", err)
	}
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if err := mysql.Ready(t.Context(), db); err != nil {
		t.Errorf("Ready: %v", err)
	}
	// A schema from the next release does too: this binary may be what a rollback brought back.
	execAll(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	if err := mysql.Ready(t.Context(), db); err != nil {
		t.Errorf("Ready with a newer schema: %v", err)
	}
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Errorf("Migrate with a newer schema: %v", err)
	}
	execAll(t, db, "DELETE FROM goose_db_version WHERE version_id > 1")
	if err := mysql.Ready(t.Context(), db); err == nil {
		t.Error("Ready with an older schema: got nil")
	}
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Errorf("Migrate of an older schema: %v", err)
	}
}

// TestServingAccount serves with an account that may not change the schema, and whose password would break a DSN.
func TestServingAccount(t *testing.T) {
	cfg := newDatabase(t)
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	admin := openPool(t, cfg)
	serving := cfg
	serving.User = cfg.Database[len(cfg.Database)-12:]
	serving.Password = `p@ss:w/o?r=d&%25#'"\ñ )(`
	account := "'" + serving.User + "'@'127.0.0.1'"
	execAll(t, admin,
		"CREATE USER "+account+" IDENTIFIED BY '"+strings.NewReplacer("'", "''", `\`, `\\`).Replace(serving.Password)+"'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON "+cfg.Database+".* TO "+account)
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP USER "+account); err != nil {
			t.Error(err)
		}
	})
	db := openPool(t, serving)
	if err := mysql.Ready(t.Context(), db); err != nil {
		t.Errorf("Ready: %v", err)
	}
	s := &sqlstore.Maquinas{DB: &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}}
	if _, _, err := s.Insert(t.Context(), aMachine("PC-1"), nil); err != nil {
		t.Errorf("Insert: %v", err)
	}
	if _, err := s.Delete(t.Context(), "PC-1", func(maquinas.Maquina) error { return nil }); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if err := mysql.Migrate(t.Context(), serving, zap.NewNop()); err != nil {
		t.Errorf("Migrate of what is up to date, by the serving account: %v", err)
	}
}

func aMachine(codigo string) maquinas.Maquina {
	return maquinas.Maquina{Codigo: codigo, Tipo: maquinas.PC, Estado: maquinas.Operativa, Area: "Redes", Fecha: "2024-03-01"}
}

func TestLockedRow(t *testing.T) {
	d := open(t, nil)
	d.Guard = guard.New(5*time.Second, mysql.Outage, func(bool) { t.Error("the circuit changed") })
	s := &sqlstore.Maquinas{DB: d}
	if _, _, err := s.Insert(t.Context(), aMachine("PC-1"), nil); err != nil {
		t.Fatal(err)
	}
	conn, err := d.Write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range []string{"START TRANSACTION", "SELECT id FROM maquinas FOR UPDATE"} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	// The pool's connections wait for locks as long as their Timeout says; here a second.
	d.Write.SetMaxIdleConns(0)
	d.Write.SetMaxOpenConns(2)
	limited, err := d.Write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := limited.ExecContext(t.Context(), "SET SESSION innodb_lock_wait_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	d.Write.SetMaxIdleConns(2)
	limited.Close()
	for range 6 {
		_, err := s.Update(t.Context(), "PC-1", func(m maquinas.Maquina) (maquinas.Maquina, error) { return m, nil })
		if errs.KindOf(err) != errs.Unavailable {
			t.Errorf("Update of a locked row: got %v, want Unavailable", err)
		}
	}
	if _, err := s.ByCodigo(t.Context(), "PC-1"); err != nil {
		t.Errorf("ByCodigo of a locked row: %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), "PC-1", func(m maquinas.Maquina) (maquinas.Maquina, error) { return m, nil }); err != nil {
		t.Errorf("Update once it is free: %v", err)
	}
}

// TestKilledConnections ends the pool's connections on the server's side, as a restart does.
func TestKilledConnections(t *testing.T) {
	d := open(t, nil)
	s := &sqlstore.Maquinas{DB: d}
	if _, _, err := s.Insert(t.Context(), aMachine("PC-1"), nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, r := range texts(t, d.Read, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()") {
			_, _ = d.Read.ExecContext(t.Context(), "KILL "+r[0]) // it may have gone by itself
		}
		_, _ = d.Read.ExecContext(t.Context(), "KILL CONNECTION_ID()") // answers with an error, and that is the last of it
		if _, err := s.ByCodigo(t.Context(), "PC-1"); err != nil {
			t.Errorf("ByCodigo after the connections were killed: %v", err)
		}
	}
}

func TestSpansHoldNoValues(t *testing.T) {
	cfg := newDatabase(t)
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	cfg.Tracer = provider
	var mu sync.Mutex
	verbs := map[string]int{}
	cfg.Observe = func(verb string, err error, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		verbs[verb]++
	}
	db := openPool(t, cfg)
	s := &sqlstore.Maquinas{DB: &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}}
	if _, err := s.Count(t.Context(), maquinas.Filtro{}); err != nil {
		t.Fatal(err)
	}
	if n := len(recorder.Ended()); n != 0 {
		t.Errorf("a call outside any trace made %d spans", n)
	}
	ctx, span := provider.Tracer("test").Start(t.Context(), "petición")
	for range 2 { // the second is a duplicate, whose error quotes the value
		_, _, _ = s.Insert(ctx, aMachine("SECRETO-1"), nil)
	}
	_, _ = s.ByCodigo(ctx, "SECRETO-1")
	_, _ = s.Delete(ctx, "SECRETO-1", func(maquinas.Maquina) error { return nil })
	_ = (&sqlstore.Usuarios{DB: s.DB}).Insert(ctx, usuarios.Usuario{Username: "SECRETO", Rol: usuarios.Admin}, []byte("SECRETO"))
	span.End()
	names := map[string]int{}
	statements := 0
	for _, sp := range recorder.Ended() {
		names[sp.Name()]++
		text := fmt.Sprint(sp.Name(), sp.Attributes(), sp.Events(), sp.Status())
		if strings.Contains(strings.ToUpper(text), "SECRETO") {
			t.Errorf("a span holds a value: %s", text)
		}
		if strings.Contains(text, "VALUES (?, ?") {
			statements++
		}
	}
	if statements < 4 || names["SELECT"] < 2 || names["DELETE"] != 1 || names["COMMIT"] != 1 {
		t.Errorf("got spans %v with %d statements", names, statements)
	}
	for _, verb := range []string{"INSERT", "SELECT", "DELETE", "BEGIN", "COMMIT"} {
		if verbs[verb] == 0 {
			t.Errorf("%s was not observed: %v", verb, verbs)
		}
	}
}

// TestPagesUseTheIndex keeps page 1,000 as cheap as page 1.
func TestPagesUseTheIndex(t *testing.T) {
	d := open(t, nil)
	var values []string
	for i := range 2000 {
		values = append(values, fmt.Sprintf("('pc-%04d', 'PC-%04d', 'PC', 'operativa', 'Area %02d', '2024-01-%02d')", i, i, i%20, i%28+1))
	}
	execAll(t, d.Write, "INSERT INTO maquinas (clave, codigo, tipo, estado, area, fecha) VALUES "+strings.Join(values, ","))
	texts(t, d.Write, "ANALYZE TABLE maquinas")
	for _, c := range []struct{ where, order, key string }{
		{"WHERE clave > 'pc-1500'", "clave", "maquinas_clave"},
		{"WHERE (area > 'Area 10' OR (area = 'Area 10' AND clave > 'pc-1500'))", "area, clave", "maquinas_area"},
		{"WHERE (area < 'Area 10' OR (area = 'Area 10' AND clave < 'pc-1500'))", "area DESC, clave DESC", "maquinas_area"},
		{"WHERE (fecha > '2024-01-10' OR (fecha = '2024-01-10' AND clave > 'pc-1500'))", "fecha, clave", "maquinas_fecha"},
	} {
		for _, r := range texts(t, d.Read, "EXPLAIN SELECT id, codigo, tipo, estado, area, fecha, usuario, version FROM maquinas "+c.where+" ORDER BY "+c.order+" LIMIT 20") {
			plan := strings.Join(r, " | ")
			if !strings.Contains(plan, "| "+c.key+" |") || strings.Contains(plan, "filesort") {
				t.Errorf("%s ORDER BY %s: %s", c.where, c.order, plan)
			}
		}
	}
}

// key is the idempotency key of one attempt in a test.
func key(value string) *idempotency.Key {
	return idempotency.New("ana", "POST /prueba", value, []byte(value))
}
