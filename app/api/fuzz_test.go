package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// try sends a request straight to the handler and says what is wrong with the answer: no input may cause a 5xx, and every error is a
// whole problem.
func (s *service) try(t *testing.T, r *http.Request) {
	t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code >= 500 {
		t.Fatalf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
	}
	if w.Code < 400 {
		return
	}
	var p struct{ Detail, Title string }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || p.Title == "" {
		t.Fatalf("%s %s: %d is no problem: %q", r.Method, r.URL, w.Code, w.Body)
	}
}

// fuzzBody tries a body on a route, beginning with one that is right and with the usual wrong ones.
func fuzzBody(f *testing.F, method, path, good string) {
	s := start(f, options{})
	s.add("LAB1-PC-01")
	for _, seed := range []string{good, "", "null", "[]", "{}", `""`, good[:len(good)/2], good + good, strings.ReplaceAll(good, `"`, "'"),
		strings.ReplaceAll(good, ":", `:{"$gt":`), strings.Repeat(`{"a":`, 2000), "\xff\xfe", `{"codigo_equipo":"\ud800","fecha":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(method, path, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+s.admin)
		s.try(t, r)
	})
}

func FuzzLogin(f *testing.F) {
	fuzzBody(f, "POST", "/api/auth/login", `{"username":"jefa","password":"x"}`)
}

func FuzzRegister(f *testing.F) {
	fuzzBody(f, "POST", "/api/auth/register", `{"nombre_completo":"Ana","username":"ana","password":"0123456789","rol":"usuario"}`)
}

func FuzzAgregar(f *testing.F) {
	fuzzBody(f, "POST", "/api/maquinas/agregar", goodMachine)
}

func FuzzActualizar(f *testing.F) {
	fuzzBody(f, "PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"LAB1-PC-01","area":"x","usuario":null}`)
}

func FuzzMantenimiento(f *testing.F) {
	fuzzBody(f, "POST", "/api/mantenimientos/agregar",
		`{"codigo_maquina":"LAB1-PC-01","empresa":"e","tecnico":"t","tipo":"preventivo","fecha":"2024-03-15","observaciones":"o"}`)
}

// FuzzQuery tries a query, and cursors with it, on every list.
func FuzzQuery(f *testing.F) {
	s := start(f, options{})
	s.add("LAB1-PC-01")
	paths := []string{"/api/maquinas/listar", "/api/maquinas/buscar", "/api/mantenimientos/todos", "/api/mantenimientos/historial/LAB1-PC-01", "/api/mantenimientos/informe", "/api/maquinas/eliminar"}
	for _, seed := range []string{"", "limite=5&orden=area:desc&cursor=eyJvIjoiYXJlYTpkZXNjIiwiYSI6WyJ4IiwieSJdfQ", "tipo=PC&estado=operativa&desde=2020-01-01&hasta=2030-01-01",
		"codigo=%00", "termino=%25_%27--", "buscar=%ff", "cursor=e30", "limite=-1", "a;b", "%zz", "codigo=a&codigo=b", "limite"} {
		for i := range paths {
			f.Add(seed, i)
		}
	}
	f.Fuzz(func(t *testing.T, query string, i int) {
		r := httptest.NewRequest("GET", paths[uint(i)%uint(len(paths))], nil)
		r.URL.RawQuery = query
		if strings.HasSuffix(r.URL.Path, "eliminar") {
			r.Method = "DELETE"
		}
		r.Header.Set("Authorization", "Bearer "+s.admin)
		s.try(t, r)
	})
}

// FuzzPath tries a path and a method.
func FuzzPath(f *testing.F) {
	s := start(f, options{})
	for _, seed := range []string{"/", "/api/maquinas/eliminar/x", "/api/mantenimientos/historial/%ff", "//", "/docs/../x", "/docs/x.js", "*"} {
		f.Add("GET", seed)
		f.Add("DELETE", seed)
		f.Add("HOLA", seed)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL.Path = method, path
		r.Header.Set("Authorization", "Bearer "+s.admin)
		s.try(t, r)
	})
}

// FuzzHeaders tries the headers that are read.
func FuzzHeaders(f *testing.F) {
	s := start(f, options{})
	s.add("LAB1-PC-01")
	names := []string{"Authorization", "Cookie", "If-Match", "If-None-Match", "Idempotency-Key", "Content-Type", "Content-Encoding", "Accept-Encoding",
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id", "Traceparent", "Baggage", "Origin", "Sec-Fetch-Site", "Accept"}
	for _, seed := range []string{"", "Bearer x", "siglab_session=a.b.c", `"a", W/"b", *`, "gzip;q=2, zstd;q=x,,", "application/json; charset=\"", "1.2.3.4, ::1", "a=b;;,=",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		for i := range names {
			f.Add(seed, i)
		}
	}
	f.Fuzz(func(t *testing.T, value string, i int) {
		for _, call := range []string{"GET /api/maquinas/listar", "GET /api/maquinas/buscar?codigo=LAB1-PC-01", "PUT /api/maquinas/actualizar", "POST /api/maquinas/agregar"} {
			method, path, _ := strings.Cut(call, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(`{"codigo_equipo":"LAB1-PC-01"}`))
			r.Header.Set("Authorization", "Bearer "+s.admin)
			r.Header.Set("Content-Type", "application/json")
			r.Header[names[uint(i)%uint(len(names))]] = []string{value}
			s.try(t, r)
		}
	})
}
