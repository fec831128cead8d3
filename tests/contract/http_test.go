package contract_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"siglab/app"
)

func TestCompression(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		small := s.admin.with("Accept-Encoding", "gzip").get("/api/maquinas/buscar?codigo=A-1").want(200)
		same(t, "Content-Encoding of a small answer", small.header.Get("Content-Encoding"), "")
		for i := range 40 {
			s.addMachine(t, fmt.Sprintf("B-%02d", i))
			s.addRecord(t, fmt.Sprintf("B-%02d", i))
		}
		unpack := map[string]func(io.Reader) (io.Reader, error){
			"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
			"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
		}
		for _, path := range []string{
			"/api/maquinas/listar", "/api/maquinas/listar?limite=30", "/api/maquinas/buscar?termino=b", "/api/mantenimientos/todos",
			"/api/mantenimientos/informe", "/openapi.json",
		} {
			plain := s.admin.get(path).want(200)
			same(t, path+" Content-Encoding without asking", plain.header.Get("Content-Encoding"), "")
			if !strings.Contains(strings.Join(plain.header.Values("Vary"), ","), "Accept-Encoding") {
				t.Errorf("%s: Vary: got %q, want Accept-Encoding among them", path, plain.header.Values("Vary"))
			}
			for encoding, open := range unpack {
				if path == "/api/mantenimientos/informe" && encoding == "zstd" {
					continue // a stream is packed by gzip alone
				}
				a := s.admin.with("Accept-Encoding", encoding).get(path).want(200)
				if got := a.header.Get("Content-Encoding"); got != encoding {
					t.Errorf("%s: Content-Encoding: got %q, want %q", path, got, encoding)
					continue
				}
				if len(a.body) >= len(plain.body) {
					t.Errorf("%s: %d bytes with %s, %d without", path, len(a.body), encoding, len(plain.body))
				}
				r, err := open(bytes.NewReader(a.body))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, plain.body) {
					t.Errorf("%s: %s unpacks to something else", path, encoding)
				}
			}
			for _, refuses := range []string{"identity", "gzip;q=0, zstd;q=0", "br", ""} {
				a := s.admin.with("Accept-Encoding", refuses).get(path).want(200)
				same(t, path+" with Accept-Encoding "+refuses, a.header.Get("Content-Encoding"), "")
			}
		}
	})
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		for _, c := range []struct {
			method, path string
			status       int
		}{
			{"GET", "/api/maquinas/listar", 200},
			{"GET", "/api/maquinas/buscar?codigo=NADIE", 404},
			{"GET", "/api/mantenimientos/informe", 200},
			{"POST", "/api/maquinas/agregar", 400},
			{"GET", "/api/nada", 404},
			{"PATCH", "/api/maquinas/listar", 405},
			{"GET", "/api/sistema/health", 200},
			{"GET", "/api/sistema/metrics", 200},
			{"GET", "/docs", 200},
			{"GET", "/openapi.json", 200},
		} {
			a := s.admin.do(c.method, c.path, nil)
			if a.status != c.status {
				t.Errorf("%s: got %d, want %d", a.request, a.status, c.status)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block", "X-Server-ID": s.config.ServerID,
			} {
				same(t, a.request+" "+name, a.header.Get(name), want)
			}
			for _, name := range []string{"Content-Security-Policy", "Referrer-Policy", "X-Request-ID"} {
				if a.header.Get(name) == "" {
					t.Errorf("%s: %s is missing", a.request, name)
				}
			}
			for _, name := range []string{"Strict-Transport-Security", "Server", "X-Powered-By"} {
				if v := a.header.Get(name); v != "" {
					t.Errorf("%s: %s: got %q over plain HTTP, want none", a.request, name, v)
				}
			}
			if strings.HasPrefix(c.path, "/api") && !strings.Contains(a.header.Get("Cache-Control"), "no-") && !strings.Contains(a.header.Get("Cache-Control"), "private") {
				t.Errorf("%s: Cache-Control: got %q; a shared cache must not keep it", a.request, a.header.Get("Cache-Control"))
			}
		}
	})
}

