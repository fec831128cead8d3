package contract_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"siglab/app/clave"
)

// someMachines adds machines of which many are alike in every field but the code, as ties are what paging gets wrong.
func someMachines(t *testing.T, s *service, n int) {
	t.Helper()
	areas := []string{"Biblioteca Central", "biblioteca central", "Ñandú", "Nandu", "Área 51", "Tesorería, piso 2"}
	estados := []string{"operativa", "en mantenimiento", "fuera de servicio"}
	for i := range n {
		codigo := fmt.Sprintf("%s-%03d", []string{"PC", "pc", "Imp", "ñu", "NU"}[i%5], i)
		s.addMachine(t, codigo, object{
			"tipo_equipo": []string{"PC", "IMP"}[i%2], "estado_actual": estados[i%3], "area": areas[i%len(areas)],
			"fecha": fmt.Sprintf("2024-%02d-15", 1+i%4),
		})
	}
}

// pages walks a list through its Link headers and returns all its elements, checking what each page says of the whole.
func pages(t *testing.T, c *client, path string, limite, total int) []object {
	t.Helper()
	var all []object
	for n := 0; path != ""; n++ {
		if n > total {
			t.Fatalf("%s: the pages do not end", path)
		}
		a := c.get(path).want(200)
		if got, want := a.header.Get("X-Total-Count"), fmt.Sprint(total); got != want {
			t.Errorf("%s: X-Total-Count: got %s, want %s", path, got, want)
		}
		list := a.list()
		if len(list) > limite {
			t.Errorf("%s: got %d elements, want %d at most", path, len(list), limite)
		}
		path = a.next()
		if path != "" && len(list) != limite {
			t.Errorf("%s: got %d elements in a page that is not the last, want %d", path, len(list), limite)
		}
		all = append(all, list...)
	}
	return all
}

func TestPagesOfMachinesInEveryOrder(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		const total = 47
		someMachines(t, s, total)
		whole := s.admin.get("/api/maquinas/listar").want(200).list()
		same(t, "listar", len(whole), total)
		for _, campo := range []string{"codigo", "tipo", "estado", "area", "fecha"} {
			for _, sentido := range []string{"asc", "desc"} {
				want := slices.Clone(whole)
				slices.SortFunc(want, func(a, b object) int {
					c := cmp.Or(strings.Compare(a[campo].(string), b[campo].(string)), byKey(a, b))
					if campo == "codigo" {
						c = byKey(a, b)
					}
					if sentido == "desc" {
						return -c
					}
					return c
				})
				for _, limite := range []int{1, 10, total, total + 1} {
					path := fmt.Sprintf("/api/maquinas/listar?orden=%s:%s&limite=%d", campo, sentido, limite)
					sameJSON(t, path, pages(t, s.admin, path, limite, total), want)
				}
			}
		}
	})
}

func byKey(a, b object) int {
	return strings.Compare(clave.Of(a["codigo"].(string)), clave.Of(b["codigo"].(string)))
}

// TestPagesWhileTheListChanges adds and removes machines between two pages: what was there all the time comes exactly once.
func TestPagesWhileTheListChanges(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		for i := range 20 {
			s.addMachine(t, fmt.Sprintf("M-%02d", i))
		}
		path, n := "/api/maquinas/listar?limite=5", 0
		var seen []string
		for path != "" {
			a := s.admin.get(path).want(200)
			seen = append(seen, a.column("codigo")...)
			path = a.next()
			s.addMachine(t, fmt.Sprintf("A-%d", n)) // before everything that was seen
			if n == 1 {
				s.admin.delete("/api/maquinas/eliminar/M-00").want(200) // seen already
				s.admin.delete("/api/maquinas/eliminar/M-09").want(200) // the row that the next page begins after
			}
			n++
		}
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprintf("M-%02d", i))
		}
		sameList(t, "seen", seen, want)
	})
}

