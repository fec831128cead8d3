package contract_test

import (
	"fmt"
	"testing"

	"siglab/app"
)

// call is one request and who may make it: the status for nobody, for a usuario and for an admin.
type call struct {
	method, path string
	body         func(n int) object // n is another number each time
	anon         int
	usuario      int
	admin        int
}

func calls() []call {
	newMachine := func(n int) object { return machine(fmt.Sprintf("ROL-%d", n)) }
	oldMachine := func(int) object { return machine("FIJA-1", object{"estado_actual": "mantenimiento"}) }
	newRecord := func(int) object { return record("FIJA-1") }
	newUser := func(n int) object {
		return object{"nombre_completo": "Persona", "username": fmt.Sprintf("persona%d", n), "password": "contraseña-larga"}
	}
	newAdmin := func(n int) object { return changed(newUser(n), object{"rol": "admin"}) }
	badLogin := func(int) object { return object{"username": "nadie", "password": "equivocada"} }
	return []call{
		{"POST", "/api/auth/login", badLogin, 401, 401, 401},
		{"POST", "/api/login", badLogin, 401, 401, 401},
		{"POST", "/api/auth/register", newUser, 201, 201, 201},
		{"POST", "/api/register", newUser, 201, 201, 201},
		{"POST", "/api/auth/register", newAdmin, 403, 403, 201},
		{"POST", "/api/register", newAdmin, 403, 403, 201},
		{"GET", "/api/auth/usuarios/activos", nil, 401, 200, 200},
		{"GET", "/api/maquinas/listar", nil, 401, 200, 200},
		{"POST", "/api/maquinas/agregar", newMachine, 401, 201, 201},
		{"GET", "/api/maquinas/buscar?codigo=FIJA-1", nil, 401, 200, 200},
		{"GET", "/api/maquinas/buscar?termino=F", nil, 401, 200, 200},
		{"PUT", "/api/maquinas/actualizar", oldMachine, 401, 200, 200},
		{"DELETE", "/api/maquinas/eliminar?codigo=NADIE", nil, 401, 403, 404},
		{"DELETE", "/api/maquinas/eliminar/NADIE", nil, 401, 403, 404},
		{"GET", "/api/maquinas/dashboard", nil, 401, 200, 200},
		{"GET", "/api/mantenimientos/historial/FIJA-1", nil, 401, 200, 200},
		{"POST", "/api/mantenimientos/agregar", newRecord, 401, 201, 201},
		{"GET", "/api/mantenimientos/informe", nil, 401, 200, 200},
		{"GET", "/api/mantenimientos/todos", nil, 401, 200, 200},
		{"GET", "/api/mantenimiento/listar/FIJA-1", nil, 401, 200, 200},
		{"POST", "/api/mantenimiento/agregar", newRecord, 401, 201, 201},
		{"GET", "/api/mantenimiento/informe-general", nil, 401, 200, 200},
		{"GET", "/api/sistema/health", nil, 200, 200, 200},
		{"GET", "/api/sistema/metrics", nil, 401, 403, 200},
		{"GET", "/openapi.json", nil, 200, 200, 200},
		{"GET", "/docs", nil, 200, 200, 200},
	}
}

func TestRoles(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		usuario := s.newUser(t, "tomas")
		s.addMachine(t, "FIJA-1")
		n := 0
		for _, c := range calls() {
			for _, who := range []struct {
				name   string
				client *client
				want   int
			}{{"nobody", s.anon, c.anon}, {"usuario", usuario, c.usuario}, {"admin", s.admin, c.admin}} {
				var body any
				if n++; c.body != nil {
					body = c.body(n)
				}
				if a := who.client.do(c.method, c.path, body); a.status != who.want {
					t.Errorf("%s %s as %s: got %d %s, want %d", c.method, c.path, who.name, a.status, a.text(), who.want)
				}
			}
		}
		t.Run("logout", func(t *testing.T) {
			s.anon.in(t).post("/api/auth/logout", nil).want(401)
			usuario.in(t).post("/api/auth/logout", nil).want(200)
			usuario.in(t).post("/api/auth/logout", nil).want(401)
		})
		t.Run("admin made by an admin", func(t *testing.T) {
			s.admin.in(t).post("/api/auth/register", object{"nombre_completo": "Zoe Rivas", "username": "zoe", "password": "contraseña-larga", "rol": "ADMIN"}).want(201)
			zoe := s.login(t, "zoe", "contraseña-larga")
			s.addMachine(t, "BORRAR-1")
			zoe.delete("/api/maquinas/eliminar?codigo=borrar-1").want(200)
		})
	})
}

// TestRolesWithoutSessions has AUTH_REQUIRED=false: reads and writes are anyone's, the admin's calls stay the admin's.
func TestRolesWithoutSessions(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "FIJA-1")
		for n, c := range calls() {
			want := c.usuario
			if c.admin != c.usuario { // an admin's alone
				want = c.anon
			}
			var body any
			if c.body != nil {
				body = c.body(n)
			}
			if a := s.anon.do(c.method, c.path, body); a.status != want {
				t.Errorf("%s %s as nobody: got %d %s, want %d", c.method, c.path, a.status, a.text(), want)
			}
		}
		s.admin.delete("/api/maquinas/eliminar?codigo=FIJA-1").want(200)
		s.anon.post("/api/auth/logout", nil).want(401)
	}, func(c *app.Config) { c.AuthRequired = false })
}

func TestMetricsInPublic(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		if a := s.anon.get("/api/sistema/metrics").want(200); len(a.body) == 0 {
			t.Error("no metrics")
		}
	}, func(c *app.Config) { c.MetricsPublic = true })
}