// TestBehindTLS has a trusted proxy that ends TLS, and a caller who only says so.
func TestBehindTLS(t *testing.T) {
	var proxy app.Prefix
	if err := proxy.Decode("127.0.0.0/8"); err != nil {
		t.Fatal(err)
	}
	login := func(s *service) *answer {
		return s.anon.with("X-Forwarded-Proto", "https").with("X-Forwarded-For", "203.0.113.7").
			post("/api/auth/login", object{"username": s.config.AdminUsername, "password": string(s.config.AdminPassword)}).want(200)
	}
	t.Run("trusted", func(t *testing.T) {
		each(t, func(t *testing.T, s *service) {
			a := login(s)
			if !strings.Contains(a.header.Get("Set-Cookie"), "; Secure") {
				t.Errorf("Set-Cookie: got %q, want Secure", a.header.Get("Set-Cookie"))
			}
			if !strings.Contains(a.header.Get("Strict-Transport-Security"), "max-age=") {
				t.Errorf("Strict-Transport-Security: got %q", a.header.Get("Strict-Transport-Security"))
			}
		}, func(c *app.Config) { c.TrustedProxies = []app.Prefix{proxy} })
	})
	t.Run("not trusted", func(t *testing.T) {
		each(t, func(t *testing.T, s *service) {
			a := login(s)
			if strings.Contains(a.header.Get("Set-Cookie"), "Secure") || a.header.Get("Strict-Transport-Security") != "" {
				t.Errorf("a stranger's X-Forwarded-Proto was believed: %q", a.header)
			}
		})
	})
}

// TestForwardedAddressesCountForLimits: behind a trusted proxy each client has its own limit; elsewhere nobody escapes one by a header.
func TestForwardedAddressesCountForLimits(t *testing.T) {
	var proxy app.Prefix
	if err := proxy.Decode("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	spread := func(s *service) (limited bool) {
		for i := range 8 {
			a := s.anon.with("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i)).
				post("/api/auth/login", object{"username": fmt.Sprintf("persona%d", i), "password": "equivocada"})
			limited = limited || a.status == 429
		}
		return limited
	}
	few := func(c *app.Config) { c.LoginRateAddress = 3 }
	each(t, func(t *testing.T, s *service) {
		if spread(s) {
			t.Error("clients behind the proxy share one limit")
		}
	}, few, func(c *app.Config) { c.TrustedProxies = []app.Prefix{proxy} })
	each(t, func(t *testing.T, s *service) {
		if !spread(s) {
			t.Error("a header of the client's own got it past the limit")
		}
	}, few)
}

func TestCORS(t *testing.T) {
	const listed, unlisted = "https://siglab.example.edu", "https://malo.example"
	each(t, func(t *testing.T, s *service) {
		preflight := func(origin string) *answer {
			return s.anon.with("Origin", origin).with("Access-Control-Request-Method", "PUT").
				with("Access-Control-Request-Headers", "authorization,content-type,if-match").do("OPTIONS", "/api/maquinas/actualizar", nil)
		}
		a := preflight(listed)
		if a.status != 204 && a.status != 200 {
			t.Errorf("preflight: got %d, want 204", a.status)
		}
		same(t, "Access-Control-Allow-Origin", a.header.Get("Access-Control-Allow-Origin"), listed)
		if !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PUT") {
			t.Errorf("Access-Control-Allow-Methods: got %q", a.header.Get("Access-Control-Allow-Methods"))
		}
		for _, name := range []string{"authorization", "content-type", "if-match"} {
			if !strings.Contains(strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), name) {
				t.Errorf("Access-Control-Allow-Headers: got %q, want %s too", a.header.Get("Access-Control-Allow-Headers"), name)
			}
		}
		a = s.admin.with("Origin", listed).get("/api/maquinas/listar").want(200)
		same(t, "Access-Control-Allow-Origin", a.header.Get("Access-Control-Allow-Origin"), listed)
		for _, name := range []string{"X-Total-Count", "Link", "ETag", "X-Request-ID", "Retry-After", "Location"} {
			if !strings.Contains(strings.ToLower(a.header.Get("Access-Control-Expose-Headers")), strings.ToLower(name)) {
				t.Errorf("Access-Control-Expose-Headers: got %q, want %s too", a.header.Get("Access-Control-Expose-Headers"), name)
			}
		}
		a = s.admin.with("Origin", listed).get("/api/maquinas/buscar?codigo=NADIE").want(404)
		same(t, "Access-Control-Allow-Origin of an error", a.header.Get("Access-Control-Allow-Origin"), listed)
		for _, origin := range []string{unlisted, "null", listed + ".malo.example", "http://siglab.example.edu"} {
			same(t, "Access-Control-Allow-Origin for "+origin, preflight(origin).header.Get("Access-Control-Allow-Origin"), "")
			a = s.admin.with("Origin", origin).get("/api/maquinas/listar").want(200)
			same(t, "Access-Control-Allow-Origin for "+origin, a.header.Get("Access-Control-Allow-Origin"), "")
		}
		if v := strings.Join(a.header.Values("Vary"), ","); !strings.Contains(v, "Origin") {
			t.Errorf("Vary: got %q, want Origin too", v)
		}
	}, func(c *app.Config) { c.CORSOrigins = []string{listed} })

	t.Run("none listed", func(t *testing.T) {
		s := start(t, sqliteConfig(t))
		a := s.admin.with("Origin", listed).get("/api/maquinas/listar").want(200)
		same(t, "Access-Control-Allow-Origin", a.header.Get("Access-Control-Allow-Origin"), "")
	})
}

