package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"siglab/app/api"
	"siglab/app/mantenimientos"
	"siglab/app/sistema"
)

// lines keeps a log and tells when a line that a test waits for is there.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// wait returns the first line whose members are these.
func (l *lines) wait(t *testing.T, members map[string]any) map[string]any {
	t.Helper()
	var all []byte
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		all = bytes.Clone(l.b.Bytes())
		l.mu.Unlock()
		for line := range bytes.Lines(all) {
			var m map[string]any
			if json.Unmarshal(line, &m) != nil {
				continue
			}
			fits := true
			for k, v := range members {
				fits = fits && m[k] == v
			}
			if fits {
				return m
			}
		}
	}
	t.Fatalf("no line with %v in:\n%s", members, all)
	return nil
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	s := start(t, options{})
	for _, path := range []string{"/api/maquinas/listar", "/api/sistema/health", "/api/nada", "/api/auth/login", "/docs", "/openapi.json"} {
		a := s.call("GET", path, "", "X-Request-ID", "mi-id.1")
		for name, want := range map[string]string{
			"X-Request-Id": "mi-id.1", "X-Server-Id": "prueba", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "X-Xss-Protection": "1; mode=block", "Strict-Transport-Security": "",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
			}
		}
		if !strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "default-src 'none'") || a.Header.Get("Cache-Control") == "" {
			t.Errorf("%s: headers %v", path, a.Header)
		}
	}
	for _, odd := range []string{"", "a b", strings.Repeat("x", 65), "a\"b"} {
		if got := s.call("GET", "/api/sistema/health", "", "X-Request-ID", odd).Header.Get("X-Request-Id"); got == odd || len(got) != 32 {
			t.Errorf("X-Request-ID %q: got %q, want one of ours", odd, got)
		}
	}
}

func TestOrigins(t *testing.T) {
	if _, err := api.New(api.Config{Origins: []string{"*"}, Telemetry: start(t, options{}).tel, MaxInFlight: 1}); err == nil {
		t.Error("the origin * was accepted")
	}
	s := start(t, options{config: func(c *api.Config) { c.Origins = []string{"https://lab.example"} }})
	s.add("m1")
	a := s.call("GET", "/api/maquinas/listar", "", "Origin", "https://lab.example")
	if a.Header.Get("Access-Control-Allow-Origin") != "https://lab.example" || a.Header.Get("Access-Control-Allow-Credentials") != "true" ||
		!strings.Contains(strings.ToLower(a.Header.Get("Access-Control-Expose-Headers")), "x-total-count") || !strings.Contains(strings.Join(a.Header["Vary"], ","), "Origin") ||
		!strings.Contains(strings.Join(a.Header["Vary"], ","), "Accept-Encoding") {
		t.Errorf("a listed origin: %d %v", a.StatusCode, a.Header)
	}
	if a := s.call("GET", "/api/nada", "", "Origin", "https://lab.example"); a.Header.Get("Access-Control-Allow-Origin") == "" || a.StatusCode != 404 {
		t.Errorf("404 for a listed origin: %d %v", a.StatusCode, a.Header)
	}
	a = s.call("OPTIONS", "/api/maquinas/actualizar", "", "Origin", "https://lab.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,content-type,if-match")
	if a.StatusCode != 204 || a.Header.Get("Access-Control-Allow-Methods") != "PUT" || a.Header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight: %d %v", a.StatusCode, a.Header)
	}
	for _, origin := range []string{"https://otra.example", "null", "http://lab.example"} {
		if a := s.call("GET", "/api/maquinas/listar", "", "Origin", origin); a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("origin %s: %v", origin, a.Header)
		}
	}
}

