package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"siglab/app/api"
	"siglab/app/mantenimientos"
)

const goodMachine = `{"codigo_equipo":"n1","tipo_equipo":"PC","estado_actual":"operativa","area":"x","fecha":"2024-03-15"}`

// with returns goodMachine with one member replaced by another value, as JSON.
func with(name, value string) string {
	var m map[string]json.RawMessage
	_ = json.Unmarshal([]byte(goodMachine), &m)
	m[name] = json.RawMessage(value)
	b, _ := json.Marshal(m)
	return string(b)
}

func TestWrongInput(t *testing.T) {
	s := start(t, options{})
	s.add("m1")
	before := s.call("GET", "/api/maquinas/listar", "").body
	const agregar = "/api/maquinas/agregar"
	tests := []struct {
		name, method, path, body string
		headers                  []string
		want                     int
		location                 string // of the first error; empty: not looked at
	}{
		{"number for a text", "POST", agregar, with("fecha", "20240315"), nil, 422, "body.fecha"},
		{"list for a text", "POST", agregar, with("area", `["x"]`), nil, 422, "body.area"},
		{"object for a text", "POST", agregar, with("codigo_equipo", `{"$ne":""}`), nil, 422, "body.codigo_equipo"},
		{"truth for a text", "POST", agregar, with("usuario", "true"), nil, 422, "body.usuario"},
		{"null for a required text", "POST", agregar, with("area", "null"), nil, 422, "body.area"},
		{"unknown kind", "POST", agregar, with("tipo_equipo", `"robot"`), nil, 422, "body.tipo_equipo"},
		{"no such day", "POST", agregar, with("fecha", `"2023-02-29"`), nil, 422, "body.fecha"},
		{"slash in the code", "POST", agregar, with("codigo_equipo", `"a/b"`), nil, 422, "body.codigo_equipo"},
		{"NUL", "POST", agregar, with("area", `"a\u0000"`), nil, 422, "body.area"},
		{"array", "POST", agregar, `[]`, nil, 422, "body"},
		{"text", "POST", agregar, `"x"`, nil, 422, "body"},
		{"null", "POST", agregar, `null`, nil, 422, "body"},
		{"empty", "POST", agregar, ` `, nil, 400, ""},
		{"truncated", "POST", agregar, goodMachine[:40], nil, 400, ""},
		{"trailing", "POST", agregar, goodMachine + "x", nil, 400, ""},
		{"two documents", "POST", agregar, goodMachine + goodMachine, nil, 400, ""},
		{"twice the same member", "POST", agregar, strings.Replace(goodMachine, "{", `{"area":"y",`, 1), nil, 400, ""},
		{"no UTF-8", "POST", agregar, strings.Replace(goodMachine, `"x"`, "\"\xff\"", 1), nil, 400, ""},
		{"half a surrogate pair", "POST", agregar, with("area", `"\ud800"`), nil, 400, ""},
		{"deep", "POST", agregar, strings.Repeat("[", 200_000), nil, 400, ""},
		{"deep and whole", "POST", agregar, `{"x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, nil, 422, ""},
		{"huge number", "POST", agregar, with("area", "1e999999"), nil, 422, "body.area"},
		{"over 1 MiB", "POST", agregar, with("area", `"`+strings.Repeat("x", 1<<20)+`"`), nil, 413, ""},
		{"form", "POST", agregar, "codigo_equipo=n1", []string{"-Content-Type", "", "Content-Type", "application/x-www-form-urlencoded"}, 415, ""},
		{"text/plain", "POST", agregar, goodMachine, []string{"-Content-Type", "", "Content-Type", "text/plain"}, 415, ""},
		{"latin1", "POST", agregar, goodMachine, []string{"-Content-Type", "", "Content-Type", "application/json; charset=iso-8859-1"}, 415, ""},
		{"compressed", "POST", agregar, goodMachine, []string{"Content-Encoding", "gzip"}, 415, ""},
		{"no type from another site", "POST", agregar, goodMachine, []string{"-Content-Type", "", "Sec-Fetch-Site", "cross-site"}, 415, ""},
		{"key with a space", "POST", agregar, goodMachine, []string{"Idempotency-Key", "a b"}, 400, ""},
		{"key too long", "POST", agregar, goodMachine, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, ""},
		{"empty key", "POST", agregar, goodMachine, []string{"Idempotency-Key", ""}, 400, ""},
		{"no code", "PUT", "/api/maquinas/actualizar", `{"area":"y"}`, nil, 422, "body.codigo_equipo"},
		{"unknown machine", "PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"otra"}`, nil, 404, ""},
		{"mantenimiento without fields", "POST", "/api/mantenimientos/agregar", `{}`, nil, 422, "body.codigo_maquina"},
		{"mantenimiento of an unknown machine", "POST", "/api/mantenimientos/agregar", `{"codigo_maquina":"otra","empresa":"e","tecnico":"t","tipo":"preventivo","fecha":"2024-03-15","observaciones":"o"}`, nil, 404, ""},
		{"login without a password", "POST", "/api/auth/login", `{"username":"jefa"}`, nil, 422, "body.password"},
		{"short password", "POST", "/api/auth/register", `{"nombre_completo":"x","username":"otra","password":"secreta"}`, nil, 422, "body.password"},
		{"long password", "POST", "/api/auth/register", `{"nombre_completo":"x","username":"otra","password":"` + strings.Repeat("ñ", 37) + `"}`, nil, 422, "body.password"},
		{"password that is a number", "POST", "/api/auth/register", `{"nombre_completo":"x","username":"otra","password":12345678}`, nil, 422, "body.password"},
		{"limite 0", "GET", "/api/maquinas/listar?limite=0", "", nil, 400, ""},
		{"limite 10001", "GET", "/api/maquinas/listar?limite=10001", "", nil, 400, ""},
		{"limite of letters", "GET", "/api/mantenimientos/todos?limite=diez", "", nil, 400, ""},
		{"limite that overflows", "GET", "/api/maquinas/listar?limite=99999999999999999999", "", nil, 400, ""},
		{"unknown order", "GET", "/api/maquinas/listar?orden=password:asc", "", nil, 400, ""},
		{"unknown estado", "GET", "/api/maquinas/listar?estado=rota", "", nil, 400, ""},
		{"no day", "GET", "/api/maquinas/listar?desde=ayer", "", nil, 400, ""},
		{"made up cursor", "GET", "/api/maquinas/listar?cursor=abc", "", nil, 400, ""},
		{"broken escape", "GET", "/api/maquinas/listar?buscar=%zz", "", nil, 400, ""},
		{"semicolon", "GET", "/api/maquinas/listar?a=1;b=2", "", nil, 400, ""},
		{"query that is no UTF-8", "GET", "/api/maquinas/buscar?codigo=%ff", "", nil, 400, ""},
		{"path that is no UTF-8", "GET", "/api/mantenimientos/historial/%ff", "", nil, 400, ""},
		{"NUL in the query", "GET", "/api/maquinas/buscar?codigo=%00", "", nil, 404, ""},
		{"unknown path", "GET", "/api/nada", "", nil, 404, ""},
		{"root", "GET", "/", "", nil, 404, ""},
		{"slash at the end", "GET", "/api/maquinas/listar/", "", nil, 404, ""},
		{"two slashes", "GET", "/api//maquinas/listar", "", nil, 404, ""},
		{"dots", "GET", "/api/maquinas/../maquinas/listar", "", nil, 404, ""},
		{"wrong method", "POST", "/api/maquinas/listar", "{}", nil, 405, ""},
		{"unknown method", "HOLA", "/api/maquinas/agregar", "", nil, 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.call(tt.method, tt.path, tt.body, tt.headers...)
			detail := a.problem(t, tt.want)
			if !strings.HasSuffix(detail, ".") {
				t.Errorf("detail is no sentence: %q", detail)
			}
			list := a.json(t)["errors"].([]any)
			if tt.location != "" && (len(list) == 0 || list[0].(map[string]any)["location"] != tt.location) {
				t.Errorf("errors: got %v, want %s first", list, tt.location)
			}
			if bytes.Contains(a.body, []byte("secreta")) || bytes.Contains(a.body, []byte("12345678")) {
				t.Errorf("the answer repeats the password: %s", a.body)
			}
			if strings.Contains(tt.name, "limite") && !strings.Contains(detail, "1 y 10000") {
				t.Errorf("detail does not say the range: %q", detail)
			}
		})
	}
	if after := s.call("GET", "/api/maquinas/listar", "").body; !bytes.Equal(before, after) {
		t.Errorf("the data changed: %s", after)
	}
}

