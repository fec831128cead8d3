package contract_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestInforme(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		same(t, "informe of nothing", strings.TrimSpace(string(s.admin.get("/api/mantenimientos/informe").want(200).body)), "[]")
		s.addMachine(t, "pc-2", object{"area": "Tesorería", "fecha": "2022-04-01", "estado_actual": "dañada"})
		s.addMachine(t, "IMP-1", object{"tipo_equipo": "impresora", "fecha": "2021-01-15"})
		s.addMachine(t, "PC-1")
		old := s.addRecord(t, "pc-2", object{"fecha": "2023-01-01"})
		newest := s.addRecord(t, "PC-2", object{"fecha": "2024-12-31", "usuario": nil, "tipo": "correctivo"})
		middle := s.addRecord(t, "Pc-2", object{"fecha": "2023-06-15"})

		a := s.admin.get("/api/mantenimientos/informe").want(200)
		same(t, "Content-Type", a.header.Get("Content-Type"), "application/json")
		rows := a.list()
		sameList(t, "machines", a.column("codigo"), []string{"IMP-1", "PC-1", "pc-2"})
		sameJSON(t, "a machine without records", rows[0], object{
			"codigo": "IMP-1", "tipo": "IMP", "area": "Biblioteca Central", "estado": "operativa", "fecha_registro": "2021-01-15",
			"mantenimientos": []any{}, "total_mantenimientos": 0, "ultimo_mantenimiento": nil})
		history := s.admin.get("/api/mantenimientos/historial/pc-2").want(200)
		sameList(t, "historial", history.column("_id"), []string{newest, middle, old})
		sameJSON(t, "a machine with records", rows[2], object{
			"codigo": "pc-2", "tipo": "PC", "area": "Tesorería", "estado": "fuera de servicio", "fecha_registro": "2022-04-01",
			"mantenimientos": history.list(), "total_mantenimientos": 3, "ultimo_mantenimiento": "2024-12-31"})

		for query, want := range map[string][]string{
			"?codigo=pc": {"PC-1", "pc-2"}, "?codigo=PC-2": {"pc-2"}, "?codigo=-1": {"IMP-1", "PC-1"}, "?codigo=": {"IMP-1", "PC-1", "pc-2"},
			"?codigo=nadie": {}, "?codigo=%25": {}, "?codigo=_": {},
		} {
			sameList(t, "informe"+query, s.admin.get("/api/mantenimientos/informe"+query).want(200).column("codigo"), want)
		}
	})
}

// TestInformeOfMany is larger than any batch the report is read in.
func TestInformeOfMany(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		const machines = 90
		for i := range machines {
			codigo := fmt.Sprintf("M-%03d", i)
			s.addMachine(t, codigo)
			for range i % 3 {
				s.addRecord(t, codigo)
			}
		}
		rows := s.admin.get("/api/mantenimientos/informe").want(200).list()
		same(t, "rows", len(rows), machines)
		for i, row := range rows {
			same(t, "codigo", row["codigo"].(string), fmt.Sprintf("M-%03d", i))
			same(t, row["codigo"].(string), row["total_mantenimientos"].(float64), float64(i%3))
			same(t, row["codigo"].(string), len(row["mantenimientos"].([]any)), i%3)
		}
	})
}

func TestDashboard(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		empty := s.admin.get("/api/maquinas/dashboard").want(200).object()
		same(t, "total_maquinas of nothing", empty["total_maquinas"].(float64), 0)
		same(t, "months of nothing", len(empty["mantenimientos"].(object)["ultimos_12_meses"].([]any)), 12)
		sameJSON(t, "ultimos_mantenimientos of nothing", empty["ultimos_mantenimientos"], []any{})

		s.addMachine(t, "A-1", object{"area": "Tesorería"})
		s.addMachine(t, "A-2", object{"area": "tesorería", "estado_actual": "mantenimiento"})
		s.addMachine(t, "A-3", object{"area": "Tesorería", "tipo_equipo": "IMP"})
		now := time.Now()
		first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
		last := first.AddDate(0, -1, 10)
		s.addRecord(t, "A-1", object{"fecha": now.Format(time.DateOnly)})
		for range 2 {
			s.addRecord(t, "A-1", object{"fecha": last.Format(time.DateOnly), "tipo": "correctivo"})
		}
		s.addRecord(t, "A-2", object{"fecha": first.AddDate(0, -11, 0).Format(time.DateOnly)})
		s.addRecord(t, "A-2", object{"fecha": first.AddDate(0, -11, -1).Format(time.DateOnly)}) // a day too early for the months
		for i := range 8 {
			s.addRecord(t, "A-3", object{"fecha": fmt.Sprintf("2019-01-%02d", 1+i)})
		}

		d := s.admin.get("/api/maquinas/dashboard").want(200).object()
		same(t, "server_id", d["server_id"].(string), s.config.ServerID)
		at, err := time.Parse(time.RFC3339, d["timestamp"].(string))
		if err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("timestamp: got %v", d["timestamp"])
		}
		same(t, "total_maquinas", d["total_maquinas"].(float64), 3)
		sameJSON(t, "maquinas_por_estado", present(d["maquinas_por_estado"]), object{"operativa": 2, "en mantenimiento": 1})
		sameJSON(t, "maquinas_por_tipo", d["maquinas_por_tipo"], object{"PC": 2, "IMP": 1})
		sameJSON(t, "maquinas_por_area", d["maquinas_por_area"], object{"Tesorería": 2, "tesorería": 1})
		m := d["mantenimientos"].(object)
		same(t, "total", m["total"].(float64), 13)
		sameJSON(t, "por_tipo", m["por_tipo"], object{"preventivo": 11, "correctivo": 2})
		var want []object
		for i := -11; i <= 0; i++ {
			month := object{"mes": first.AddDate(0, i, 0).Format("2006-01"), "preventivo": 0, "correctivo": 0}
			switch i {
			case -11, 0:
				month["preventivo"] = 1
			case -1:
				month["correctivo"] = 2
			}
			want = append(want, month)
		}
		sameJSON(t, "ultimos_12_meses", m["ultimos_12_meses"], want)
		sameJSON(t, "ultimos_mantenimientos", d["ultimos_mantenimientos"],
			s.admin.get("/api/mantenimientos/todos?limite=10").want(200).list())
	})
}

// TestDeletionTakesTheRecordsAlong, and a machine registered anew under the code does not find them.
func TestDeletionTakesTheRecordsAlong(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		s.addMachine(t, "B-2")
		s.addRecord(t, "a-1")
		s.addRecord(t, "A-1")
		s.addRecord(t, "B-2")
		s.admin.delete("/api/maquinas/eliminar?codigo=a-1").want(200)
		s.admin.get("/api/mantenimientos/historial/A-1").want(404)
		s.admin.post("/api/mantenimientos/agregar", record("A-1")).want(404)
		same(t, "records", len(s.admin.get("/api/mantenimientos/todos").want(200).list()), 1)
		s.addMachine(t, "a-1")
		same(t, "historial of the new machine", string(s.admin.get("/api/mantenimientos/historial/A-1").want(200).body), "[]")
		s.addRecord(t, "A-1")
		sameList(t, "code of a new record", s.admin.get("/api/mantenimientos/historial/A-1").want(200).column("codigo_maquina"), []string{"a-1"})
	})
}
