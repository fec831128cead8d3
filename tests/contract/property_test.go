package contract_test

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"siglab/app/clave"
)

// model is the service as the contract tells it, in the simplest way: what each call answers and leaves behind.
type model struct {
	machines map[string]*modelMachine // by the key of the code
}

type modelMachine struct {
	codigo, tipo, estado, area, fecha, usuario string
	records                                    []object // as they are answered
}

func (m *modelMachine) answered() object {
	o := object{"codigo": m.codigo, "tipo": m.tipo, "estado": m.estado, "area": m.area, "fecha": m.fecha, "usuario": m.usuario}
	if m.usuario == "" {
		o["usuario"] = nil
	}
	return o
}

func (m *model) sorted() []*modelMachine {
	var keys []string
	for k := range m.machines {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	list := make([]*modelMachine, len(keys))
	for i, k := range keys {
		list[i] = m.machines[k]
	}
	return list
}

// newest orders records as lists show them.
func newest(records []object) []object {
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b object) int {
		return cmp.Or(-strings.Compare(a["fecha"].(string), b["fecha"].(string)), -strings.Compare(a["_id"].(string), b["_id"].(string)))
	})
	if sorted == nil {
		sorted = []object{}
	}
	return sorted
}

// What sequences are made of. Few values, so that calls meet.
var (
	someCodes   = []string{"a", "A", "b-1", "B-1", "ñu", "ÑU", "nu", "n\u0303u", "a%", "a_b", "Straße", "STRASSE"}
	someTypes   = map[string]string{"PC": "PC", "pc": "PC", "Computadora": "PC", "IMP": "IMP", "impresora": "IMP"}
	someStates  = map[string]string{"operativa": "operativa", "OPERATIVO": "operativa", "Mantenimiento": "en mantenimiento", "en mantenimiento": "en mantenimiento", "Dañado": "fuera de servicio", "fuera de servicio": "fuera de servicio"}
	someAreas   = []string{"Aula 1", "aula 1", "Área 51", "Zona \"Z\", piso 2; O'Higgins"}
	someDays    = []string{"2024-02-29", "2024-03-01", "2025-12-31", "1999-01-01"}
	somePeople  = []string{"", "Inés Dávila", "李 明", "O'Brian -- \\ 😀"}
	someRemarks = []string{"Limpieza.", "Se cambió el disco;\nqueda \"bien\".", "$set: {a: 1}", "100 % 😀"}
)

func pick(t *rapid.T, label string, of []string) string { return rapid.SampledFrom(of).Draw(t, label) }

func pickKey(t *rapid.T, label string, of map[string]string) string {
	keys := make([]string, 0, len(of))
	for k := range of {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return pick(t, label, keys)
}

// TestModel runs random sequences of calls: after each the service and the model agree.
func TestModel(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		rapid.Check(t, func(rt *rapid.T) {
			c := s.admin
			for _, codigo := range c.get("/api/maquinas/listar").want(200).column("codigo") {
				c.delete("/api/maquinas/eliminar/" + url.PathEscape(codigo)).want(200)
			}
			m := &model{machines: map[string]*modelMachine{}}
			rt.Repeat(m.actions(c))
		})
	})
}