func TestAllow(t *testing.T) {
	s := start(t, options{})
	for path, want := range map[string]string{
		"/api/maquinas/listar": "GET, HEAD", "/api/maquinas/agregar": "POST", "/api/maquinas/actualizar": "PUT", "/api/maquinas/eliminar/x": "DELETE",
		"/api/auth/login": "POST", "/docs": "GET, HEAD", "/openapi.json": "GET, HEAD",
	} {
		a := s.call("PATCH", path, "")
		a.problem(t, 405)
		if got := a.Header.Get("Allow"); got != want {
			t.Errorf("%s: Allow: got %q, want %q", path, got, want)
		}
		if a := s.call("OPTIONS", path, ""); a.StatusCode != 204 || a.Header.Get("Allow") != want+", OPTIONS" {
			t.Errorf("OPTIONS %s: got %d, Allow %q", path, a.StatusCode, a.Header.Get("Allow"))
		}
	}
}

func TestBodies(t *testing.T) {
	s := start(t, options{})
	// Unknown members are ignored; a body that names no type is taken for JSON.
	if a := s.call("POST", "/api/maquinas/agregar", strings.Replace(goodMachine, "{", `{"otro":{"a":[1]},`, 1), "-Content-Type", ""); a.StatusCode != 201 {
		t.Errorf("without a type: %d %s", a.StatusCode, a.body)
	}
	if a := s.call("PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"n1"}`, "-Content-Type", "", "Content-Type", "application/json;charset=UTF-8"); a.StatusCode != 200 {
		t.Errorf("with a charset: %d %s", a.StatusCode, a.body)
	}
	// A chunked body does not say its length.
	req, _ := http.NewRequest("POST", s.server.URL+"/api/maquinas/agregar", struct{ *strings.Reader }{strings.NewReader(with("area", `"`+strings.Repeat("x", 1<<20)+`"`))})
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.admin)
	s.send(req).problem(t, 413)
	// A client that promises more than it sends.
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/maquinas/agregar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"codigo", s.admin)
	_ = conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 400 {
		t.Errorf("a body that stops short: got %d, want 400", resp.StatusCode)
	}
}

