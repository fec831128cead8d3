package api_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"siglab/app/api"
	"siglab/app/usuarios"
)

func TestWhoMayCall(t *testing.T) {
	s := start(t, options{})
	s.add("m1")
	common := s.common("ana")
	_, expired, err := s.users.Tokens.Issue(usuarios.Usuario{Username: "ana", Rol: usuarios.Admin}, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	revoked := s.login("ana", s.password)
	if a := s.call("POST", "/api/auth/logout", "", "-Authorization", "", "Authorization", "Bearer "+revoked); a.StatusCode != 200 {
		t.Fatalf("logout: %d %s", a.StatusCode, a.body)
	}
	who := map[string]string{"nobody": "", "common": "Bearer " + common, "admin": "bearer " + s.admin, "garbage": "Bearer abc", "expired": "Bearer " + expired,
		"revoked": "Bearer " + revoked, "other scheme": "Basic YTpi"}
	const body = `{"codigo_equipo":"m1","area":"x"}`
	tests := []struct {
		method, path, body string
		want               map[string]int // by who; the rest is 401
	}{
		{"GET", "/api/maquinas/listar", "", map[string]int{"common": 200, "admin": 200}},
		{"GET", "/api/maquinas/buscar?codigo=m1", "", map[string]int{"common": 200, "admin": 200}},
		{"GET", "/api/maquinas/dashboard", "", map[string]int{"common": 200, "admin": 200}},
		{"GET", "/api/mantenimientos/todos", "", map[string]int{"common": 200, "admin": 200}},
		{"GET", "/api/mantenimientos/informe", "", map[string]int{"common": 200, "admin": 200}},
		{"GET", "/api/mantenimientos/historial/m1", "", map[string]int{"common": 200, "admin": 200}},
		{"GET", "/api/auth/usuarios/activos", "", map[string]int{"common": 200, "admin": 200}},
		{"PUT", "/api/maquinas/actualizar", body, map[string]int{"common": 200, "admin": 200}},
		{"DELETE", "/api/maquinas/eliminar?codigo=nadie", "", map[string]int{"common": 403, "admin": 404}},
		{"DELETE", "/api/maquinas/eliminar/nadie", "", map[string]int{"common": 403, "admin": 404}},
		{"GET", "/api/sistema/metrics", "", map[string]int{"common": 403, "admin": 200}},
		{"POST", "/api/auth/register", `{"nombre_completo":"x","username":"otra","password":"0123456789","rol":"admin"}`,
			map[string]int{"nobody": 403, "garbage": 403, "expired": 403, "revoked": 403, "other scheme": 403, "common": 403, "admin": 201}},
		{"GET", "/api/sistema/health", "", map[string]int{"nobody": 200, "garbage": 200, "expired": 200, "revoked": 200, "other scheme": 200, "common": 200, "admin": 200}},
	}
	for _, tt := range tests {
		for name, header := range who {
			headers := []string{"-Authorization", ""}
			if header != "" {
				headers = append(headers, "Authorization", header)
			}
			want, ok := tt.want[name]
			if !ok {
				want = 401
			}
			a := s.call(tt.method, tt.path, tt.body, headers...)
			if a.StatusCode != want {
				t.Errorf("%s %s as %s: got %d %s, want %d", tt.method, tt.path, name, a.StatusCode, a.body, want)
			}
			if want == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s as %s: WWW-Authenticate %q", tt.method, tt.path, name, a.Header.Get("WWW-Authenticate"))
			}
		}
	}
}

func TestOpenToAnyone(t *testing.T) {
	s := start(t, options{config: func(c *api.Config) { c.AuthRequired, c.MetricsPublic = false, true }})
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/api/maquinas/agregar", `{"codigo_equipo":"m1","tipo_equipo":"PC","estado_actual":"operativa","area":"x","fecha":"2024-03-15"}`, 201},
		{"GET", "/api/maquinas/listar", "", 200},
		{"GET", "/api/auth/usuarios/activos", "", 200},
		{"GET", "/api/sistema/metrics", "", 200},
		{"DELETE", "/api/maquinas/eliminar/m1", "", 401},
		{"POST", "/api/auth/logout", "", 401},
	} {
		for _, header := range [][]string{{"-Authorization", ""}, {"-Authorization", "", "Authorization", "Bearer roto"}} {
			want := tt.want
			if want == 201 && len(header) > 2 {
				want = 409
			}
			if a := s.call(tt.method, tt.path, tt.body, header...); a.StatusCode != want {
				t.Errorf("%s %s: got %d %s, want %d", tt.method, tt.path, a.StatusCode, a.body, want)
			}
		}
	}
}