func TestRequestID(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		good := "k6-" + rand.Text()
		same(t, "a client's own", s.anon.with("X-Request-ID", good).get("/api/maquinas/listar").want(401).header.Get("X-Request-ID"), good)
		seen := map[string]bool{}
		for _, bad := range []string{"", "<script>", strings.Repeat("a", 500), "a b", `"`, "ñ"} {
			id := s.anon.with("X-Request-ID", bad).get("/api/maquinas/listar").want(401).header.Get("X-Request-ID")
			if id == bad || id == "" || seen[id] || !regexp.MustCompile(`^[A-Za-z0-9._-]{8,128}$`).MatchString(id) {
				t.Errorf("X-Request-ID for %q: got %q, want a new one", bad, id)
			}
			seen[id] = true
		}
	})
}

func TestMethods(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		s.addRecord(t, "A-1")
		for path, want := range map[string][]string{
			"/api/auth/login": {"POST"}, "/api/auth/register": {"POST"}, "/api/auth/logout": {"POST"}, "/api/auth/usuarios/activos": {"GET"},
			"/api/maquinas/listar": {"GET"}, "/api/maquinas/agregar": {"POST"}, "/api/maquinas/buscar": {"GET"}, "/api/maquinas/actualizar": {"PUT"},
			"/api/maquinas/eliminar": {"DELETE"}, "/api/maquinas/eliminar/A-1": {"DELETE"}, "/api/maquinas/dashboard": {"GET"},
			"/api/mantenimientos/historial/A-1": {"GET"}, "/api/mantenimientos/agregar": {"POST"}, "/api/mantenimientos/informe": {"GET"},
			"/api/mantenimientos/todos": {"GET"}, "/api/sistema/health": {"GET"}, "/api/sistema/metrics": {"GET"},
			"/docs": {"GET"}, "/openapi.json": {"GET"},
		} {
			if want[0] == "GET" {
				want = append(want, "HEAD")
			}
			allowed := func(a *answer) []string {
				var methods []string
				for _, m := range strings.Split(a.header.Get("Allow"), ",") {
					if m = strings.TrimSpace(m); m != "OPTIONS" {
						methods = append(methods, m)
					}
				}
				slices.Sort(methods)
				return methods
			}
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get"} {
				if slices.Contains(want, method) {
					continue
				}
				a := s.admin.do(method, path, nil).want(405)
				sameList(t, a.request+" Allow", allowed(a), want)
			}
			a := s.admin.do("OPTIONS", path, nil)
			if a.status != 204 && a.status != 200 {
				t.Errorf("%s: got %d, want 204", a.request, a.status)
			}
			sameList(t, a.request+" Allow", allowed(a), want)
			if want[0] != "GET" {
				continue
			}
			get, head := s.admin.get(path).want(200), s.admin.do("HEAD", path, nil).want(200)
			if len(head.body) != 0 {
				t.Errorf("%s: a body of %d bytes", head.request, len(head.body))
			}
			for _, name := range []string{"Content-Type", "ETag", "X-Total-Count"} {
				if name == "ETag" && (path == "/api/maquinas/dashboard" || strings.HasPrefix(path, "/api/sistema")) {
					continue // they tell the time
				}
				same(t, head.request+" "+name, head.header.Get(name), get.header.Get(name))
			}
		}
		s.admin.do("HEAD", "/api/maquinas/buscar?codigo=NADIE", nil).want(404)
		s.anon.do("HEAD", "/api/maquinas/listar", nil).want(401)
	})
}