func TestHead(t *testing.T) {
	s := start(t, options{})
	s.add("m1")
	for _, path := range []string{"/api/maquinas/listar", "/api/maquinas/buscar?codigo=m1", "/api/sistema/health", "/api/mantenimientos/informe", "/openapi.json", "/docs"} {
		a := s.call("HEAD", path, "")
		if a.StatusCode != 200 || len(a.body) != 0 || a.Header.Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %d, %d bytes, %q", path, a.StatusCode, len(a.body), a.Header.Get("Content-Type"))
		}
	}
	if a := s.call("HEAD", "/api/nada", ""); a.StatusCode != 404 {
		t.Errorf("HEAD of nothing: %d", a.StatusCode)
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := start(t, options{})
	first := s.call("POST", "/api/maquinas/agregar", goodMachine, "Idempotency-Key", "k1")
	again := s.call("POST", "/api/maquinas/agregar", goodMachine, "Idempotency-Key", "k1")
	if first.StatusCode != 201 || again.StatusCode != 201 || string(first.body) != string(again.body) || first.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("replay: got %d %s, want %d %s", again.StatusCode, again.body, first.StatusCode, first.body)
	}
	a := s.call("POST", "/api/maquinas/agregar", with("area", `"otra"`), "Idempotency-Key", "k1")
	a.problem(t, 422)
	if got := a.json(t)["errors"].([]any)[0].(map[string]any)["location"]; got != "header.Idempotency-Key" {
		t.Errorf("location: got %v", got)
	}
	// The key is its user's.
	common := s.common("ana")
	s.call("POST", "/api/maquinas/agregar", goodMachine, "Idempotency-Key", "k1", "-Authorization", "", "Authorization", "Bearer "+common).problem(t, 409)
	// And its route's, whichever address of it was called.
	const record = `{"codigo_maquina":"n1","empresa":"e","tecnico":"t","tipo":"correctivo","fecha":"2024-03-15","observaciones":"o"}`
	one := s.call("POST", "/api/mantenimientos/agregar", record, "Idempotency-Key", "k1")
	two := s.call("POST", "/api/mantenimiento/agregar", record, "Idempotency-Key", "k1")
	if one.StatusCode != 201 || string(one.body) != string(two.body) {
		t.Errorf("mantenimiento: got %s and %s", one.body, two.body)
	}
	if n := len(s.call("GET", "/api/mantenimientos/todos", "").list(t)); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
}

