package contract_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// browser is the front end that exists: it is served from the same origin, keeps the session's cookie because the browser does,
// reads the token and never sends it, and writes its bodies the way it always has.
func browser(t *testing.T, s *service) *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	c.http.Jar = jar
	c.header = http.Header{
		"Accept":          {"application/json, text/plain, */*"},
		"Accept-Language": {"es-PE,es;q=0.9"},
		"Sec-Fetch-Site":  {"same-origin"},
		"Sec-Fetch-Mode":  {"cors"},
		"Sec-Fetch-Dest":  {"empty"},
		"Origin":          {s.url},
		"Referer":         {s.url + "/"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	return c
}

// TestFrontEnd replays a day of the front end, call by call.
func TestFrontEnd(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		b := browser(t, s)
		const clave = "laboratorio-2026"

		t.Log("The page of registration, which knows no roles.")
		a := b.post("/api/register", `{"nombre_completo":"Estela Farfán Núñez","username":"estela","password":"`+clave+`"}`).want(201)
		same(t, "fields of the answer", len(a.object()), 1)
		if a.object()["mensaje"] == "" {
			t.Error("mensaje is empty")
		}
		b.post("/api/register", `{"nombre_completo":"Otra Estela","username":"ESTELA","password":"`+clave+`"}`).want(409)

		t.Log("The page of login: a refusal shows its detail, a session comes as a cookie.")
		b.post("/api/login", `{"username":"estela","password":"otra-cosa-9"}`).want(401)
		b.get("/api/maquinas/listar").want(401)
		a = b.post("/api/login", `{"username":"Estela","password":"`+clave+`"}`).want(200)
		sameJSON(t, "usuario", a.object()["usuario"], object{"nombre_completo": "Estela Farfán Núñez", "username": "estela", "rol": "usuario"})
		token, _ := a.object()["token"].(string)
		if strings.Count(token, ".") != 2 {
			t.Errorf("token: got %q, want a JWT", token)
		}
		cookies := (&http.Response{Header: a.header}).Cookies()
		if len(cookies) != 1 {
			t.Fatalf("cookies: got %d, want 1", len(cookies))
		}
		if c := cookies[0]; c.Value != token || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" && c.Path != "/api" {
			t.Errorf("cookie: got %q; want the token, HttpOnly, SameSite=Strict, not Secure over plain HTTP", a.header.Get("Set-Cookie"))
		}

		t.Log("The page of machines.")
		a = b.get("/api/maquinas/listar").want(200)
		same(t, "listar of nothing", string(a.body), "[]")
		a = b.post("/api/maquinas/agregar", `{"codigo_equipo":"Lab1-PC-07","tipo_equipo":"Computadora","estado_actual":"Operativo","area":"Laboratorio de Cómputo 1","fecha":"2024-08-19"}`).want(201)
		sameJSON(t, "agregar", a.object(), object{"mensaje": a.object()["mensaje"], "codigo": "Lab1-PC-07"})
		if a.header.Get("Location") == "" {
			t.Error("Location is missing")
		}
		b.get(strings.TrimPrefix(a.header.Get("Location"), s.url)).want(200)
		b.post("/api/maquinas/agregar", `{"codigo_equipo":"LAB1-pc-07","tipo_equipo":"PC","estado_actual":"operativa","area":"x","fecha":"2024-08-19"}`).want(409)
		b.post("/api/maquinas/agregar", `{"codigo_equipo":"Ñ-IMP%2","tipo_equipo":"impresora","estado_actual":"DAÑADO","area":"Biblioteca Central","fecha":"2023-02-01","usuario":""}`).want(201)
		b.post("/api/maquinas/agregar", `{"codigo_equipo":"AUX-1","tipo_equipo":"pc","estado_actual":"mantenimiento","area":"Biblioteca Central","fecha":"2023-02-01","usuario":null,"id":0}`).want(201)
		a = b.get("/api/maquinas/listar").want(200)
		sameJSON(t, "listar", a.list(), []object{
			{"codigo": "AUX-1", "tipo": "PC", "estado": "en mantenimiento", "area": "Biblioteca Central", "fecha": "2023-02-01", "usuario": nil},
			{"codigo": "Lab1-PC-07", "tipo": "PC", "estado": "operativa", "area": "Laboratorio de Cómputo 1", "fecha": "2024-08-19", "usuario": nil},
			{"codigo": "Ñ-IMP%2", "tipo": "IMP", "estado": "fuera de servicio", "area": "Biblioteca Central", "fecha": "2023-02-01", "usuario": nil},
		})

		t.Log("The search box and the form of one machine.")
		a = b.get("/api/maquinas/buscar?codigo=lab1-pc-07").want(200)
		sameJSON(t, "buscar?codigo", a.object(), object{
			"codigo": "Lab1-PC-07", "tipo": "PC", "estado": "operativa", "area": "Laboratorio de Cómputo 1", "fecha": "2024-08-19", "usuario": nil})
		a = b.get("/api/maquinas/buscar?termino=pc").want(200)
		sameList(t, "buscar?termino", a.column("codigo"), []string{"Lab1-PC-07"})
		a = b.get("/api/maquinas/buscar?termino=" + url.QueryEscape("ñ-imp%")).want(200)
		sameList(t, "buscar?termino with signs", a.column("codigo"), []string{"Ñ-IMP%2"})
		a = b.get("/api/maquinas/buscar").want(200)
		same(t, "buscar without parameters", len(a.list()), 3)
		b.get("/api/maquinas/buscar?codigo=NADIE").want(404)
		a = b.put("/api/maquinas/actualizar", `{"codigo_equipo":"LAB1-PC-07","tipo_equipo":"","estado_actual":"dañado","area":"","fecha":"","usuario":""}`).want(200)
		sameJSON(t, "actualizar", a.object(), object{"mensaje": a.object()["mensaje"], "codigo": "Lab1-PC-07"})
		b.put("/api/maquinas/actualizar", `{"codigo_equipo":"lab1-PC-07","area":"Laboratorio de Redes","usuario":"Mateo Acuña"}`).want(200)
		b.put("/api/maquinas/actualizar", `{"codigo_equipo":"lab1-PC-07","usuario":null,"area":null}`).want(200)
		a = b.get("/api/maquinas/buscar?codigo=Lab1-PC-07").want(200)
		sameJSON(t, "after two updates", a.object(), object{
			"codigo": "Lab1-PC-07", "tipo": "PC", "estado": "fuera de servicio", "area": "Laboratorio de Redes", "fecha": "2024-08-19", "usuario": "Mateo Acuña"})
		b.put("/api/maquinas/actualizar", `{"codigo_equipo":"NADIE","estado_actual":"operativo"}`).want(404)

		t.Log("The page of maintenance, on its singular paths.")
		a = b.post("/api/mantenimiento/agregar", `{"codigo_maquina":"LAB1-PC-07","empresa":"TecnoRed del Valle","tecnico":"Hernán Tapia","tipo":"Correctivo","fecha":"2026-01-12","observaciones":"Fuente dañada;\nse cambió."}`).want(201)
		id, _ := a.object()["_id"].(string)
		sameJSON(t, "agregar", a.object(), object{"mensaje": a.object()["mensaje"], "codigo_maquina": "Lab1-PC-07", "_id": id})
		if len(id) != 24 {
			t.Errorf("_id: got %q, want 24 hexadecimal digits", id)
		}
		b.post("/api/mantenimiento/agregar", `{"codigo_maquina":"Lab1-PC-07","empresa":"TecnoRed del Valle","tecnico":"Hernán Tapia","tipo":"preventivo","fecha":"2026-02-12","observaciones":"Limpieza.","usuario":"Estela Farfán"}`).want(201)
		b.post("/api/mantenimiento/agregar", `{"codigo_maquina":"NADIE","empresa":"x","tecnico":"x","tipo":"preventivo","fecha":"2026-02-12","observaciones":"x"}`).want(404)
		a = b.get("/api/mantenimiento/listar/lab1-pc-07").want(200)
		sameList(t, "listar's days", a.column("fecha"), []string{"2026-02-12", "2026-01-12"})
		sameJSON(t, "listar's last", a.list()[1], object{
			"_id": id, "codigo_maquina": "Lab1-PC-07", "empresa": "TecnoRed del Valle", "tecnico": "Hernán Tapia", "tipo": "correctivo",
			"fecha": "2026-01-12", "observaciones": "Fuente dañada;\nse cambió.", "usuario": nil})
		a = b.get("/api/mantenimiento/listar/" + url.PathEscape("ñ-imp%2")).want(200)
		same(t, "listar of a machine without records", string(a.body), "[]")
		a = b.get("/api/mantenimiento/listar/NADIE").want(200)
		same(t, "listar of an unknown machine", string(a.body), "[]")

		t.Log("The general report.")
		a = b.get("/api/mantenimiento/informe-general?codigo=pc").want(200)
		if l := a.list(); len(l) != 1 || l[0]["codigo"] != "Lab1-PC-07" || l[0]["total_mantenimientos"] != 2.0 || l[0]["ultimo_mantenimiento"] != "2026-02-12" {
			t.Errorf("informe-general?codigo=pc: got %s", a.text())
		}
		same(t, "informe-general", len(b.get("/api/mantenimiento/informe-general?codigo=").want(200).list()), 3)

		t.Log("The dashboard.")
		a = b.get("/api/maquinas/dashboard").want(200)
		same(t, "total_maquinas", a.object()["total_maquinas"].(float64), 3)

		t.Log("Deleting is an admin's.")
		b.delete("/api/maquinas/eliminar/Lab1-PC-07").want(403)
		b.post("/api/logout", nil).want(200)
		b.get("/api/maquinas/listar").want(401)
		jefa := browser(t, s)
		jefa.post("/api/login", object{"username": s.config.AdminUsername, "password": string(s.config.AdminPassword)}).want(200)
		a = jefa.delete("/api/maquinas/eliminar/lab1-PC-07").want(200)
		if a.object()["mensaje"] == "" {
			t.Error("mensaje is empty")
		}
		jefa.delete("/api/maquinas/eliminar/" + url.PathEscape("Ñ-IMP%2")).want(200)
		jefa.delete("/api/maquinas/eliminar/Lab1-PC-07").want(404)
		a = jefa.get("/api/mantenimiento/listar/Lab1-PC-07").want(200)
		same(t, "listar of a deleted machine", string(a.body), "[]")
		same(t, "todos after the deletion", string(jefa.get("/api/mantenimientos/todos").want(200).body), "[]")
	})
}