func TestStartingAndDraining(t *testing.T) {
	s := start(t, options{})
	later := start(t, options{config: func(c *api.Config) { c.Monitor.SetDraining() }})
	a := later.call("GET", "/api/sistema/health", "")
	if a.StatusCode != 503 || a.json(t)["status"] != "draining" || a.Header.Get("Retry-After") == "" {
		t.Errorf("draining: %d %s", a.StatusCode, a.body)
	}
	if a := later.call("GET", "/api/maquinas/listar", ""); a.StatusCode != 200 {
		t.Errorf("a request while draining: %d", a.StatusCode)
	}
	if a := s.call("GET", "/api/sistema/health", ""); a.StatusCode != 200 || a.json(t)["status"] != "ok" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("health: %d %s", a.StatusCode, a.body)
	}
}

func TestStarting(t *testing.T) {
	m := &sistema.Monitor{ServerID: "prueba", Version: "v0", Observe: func(string, bool) {}}
	m.Start(time.Now())
	starting := start(t, options{before: m})
	if a := starting.call("GET", "/api/sistema/health", ""); a.StatusCode != 503 || a.json(t)["status"] != "down" {
		t.Errorf("health while starting: %d %s", a.StatusCode, a.body)
	}
	for _, call := range []string{"GET /api/maquinas/listar", "POST /api/auth/login", "GET /api/mantenimientos/informe", "GET /api/sistema/metrics", "POST /api/logout"} {
		method, path, _ := strings.Cut(call, " ")
		a := starting.call(method, path, "")
		a.problem(t, 503)
		if a.Header.Get("Retry-After") != "2" {
			t.Errorf("%s: Retry-After %q", call, a.Header.Get("Retry-After"))
		}
	}
	m.SetReady()
	if a := starting.call("GET", "/api/sistema/health", ""); a.StatusCode != 200 {
		t.Errorf("health when ready: %d %s", a.StatusCode, a.body)
	}
	starting.admin = starting.login("jefa", starting.password)
	if a := starting.call("GET", "/api/maquinas/listar", ""); a.StatusCode != 200 {
		t.Errorf("a request when ready: %d", a.StatusCode)
	}
}

// broken panics when records are listed.
type broken struct{ mantenimientos.Store }

func (broken) Page(context.Context, mantenimientos.Query) ([]mantenimientos.Mantenimiento, error) {
	panic("se rompió")
}

func TestPanicsAreAnsweredAndLogged(t *testing.T) {
	var log lines
	s := start(t, options{log: &log})
	s.records.Store = broken{s.records.Store}
	a := s.call("GET", "/api/mantenimientos/todos", "", "X-Request-ID", "caida")
	detail := a.problem(t, 500)
	if strings.Contains(string(a.body), "rompió") || detail == "" {
		t.Errorf("body: %s", a.body)
	}
	if m := log.wait(t, map[string]any{"message": "panic", "request_id": "caida"}); !strings.Contains(m["stack"].(string), "mantenimientos") {
		t.Errorf("stack: %v", m["stack"])
	}
	log.wait(t, map[string]any{"message": "request", "request_id": "caida", "status": 500.0, "level": "error", "route": "/api/mantenimientos/todos"})
	if a := s.call("GET", "/api/maquinas/listar", ""); a.StatusCode != 200 {
		t.Errorf("after the panic: %d", a.StatusCode)
	}
}

