package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"siglab/app/api"
	"siglab/app/cache"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/memory"
	"siglab/app/sistema"
	"siglab/app/sqlite"
	"siglab/app/sqlstore"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// outage is a switch by which a test takes a store away.
type outage struct{ atomic.Bool }

func (o *outage) err() error {
	if o.Load() {
		return &errs.Error{Kind: errs.Unavailable, Message: "El servicio de datos no responde en este momento; intente de nuevo en unos segundos.", RetryAfter: 2 * time.Second}
	}
	return nil
}

// machines is the store of machines with a switch, a delay before each read, and a count of the lists that it read.
type machines struct {
	*sqlstore.Maquinas
	outage
	delay     func(context.Context) // of ByCodigo
	delayPage func(context.Context) // of Page
	pages     atomic.Int64
}

func (s *machines) ByCodigo(ctx context.Context, codigo string) (maquinas.Maquina, error) {
	if err := s.err(); err != nil {
		return maquinas.Maquina{}, err
	}
	if s.delay != nil {
		s.delay(ctx)
	}
	return s.Maquinas.ByCodigo(ctx, codigo)
}

func (s *machines) Page(ctx context.Context, q maquinas.Query) ([]maquinas.Maquina, error) {
	s.pages.Add(1)
	if err := s.err(); err != nil {
		return nil, err
	}
	if s.delayPage != nil {
		s.delayPage(ctx)
	}
	return s.Maquinas.Page(ctx, q)
}

func (s *machines) Resumen(ctx context.Context) (maquinas.Resumen, error) {
	if err := s.err(); err != nil {
		return maquinas.Resumen{}, err
	}
	return s.Maquinas.Resumen(ctx)
}

func (s *machines) Insert(ctx context.Context, m maquinas.Maquina, key *idempotency.Key) (maquinas.Maquina, bool, error) {
	if err := s.err(); err != nil {
		return m, false, err
	}
	return s.Maquinas.Insert(ctx, m, key)
}

// records is the store of records with a switch, and one that breaks it after some reads of a report.
type records struct {
	mantenimientos.Store
	outage
	breakAfter atomic.Int64 // reads of OfMaquinas that succeed; 0 is all
	reads      atomic.Int64
}

func (s *records) OfMaquinas(ctx context.Context, ids []int64) (map[int64][]mantenimientos.Mantenimiento, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	if n := s.reads.Add(1); s.breakAfter.Load() > 0 && n > s.breakAfter.Load() {
		return nil, errs.New(errs.Unavailable, "no responde")
	}
	return s.Store.OfMaquinas(ctx, ids)
}

func (s *records) Page(ctx context.Context, q mantenimientos.Query) ([]mantenimientos.Mantenimiento, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Page(ctx, q)
}

func (s *records) Resumen(ctx context.Context, since fecha.Fecha) (mantenimientos.Resumen, error) {
	if err := s.err(); err != nil {
		return mantenimientos.Resumen{}, err
	}
	return s.Store.Resumen(ctx, since)
}

// kept is a cache's store with a switch.
type kept struct {
	cache.Store
	outage
}

func (s *kept) Generation(ctx context.Context, space string) (string, error) {
	if err := s.err(); err != nil {
		return "", err
	}
	return s.Store.Generation(ctx, space)
}

func (s *kept) Get(ctx context.Context, space, key string) (string, []byte, error) {
	if err := s.err(); err != nil {
		return "", nil, err
	}
	return s.Store.Get(ctx, space, key)
}

// service is the API on an embedded store, with everything a test may want to reach behind it.
type service struct {
	t        testing.TB
	handler  *api.API
	server   *httptest.Server
	machines *machines
	records  *records
	cache    *kept
	users    *usuarios.Service
	monitor  *sistema.Monitor
	tel      *telemetry.Telemetry
	now      atomic.Pointer[time.Time] // nil is the real clock
	admin    string                    // a token
	password string
}

func (s *service) clock() time.Time {
	if t := s.now.Load(); t != nil {
		return *t
	}
	return time.Now()
}

type options struct {
	config func(*api.Config)
	users  func(*usuarios.Service)
	log    io.Writer
	level  string
	before *sistema.Monitor // in place of one that is ready
}

