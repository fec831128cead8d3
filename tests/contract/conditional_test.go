package contract_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestConditionalWrites(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		tag := func() string { return s.admin.get("/api/maquinas/buscar?codigo=a-1").want(200).header.Get("ETag") }
		area := func() string {
			return s.admin.get("/api/maquinas/buscar?codigo=a-1").want(200).object()["area"].(string)
		}
		update := func(header, area string) *answer {
			return s.admin.with("If-Match", header).put("/api/maquinas/actualizar", object{"codigo_equipo": "A-1", "area": area})
		}
		first := tag()
		update(first, "Uno").want(200)
		second := tag()
		if first == second {
			t.Fatal("the ETag did not change with the machine")
		}
		for _, stale := range []string{first, `"otra"`, "W/" + second, `"a", "b"`} {
			update(stale, "Perdido").want(412)
		}
		same(t, "area after refused updates", area(), "Uno")
		update(`"otra", `+second, "Dos").want(200)
		update("*", "Tres").want(200)
		same(t, "area", area(), "Tres")

		t.Log("An update's own answer carries the new ETag, so that the next one needs no read.")
		a := update(tag(), "Cuatro").want(200)
		if got, want := a.header.Get("ETag"), tag(); got != want {
			t.Errorf("ETag of an update: got %q, want %q", got, want)
		}

		t.Log("Without If-Match the last write wins.")
		s.admin.put("/api/maquinas/actualizar", object{"codigo_equipo": "A-1", "area": "Cinco"}).want(200)
		same(t, "area", area(), "Cinco")

		s.admin.with("If-Match", first).delete("/api/maquinas/eliminar/A-1").want(412)
		s.admin.with("If-Match", first).delete("/api/maquinas/eliminar?codigo=A-1").want(412)
		s.admin.with("If-Match", "*").put("/api/maquinas/actualizar", object{"codigo_equipo": "NADIE"}).want(404)
		s.admin.with("If-Match", tag()).delete("/api/maquinas/eliminar/A-1").want(200)

		t.Log("A machine that is registered anew is another one.")
		s.addMachine(t, "A-1")
		if tag() == first {
			t.Error("the new machine has the ETag of the old one")
		}
		update(first, "Perdido").want(412)
	})
}

// TestOnlyOneOfManyWritersWins has writers who all read the same state.
func TestOnlyOneOfManyWritersWins(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		for round := range 5 {
			tag := s.admin.get("/api/maquinas/buscar?codigo=A-1").want(200).header.Get("ETag")
			var won atomic.Int32
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					a, err := s.admin.with("If-Match", tag).try(t.Context(), "PUT", "/api/maquinas/actualizar",
						object{"codigo_equipo": "A-1", "area": fmt.Sprintf("Ronda %d, de %d", round, i)})
					switch {
					case err != nil:
						t.Error(err)
					case a.status == 200:
						won.Add(1)
					case a.status != 412:
						t.Errorf("got %d %s, want 200 or 412", a.status, a.text())
					}
				})
			}
			all.Wait()
			same(t, "writers who won", won.Load(), 1)
		}
	})
}

// TestOnlyOneRegistersACode has callers who register one code at once, each in a case of its own.
func TestOnlyOneRegistersACode(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		var added atomic.Int32
		var all sync.WaitGroup
		for _, codigo := range []string{"cañón-1", "CAÑÓN-1", "Cañón-1", "can\u0303o\u0301n-1", "CAN\u0303O\u0301N-1", "cAÑÓN-1"} {
			all.Go(func() {
				a, err := s.admin.try(t.Context(), "POST", "/api/maquinas/agregar", machine(codigo))
				switch {
				case err != nil:
					t.Error(err)
				case a.status == 201:
					added.Add(1)
				case a.status != 409:
					t.Errorf("got %d %s, want 201 or 409", a.status, a.text())
				}
			})
		}
		all.Wait()
		same(t, "added", added.Load(), 1)
		same(t, "machines", len(s.admin.get("/api/maquinas/listar").want(200).list()), 1)
	})
}