func TestLog(t *testing.T) {
	var log lines
	s := start(t, options{log: &log, level: "debug"})
	s.call("GET", "/api/mantenimientos/historial/m%201?limite=5", "", "X-Request-ID", "uno", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	m := log.wait(t, map[string]any{"request_id": "uno"})
	for name, want := range map[string]any{"message": "request", "level": "info", "route": "/api/mantenimientos/historial/{codigo}", "method": "GET", "status": 404.0,
		"server_id": "prueba", "client": "127.0.0.1", "user": "jefa", "trace_id": "0af7651916cd43dd8448eb211c80319c"} {
		if m[name] != want {
			t.Errorf("%s: got %v, want %v", name, m[name], want)
		}
	}
	if m["bytes"].(float64) <= 0 || m["duration_ms"].(float64) <= 0 {
		t.Errorf("line: %v", m)
	}
	s.call("GET", "/api/sistema/health", "", "X-Request-ID", "dos")
	if m := log.wait(t, map[string]any{"request_id": "dos"}); m["level"] != "debug" {
		t.Errorf("health: %v", m)
	}
	s.call("GET", "/nada", "", "X-Request-ID", "tres")
	log.wait(t, map[string]any{"request_id": "tres", "route": "unmatched", "status": 404.0})
	// A client that left.
	busy := make(chan struct{}, 1)
	s.machines.delay = func(ctx context.Context) { busy <- struct{}{}; time.Sleep(50 * time.Millisecond) }
	ctx, leave := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", s.server.URL+"/api/maquinas/buscar?codigo=m", nil)
	req.Header.Set("Authorization", "Bearer "+s.admin)
	req.Header.Set("X-Request-ID", "cuatro")
	go func() { <-busy; leave() }()
	if resp, err := s.client().Do(req); err == nil {
		resp.Body.Close()
	}
	log.wait(t, map[string]any{"request_id": "cuatro", "status": 499.0, "level": "info"})
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, secret := range []string{s.password, s.admin} {
		if bytes.Contains(log.b.Bytes(), []byte(secret)) {
			t.Error("the log holds a secret")
		}
	}
}

func TestMetrics(t *testing.T) {
	s := start(t, options{})
	s.call("GET", "/api/maquinas/listar", "", "X-Synthetic", "1")
	s.call("GET", "/api/maquinas/buscar?codigo=x", "")
	s.call("GET", "/nada", "")
	text := string(s.call("GET", "/api/sistema/metrics", "").body)
	for _, want := range []string{
		`http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/maquinas/listar",status_class="2xx",synthetic="true"} 1`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/maquinas/buscar",status_class="4xx",synthetic="false"} 1`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_route="unmatched",status_class="4xx",synthetic="false"} 1`,
		`http_server_active_requests 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

// TestDocsNeedNoNetwork reads the page as a browser would: all that it loads is here, and the policy lets its scripts run.
func TestDocsNeedNoNetwork(t *testing.T) {
	s := start(t, options{})
	a := s.call("GET", "/docs", "", "-Authorization", "")
	page := string(a.body)
	policy := a.Header.Get("Content-Security-Policy")
	if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("got %d %q", a.StatusCode, a.Header.Get("Content-Type"))
	}
	scripts := 0
	for _, part := range strings.Split(page, "<script>")[1:] {
		sum := sha256.Sum256([]byte(part[:strings.Index(part, "</script>")]))
		if !strings.Contains(policy, base64.StdEncoding.EncodeToString(sum[:])) {
			t.Error("the policy forbids a script of the page")
		}
		scripts++
	}
	loaded := 0
	for _, attribute := range []string{`src="`, `href="`} {
		for _, part := range strings.Split(page, attribute)[1:] {
			target := part[:strings.IndexByte(part, '"')]
			if strings.HasPrefix(target, "data:") {
				continue
			}
			if strings.Contains(target, "//") {
				t.Errorf("the page loads %s", target)
				continue
			}
			loaded++
			if a := s.call("GET", target, "", "-Authorization", ""); a.StatusCode != 200 || len(a.body) == 0 {
				t.Errorf("%s: got %d", target, a.StatusCode)
			}
		}
	}
	if scripts == 0 || loaded == 0 || !strings.Contains(page, "/openapi.json") {
		t.Errorf("the page has %d scripts and %d files", scripts, loaded)
	}
	s.call("GET", "/docs/nada.js", "").problem(t, 404)
	spec := s.call("GET", "/openapi.json", "", "-Authorization", "")
	if a := s.call("GET", "/openapi.json", "", "If-None-Match", spec.Header.Get("ETag")); spec.StatusCode != 200 || a.StatusCode != 304 {
		t.Errorf("openapi.json: %d, again %d", spec.StatusCode, a.StatusCode)
	}
	if a := s.call("GET", "/openapi.json", "", "-Accept-Encoding", "", "Accept-Encoding", "gzip"); a.Header.Get("Content-Encoding") != "gzip" || !bytes.Equal(expand(t, a), spec.body) {
		t.Errorf("openapi.json compressed: %v", a.Header)
	}
}