func TestCookie(t *testing.T) {
	s := start(t, options{})
	login := s.call("POST", "/api/auth/login", `{"username":"JEFA","password":"`+s.password+`"}`, "-Authorization", "")
	u := login.json(t)["usuario"].(map[string]any)
	if u["username"] != "jefa" || u["rol"] != "admin" || u["nombre_completo"] == "" {
		t.Errorf("usuario: got %v", u)
	}
	if len(login.Cookies()) != 1 {
		t.Fatalf("cookies: %v", login.Cookies())
	}
	c := login.Cookies()[0]
	if c.Name != "siglab_session" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || c.MaxAge < 3590 || c.MaxAge > 3600 || c.Value != login.json(t)["token"] {
		t.Errorf("cookie: %+v", c)
	}
	cookie := []string{"-Authorization", "", "Cookie", "siglab_session=" + c.Value}
	if a := s.call("GET", "/api/maquinas/listar", "", cookie...); a.StatusCode != 200 {
		t.Errorf("read with the cookie: %d %s", a.StatusCode, a.body)
	}
	body := `{"codigo_equipo":"m%","tipo_equipo":"PC","estado_actual":"operativa","area":"x","fecha":"2024-03-15"}`
	for i, tt := range []struct {
		headers []string
		want    int
	}{
		{nil, 201}, // no browser: no such headers
		{[]string{"Sec-Fetch-Site", "same-origin"}, 201},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Origin", s.server.URL}, 201},
		{[]string{"Origin", "https://otra.example"}, 403},
	} {
		b := strings.Replace(body, "%", string(rune('a'+i)), 1)
		if a := s.call("POST", "/api/maquinas/agregar", b, append(cookie, tt.headers...)...); a.StatusCode != tt.want {
			t.Errorf("write with the cookie and %v: got %d %s, want %d", tt.headers, a.StatusCode, a.body, tt.want)
		}
		// The header cannot be sent by another site's page without asking.
		if a := s.call("GET", "/api/maquinas/listar", "", append([]string{}, tt.headers...)...); a.StatusCode != 200 {
			t.Errorf("read with the header and %v: got %d", tt.headers, a.StatusCode)
		}
	}
	// A bad header is not mended by a good cookie.
	s.call("GET", "/api/maquinas/listar", "", "-Authorization", "", "Authorization", "Bearer roto", "Cookie", "siglab_session="+c.Value).problem(t, 401)

	out := s.call("POST", "/api/auth/logout", "", cookie...)
	if out.StatusCode != 200 || len(out.Cookies()) != 1 || out.Cookies()[0].MaxAge != -1 {
		t.Errorf("logout: %d %v", out.StatusCode, out.Cookies())
	}
	s.call("GET", "/api/maquinas/listar", "", cookie...).problem(t, 401)
}

func TestSameWordsForUnknownNameAndWrongPassword(t *testing.T) {
	s := start(t, options{})
	var words []string
	for _, b := range []string{`{"username":"nadie","password":"x"}`, `{"username":"jefa","password":"x"}`, `{"username":"a\u0000b","password":"x"}`} {
		words = append(words, s.call("POST", "/api/auth/login", b, "-Authorization", "").problem(t, 401))
	}
	if words[0] != words[1] || words[1] != words[2] {
		t.Errorf("got %q", words)
	}
}

func TestLoginsAreLimited(t *testing.T) {
	s := start(t, options{users: func(u *usuarios.Service) { u.PerUser = 3 }})
	for range 2 { // start used one
		s.call("POST", "/api/login", `{"username":"Jefa","password":"x"}`).problem(t, 401)
	}
	a := s.call("POST", "/api/auth/login", `{"username":"jefa","password":"x"}`)
	a.problem(t, 429)
	if a.Header.Get("Retry-After") < "1" {
		t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
	}
}

