package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// client calls the service through a proxy that listens at base and routes by host.
type client struct {
	base, host, token string
	http              *http.Client
}

// answer is what came back.
type answer struct {
	status int
	server string
	header http.Header
	body   []byte
}

// call sends one request. The error is one of transport; any status is an answer.
func (c *client) call(method, path string, body any, headers ...string) (answer, error) {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.base+path, send)
	if err != nil {
		return answer{}, err
	}
	req.Host = c.host
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("X-Server-ID"), res.Header, got}, err
}

// want is call for one expected status, decoded into v unless that is nil.
func (c *client) want(t *testing.T, status int, method, path string, body, v any, headers ...string) answer {
	t.Helper()
	a, err := c.call(method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		t.Fatalf("%s %s answers %d, want %d: %s", method, path, a.status, status, a.body)
	}
	if v != nil {
		if err := json.Unmarshal(a.body, v); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return a
}

// login opens a session and keeps its token.
func (c *client) login(t *testing.T, username, password string) {
	t.Helper()
	var session struct{ Token string }
	c.want(t, 200, "POST", "/api/auth/login", map[string]string{"username": username, "password": password}, &session)
	if session.Token == "" {
		t.Fatal("the login gave no token")
	}
	c.token = session.Token
}

func machine(codigo, area string) map[string]string {
	return map[string]string{"codigo_equipo": codigo, "tipo_equipo": "PC", "estado_actual": "operativa", "area": area, "fecha": time.Now().Format(time.DateOnly)}
}

func record(codigo string) map[string]string {
	return map[string]string{"codigo_maquina": codigo, "empresa": "Taller", "tecnico": "T. Quispe", "tipo": "preventivo", "fecha": time.Now().Format(time.DateOnly), "observaciones": "limpieza"}
}

// frontEnd makes the calls that the front end makes, as it makes them: with the session's cookie and from the page's own origin.
func frontEnd(t *testing.T, base, host, username, password, codigo string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{base: base, host: host, http: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
	own := []string{"Origin", "http://" + host, "Sec-Fetch-Site", "same-origin"}
	var session struct {
		Token   string
		Usuario struct{ Rol string }
	}
	a := c.want(t, 200, "POST", "/api/auth/login", map[string]string{"username": username, "password": password}, &session, own...)
	if session.Usuario.Rol != "admin" {
		t.Errorf("%s logs in as %q, want admin", username, session.Usuario.Rol)
	}
	// The cookie's host is the name in the request, and the jar goes by the address: hand it over.
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(u, (&http.Response{Header: a.header}).Cookies())
	if len(jar.Cookies(u)) == 0 {
		t.Fatal("the login set no cookie")
	}
	c.want(t, 201, "POST", "/api/maquinas/agregar", machine(codigo, "Redes"), nil, own...)
	var list []struct{ Codigo, Area, Estado string }
	c.want(t, 200, "GET", "/api/maquinas/listar", nil, &list, own...)
	c.want(t, 200, "PUT", "/api/maquinas/actualizar", map[string]string{"codigo_equipo": codigo, "tipo_equipo": "", "estado_actual": "mantenimiento", "area": "", "fecha": ""}, nil, own...)
	var one struct{ Codigo, Area, Estado string }
	c.want(t, 200, "GET", "/api/maquinas/buscar?codigo="+strings.ToLower(codigo), nil, &one, own...)
	if one.Codigo != codigo || one.Area != "Redes" || one.Estado != "en mantenimiento" {
		t.Errorf("after the update the machine is %+v", one)
	}
	c.want(t, 201, "POST", "/api/mantenimiento/agregar", record(codigo), nil, own...)
	var history []struct{ Tecnico string }
	c.want(t, 200, "GET", "/api/mantenimientos/historial/"+codigo, nil, &history, own...)
	if len(history) != 1 {
		t.Errorf("the history has %d records, want 1", len(history))
	}
	var report []struct {
		Total int `json:"total_mantenimientos"`
	}
	c.want(t, 200, "GET", "/api/mantenimientos/informe?codigo="+codigo, nil, &report, own...)
	if len(report) != 1 || report[0].Total != 1 {
		t.Errorf("the report is %+v, want one machine with one record", report)
	}
	c.want(t, 200, "GET", "/api/maquinas/dashboard", nil, nil, own...)
	c.want(t, 200, "GET", "/api/mantenimientos/todos", nil, nil, own...)
	c.want(t, 200, "GET", "/api/auth/usuarios/activos", nil, nil, own...)
	c.want(t, 200, "DELETE", "/api/maquinas/eliminar/"+codigo, nil, nil, own...)
	c.want(t, 404, "GET", "/api/maquinas/buscar?codigo="+codigo, nil, nil, own...)
	c.want(t, 200, "GET", "/openapi.json", nil, nil)
	c.want(t, 200, "POST", "/api/auth/logout", nil, nil, own...)
	c.want(t, 401, "GET", "/api/maquinas/listar", nil, nil, "Authorization", "Bearer "+session.Token)
}

// servers asks until n different instances have answered.
func servers(t *testing.T, c *client, n int) []string {
	t.Helper()
	seen := map[string]bool{}
	var names []string
	until(t, time.Minute, fmt.Sprintf("answers of %d instances", n), func() (bool, string) {
		a := c.want(t, 200, "GET", "/api/sistema/health", nil, nil)
		if !seen[a.server] {
			seen[a.server] = true
			names = append(names, a.server)
		}
		return len(names) >= n, strings.Join(names, ", ")
	})
	return names
}