// TestOldPathsAreTheNewOnes compares each old path's answer with that of the path that took its place.
func TestOldPathsAreTheNewOnes(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		s.addRecord(t, "A-1")
		for _, c := range []struct{ old, new string }{
			{"/api/mantenimiento/listar/A-1", "/api/mantenimientos/historial/A-1"},
			{"/api/mantenimiento/listar/A-1?limite=0", "/api/mantenimientos/historial/A-1?limite=0"},
			{"/api/mantenimiento/informe-general?codigo=a", "/api/mantenimientos/informe?codigo=a"},
		} {
			was, is := s.admin.get(c.old), s.admin.get(c.new)
			same(t, c.old, was.status, is.status)
			if is.status == 200 {
				same(t, c.old, string(was.body), string(is.body))
			}
		}
		for _, path := range []string{"/api/mantenimiento/listar/A-1", "/api/mantenimiento/informe-general"} {
			s.anon.get(path).want(401)
			s.admin.do("DELETE", path, nil).want(405)
		}
		for _, path := range []string{"/api/login", "/api/register", "/api/logout", "/api/mantenimiento/agregar"} {
			a := s.admin.get(path).want(405)
			same(t, path+" Allow", strings.ReplaceAll(a.header.Get("Allow"), ", OPTIONS", ""), "POST")
		}
	})
}