// start runs the API. It ends with the test.
func start(t testing.TB, o options) *service {
	t.Helper()
	ctx := context.Background()
	s := &service{t: t}
	db, err := sqlite.Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if o.log == nil {
		o.log = io.Discard
	}
	if s.tel, err = telemetry.New(ctx, telemetry.Options{Level: o.level, ServerID: "prueba", Version: "v0", Out: o.log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.tel.Shutdown(ctx) })
	s.machines = &machines{Maquinas: &sqlstore.Maquinas{DB: db.SQL(nil)}}
	s.records = &records{Store: sqlite.NewMantenimientos(db, nil)}
	s.cache = &kept{Store: memory.NewCache(64<<20, time.Minute, s.clock)}
	shared := cache.New(s.cache, s.tel.Metrics.CacheRequest)
	report := func(context.Context, string, error) {}
	mant := &mantenimientos.Service{Store: s.records, Maquinas: s.machines, Cache: shared, Now: s.clock}
	maq := &maquinas.Service{Store: s.machines, Outbox: s.machines, Records: mant, Cache: shared, Now: s.clock, Grace: time.Minute, Report: report}
	hasher, err := usuarios.NewHasher(4, 4, 64, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := usuarios.ParseKeys(usuarios.NewKey("k1"))
	if err != nil {
		t.Fatal(err)
	}
	s.users = &usuarios.Service{
		Store: &sqlstore.Usuarios{DB: db.SQL(nil)}, Sessions: memory.NewSessions(1000), Limiter: memory.NewLimiter(1000, s.clock),
		Fallback: memory.NewLimiter(1000, s.clock), Hasher: hasher, Tokens: usuarios.NewTokens(keys, time.Hour), Revoked: &usuarios.Revoked{},
		Now: s.clock, PerUser: 100000, PerAddress: 100000, Observe: s.tel.Metrics.Login, Report: report,
	}
	if o.users != nil {
		o.users(s.users)
	}
	s.monitor = &sistema.Monitor{ServerID: "prueba", Version: "v0", Observe: func(string, bool) {}}
	s.monitor.Start(s.clock())
	s.monitor.SetReady()
	if o.before != nil {
		s.monitor = o.before
	}
	cfg := api.Config{
		Maquinas: maq, Mantenimientos: mant, Usuarios: s.users, Monitor: s.monitor, Telemetry: s.tel,
		Tablero:      &sistema.Tablero{ServerID: "prueba", Maquinas: maq, Mantenimientos: mant, Now: s.clock},
		AuthRequired: true, ServerID: "prueba", Version: "v0", Timeout: 10 * time.Second, MaxInFlight: 1000, CacheTTL: time.Minute, Now: s.clock,
	}
	if o.config != nil {
		o.config(&cfg)
	}
	if s.handler, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(s.handler)
	s.server.Client().Transport.(*http.Transport).DisableCompression = true
	t.Cleanup(s.server.Close)
	s.password = "clave " + usuarios.NewKey("x")[2:20]
	if _, err := s.users.EnsureAdmin(ctx, "jefa", s.password); err != nil {
		t.Fatal(err)
	}
	if o.before == nil {
		s.admin = s.login("jefa", s.password)
	}
	return s
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	return v
}

func (a answer) list(t testing.TB) []map[string]any {
	t.Helper()
	var v []map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil || v == nil {
		t.Fatalf("body %q is no list: %v", a.body, err)
	}
	return v
}

// call sends a request. Headers come in pairs; "-Name" leaves one out that call would set: a JSON type and the admin's token.
func (s *service) call(method, target, body string, headers ...string) answer {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, s.server.URL+target, r)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+s.admin)
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		if name, gone := strings.CutPrefix(headers[i], "-"); gone {
			req.Header.Del(name)
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	return s.send(req)
}

func (s *service) send(req *http.Request) answer {
	s.t.Helper()
	resp, err := s.client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{Response: resp, body: b}
}

// client follows no redirect and undoes no compression.
func (s *service) client() *http.Client {
	c := *s.server.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func (s *service) login(username, password string) string {
	s.t.Helper()
	b, _ := json.Marshal(map[string]string{"username": username, "password": password})
	a := s.call("POST", "/api/auth/login", string(b), "-Authorization", "")
	if a.StatusCode != 200 {
		s.t.Fatalf("login: %d %s", a.StatusCode, a.body)
	}
	return a.json(s.t)["token"].(string)
}

// common registers a person who is no admin and returns the token.
func (s *service) common(username string) string {
	s.t.Helper()
	a := s.call("POST", "/api/auth/register", `{"nombre_completo":"Ana Torres","username":"`+username+`","password":"`+s.password+`"}`)
	if a.StatusCode != 201 {
		s.t.Fatalf("register: %d %s", a.StatusCode, a.body)
	}
	return s.login(username, s.password)
}

// add registers a machine.
func (s *service) add(codigo string) answer {
	s.t.Helper()
	a := s.call("POST", "/api/maquinas/agregar", `{"codigo_equipo":"`+codigo+`","tipo_equipo":"PC","estado_actual":"operativa","area":"Laboratorio 1","fecha":"2024-03-15","usuario":"Ana Torres"}`)
	if a.StatusCode != 201 {
		s.t.Fatalf("agregar %s: %d %s", codigo, a.StatusCode, a.body)
	}
	return a
}

// record adds a mantenimiento.
func (s *service) record(codigo, fecha string) answer {
	s.t.Helper()
	a := s.call("POST", "/api/mantenimientos/agregar", `{"codigo_maquina":"`+codigo+`","empresa":"Soporte","tecnico":"Luis","tipo":"preventivo","fecha":"`+fecha+`","observaciones":"limpieza"}`)
	if a.StatusCode != 201 {
		s.t.Fatalf("mantenimiento %s: %d %s", codigo, a.StatusCode, a.body)
	}
	return a
}

// problem checks that an answer is a whole problem of a status, and returns its detail.
func (a answer) problem(t testing.TB, status int) string {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: got %d %s, want %d", a.Request.Method, a.Request.URL, a.StatusCode, a.body, status)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type: got %q", got)
	}
	p := a.json(t)
	detail, _ := p["detail"].(string)
	if p["status"] != float64(status) || p["title"] == "" || detail == "" || p["type"] != "about:blank" || p["request_id"] != a.Header.Get("X-Request-Id") || p["errors"] == nil {
		t.Errorf("problem is not whole: %s", a.body)
	}
	return detail
}
