package contract_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"siglab/app"
	"siglab/app/usuarios"
)

// withCookie is a caller that sends its session as a cookie alone.
func withCookie(t *testing.T, s *service, username, password string) *client {
	t.Helper()
	a := s.anon.in(t).post("/api/auth/login", object{"username": username, "password": password}).want(200)
	name, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	return s.client(t).with("Cookie", name)
}

func TestLogout(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.newUser(t, "ines").post("/api/auth/logout", nil).want(200)
		eva := s.newUser(t, "eva")
		eva.get("/api/maquinas/listar").want(200)
		a := eva.post("/api/auth/logout", nil).want(200)
		if a.object()["mensaje"] == "" {
			t.Error("mensaje is empty")
		}
		cookies := (&http.Response{Header: a.header}).Cookies()
		if len(cookies) != 1 || cookies[0].MaxAge >= 0 || cookies[0].Value != "" {
			t.Errorf("Set-Cookie: got %q, want the cookie's end", a.header.Values("Set-Cookie"))
		}
		for _, path := range []string{"/api/maquinas/listar", "/api/maquinas/dashboard", "/api/auth/usuarios/activos", "/api/mantenimientos/todos"} {
			eva.get(path).want(401)
		}
		eva.post("/api/logout", nil).want(401)

		t.Log("Another session of the same user goes on, and so does a logout by cookie on the old path.")
		one := withCookie(t, s, s.config.AdminUsername, string(s.config.AdminPassword))
		two := withCookie(t, s, s.config.AdminUsername, string(s.config.AdminPassword))
		one.post("/api/logout", nil).want(200)
		one.get("/api/maquinas/listar").want(401)
		two.get("/api/maquinas/listar").want(200)

		t.Log("A body that says nothing does no harm.")
		two.post("/api/logout", `{}`).want(200)
	})
}

// TestLogoutReachesOtherInstances runs two instances on the same servers.
func TestLogoutReachesOtherInstances(t *testing.T) {
	c := serversConfig(t)
	one := start(t, c)
	c.ServerID = "otra"
	two := start(t, c)
	for range 5 {
		session := one.login(t, c.AdminUsername, string(c.AdminPassword))
		there := *session
		there.base = two.url
		there.get("/api/maquinas/listar").want(200)
		session.post("/api/auth/logout", nil).want(200)
		ended := time.Now()
		session.get("/api/maquinas/listar").want(401)
		eventually(t, "the other instance to refuse the session", func() bool {
			return there.get("/api/maquinas/listar").status == 401
		})
		if took := time.Since(ended); took > time.Second {
			t.Errorf("the other instance took %s to refuse the session, want a second at most", took)
		}
	}
	t.Log("An instance that starts later knows too.")
	session := one.login(t, c.AdminUsername, string(c.AdminPassword))
	session.post("/api/auth/logout", nil).want(200)
	late := *session
	late.base = start(t, c).url
	late.get("/api/maquinas/listar").want(401)
}

// TestWritesReachOtherInstances has one instance's cache full when the other writes.
func TestWritesReachOtherInstances(t *testing.T) {
	c := serversConfig(t)
	one := start(t, c)
	c.ServerID = "otra"
	two := start(t, c)
	for i := range 20 {
		writer, reader := one, two
		if i%2 == 1 {
			writer, reader = two, one
		}
		reader.admin.get("/api/maquinas/listar").want(200)
		writer.addMachine(t, fmt.Sprintf("A-%02d", i))
		same(t, "machines on the other instance", len(reader.admin.get("/api/maquinas/listar").want(200).list()), i+1)
		a := reader.admin.get("/api/maquinas/dashboard").want(200).object()
		same(t, "total_maquinas on the other instance", a["total_maquinas"].(float64), float64(i+1))
		same(t, "server_id", a["server_id"].(string), reader.config.ServerID)
	}
	names := map[string]bool{}
	for _, s := range []*service{one, two} {
		for _, a := range s.admin.get("/api/auth/usuarios/activos").want(200).object()["usuarios_activos"].([]any) {
			names[a.(object)["username"].(string)] = true
		}
	}
	same(t, "active users", len(names), 1)
}

func TestSessionsOutliveARestart(t *testing.T) {
	eachStore(t, func(t *testing.T, c app.Config) {
		s := start(t, c)
		gone := s.newUser(t, "gone")
		gone.post("/api/auth/logout", nil).want(200)
		token := s.admin.header
		s.stop()
		s = start(t, c)
		back := s.client(t)
		back.header = token
		back.get("/api/maquinas/listar").want(200)
		back.header = gone.header
		back.get("/api/maquinas/listar").want(401)
	})
}