func TestInforme(t *testing.T) {
	s := start(t, options{})
	for i := range 40 {
		s.add(fmt.Sprintf("m%02d", i))
	}
	s.record("m00", "2024-05-01")
	s.record("m00", "2024-06-01")
	for _, coding := range []string{"identity", "gzip"} {
		a := s.call("GET", "/api/mantenimientos/informe", "", "-Accept-Encoding", "", "Accept-Encoding", coding)
		rows := a.list2(t)
		if len(rows) != 40 || rows[0]["codigo"] != "m00" || rows[0]["total_mantenimientos"] != 2.0 || rows[0]["ultimo_mantenimiento"] != "2024-06-01" || len(rows[0]["mantenimientos"].([]any)) != 2 {
			t.Errorf("%s: got %d rows, first %v", coding, len(rows), rows[0])
		}
		if m, ok := rows[1]["mantenimientos"].([]any); !ok || len(m) != 0 || rows[1]["total_mantenimientos"] != 0.0 || rows[1]["ultimo_mantenimiento"] != nil {
			t.Errorf("%s: a machine without records: %v", coding, rows[1])
		}
		if a.Header.Get("ETag") != "" || a.Header.Get("X-Total-Count") != "" || a.Header.Get("Warning") != "" || a.ContentLength >= 0 {
			t.Errorf("%s: headers %v, length %d", coding, a.Header, a.ContentLength)
		}
	}
	if rows := s.call("GET", "/api/mantenimiento/informe-general?codigo=M0", "").list(t); len(rows) != 10 {
		t.Errorf("part of a code: got %d rows, want 10", len(rows))
	}
	s.records.outage.Store(true)
	a := s.call("GET", "/api/mantenimientos/informe", "")
	row := a.list(t)[0]
	if m, found := row["mantenimientos"]; a.StatusCode != 200 || a.Header.Get("Warning") == "" || !found || m != nil || row["total_mantenimientos"] != nil || row["ultimo_mantenimiento"] != nil {
		t.Errorf("without the records' store: %d %q %v", a.StatusCode, a.Header.Get("Warning"), row)
	}
	s.call("GET", "/api/mantenimientos/todos", "").problem(t, 503)
	d := s.call("GET", "/api/maquinas/dashboard", "")
	if m, found := d.json(t)["mantenimientos"]; !found || m != nil || d.Header.Get("Warning") == "" || d.json(t)["total_maquinas"] != 40.0 {
		t.Errorf("dashboard without the records' store: %s", d.body)
	}
	s.records.outage.Store(false)
	// A failure after the first byte must not look like an end.
	s.records.reads.Store(0)
	s.records.breakAfter.Store(1)
	for _, coding := range []string{"identity", "gzip"} {
		s.records.reads.Store(0)
		req, _ := http.NewRequest("GET", s.server.URL+"/api/mantenimientos/informe", nil)
		req.Header.Set("Authorization", "Bearer "+s.admin)
		req.Header.Set("Accept-Encoding", coding)
		resp, err := s.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || err == nil || b.Len() == 0 {
			t.Errorf("%s: got %d, %d bytes and error %v; want a body that breaks off", coding, resp.StatusCode, b.Len(), err)
		}
	}
}