// TestClientAddress counts registrations from an address, to see which address a request was taken to come from.
func TestClientAddress(t *testing.T) {
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		same       string // an X-Forwarded-For that is the same client
		other      string // one that is not
	}{
		{"a trusted proxy is believed", "10.1.2.3:99", []string{"203.0.113.7"}, "1.1.1.1, 203.0.113.7", "203.0.113.8"},
		{"proxies in a row are skipped", "10.1.2.3:99", []string{"203.0.113.7, 10.9.9.9"}, "203.0.113.7", "203.0.113.8, 10.9.9.9"},
		{"a port is no part of it", "[::ffff:10.1.2.3]:99", []string{"203.0.113.7:4242"}, "203.0.113.7", "203.0.113.8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, options{
				config: func(c *api.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
				users:  func(u *usuarios.Service) { u.PerAddress = 1 },
			})
			login := func(peer, forwarded string) int {
				r := httptest.NewRequest("POST", "/api/auth/login", strings.NewReader(`{"username":"nadie","password":"x"}`))
				r.RemoteAddr = peer
				r.Header.Set("X-Forwarded-For", forwarded)
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				return w.Code
			}
			if got := login(tt.peer, tt.forwarded[0]); got != 401 {
				t.Fatalf("first: got %d", got)
			}
			if got := login(tt.peer, tt.same); got != 429 {
				t.Errorf("the same client: got %d, want 429", got)
			}
			if got := login(tt.peer, tt.other); got != 401 {
				t.Errorf("another client: got %d, want 401", got)
			}
			// Who is no proxy may say what it likes.
			if got := login("198.51.100.1:5", "203.0.113.50"); got != 401 {
				t.Errorf("a stranger: got %d, want 401", got)
			}
			if got := login("198.51.100.1:6", "203.0.113.51"); got != 429 {
				t.Errorf("a stranger under another name: got %d, want 429", got)
			}
		})
	}
}

func TestSecureCookieBehindTLS(t *testing.T) {
	s := start(t, options{config: func(c *api.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }})
	for _, tt := range []struct {
		name, peer, proto string
		tls, want         bool
	}{
		{"plain", "203.0.113.1:1", "", false, false},
		{"TLS here", "203.0.113.1:1", "", true, true},
		{"TLS at the proxy", "10.0.0.1:1", "https", false, true},
		{"a stranger's word", "203.0.113.1:1", "https", false, false},
	} {
		r := httptest.NewRequest("POST", "/api/auth/login", strings.NewReader(`{"username":"jefa","password":"`+s.password+`"}`))
		r.RemoteAddr = tt.peer
		if tt.proto != "" {
			r.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if got := w.Result().Cookies()[0].Secure; w.Code != 200 || got != tt.want {
			t.Errorf("%s: Secure: got %v, want %v", tt.name, got, tt.want)
		}
		if got := w.Header().Get("Strict-Transport-Security") != ""; got != tt.want {
			t.Errorf("%s: HSTS: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestVerifiedTokensEnd lets a token be known to be good, and then end in each way.
func TestVerifiedTokensEnd(t *testing.T) {
	s := start(t, options{})
	for range 2 {
		if a := s.call("GET", "/api/maquinas/listar", ""); a.StatusCode != 200 {
			t.Fatalf("got %d", a.StatusCode)
		}
	}
	if a := s.call("GET", "/api/maquinas/listar", "", "-Authorization", "", "Authorization", "Bearer "+s.admin+"x"); a.StatusCode != 401 {
		t.Errorf("a longer token: got %d", a.StatusCode)
	}
	other := s.login("jefa", s.password)
	s.call("GET", "/api/maquinas/listar", "", "-Authorization", "", "Authorization", "Bearer "+other)
	session, err := s.users.Verify(other)
	if err != nil {
		t.Fatal(err)
	}
	s.users.Revoked.Add(usuarios.Revocation{Session: session.ID, Expires: session.Expires}) // as another replica's logout would
	s.call("GET", "/api/maquinas/listar", "", "-Authorization", "", "Authorization", "Bearer "+other).problem(t, 401)
	later := time.Now().Add(2 * time.Hour)
	s.now.Store(&later)
	s.call("GET", "/api/maquinas/listar", "").problem(t, 401)
}
