package api_test

import (
	"strings"
	"testing"
)

func TestMachineLife(t *testing.T) {
	s := start(t, options{})
	a := s.add("Lab1-PC-01")
	if got, want := string(a.body), `{"mensaje":"Máquina agregada correctamente.","codigo":"Lab1-PC-01"}`; got != want {
		t.Errorf("agregar: got %s, want %s", got, want)
	}
	if got, want := a.Header.Get("Location"), "/api/maquinas/buscar?codigo=Lab1-PC-01"; got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
	s.call("POST", "/api/maquinas/agregar", `{"codigo_equipo":"LAB1-pc-01","tipo_equipo":"PC","estado_actual":"operativa","area":"x","fecha":"2024-03-15"}`).problem(t, 409)

	a = s.call("GET", "/api/maquinas/buscar?codigo=lab1-pc-01", "")
	const want = `{"codigo":"Lab1-PC-01","tipo":"PC","estado":"operativa","area":"Laboratorio 1","fecha":"2024-03-15","usuario":"Ana Torres"}`
	if string(a.body) != want {
		t.Errorf("buscar: got %s, want %s", a.body, want)
	}
	etag := a.Header.Get("ETag")
	if a := s.call("GET", "/api/maquinas/buscar?codigo=lab1-pc-01", "", "If-None-Match", `"x", W/`+etag); a.StatusCode != 304 || len(a.body) != 0 {
		t.Errorf("If-None-Match: got %d %s, want 304", a.StatusCode, a.body)
	}
	s.call("PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"LAB1-PC-01","area":"Sala 2"}`, "If-Match", `"otro"`).problem(t, 412)
	s.call("PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"LAB1-PC-01","area":"Sala 2"}`, "If-Match", "W/"+etag).problem(t, 412)
	s.call("PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"LAB1-PC-01","area":"Sala 2"}`, "If-Match", "sin comillas").problem(t, 400)
	a = s.call("PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"LAB1-PC-01","area":"Sala 2","estado_actual":"","fecha":"","tipo_equipo":null,"usuario":""}`, "If-Match", `"otro",`+etag)
	if a.StatusCode != 200 || a.Header.Get("ETag") == etag || a.Header.Get("ETag") == "" {
		t.Errorf("actualizar: got %d %s, ETag %q", a.StatusCode, a.body, a.Header.Get("ETag"))
	}
	if got := s.call("GET", "/api/maquinas/buscar?codigo=lab1-pc-01", ""); !strings.Contains(string(got.body), `"area":"Sala 2"`) || !strings.Contains(string(got.body), `"tipo":"PC"`) {
		t.Errorf("after actualizar: got %s", got.body)
	}
	s.record("lab1-pc-01", "2024-05-01")
	s.record("LAB1-PC-01", "2024-06-01")
	h := s.call("GET", "/api/mantenimientos/historial/lab1-PC-01", "")
	if rows := h.list(t); len(rows) != 2 || rows[0]["fecha"] != "2024-06-01" || rows[0]["codigo_maquina"] != "Lab1-PC-01" || rows[0]["usuario"] != nil {
		t.Errorf("historial: got %s", h.body)
	}
	s.call("DELETE", "/api/maquinas/eliminar?codigo=lab1-pc-01", "", "If-Match", etag).problem(t, 412)
	if a := s.call("DELETE", "/api/maquinas/eliminar/lab1-pc-01", ""); a.StatusCode != 200 || a.json(t)["mensaje"] == "" {
		t.Errorf("eliminar: got %d %s", a.StatusCode, a.body)
	}
	s.call("DELETE", "/api/maquinas/eliminar/lab1-pc-01", "").problem(t, 404)
	s.call("DELETE", "/api/maquinas/eliminar", "").problem(t, 400)
	s.call("GET", "/api/mantenimientos/historial/lab1-PC-01", "").problem(t, 404)
	if a := s.call("GET", "/api/mantenimiento/listar/lab1-PC-01", ""); a.StatusCode != 200 || string(a.body) != "[]" {
		t.Errorf("old historial of an unknown machine: got %d %s", a.StatusCode, a.body)
	}
}

func TestListsEmptyAndPaged(t *testing.T) {
	s := start(t, options{})
	for _, path := range []string{"/api/maquinas/listar", "/api/maquinas/buscar", "/api/maquinas/buscar?termino=x", "/api/mantenimientos/todos", "/api/mantenimientos/informe"} {
		if a := s.call("GET", path, ""); a.StatusCode != 200 || string(a.body) != "[]" {
			t.Errorf("%s: got %d %s, want []", path, a.StatusCode, a.body)
		}
	}
	for _, c := range []string{"a1", "a2", "a3", "b1"} {
		s.add(c)
	}
	for start, want := range map[string]string{
		"/api/maquinas/listar?limite=2&orden=codigo:desc&otro=1": "b1 a3 a2 a1",
		"/api/maquinas/buscar?termino=a&limite=1":                "a1 a2 a3",
		"/api/maquinas/listar?tipo=pc&limite=3":                  "a1 a2 a3 b1",
	} {
		var seen []string
		pages := 0
		for next := start; next != ""; pages++ {
			a := s.call("GET", next, "")
			if a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", next, a.StatusCode, a.body)
			}
			for _, m := range a.list(t) {
				seen = append(seen, m["codigo"].(string))
			}
			link := a.Header.Get("Link")
			next = ""
			if link != "" {
				var ok bool
				if next, ok = strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`); !ok {
					t.Fatalf("Link: %q", link)
				}
			}
		}
		if got := strings.Join(seen, " "); got != want || pages < 2 {
			t.Errorf("%s: got %s in %d pages, want %s in more than one", start, got, pages, want)
		}
	}
}
