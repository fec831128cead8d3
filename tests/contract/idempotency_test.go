package contract_test

import (
	"fmt"
	"sync"
	"testing"
)

func TestIdempotencyKeyOfMachines(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		other := s.newUser(t, "ines")
		keyed := s.admin.with("Idempotency-Key", "7f0c5f0e-1")
		first := keyed.post("/api/maquinas/agregar", machine("A-1")).want(201)
		for range 3 {
			again := keyed.post("/api/maquinas/agregar", machine("A-1")).want(201)
			same(t, "body of a replay", string(again.body), string(first.body))
			same(t, "Location of a replay", again.header.Get("Location"), first.header.Get("Location"))
		}
		keyed.post("/api/maquinas/agregar", machine("B-2")).want(422)
		keyed.post("/api/maquinas/agregar", machine("A-1", object{"area": "Tesorería"})).want(422)
		s.admin.post("/api/maquinas/agregar", machine("A-1")).want(409)
		same(t, "machines", len(s.admin.get("/api/maquinas/listar").want(200).list()), 1)

		t.Log("A key is its user's and its route's.")
		other.with("Idempotency-Key", "7f0c5f0e-1").post("/api/maquinas/agregar", machine("C-3")).want(201)
		keyed.post("/api/mantenimientos/agregar", record("A-1")).want(201)

		t.Log("A refused attempt does not use its key up.")
		k := s.admin.with("Idempotency-Key", "intento")
		k.post("/api/maquinas/agregar", machine("D-4", object{"fecha": "ayer"})).want(422)
		k.post("/api/maquinas/agregar", machine("a-1")).want(409)
		k.post("/api/maquinas/agregar", machine("D-4")).want(201)
		k.post("/api/maquinas/agregar", machine("D-4")).want(201)
	})
}

func TestIdempotencyKeyOfRecords(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		keyed := s.admin.with("Idempotency-Key", "visita-12-de-marzo")
		first := keyed.post("/api/mantenimientos/agregar", record("A-1")).want(201)
		same(t, "body of a replay", string(keyed.post("/api/mantenimientos/agregar", record("A-1")).want(201).body), string(first.body))
		keyed.post("/api/mantenimientos/agregar", record("A-1", object{"observaciones": "Otra cosa."})).want(422)
		same(t, "records", len(s.admin.get("/api/mantenimientos/historial/A-1").want(200).list()), 1)
		k := s.admin.with("Idempotency-Key", "intento")
		k.post("/api/mantenimientos/agregar", record("NADIE")).want(404)
		k.post("/api/mantenimientos/agregar", record("A-1", object{"tipo": "otro"})).want(422)
		s.addMachine(t, "NADIE")
		k.post("/api/mantenimientos/agregar", record("NADIE")).want(201)
		same(t, "all records", len(s.admin.get("/api/mantenimientos/todos").want(200).list()), 2)
	})
}

// TestIdempotencyKeyAtTheSameTime sends one request many times at once, as an impatient proxy does.
func TestIdempotencyKeyAtTheSameTime(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "FIJA-1")
		for round := range 5 {
			for path, body := range map[string]object{
				"/api/maquinas/agregar":       machine(fmt.Sprintf("A-%d", round)),
				"/api/mantenimientos/agregar": record("FIJA-1", object{"observaciones": fmt.Sprintf("Ronda %d.", round)}),
			} {
				keyed := s.admin.with("Idempotency-Key", fmt.Sprintf("%s-%d", path, round))
				var mu sync.Mutex
				bodies := map[string]int{}
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						a, err := keyed.try(t.Context(), "POST", path, body)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						bodies[fmt.Sprint(a.status, " ", string(a.body))]++
					})
				}
				all.Wait()
				if len(bodies) != 1 {
					t.Errorf("%s: got answers %v, want one and the same", path, bodies)
				}
				for got := range bodies {
					same(t, path, got[:3], "201")
				}
			}
		}
		same(t, "machines", len(s.admin.get("/api/maquinas/listar").want(200).list()), 6)
		same(t, "records", len(s.admin.get("/api/mantenimientos/todos").want(200).list()), 5)
	})
}