func TestKeyRotation(t *testing.T) {
	eachStore(t, func(t *testing.T, c app.Config) {
		kid := func(h http.Header) string {
			part, _, _ := strings.Cut(strings.TrimPrefix(h.Get("Authorization"), "Bearer "), ".")
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				t.Fatal(err)
			}
			var header struct{ Kid string }
			if err := json.Unmarshal(b, &header); err != nil {
				t.Fatal(err)
			}
			return header.Kid
		}
		old, fresh := usuarios.NewKey("vieja"), usuarios.NewKey("nueva")
		run := func(keys string, try func(s *service)) {
			c.JWTKeys = app.Secret(keys)
			s := start(t, c)
			try(s)
			s.stop()
		}
		send := func(s *service, h http.Header) *answer {
			who := s.client(t)
			who.header = h
			return who.get("/api/maquinas/listar")
		}
		var before, after http.Header
		run(old, func(s *service) {
			before = s.admin.header
			same(t, "kid", kid(before), "vieja")
		})
		run(fresh+","+old, func(s *service) {
			after = s.admin.header
			same(t, "kid", kid(after), "nueva")
			send(s, before).want(200)
			send(s, after).want(200)
		})
		run(fresh, func(s *service) {
			send(s, before).want(401)
			send(s, after).want(200)
		})
		t.Log("Another key under the same name is another key.")
		run(usuarios.NewKey("nueva"), func(s *service) { send(s, after).want(401) })
	})
}

