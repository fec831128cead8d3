package contract_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// wrong is one request that must be refused and must change nothing.
type wrong struct {
	name   string
	status int
	method string
	path   string
	body   any
	header string // one more header, as Name: value
	field  string // what errors must name, where it is a field
	as     string // usuario or nobody; empty is the admin
}

// refusals are the requests of the table, made against a service that holds machine FIJA-1 and one record of it.
func refusals() []wrong {
	const (
		agregar    = "/api/maquinas/agregar"
		actualizar = "/api/maquinas/actualizar"
		listar     = "/api/maquinas/listar"
		buscar     = "/api/maquinas/buscar"
		eliminar   = "/api/maquinas/eliminar"
		mant       = "/api/mantenimientos/agregar"
		historial  = "/api/mantenimientos/historial/FIJA-1"
		todos      = "/api/mantenimientos/todos"
		login      = "/api/auth/login"
		register   = "/api/auth/register"
	)
	var all []wrong
	add := func(w wrong) {
		if w.method == "" {
			w.method = "GET"
			if w.body != nil {
				w.method = "POST"
			}
		}
		all = append(all, w)
	}
	account := func(changes ...object) object {
		return changed(object{"nombre_completo": "Persona Nueva", "username": "nueva", "password": "contraseña-larga"}, changes...)
	}
	credentials := func(changes ...object) object {
		return changed(object{"username": "jefa", "password": "equivocada"}, changes...)
	}

	// Every field of every body: missing, null, empty, of another type, an operator of a query language in its place.
	for _, b := range []struct {
		path     string
		make     func(...object) object
		required []string
		optional []string
	}{
		{agregar, func(c ...object) object { return machine("NUEVA-1", c...) }, []string{"codigo_equipo", "tipo_equipo", "estado_actual", "area", "fecha"}, []string{"usuario"}},
		{mant, func(c ...object) object { return record("FIJA-1", c...) }, []string{"codigo_maquina", "empresa", "tecnico", "tipo", "fecha", "observaciones"}, []string{"usuario"}},
		{register, account, []string{"nombre_completo", "username", "password"}, []string{"rol"}},
		{login, credentials, []string{"username", "password"}, nil},
	} {
		for _, field := range b.required {
			for how, value := range map[string]any{"missing": nil, "null": null, "empty": "", "blank": " \t "} {
				if b.path == login && how != "missing" && how != "null" && field == "password" || field == "password" && how == "blank" {
					continue // any text is a password that may be wrong
				}
				add(wrong{name: field + " " + how, status: 422, path: b.path, body: b.make(object{field: value}), field: field})
			}
		}
		for _, field := range slices.Concat(b.required, b.optional) {
			for how, value := range map[string]any{
				"a number": 5, "a truth": true, "an array": []string{"PC"}, "a MongoDB operator": object{"$ne": ""},
				"a MongoDB script": object{"$where": "sleep(1000)"},
			} {
				add(wrong{name: field + " is " + how, status: 422, path: b.path, body: b.make(object{field: value}), field: field})
			}
		}
	}

	// Fields of a machine.
	for name, codigo := range map[string]string{
		"a space": "A 1", "a tab": "A\t1", "a line break": "A\n1", "a slash": "A/1", "a hash": "A#1", "a question mark": "A?1", "an ampersand": "A&1",
		"a plus": "A+1", "a NUL": "A\x001", "a control": "A\x1b1", "DEL": "A\x7f1", "a C1 control": "A\u00851", "a no-break space": "A\u00a01",
		"a line separator": "A\u20281", "an ideographic space": "A\u30001", "51 characters": strings.Repeat("x", 51), "51 letters ñ": strings.Repeat("ñ", 51),
		"a dot": ".", "two dots": "..", "a path": "../../etc/passwd", "SQL": "x' OR '1'='1", "more SQL": "'; DROP TABLE maquinas; --",
		"a script": "<script src=//x>alert(1)</script>",
	} {
		add(wrong{name: "codigo_equipo with " + name, status: 422, path: agregar, body: machine(codigo), field: "codigo_equipo"})
	}
	for _, same := range []string{"FIJA-1", "fija-1", "Fija-1", " FIJA-1 ", "fIJA-1"} {
		add(wrong{name: "codigo_equipo that exists as " + same, status: 409, path: agregar, body: machine(same)})
	}
	for _, tipo := range []string{"LAPTOP", "P C", "PC;", "IMPRESORAS", "' OR 1=1 --", "ＰＣ", "PC\x00", "null"} {
		add(wrong{name: "tipo_equipo " + tipo, status: 422, path: agregar, body: machine("NUEVA-1", object{"tipo_equipo": tipo}), field: "tipo_equipo"})
		add(wrong{name: "tipo_equipo " + tipo, status: 422, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA-1", "tipo_equipo": tipo}, field: "tipo_equipo"})
	}
	for _, estado := range []string{"rota", "en  mantenimiento", "danada", "operativa!", "fuera", "'; UPDATE maquinas SET estado='x"} {
		add(wrong{name: "estado_actual " + estado, status: 422, path: agregar, body: machine("NUEVA-1", object{"estado_actual": estado}), field: "estado_actual"})
		add(wrong{name: "estado_actual " + estado, status: 422, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA-1", "estado_actual": estado}, field: "estado_actual"})
	}
	days := []string{
		"2026-02-30", "2025-02-29", "1900-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-01-32", "2026-04-31", "01/02/2026", "2026/01/02",
		"2026-1-5", "20260105", "26-01-05", "2026-01-05T00:00:00", "2026-01-05T00:00:00Z", "2026-W05-1", "2026-005", "0000-01-01", "0999-12-31",
		"10000-01-01", "-2026-01-01", "+2026-01-1", "２０２６-01-05", "2026-01-05\x00", "ayer", "now()", "1767571200",
	}
	for _, day := range days {
		add(wrong{name: "fecha of a machine " + day, status: 422, path: agregar, body: machine("NUEVA-1", object{"fecha": day}), field: "fecha"})
		add(wrong{name: "fecha of a record " + day, status: 422, path: mant, body: record("FIJA-1", object{"fecha": day}), field: "fecha"})
	}
	for _, day := range days[:4] {
		add(wrong{name: "fecha of an update " + day, status: 422, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA-1", "fecha": day}, field: "fecha"})
	}
	for field, most := range map[string]int{"area": 100, "usuario": 100} {
		for how, value := range map[string]string{"too long": strings.Repeat("ñ", most+1), "with a control": "Aula\x07 3", "with a line break": "Aula\n3", "with a NUL": "Aula\x00"} {
			add(wrong{name: field + " " + how, status: 422, path: agregar, body: machine("NUEVA-1", object{field: value}), field: field})
			add(wrong{name: field + " " + how, status: 422, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA-1", field: value}, field: field})
		}
	}
	add(wrong{name: "update of no machine", status: 422, method: "PUT", path: actualizar, body: object{"area": "Aula"}, field: "codigo_equipo"})
	add(wrong{name: "update of an unknown machine", status: 404, method: "PUT", path: actualizar, body: object{"codigo_equipo": "NADIE", "area": "Aula"}})
	add(wrong{name: "update of a machine by SQL", status: 404, method: "PUT", path: actualizar, body: object{"codigo_equipo": "' OR '1'='1", "area": "Aula"}})
	add(wrong{name: "update of a machine by a pattern", status: 404, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA%", "area": "Aula"}})
	add(wrong{name: "update of a machine by an operator", status: 422, method: "PUT", path: actualizar, body: object{"codigo_equipo": object{"$regex": ".*"}, "area": "Aula"}, field: "codigo_equipo"})

	// Fields of a record.
	for field, most := range map[string]int{"empresa": 100, "tecnico": 100, "usuario": 100, "observaciones": 2000} {
		add(wrong{name: field + " too long", status: 422, path: mant, body: record("FIJA-1", object{field: strings.Repeat("ñ", most+1)}), field: field})
		add(wrong{name: field + " with a control", status: 422, path: mant, body: record("FIJA-1", object{field: "a\x01b"}), field: field})
	}
	for _, tipo := range []string{"predictivo", "preventivos", "preventivo,correctivo", "$ne", "PC"} {
		add(wrong{name: "tipo " + tipo, status: 422, path: mant, body: record("FIJA-1", object{"tipo": tipo}), field: "tipo"})
	}
	for _, codigo := range []string{"NADIE", "FIJA", "FIJA-", "FIJA%", ".*", "' OR '1'='1", "$ne", "FIJA-1\x00", strings.Repeat("x", 5000)} {
		add(wrong{name: "record of an unknown machine " + codigo, status: 404, path: mant, body: record(codigo)})
	}

	// Accounts and logins.
	for name, username := range map[string]string{"two characters": "ab", "51 characters": strings.Repeat("u", 51), "a control": "abc\x00d", "blanks around too little": "  a  "} {
		add(wrong{name: "username with " + name, status: 422, path: register, body: account(object{"username": username}), field: "username"})
	}
	for name, password := range map[string]string{"7 characters": "corta12", "73 bytes": strings.Repeat("x", 73), "37 letters ñ": strings.Repeat("ñ", 37), "7 letters ñ": strings.Repeat("ñ", 7)} {
		add(wrong{name: "password of " + name, status: 422, path: register, body: account(object{"password": password}), field: "password"})
	}
	for _, rol := range []string{"root", "administrador", "admin,usuario", "$ne"} {
		add(wrong{name: "rol " + rol, status: 422, path: register, body: account(object{"rol": rol}), field: "rol"})
	}
	add(wrong{name: "nombre_completo too long", status: 422, path: register, body: account(object{"nombre_completo": strings.Repeat("a", 101)}), field: "nombre_completo"})
	add(wrong{name: "nombre_completo with a control", status: 422, path: register, body: account(object{"nombre_completo": "Ana\x00"}), field: "nombre_completo"})
	for _, taken := range []string{"jefa", "JEFA", " Jefa "} {
		add(wrong{name: "username that is taken as " + taken, status: 409, path: register, body: account(object{"username": taken})})
	}
	add(wrong{name: "admin made by nobody", status: 403, path: register, body: account(object{"rol": "admin"}), as: "nobody"})
	add(wrong{name: "admin made by a usuario", status: 403, path: register, body: account(object{"rol": "Admin"}), as: "usuario"})
	for _, username := range []string{"nadie", "' OR '1'='1' --", "jefa'--", "jefa\x00", "%", "je_a"} {
		add(wrong{name: "login as " + username, status: 401, path: login, body: credentials(object{"username": username})})
	}
	add(wrong{name: "login with a name that no account can have", status: 422, path: login, body: credentials(object{"username": strings.Repeat("u", 10_000)}), field: "username"})
	for _, password := range []string{"' OR ''='", "equivocada\x00", strings.Repeat("p", 10_000)} {
		add(wrong{name: "login with the password " + password, status: 401, path: login, body: credentials(object{"password": password})})
	}

	// Bodies.
	good := `{"codigo_equipo":"NUEVA-1","tipo_equipo":"PC","estado_actual":"operativa","area":"Aula","fecha":"2025-01-01"}`
	utf16le := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(good)) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	for name, body := range map[string]any{
		"empty": "", "blank": "  \n", "truncated": good[:len(good)-1], "half": good[:40], "twice": good + good, "with something after it": good + " x",
		"with single quotes": strings.ReplaceAll(good, `"`, `'`), "with a comma too many": strings.Replace(good, "}", ",}", 1),
		"with a comment": "/* hola */" + good, "with NaN": strings.Replace(good, `"Aula"`, "NaN", 1), "with a raw line break in a text": strings.Replace(good, "Aula", "Au\nla", 1),
		"with bad UTF-8": strings.Replace(good, "Aula", "Au\xffla", 1), "in Latin-1": strings.Replace(good, "Aula", "Tesorer\xeda", 1),
		"with half a surrogate": strings.Replace(good, "Aula", `Au\ud83dla`, 1), "with a bad escape": strings.Replace(good, "Aula", `Au\xla`, 1),
		"in UTF-16": utf16le, "as XML": "<maquina/>", "as a form": "codigo_equipo=NUEVA-1&tipo_equipo=PC", "of brackets": strings.Repeat("[", 100_000),
		"of bytes": []byte{0, 1, 2, 3, 0xfe, 0xff}, "with a field twice": strings.Replace(good, "{", `{"area":"Otra",`, 1),
	} {
		add(wrong{name: "body " + name, status: 400, path: agregar, body: body})
		if s, ok := body.(string); ok && name != "with a field twice" && name != "with half a surrogate" { // those two are about one field
			add(wrong{name: "body " + name, status: 400, method: "PUT", path: actualizar, body: s})
			add(wrong{name: "body " + name, status: 400, path: mant, body: s})
		}
	}
	for name, body := range map[string]string{"an array": "[" + good + "]", "a text": `"hola"`, "a number": "5", "null": "null", "a truth": "true", "an empty array": "[]"} {
		for _, path := range []string{agregar, mant, login, register} {
			add(wrong{name: "body is " + name, status: 422, path: path, body: body})
		}
	}
	large := strings.Replace(good, "Aula", strings.Repeat("a", 1<<20), 1)
	for _, path := range []string{agregar, mant, login, register, "/api/login"} {
		add(wrong{name: "body over 1 MiB", status: 413, path: path, body: large})
		add(wrong{name: "body over 1 MiB of unknown length", status: 413, path: path, body: chunked(large)})
	}
	add(wrong{name: "blanks over 1 MiB", status: 413, path: agregar, body: strings.Repeat(" ", 1<<20+1) + good})
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "text/json", "application/json; charset=utf-16", "json", "application/jsonp", "*/*"} {
		add(wrong{name: "Content-Type " + kind, status: 415, path: agregar, body: good, header: "Content-Type: " + kind})
	}
	add(wrong{name: "Content-Type text/plain on an update", status: 415, method: "PUT", path: actualizar, body: `{"codigo_equipo":"FIJA-1"}`, header: "Content-Type: text/plain"})
	for _, coding := range []string{"gzip", "br", "deflate, gzip"} {
		add(wrong{name: "Content-Encoding " + coding, status: 415, path: agregar, body: good, header: "Content-Encoding: " + coding})
	}

	// Lists.
	cursor := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for _, path := range []string{listar, todos, historial} {
		for _, limite := range []string{"0", "-1", "10001", "abc", "1.5", "1e3", "99999999999999999999", "0x10", " 5", "5;DROP", "٣", "1,000"} {
			add(wrong{name: "limite=" + limite, status: 400, path: path + "?limite=" + url.QueryEscape(limite)})
		}
		for _, orden := range []string{"fecha", "fecha:", "fecha:up", "fecha:ASC:desc", ":asc", "password:asc", "fecha;DROP TABLE maquinas:asc", "$natural:asc", "_id:desc", "FECHA:asc"} {
			add(wrong{name: "orden=" + orden, status: 400, path: path + "?orden=" + url.QueryEscape(orden)})
		}
		for name, text := range map[string]string{
			"of rubbish": "rubbish!", "of no JSON": cursor("hola"), "of null": cursor("null"), "of another order": cursor(`{"o":"area:asc","a":["x","y"]}`),
			"with too little": cursor(`{"o":"codigo:asc","a":[]}`), "with too much": cursor(`{"o":"codigo:asc","a":["x","y","z"]}`),
			"of an operator": cursor(`{"o":"codigo:asc","a":[{"$gt":""}]}`), "padded": cursor(`{"o":"codigo:asc","a":["x"]}`) + "==",
			"with more in it": cursor(`{"o":"codigo:asc","a":["x"],"b":1}`), "of 20 KB": strings.Repeat("A", 20_000),
		} {
			add(wrong{name: "cursor " + name, status: 400, path: path + "?cursor=" + url.QueryEscape(text)})
		}
		for _, day := range []string{"2026-02-30", "ayer", "2026-1-1", "01/01/2026"} {
			add(wrong{name: "desde=" + day, status: 400, path: path + "?desde=" + url.QueryEscape(day)})
			add(wrong{name: "hasta=" + day, status: 400, path: path + "?hasta=" + url.QueryEscape(day)})
		}
		add(wrong{name: "desde after hasta", status: 400, path: path + "?desde=2026-01-02&hasta=2026-01-01"})
		for _, tipo := range []string{"LAPTOP", "otro", "' OR 1=1", `{"$ne":null}`} {
			add(wrong{name: "tipo=" + tipo, status: 400, path: path + "?tipo=" + url.QueryEscape(tipo)})
		}
	}
	for _, estado := range []string{"rota", "operativa' OR 'a'='a", "%"} {
		add(wrong{name: "estado=" + estado, status: 400, path: listar + "?estado=" + url.QueryEscape(estado)})
	}
	add(wrong{name: "limite of a search", status: 400, path: buscar + "?termino=a&limite=0"})
	add(wrong{name: "bad escape in the query", status: 400, path: listar + "?limite=%zz"})
	add(wrong{name: "bad escape in a search", status: 400, path: buscar + "?termino=%"})
	add(wrong{name: "bad UTF-8 in a search", status: 400, path: buscar + "?termino=%ff%fe"})
	add(wrong{name: "bad UTF-8 in a code", status: 400, path: buscar + "?codigo=%c3%28"})
	add(wrong{name: "bad UTF-8 in a filter", status: 400, path: listar + "?area=%ff"})

	// One machine and one history.
	for _, codigo := range []string{"NADIE", "FIJA%", "_IJA-1", "' OR '1'='1", "FIJA-1' --", "FIJA-1\x00", strings.Repeat("x", 4000), "$ne", "../FIJA-1"} {
		add(wrong{name: "buscar " + codigo, status: 404, path: buscar + "?codigo=" + url.QueryEscape(codigo)})
		add(wrong{name: "historial of " + codigo, status: 404, path: "/api/mantenimientos/historial/" + url.PathEscape(codigo)})
		add(wrong{name: "eliminar " + codigo, status: 404, method: "DELETE", path: eliminar + "?codigo=" + url.QueryEscape(codigo)})
		add(wrong{name: "eliminar by path " + codigo, status: 404, method: "DELETE", path: eliminar + "/" + url.PathEscape(codigo)})
	}
	add(wrong{name: "eliminar nothing", status: 400, method: "DELETE", path: eliminar})
	add(wrong{name: "eliminar an empty code", status: 400, method: "DELETE", path: eliminar + "?codigo="})
	add(wrong{name: "eliminar by an operator", status: 400, method: "DELETE", path: eliminar + "?codigo[$ne]=x"})
	add(wrong{name: "eliminar as usuario", status: 403, method: "DELETE", path: eliminar + "/FIJA-1", as: "usuario"})
	add(wrong{name: "eliminar as nobody", status: 401, method: "DELETE", path: eliminar + "/FIJA-1", as: "nobody"})

	// Headers.
	add(wrong{name: "If-Match of another state", status: 412, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA-1", "area": "Otra"}, header: `If-Match: "otra"`})
	add(wrong{name: "weak If-Match", status: 412, method: "DELETE", path: eliminar + "/FIJA-1", header: `If-Match: W/"1-1"`})
	add(wrong{name: "If-Match without quotes", status: 400, method: "DELETE", path: eliminar + "/FIJA-1", header: `If-Match: abc`})
	add(wrong{name: "If-Match without an end", status: 400, method: "PUT", path: actualizar, body: object{"codigo_equipo": "FIJA-1", "area": "Otra"}, header: `If-Match: "abc`})
	add(wrong{name: "a long Idempotency-Key", status: 400, path: agregar, body: good, header: "Idempotency-Key: " + strings.Repeat("k", 1000)})
	add(wrong{name: "an Idempotency-Key of bytes", status: 400, path: mant, body: record("FIJA-1"), header: "Idempotency-Key: \xff\xfe"})
	for _, value := range []string{"Bearer", "Bearer x", "Basic amVmYTpqZWZh", "Bearer null", "Bearer undefined", "bearer ' OR 1=1"} {
		add(wrong{name: "Authorization " + value, status: 401, path: agregar, body: good, header: "Authorization: " + value, as: "nobody"})
	}
	add(wrong{name: "a cookie of somebody", status: 401, path: agregar, body: good, header: "Cookie: siglab_session=x.y.z", as: "nobody"})

	// Methods and paths.
	for _, c := range [][2]string{
		{"DELETE", listar}, {"POST", listar}, {"PUT", agregar}, {"GET", agregar}, {"PATCH", actualizar}, {"POST", actualizar}, {"GET", eliminar}, {"POST", eliminar + "/FIJA-1"},
		{"DELETE", historial}, {"PUT", mant}, {"DELETE", todos}, {"GET", login}, {"DELETE", register}, {"TRACE", listar}, {"CONNECT2", listar}, {"post", agregar},
	} {
		add(wrong{name: "method " + c[0], status: 405, method: c[0], path: c[1]})
	}
	for _, path := range []string{"/api/maquinas", "/api/maquinas/", listar + "/", "/api/maquinas/eliminar/FIJA-1/x", "/api/maquinas/FIJA-1", "/API/maquinas/listar", "/api/mantenimiento", "/api/usuarios"} {
		add(wrong{name: "no such path", status: 404, path: path})
		add(wrong{name: "no such path to delete", status: 404, method: "DELETE", path: path})
	}
	return all
}

// TestWrongInput sends each request of the table: its documented status, a whole problem document, a Spanish detail, and in the end the
// data as it was.
func TestWrongInput(t *testing.T) {
	table := refusals()
	if len(table) < 150 {
		t.Fatalf("the table has %d rows, want 150 or more", len(table))
	}
	each(t, func(t *testing.T, s *service) {
		usuario := s.newUser(t, "comun")
		s.addMachine(t, "FIJA-1")
		s.addRecord(t, "FIJA-1")
		before := s.snapshot(t)
		statuses := map[int]int{}
		for _, w := range table {
			c := s.admin
			switch w.as {
			case "nobody":
				c = s.anon
			case "usuario":
				c = usuario
			}
			if name, value, ok := strings.Cut(w.header, ": "); ok {
				c = c.with(name, value)
			}
			body := w.body
			if text, ok := body.(chunked); ok {
				body = io.MultiReader(strings.NewReader(string(text))) // net/http cannot tell its length
			}
			a, err := c.try(t.Context(), w.method, w.path, body)
			what := fmt.Sprintf("%s: %s %.80s", w.name, w.method, w.path)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			statuses[a.status]++
			if a.status != w.status {
				t.Errorf("%s: got %d %s, want %d", what, a.status, a.text(), w.status)
				continue
			}
			if fault := a.problemFault(); fault != "" {
				t.Errorf("%s: %s: %s", what, fault, a.text())
			}
			if !spanish(a.object()["detail"].(string)) {
				t.Errorf("%s: detail is not Spanish: %q", what, a.object()["detail"])
			}
			if w.field != "" && !slices.Contains(locations(a), "body."+w.field) {
				t.Errorf("%s: errors name %q, want body.%s among them", what, locations(a), w.field)
			}
			if w.field == "password" && w.body != nil {
				if o, ok := w.body.(object); ok {
					if p, _ := o["password"].(string); len(p) > 3 && strings.Contains(string(a.body), p) {
						t.Errorf("%s: the answer repeats the password", what)
					}
				}
			}
		}
		t.Logf("%d requests: %v", len(table), statuses)
		same(t, "the data", s.snapshot(t), before)
		s.anon.post("/api/auth/login", object{"username": "nueva", "password": "contraseña-larga"}).want(401)
	})
}

func locations(a *answer) []string {
	var names []string
	for _, e := range a.object()["errors"].([]any) {
		names = append(names, e.(object)["location"].(string))
	}
	return names
}

// spanish says whether a sentence has one of the words that hardly any Spanish sentence of this length lacks.
func spanish(sentence string) bool {
	words := strings.FieldsFunc(strings.ToLower(sentence), func(r rune) bool { return strings.ContainsRune(" .,;:()", r) })
	common := map[string]bool{}
	for _, w := range []string{"el", "la", "los", "las", "un", "una", "de", "del", "no", "que", "se", "debe", "para", "con", "en", "ya", "y", "o", "es", "su", "este", "esta", "solo", "usted"} {
		common[w] = true
	}
	return slices.ContainsFunc(words, func(w string) bool { return common[w] }) && len(words) >= 3
}

// chunked is a body that is sent without its length.
type chunked string