func TestFiltersOfMachines(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		someMachines(t, s, 30)
		whole := s.admin.get("/api/maquinas/listar").want(200).list()
		for _, c := range []struct {
			query string
			holds func(m object) bool
		}{
			{"tipo=PC", func(m object) bool { return m["tipo"] == "PC" }},
			{"tipo=impresora", func(m object) bool { return m["tipo"] == "IMP" }},
			{"estado=en+mantenimiento", func(m object) bool { return m["estado"] == "en mantenimiento" }},
			{"estado=da%C3%B1ada", func(m object) bool { return m["estado"] == "fuera de servicio" }},
			{"area=" + url.QueryEscape("Ñandú"), func(m object) bool { return m["area"] == "Ñandú" }},
			{"area=Nandu", func(m object) bool { return m["area"] == "Nandu" }},
			{"area=Biblioteca", func(object) bool { return false }},
			{"desde=2024-02-15", func(m object) bool { return m["fecha"].(string) >= "2024-02-15" }},
			{"hasta=2024-02-15", func(m object) bool { return m["fecha"].(string) <= "2024-02-15" }},
			{"desde=2024-02-15&hasta=2024-02-15", func(m object) bool { return m["fecha"] == "2024-02-15" }},
			{"desde=2024-02-16&hasta=2024-03-14", func(object) bool { return false }},
			{"buscar=PC", func(m object) bool { return strings.Contains(clave.Of(m["codigo"].(string)), "pc") }},
			{"buscar=" + url.QueryEscape("Ñ"), func(m object) bool { return strings.Contains(clave.Of(m["codigo"].(string)), "ñ") }},
			{"buscar=n", func(m object) bool { return strings.Contains(clave.Of(m["codigo"].(string)), "n") }},
			{"buscar=-00", func(m object) bool { return strings.Contains(m["codigo"].(string), "-00") }},
			{"buscar=%25", func(object) bool { return false }},
			{"buscar=_", func(object) bool { return false }},
			{"buscar=*", func(object) bool { return false }},
			{"buscar=" + url.QueryEscape(`\`), func(object) bool { return false }},
			{"tipo=PC&estado=operativa&area=" + url.QueryEscape("Área 51"), func(m object) bool {
				return m["tipo"] == "PC" && m["estado"] == "operativa" && m["area"] == "Área 51"
			}},
		} {
			var want []object
			for _, m := range whole {
				if c.holds(m) {
					want = append(want, m)
				}
			}
			if want == nil {
				want = []object{}
			}
			path := "/api/maquinas/listar?limite=4&" + c.query
			got := pages(t, s.admin, path, 4, len(want))
			if got == nil {
				got = []object{}
			}
			sameJSON(t, path, got, want)
		}
	})
}

func TestPagesOfRecords(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		s.addMachine(t, "B-2")
		const total = 23
		for i := range total {
			s.addRecord(t, []string{"a-1", "b-2"}[i%2], object{
				"fecha": fmt.Sprintf("2025-%02d-01", 1+i%5), "tipo": []string{"preventivo", "correctivo", "correctivo"}[i%3]})
		}
		newest := s.admin.get("/api/mantenimientos/todos").want(200).list()
		if !slices.IsSortedFunc(newest, func(a, b object) int {
			return cmp.Or(-strings.Compare(a["fecha"].(string), b["fecha"].(string)), -strings.Compare(a["_id"].(string), b["_id"].(string)))
		}) {
			t.Error("todos does not begin with the newest")
		}
		oldest := slices.Clone(newest)
		slices.Reverse(oldest)
		for path, want := range map[string][]object{
			"/api/mantenimientos/todos?limite=4":                                   newest,
			"/api/mantenimientos/todos?limite=4&orden=fecha:desc":                  newest,
			"/api/mantenimientos/todos?limite=1&orden=fecha:asc":                   oldest,
			"/api/mantenimientos/todos?limite=5&tipo=Correctivo":                   filter(newest, "tipo", "correctivo"),
			"/api/mantenimientos/todos?limite=5&buscar=a-":                         filter(newest, "codigo_maquina", "A-1"),
			"/api/mantenimientos/todos?limite=2&desde=2025-03-01&hasta=2025-03-01": filter(newest, "fecha", "2025-03-01"),
			"/api/mantenimientos/historial/b-2?limite=3":                           filter(newest, "codigo_maquina", "B-2"),
			"/api/mantenimientos/historial/b-2?limite=3&orden=fecha:asc":           filter(oldest, "codigo_maquina", "B-2"),
			"/api/mantenimientos/historial/A-1?limite=3&tipo=preventivo":           filter(filter(newest, "codigo_maquina", "A-1"), "tipo", "preventivo"),
		} {
			u, err := url.Parse(path)
			if err != nil {
				t.Fatal(err)
			}
			limite := 0
			if _, err := fmt.Sscan(u.Query().Get("limite"), &limite); err != nil {
				t.Fatal(err)
			}
			sameJSON(t, path, pages(t, s.admin, path, limite, len(want)), want)
		}
	})
}

func filter(list []object, field, value string) []object {
	out := []object{}
	for _, o := range list {
		if o[field] == value {
			out = append(out, o)
		}
	}
	return out
}

// TestDefaultSizes says how long a list is when nobody asks for a length.
func TestDefaultSizes(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		for i := range 101 {
			s.addRecord(t, "A-1", object{"observaciones": fmt.Sprintf("Revisión %d.", i)})
		}
		a := s.admin.get("/api/mantenimientos/todos").want(200)
		same(t, "todos", len(a.list()), 100)
		same(t, "X-Total-Count", a.header.Get("X-Total-Count"), "101")
		if a.next() == "" {
			t.Error("todos has no Link to its second page")
		}
		same(t, "historial", len(s.admin.get("/api/mantenimientos/historial/A-1").want(200).list()), 101)
	})
}

func TestListsAnswer304(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		s.addRecord(t, "A-1")
		lists := []string{
			"/api/maquinas/listar", "/api/maquinas/listar?orden=fecha:desc&limite=3", "/api/maquinas/buscar?termino=a",
			"/api/maquinas/buscar?codigo=A-1", "/api/mantenimientos/todos", "/api/mantenimientos/historial/A-1",
		}
		tags := map[string]string{}
		for _, path := range lists {
			a := s.admin.get(path).want(200)
			tag := a.header.Get("ETag")
			if tag == "" {
				t.Fatalf("%s: no ETag", path)
			}
			tags[path] = tag
			for _, header := range []string{tag, "W/" + strings.TrimPrefix(tag, "W/"), `"otra", ` + tag, "*"} {
				a = s.admin.with("If-None-Match", header).get(path).want(304)
				if len(a.body) != 0 || a.header.Get("ETag") == "" {
					t.Errorf("%s: a 304 with body %q and ETag %q", path, a.body, a.header.Get("ETag"))
				}
			}
			s.admin.with("If-None-Match", `"otra"`).get(path).want(200)
			gz := s.admin.with("Accept-Encoding", "gzip").with("If-None-Match", tag)
			gz.get(path).want(304)
		}
		s.admin.put("/api/maquinas/actualizar", object{"codigo_equipo": "A-1", "area": "Tesorería"}).want(200)
		s.addRecord(t, "A-1")
		for _, path := range lists {
			a := s.admin.with("If-None-Match", tags[path]).get(path).want(200)
			if a.header.Get("ETag") == tags[path] {
				t.Errorf("%s: the ETag did not change with the list", path)
			}
		}
		a := s.admin.get("/api/mantenimientos/informe").want(200)
		for _, name := range []string{"ETag", "X-Total-Count", "Link"} {
			if v := a.header.Get(name); v != "" {
				t.Errorf("informe: %s: got %q, want none", name, v)
			}
		}
	})
}

// TestEveryReadSeesTheLastWrite has a list in the cache before each write.
func TestEveryReadSeesTheLastWrite(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		reads := func() (codes []string, area string) {
			list := s.admin.get("/api/maquinas/listar").want(200)
			for _, m := range list.list() {
				if m["codigo"] == "X-1" {
					area = m["area"].(string)
				}
			}
			return list.column("codigo"), area
		}
		for i := range 30 {
			codigo := fmt.Sprintf("N-%02d", i)
			reads()
			s.admin.get("/api/maquinas/dashboard").want(200)
			s.admin.get("/api/maquinas/buscar?codigo=" + codigo).want(404)
			s.addMachine(t, codigo)
			if codes, _ := reads(); !slices.Contains(codes, codigo) {
				t.Fatalf("listar lacks %s right after it was added", codigo)
			}
			s.admin.get("/api/maquinas/buscar?codigo=" + codigo).want(200)
			same(t, "total_maquinas", s.admin.get("/api/maquinas/dashboard").want(200).object()["total_maquinas"].(float64), float64(i+1))
		}
		s.addMachine(t, "X-1")
		for i := range 30 {
			want := fmt.Sprintf("Aula %d", i)
			s.admin.put("/api/maquinas/actualizar", object{"codigo_equipo": "x-1", "area": want}).want(200)
			if _, area := reads(); area != want {
				t.Fatalf("listar: got area %q right after the update, want %q", area, want)
			}
			same(t, "buscar", s.admin.get("/api/maquinas/buscar?codigo=X-1").want(200).object()["area"].(string), want)
		}
		s.admin.delete("/api/maquinas/eliminar?codigo=X-1").want(200)
		s.admin.get("/api/maquinas/buscar?codigo=X-1").want(404)
		if codes, _ := reads(); slices.Contains(codes, "X-1") {
			t.Error("listar holds a machine right after it was removed")
		}
	})
}

// TestShapes holds every kind of answer to the fields that the contract names, and to no others.
func TestShapes(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		s.addRecord(t, "A-1")
		maquina := []string{"area", "codigo", "estado", "fecha", "tipo", "usuario"}
		mantenimiento := []string{"_id", "codigo_maquina", "empresa", "fecha", "observaciones", "tecnico", "tipo", "usuario"}
		informe := []string{"area", "codigo", "estado", "fecha_registro", "mantenimientos", "tipo", "total_mantenimientos", "ultimo_mantenimiento"}
		names := func(o any) []string { return slices.Sorted(maps.Keys(o.(object))) }
		sameList(t, "listar", names(s.admin.get("/api/maquinas/listar").list()[0]), maquina)
		sameList(t, "buscar", names(s.admin.get("/api/maquinas/buscar?codigo=a-1").object()), maquina)
		sameList(t, "historial", names(s.admin.get("/api/mantenimientos/historial/a-1").list()[0]), mantenimiento)
		sameList(t, "todos", names(s.admin.get("/api/mantenimientos/todos").list()[0]), mantenimiento)
		row := s.admin.get("/api/mantenimientos/informe").list()[0]
		sameList(t, "informe", names(row), informe)
		sameList(t, "informe's mantenimientos", names(row["mantenimientos"].([]any)[0]), mantenimiento)
		active := s.admin.get("/api/auth/usuarios/activos").object()
		sameList(t, "activos", names(active), []string{"usuarios_activos"})
		sameList(t, "an active user", names(active["usuarios_activos"].([]any)[0]), []string{"desde", "nombre_completo", "rol", "ultima_actividad", "username"})
		board := s.admin.get("/api/maquinas/dashboard").object()
		sameList(t, "dashboard", names(board), []string{"mantenimientos", "maquinas_por_area", "maquinas_por_estado", "maquinas_por_tipo",
			"server_id", "timestamp", "total_maquinas", "ultimos_mantenimientos"})
		sameList(t, "dashboard's mantenimientos", names(board["mantenimientos"]), []string{"por_tipo", "total", "ultimos_12_meses"})
		health := s.anon.get("/api/sistema/health").object()
		sameList(t, "health", names(health), []string{"checks", "server_id", "status", "uptime_s", "version"})
		problem := s.anon.get("/api/maquinas/listar").want(401).object()
		sameList(t, "a problem", names(problem), []string{"detail", "errors", "request_id", "status", "title", "type"})
	})
}