func TestForgedTokens(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		token := strings.TrimPrefix(s.admin.header.Get("Authorization"), "Bearer ")
		var claims jwt.MapClaims
		if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
			t.Fatal(err)
		}
		_, b64, _ := strings.Cut(string(s.config.JWTKeys), ":")
		key, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			t.Fatal(err)
		}
		sign := func(method jwt.SigningMethod, key any, kid any, change object) string {
			c := jwt.MapClaims{}
			for k, v := range claims {
				c[k] = v
			}
			for k, v := range change {
				if c[k] = v; v == nil {
					delete(c, k)
				}
			}
			tok := jwt.NewWithClaims(method, c)
			if kid != nil {
				tok.Header["kid"] = kid
			}
			text, err := tok.SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		parts := strings.Split(token, ".")
		other := make([]byte, 32)
		_, _ = rand.Read(other)
		sum := sha256.Sum256(key)
		bearer := func(token string) string { return "Bearer " + token }
		s.anon.with("Authorization", bearer(sign(jwt.SigningMethodHS256, key, "prueba", nil))).get("/api/maquinas/listar").want(200)
		for name, header := range map[string]string{
			"no token":           "Bearer",
			"an empty token":     "Bearer ",
			"another scheme":     "Basic " + base64.StdEncoding.EncodeToString([]byte("jefa:jefa")),
			"no scheme":          token,
			"no JWT":             bearer("abc"),
			"two parts":          bearer(parts[0] + "." + parts[1]),
			"no signature":       bearer(parts[0] + "." + parts[1] + "."),
			"another signature":  bearer(parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(sum[:])),
			"a changed payload":  bearer(parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"jefa","rol":"admin"}`)) + "." + parts[2]),
			"alg none":           bearer(sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "prueba", nil)),
			"HS512":              bearer(sign(jwt.SigningMethodHS512, key, "prueba", nil)),
			"another key":        bearer(sign(jwt.SigningMethodHS256, other, "prueba", nil)),
			"an unknown kid":     bearer(sign(jwt.SigningMethodHS256, key, "otra", nil)),
			"no kid":             bearer(sign(jwt.SigningMethodHS256, key, nil, nil)),
			"a kid of a number":  bearer(sign(jwt.SigningMethodHS256, key, 5, nil)),
			"another issuer":     bearer(sign(jwt.SigningMethodHS256, key, "prueba", object{"iss": "otro"})),
			"another audience":   bearer(sign(jwt.SigningMethodHS256, key, "prueba", object{"aud": "otra"})),
			"no audience":        bearer(sign(jwt.SigningMethodHS256, key, "prueba", object{"aud": nil})),
			"no end":             bearer(sign(jwt.SigningMethodHS256, key, "prueba", object{"exp": nil})),
			"expired":            bearer(sign(jwt.SigningMethodHS256, key, "prueba", object{"exp": time.Now().Add(-time.Second).Unix()})),
			"no id":              bearer(sign(jwt.SigningMethodHS256, key, "prueba", object{"jti": nil})),
			"8 KiB of something": bearer(strings.Repeat("a", 8<<10)),
		} {
			t.Run(name, func(t *testing.T) {
				s.anon.in(t).with("Authorization", header).get("/api/maquinas/listar").want(401)
				s.anon.in(t).with("Authorization", header).post("/api/maquinas/agregar", machine("FALSA-1")).want(401)
			})
		}
		s.anon.with("Cookie", "token="+strings.Repeat("b", 20)+"; session=x; siglab=y").get("/api/maquinas/listar").want(401)
		same(t, "machines", len(s.admin.get("/api/maquinas/listar").want(200).list()), 0)
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		eventually(t, "the session's end", func() bool { return s.admin.get("/api/maquinas/listar").status == 401 })
	}, func(c *app.Config) { c.SessionTTL = 2 * time.Second })
}

// TestCookieFromOtherOrigins: a page elsewhere can make a browser send the cookie, but not write with it.
func TestCookieFromOtherOrigins(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.addMachine(t, "A-1")
		jefa := withCookie(t, s, s.config.AdminUsername, string(s.config.AdminPassword))
		writes := func(c *client, agregar, others int) {
			t.Helper()
			c.post("/api/maquinas/agregar", machine("B-"+rand.Text()[:6])).want(agregar)
			c.put("/api/maquinas/actualizar", object{"codigo_equipo": "A-1", "area": "Tesorería"}).want(others)
			c.post("/api/mantenimientos/agregar", record("A-1")).want(agregar)
			c.post("/api/mantenimiento/agregar", record("A-1")).want(agregar)
			c.get("/api/maquinas/listar").want(200)
		}
		for _, site := range []string{"same-origin", "none"} {
			writes(jefa.with("Sec-Fetch-Site", site), 201, 200)
		}
		writes(jefa.with("Origin", s.url), 201, 200)
		writes(jefa, 201, 200) // neither header: no browser
		for _, foreign := range []*client{
			jefa.with("Sec-Fetch-Site", "cross-site"), jefa.with("Sec-Fetch-Site", "same-site"),
			jefa.with("Origin", "https://malo.example"), jefa.with("Origin", "null"), jefa.with("Origin", s.url+"0"),
		} {
			writes(foreign, 403, 403)
			foreign.delete("/api/maquinas/eliminar/A-1").want(403)
			foreign.post("/api/auth/logout", nil).want(403)
			foreign.post("/api/logout", nil).want(403)
		}
		jefa.get("/api/maquinas/listar").want(200)
		t.Log("A token in the header is not sent by a browser on its own.")
		s.admin.with("Sec-Fetch-Site", "cross-site").post("/api/maquinas/agregar", machine("C-1")).want(201)
	})
}

func TestLoginLimits(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.newUser(t, "luis")
		attempt := func(username string) *answer {
			return s.anon.post("/api/auth/login", object{"username": username, "password": "equivocada"})
		}
		limited := func(username string) {
			t.Helper()
			a := untilLimited(t, 5, func(n int) *answer { return attempt([]string{username, strings.ToUpper(username)}[n%2]) })
			var wait int
			if _, err := fmt.Sscan(a.header.Get("Retry-After"), &wait); err != nil || wait < 1 || wait > 60 {
				t.Errorf("Retry-After: got %q, want 1 to 60 seconds", a.header.Get("Retry-After"))
			}
		}
		limited("luis")
		t.Log("A limit is its user's, and an unknown user has one too.")
		limited("nadie")
		s.login(t, s.config.AdminUsername, string(s.config.AdminPassword))
	}, func(c *app.Config) { c.LoginRateUser = 5 })
}

// untilLimited makes attempts until one is answered 429, which it returns. No more may be let through than the limit, in attempts a
// minute, and what grows back of it meanwhile.
func untilLimited(t *testing.T, perMinute int, attempt func(n int) *answer) *answer {
	t.Helper()
	began := time.Now()
	for n := 0; ; n++ {
		a := attempt(n)
		if a.status == 429 {
			return a.want(429)
		}
		a.want(401)
		if most := perMinute + 1 + int(time.Since(began).Minutes()*float64(perMinute)); n+1 > most {
			t.Fatalf("%d attempts were let through, want %d at most", n+1, most)
		}
	}
}

func TestLoginLimitsByAddress(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		untilLimited(t, 20, func(n int) *answer {
			return s.anon.post("/api/login", object{"username": fmt.Sprintf("persona%d", n), "password": "equivocada"})
		})
	}, func(c *app.Config) { c.LoginRateAddress = 20 })
}

// TestUnknownUserLooksLikeAWrongPassword compares the answers, and the time they take.
func TestUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.newUser(t, "rosa")
		attempt := func(username string) (*answer, time.Duration) {
			began := time.Now()
			a := s.anon.post("/api/auth/login", object{"username": username, "password": "equivocada"}).want(401)
			return a, time.Since(began)
		}
		var known, unknown []time.Duration
		for range 7 {
			a, took := attempt("rosa")
			known = append(known, took)
			b, took := attempt("nadie")
			unknown = append(unknown, took)
			x, y := a.object(), b.object()
			delete(x, "request_id")
			delete(y, "request_id")
			sameJSON(t, "answer", x, y)
		}
		// The median of several is steady even on a busy machine; without a decoy the ratio is about a hundred.
		slices.Sort(known)
		slices.Sort(unknown)
		if ratio := float64(known[3]) / float64(unknown[3]); ratio > 3 || ratio < 1.0/3 {
			t.Errorf("a wrong password takes %s and an unknown user %s", known[3], unknown[3])
		}
	})
}

func TestActiveUsers(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		began := time.Now().Add(-2 * time.Second)
		eva, luis := s.newUser(t, "Eva"), s.newUser(t, "luis")
		_ = s.login(t, s.config.AdminUsername, string(s.config.AdminPassword)) // a second session is not a second user
		active := func() []string {
			var names []string
			for _, a := range s.admin.get("/api/auth/usuarios/activos").want(200).object()["usuarios_activos"].([]any) {
				u := a.(object)
				names = append(names, u["username"].(string))
				for _, field := range []string{"desde", "ultima_actividad"} {
					at, err := time.Parse(time.RFC3339, u[field].(string))
					if err != nil || at.Before(began) || at.After(time.Now().Add(2*time.Second)) {
						t.Errorf("%s: got %v", field, u[field])
					}
				}
			}
			slices.Sort(names)
			return names
		}
		sameList(t, "active", active(), []string{"Eva", "jefa", "luis"})
		luis.post("/api/auth/logout", nil).want(200)
		sameList(t, "active after a logout", active(), []string{"Eva", "jefa"})
		eva.get("/api/auth/usuarios/activos").want(200)
	})
}

// TestFirstAdmin starts twice with another password: the account is never reset.
func TestFirstAdmin(t *testing.T) {
	eachStore(t, func(t *testing.T, c app.Config) {
		username, password := c.AdminUsername, string(c.AdminPassword)
		start(t, c).stop()
		c.AdminPassword = app.Secret(rand.Text())
		for _, c.AdminUsername = range []string{username, "otra"} {
			s := startOnly(t, c)
			s.anon.post("/api/auth/login", object{"username": c.AdminUsername, "password": string(c.AdminPassword)}).want(401)
			s.login(t, username, password)
			s.stop()
		}
	})
}

// TestPasswords: what bcrypt reads of a password is its first 72 bytes, so longer ones are refused; short old ones still work.
func TestPasswords(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		register := func(username, password string) *answer {
			return s.anon.post("/api/auth/register", object{"nombre_completo": "Persona", "username": username, "password": password})
		}
		for username, password := range map[string]string{
			"ocho": "ñandú 12", "setentaydos": strings.Repeat("x", 72), "emoji": "🔑🔑🔑🔑🔑🔑🔑🔑", "espacios": "   clave   ",
		} {
			register(username, password).want(201)
			s.login(t, username, password)
			s.anon.post("/api/auth/login", object{"username": username, "password": "y" + strings.TrimSpace(password)}).want(401)
		}
		s.anon.post("/api/auth/login", object{"username": "espacios", "password": "clave"}).want(401)
		for _, password := range []string{"", "corta12", strings.Repeat("x", 73), strings.Repeat("ñ", 37)} {
			a := register("nadie", password).want(422)
			if password != "" && strings.Contains(string(a.body), password) {
				t.Errorf("the answer repeats the password: %s", a.text())
			}
		}
	})
}