// actions are the calls. Each draws its arguments, makes the call, and holds the answer against the model's.
func (m *model) actions(c *client) map[string]func(*rapid.T) {
	expect := func(t *rapid.T, a *answer, status int) bool {
		if a.status != status {
			t.Fatalf("%s: got %d %s, want %d", a.request, a.status, a.text(), status)
		}
		if status >= 400 {
			if fault := a.problemFault(); fault != "" {
				t.Fatalf("%s: %s", a.request, fault)
			}
		}
		return status < 300
	}
	agree := func(t *rapid.T, a *answer, want any) {
		expect(t, a, 200)
		sameJSON(t, a.request, decoded(a), want)
		if t.Failed() {
			t.FailNow()
		}
	}
	return map[string]func(*rapid.T){
		"agregar": func(t *rapid.T) {
			codigo, tipo, estado := pick(t, "codigo", someCodes), pickKey(t, "tipo", someTypes), pickKey(t, "estado", someStates)
			area, dia, usuario := pick(t, "area", someAreas), pick(t, "fecha", someDays), pick(t, "usuario", somePeople)
			k := clave.Of(codigo)
			want := 201
			if m.machines[k] != nil {
				want = 409
			}
			a := c.post("/api/maquinas/agregar", object{"codigo_equipo": codigo, "tipo_equipo": tipo, "estado_actual": estado, "area": area, "fecha": dia, "usuario": usuario})
			if expect(t, a, want) {
				composed := a.object()["codigo"].(string) // codes are kept as typed, in composed characters
				if clave.Of(composed) != k {
					t.Fatalf("codigo: got %q, want %q", composed, codigo)
				}
				m.machines[k] = &modelMachine{composed, someTypes[tipo], someStates[estado], area, dia, usuario, nil}
			}
		},
		"agregar mal": func(t *rapid.T) {
			codigo := pick(t, "codigo", someCodes)
			field := pick(t, "field", []string{"codigo_equipo", "tipo_equipo", "estado_actual", "area", "fecha"})
			body := machine(codigo, object{field: rapid.SampledFrom([]any{nil, "", "\x00", 7}).Draw(t, "value")})
			expect(t, c.post("/api/maquinas/agregar", body), 422)
		},
		"actualizar": func(t *rapid.T) {
			codigo := pick(t, "codigo", someCodes)
			maybe := func(label string, draw func() string) string {
				if rapid.Bool().Draw(t, label+" given") {
					return draw()
				}
				return ""
			}
			tipo := maybe("tipo", func() string { return pickKey(t, "tipo", someTypes) })
			estado := maybe("estado", func() string { return pickKey(t, "estado", someStates) })
			area := maybe("area", func() string { return pick(t, "area", someAreas) })
			dia := maybe("fecha", func() string { return pick(t, "fecha", someDays) })
			usuario := maybe("usuario", func() string { return pick(t, "usuario", somePeople) })
			old := m.machines[clave.Of(codigo)]
			want := 200
			if old == nil {
				want = 404
			}
			a := c.put("/api/maquinas/actualizar", object{"codigo_equipo": codigo, "tipo_equipo": tipo, "estado_actual": estado, "area": area, "fecha": dia, "usuario": usuario})
			if expect(t, a, want) {
				old.tipo, old.estado = cmp.Or(someTypes[tipo], old.tipo), cmp.Or(someStates[estado], old.estado)
				old.area, old.fecha, old.usuario = cmp.Or(area, old.area), cmp.Or(dia, old.fecha), cmp.Or(usuario, old.usuario)
			}
		},
		"eliminar": func(t *rapid.T) {
			codigo := pick(t, "codigo", someCodes)
			k := clave.Of(codigo)
			want := 200
			if m.machines[k] == nil {
				want = 404
			}
			path := "/api/maquinas/eliminar/" + url.PathEscape(codigo)
			if rapid.Bool().Draw(t, "by query") {
				path = "/api/maquinas/eliminar?codigo=" + url.QueryEscape(codigo)
			}
			expect(t, c.delete(path), want)
			delete(m.machines, k)
		},
		"registrar": func(t *rapid.T) {
			codigo := pick(t, "codigo", someCodes)
			tipo := pick(t, "tipo", []string{"preventivo", "correctivo"})
			dia, observaciones, usuario := pick(t, "fecha", someDays), pick(t, "observaciones", someRemarks), pick(t, "usuario", somePeople)
			body := record(codigo, object{"tipo": strings.ToUpper(tipo), "fecha": dia, "observaciones": observaciones, "usuario": usuario})
			old := m.machines[clave.Of(codigo)]
			want := 201
			if old == nil {
				want = 404
			}
			a := c.post("/api/mantenimientos/agregar", body)
			if expect(t, a, want) {
				r := changed(record(old.codigo), object{"_id": a.object()["_id"], "tipo": tipo, "fecha": dia, "observaciones": observaciones, "usuario": usuario})
				if usuario == "" {
					r["usuario"] = nil
				}
				old.records = append(old.records, r)
			}
		},
		"buscar": func(t *rapid.T) {
			codigo := pick(t, "codigo", someCodes)
			a := c.get("/api/maquinas/buscar?codigo=" + url.QueryEscape(codigo))
			if old := m.machines[clave.Of(codigo)]; old != nil {
				agree(t, a, old.answered())
			} else {
				expect(t, a, 404)
			}
		},
		"historial": func(t *rapid.T) {
			codigo := pick(t, "codigo", someCodes)
			a := c.get("/api/mantenimientos/historial/" + url.PathEscape(codigo))
			if old := m.machines[clave.Of(codigo)]; old != nil {
				agree(t, a, newest(old.records))
			} else {
				expect(t, a, 404)
			}
		},
		"listar filtrado": func(t *rapid.T) {
			area, tipo, desde := pick(t, "area", someAreas), pickKey(t, "tipo", someTypes), pick(t, "desde", someDays)
			campo, desc := pick(t, "campo", []string{"codigo", "tipo", "estado", "area", "fecha"}), rapid.Bool().Draw(t, "desc")
			limite := rapid.IntRange(1, 4).Draw(t, "limite")
			by := rapid.IntRange(0, 3).Draw(t, "by")
			query, want := url.Values{"limite": {fmt.Sprint(limite)}}, []object{}
			switch by {
			case 1:
				query.Set("area", area)
			case 2:
				query.Set("tipo", tipo)
			case 3:
				query.Set("desde", desde)
			}
			for _, one := range m.sorted() {
				if by == 1 && one.area != area || by == 2 && one.tipo != someTypes[tipo] || by == 3 && one.fecha < desde {
					continue
				}
				want = append(want, one.answered())
			}
			slices.SortStableFunc(want, func(a, b object) int {
				if campo == "codigo" {
					return 0
				}
				return strings.Compare(a[campo].(string), b[campo].(string))
			})
			sentido := "asc"
			if desc { // equal values are ordered by code in the same direction
				sentido = "desc"
				slices.Reverse(want)
			}
			query.Set("orden", campo+":"+sentido)
			got := []object{}
			for path := "/api/maquinas/listar?" + query.Encode(); path != ""; {
				a := c.get(path)
				expect(t, a, 200)
				got = append(got, a.list()...)
				path = a.next()
			}
			sameJSON(t, query.Encode(), got, want)
			if t.Failed() {
				t.FailNow()
			}
		},
		"informe": func(t *rapid.T) {
			part := pick(t, "codigo", append([]string{"", "%", "_", "-"}, someCodes...))
			want := []object{}
			for _, one := range m.sorted() {
				if !strings.Contains(clave.Of(one.codigo), clave.Of(part)) {
					continue
				}
				row := object{"codigo": one.codigo, "tipo": one.tipo, "area": one.area, "estado": one.estado, "fecha_registro": one.fecha,
					"mantenimientos": newest(one.records), "total_mantenimientos": len(one.records), "ultimo_mantenimiento": nil}
				if len(one.records) > 0 {
					row["ultimo_mantenimiento"] = newest(one.records)[0]["fecha"]
				}
				want = append(want, row)
			}
			agree(t, c.get("/api/mantenimientos/informe?codigo="+url.QueryEscape(part)), want)
		},
		"dashboard": func(t *rapid.T) {
			a := c.get("/api/maquinas/dashboard")
			expect(t, a, 200)
			d := a.object()
			estados, tipos, areas, kinds, total := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, 0
			for _, one := range m.machines {
				estados[one.estado]++
				tipos[one.tipo]++
				areas[one.area]++
				for _, r := range one.records {
					kinds[r["tipo"].(string)]++
					total++
				}
			}
			sameJSON(t, "total_maquinas", d["total_maquinas"], len(m.machines))
			sameJSON(t, "maquinas_por_estado", present(d["maquinas_por_estado"]), estados)
			sameJSON(t, "maquinas_por_tipo", present(d["maquinas_por_tipo"]), tipos)
			sameJSON(t, "maquinas_por_area", present(d["maquinas_por_area"]), areas)
			records := d["mantenimientos"].(object)
			sameJSON(t, "mantenimientos.total", records["total"], total)
			sameJSON(t, "mantenimientos.por_tipo", present(records["por_tipo"]), kinds)
			if t.Failed() {
				t.FailNow()
			}
		},
		"": func(t *rapid.T) { // after each of the others
			want := []object{}
			var records []object
			for _, one := range m.sorted() {
				want = append(want, one.answered())
				records = append(records, one.records...)
			}
			agree(t, c.get("/api/maquinas/listar"), want)
			agree(t, c.get("/api/mantenimientos/todos?limite=10000"), newest(records))
		},
	}
}

// present leaves out what is counted as 0, which a dashboard may show or not.
func present(counts any) object {
	o := object{}
	for k, n := range counts.(object) {
		if n != 0.0 {
			o[k] = n
		}
	}
	return o
}

func decoded(a *answer) any {
	var v any
	a.decode(&v)
	return v
}