// TestUnknownPaths: whatever is asked for, the answer is a problem document.
func TestUnknownPaths(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		for _, path := range []string{
			"/", "/api", "/api/", "/api/nada", "/api/maquinas", "/api/maquinas/", "/api/maquinas/listar/", "/API/maquinas/listar", "/maquinas/listar",
			"/api/maquinas/eliminar/A/B", "/api/mantenimientos/historial", "/api/mantenimientos/historial/", "/api/v1/maquinas/listar", "/metrics",
			"/debug/pprof/", "/livez", "/startupz", "/.env", "/api/docs", "/api/openapi.json", "/favicon.ico", "/api//maquinas/listar", "//",
			"/api/maquinas/../maquinas/listar", "/api/%2e%2e/etc/passwd", "/docs/../../etc/passwd", "/api/maquinas/listar%00",
		} {
			for _, c := range []*client{s.anon, s.admin} {
				c.get(path).want(404)
			}
		}
		s.admin.post("/api/nada", "{").want(404)
	})
}

// TestRawRequests sends what no client library would.
func TestRawRequests(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		before := s.snapshot(t)
		auth := "Host: siglab\r\nAuthorization: " + s.admin.header.Get("Authorization") + "\r\n"
		body := `{"codigo_equipo":"CRUDA-1","tipo_equipo":"PC","estado_actual":"operativa","area":"Aula","fecha":"2025-01-01"}`
		for name, c := range map[string]struct {
			request string
			status  int // 0: the connection may end without an answer
		}{
			"a body shorter than its length":   {"POST /api/maquinas/agregar HTTP/1.1\r\n" + auth + "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n" + body, 0},
			"a chunked body that breaks off":   {"POST /api/maquinas/agregar HTTP/1.1\r\n" + auth + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(body), body), 0},
			"chunks that are none":             {"POST /api/maquinas/agregar HTTP/1.1\r\n" + auth + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + body, 400},
			"length and chunks":                {"POST /api/maquinas/agregar HTTP/1.1\r\n" + auth + "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n" + body, 501},
			"two lengths":                      {"POST /api/maquinas/agregar HTTP/1.1\r\n" + auth + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + body, 400},
			"a negative length":                {"POST /api/maquinas/agregar HTTP/1.1\r\n" + auth + "Content-Length: -5\r\n\r\n" + body, 400},
			"no host":                          {"GET /api/maquinas/listar HTTP/1.1\r\n\r\n", 400},
			"two hosts":                        {"GET /api/maquinas/listar HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
			"a header with a space":            {"GET /api/maquinas/listar HTTP/1.1\r\n" + auth + "X-Uno : 1\r\n\r\n", 400},
			"no HTTP":                          {"HOLA\r\n\r\n", 400},
			"a bad escape in the path":         {"GET /api/maquinas/%zz HTTP/1.1\r\n" + auth + "\r\n", 400},
			"100 KiB of headers":               {"GET /api/maquinas/listar HTTP/1.1\r\n" + auth + "X-Mucho: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", 431},
			"an expectation that nobody knows": {"GET /api/maquinas/listar HTTP/1.1\r\n" + auth + "Expect: lluvia\r\n\r\n", 417},
		} {
			t.Run(name, func(t *testing.T) {
				status := sendRaw(t, s, c.request)
				if status >= 200 && status < 300 || status == 500 || c.status != 0 && status != c.status {
					t.Errorf("got %d, want %d", status, c.status)
				}
			})
		}
		same(t, "the data", s.snapshot(t), before)
	})
}