// TestInformeArrivesWhileItIsRead waits for the first row while the store holds the others back.
func TestInformeArrivesWhileItIsRead(t *testing.T) {
	s := start(t, options{})
	for i := range 20 {
		s.add(fmt.Sprintf("m%02d", i))
	}
	hold := make(chan struct{})
	s.records.Store = &held{Store: s.records.Store, hold: hold}
	req, _ := http.NewRequest("GET", s.server.URL+"/api/mantenimientos/informe", nil)
	req.Header.Set("Authorization", "Bearer "+s.admin)
	resp, err := s.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var row map[string]any
	if err := d.Decode(&row); err != nil || row["codigo"] != "m00" {
		t.Fatalf("first row: %v %v", row, err)
	}
	close(hold)
	n := 1
	for ; d.More(); n++ {
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
	}
	if n != 20 {
		t.Errorf("got %d rows, want 20", n)
	}
}

// TestSlowReaderIsLetGo reads nothing of a large report: the service must not keep it for longer than a chunk may take.
func TestSlowReaderIsLetGo(t *testing.T) {
	var log lines
	s := start(t, options{log: &log, config: func(c *api.Config) { c.Timeout = 200 * time.Millisecond }})
	s.add("m1")
	s.records.Store = &endless{Store: s.records.Store}
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET /api/mantenimientos/informe HTTP/1.1\r\nHost: x\r\nX-Request-ID: lento\r\nAuthorization: Bearer %s\r\n\r\n", s.admin)
	log.wait(t, map[string]any{"request_id": "lento", "status": 499.0, "level": "info"})
}

// endless makes one machine's records larger than what a connection holds unread.
type endless struct{ mantenimientos.Store }

func (e *endless) OfMaquinas(_ context.Context, ids []int64) (map[int64][]mantenimientos.Mantenimiento, error) {
	m := mantenimientos.Mantenimiento{Observaciones: strings.Repeat("x", 2000)}
	return map[int64][]mantenimientos.Mantenimiento{ids[0]: slices.Repeat([]mantenimientos.Mantenimiento{m}, 6_000)}, nil
}

// held holds every read after the first until hold is closed.
type held struct {
	mantenimientos.Store
	hold  chan struct{}
	reads int
}

func (h *held) OfMaquinas(ctx context.Context, ids []int64) (map[int64][]mantenimientos.Mantenimiento, error) {
	if h.reads++; h.reads > 1 {
		<-h.hold
	}
	return h.Store.OfMaquinas(ctx, ids)
}

func TestDeadline(t *testing.T) {
	s := start(t, options{config: func(c *api.Config) { c.Timeout = 30 * time.Millisecond }})
	s.machines.delay = func(ctx context.Context) { time.Sleep(300 * time.Millisecond) }
	began := time.Now()
	a := s.call("GET", "/api/maquinas/buscar?codigo=m1", "")
	a.problem(t, 503)
	if took := time.Since(began); took > 250*time.Millisecond || a.Header.Get("Retry-After") < "1" {
		t.Errorf("took %v, Retry-After %q", took, a.Header.Get("Retry-After"))
	}
}

func TestOverload(t *testing.T) {
	s := start(t, options{config: func(c *api.Config) { c.MaxInFlight = 4 }})
	s.add("m1")
	s.call("GET", "/api/maquinas/listar", "")
	free, busy := make(chan struct{}), make(chan struct{}, 16)
	s.machines.delay = func(context.Context) { busy <- struct{}{}; <-free }
	done := make(chan int, 4)
	for i := range 4 {
		go func() { done <- s.call("GET", fmt.Sprintf("/api/maquinas/buscar?codigo=x%d", i), "").StatusCode }()
	}
	for range 4 {
		<-busy
	}
	for _, path := range []string{"/api/maquinas/buscar?codigo=m1", "/api/maquinas/listar", "/api/mantenimientos/todos", "/api/mantenimientos/informe"} {
		a := s.call("GET", path, "")
		a.problem(t, 503)
		if a.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q, want 1", path, a.Header.Get("Retry-After"))
		}
	}
	if a := s.call("GET", "/api/sistema/health", ""); a.StatusCode != 200 {
		t.Errorf("health: got %d", a.StatusCode)
	}
	close(free)
	for range 4 {
		if got := <-done; got != 404 {
			t.Errorf("a request below the ceiling: got %d", got)
		}
	}
}