// sendRaw sends bytes, ends its side of the connection, and returns the status, or 0 when there is no answer.
func sendRaw(t *testing.T, s *service, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, request) // the service may hang up before it has read all
	_ = conn.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestHealth(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		eventually(t, "every check to be made", func() bool {
			return s.anon.get("/api/sistema/health").want(200).object()["status"] == "ok"
		})
		h := s.anon.get("/api/sistema/health").want(200).object()
		same(t, "server_id", h["server_id"].(string), s.config.ServerID)
		same(t, "version", h["version"].(string), "prueba")
		checks := h["checks"].(object)
		want := []string{"mysql", "mongodb", "redis"}
		if s.config.DataDir != "" {
			want = []string{"sqlite"}
		}
		same(t, "checks", len(checks), len(want))
		for _, name := range want {
			c, _ := checks[name].(object)
			if _, ok := c["latency_ms"].(float64); !ok || c["status"] != "ok" {
				t.Errorf("check %s: got %v", name, c)
			}
		}
		if up, ok := h["uptime_s"].(float64); !ok || up < 0 {
			t.Errorf("uptime_s: got %v", h["uptime_s"])
		}
		inside := &client{t: t, base: s.internal, http: http.DefaultClient}
		for _, path := range []string{"/livez", "/startupz", "/metrics"} {
			if a := inside.get(path); a.status != 200 {
				t.Errorf("internal %s: got %d, want 200", path, a.status)
			}
		}
	})
}

func TestOpenAPIAndDocs(t *testing.T) {
	s := start(t, sqliteConfig(t))
	a := s.anon.get("/openapi.json").want(200)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	a.decode(&doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi: got %q, want 3.1", doc.OpenAPI)
	}
	for _, path := range []string{"/api/auth/login", "/api/maquinas/eliminar/{codigo}", "/api/mantenimientos/historial/{codigo}", "/api/sistema/health", "/api/login"} {
		if doc.Paths[path] == nil {
			t.Errorf("%s is not in the document", path)
		}
	}
	a = s.anon.get("/docs").want(200)
	if found := regexp.MustCompile(`(src|href)="(https?:)?//[^"]*"`).FindString(string(a.body)); found != "" {
		t.Errorf("/docs loads from elsewhere: %s", found)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(string(a.body), -1) {
		path := m[1]
		if !strings.HasPrefix(path, "/") {
			path = "/docs/" + strings.TrimPrefix(path, "./")
		}
		if got := s.anon.get(path); got.status != 200 || strings.HasPrefix(got.header.Get("Content-Type"), "application/problem") {
			t.Errorf("%s, which /docs loads: got %d", path, got.status)
		}
	}
}
