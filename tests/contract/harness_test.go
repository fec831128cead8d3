// Package contract_test holds the service to its contract from outside, over HTTP: on SQLite always, and on MySQL, MongoDB and
// Redis where TEST_MYSQL_DSN, TEST_MONGO_URI and TEST_REDIS_URL name servers (TEST_SERVERS=required makes their absence a failure).
package contract_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	goredis "github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"siglab/app"
	"siglab/app/usuarios"
)

// soon bounds every wait for a condition. It is far more than any takes, since a machine may be busy.
const soon = 30 * time.Second

// eachStore runs a test on every kind of store that there is.
func eachStore(t *testing.T, test func(t *testing.T, c app.Config)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteConfig(t)) })
	t.Run("servers", func(t *testing.T) { test(t, serversConfig(t)) })
}

// each runs a test against a service that was started for it on every kind of store.
func each(t *testing.T, test func(t *testing.T, s *service), change ...func(*app.Config)) {
	t.Helper()
	eachStore(t, func(t *testing.T, c app.Config) {
		for _, f := range change {
			f(&c)
		}
		test(t, start(t, c))
	})
}

// baseConfig is what the variables' defaults make, but for what would make a test slow or let instances meet.
func baseConfig(t *testing.T) app.Config {
	t.Helper()
	return app.Config{
		Host: "127.0.0.1", ServerID: "prueba-" + strings.ToLower(rand.Text()[:6]), MaxConnections: 1000,
		Timeout: app.Seconds(30 * time.Second), KeepAlive: app.Seconds(120 * time.Second),
		// A busy machine must not look like a dependency that is down.
		MySQLPort: 3306, MySQLPoolSize: 10, MySQLTimeout: 20 * time.Second,
		MongoPort: 27017, MongoDatabase: "mantenimientos", MongoPoolSize: 10, MongoTimeout: 20 * time.Second,
		RedisPort: 6379, RedisPoolSize: 10, RedisTimeout: 5 * time.Second, RedisTTL: app.Seconds(60 * time.Second),
		JWTKeys: app.Secret(usuarios.NewKey("prueba")), SessionTTL: 8 * time.Hour,
		AdminUsername: "jefa", AdminPassword: app.Secret(rand.Text()), AuthRequired: true,
		BcryptCost: 10, LoginRateUser: 100_000, LoginRateAddress: 100_000, LogLevel: "warn",
	}
}

func sqliteConfig(t *testing.T) app.Config {
	t.Helper()
	c := baseConfig(t)
	c.DataDir = t.TempDir()
	return c
}

// servers are the addresses of what the environment names.
type servers struct {
	mysql *mysqldriver.Config
	mongo string
	redis string
}

// testServers returns the servers, or skips the test, or fails it where they are required.
func testServers(t *testing.T) servers {
	t.Helper()
	dsn, mongoURI, redisURL := os.Getenv("TEST_MYSQL_DSN"), os.Getenv("TEST_MONGO_URI"), os.Getenv("TEST_REDIS_URL")
	if dsn == "" || mongoURI == "" || redisURL == "" {
		if os.Getenv("TEST_SERVERS") == "required" {
			t.Fatal("TEST_MYSQL_DSN, TEST_MONGO_URI and TEST_REDIS_URL must be set")
		}
		t.Skip("TEST_MYSQL_DSN, TEST_MONGO_URI and TEST_REDIS_URL are not set")
	}
	c, err := mysqldriver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return servers{c, mongoURI, redisURL}
}

// shared are migrated databases that the tests of this process use one after the other, since making tables takes seconds.
var shared struct {
	config    app.Config
	tables    *sql.DB
	documents *mongo.Database
	cleanups  []func() // run by TestMain, last to first
}

// serversConfig returns migrated, empty databases. The instance that used them before has ended with its test.
func serversConfig(t *testing.T) app.Config {
	t.Helper()
	s := testServers(t)
	ctx := context.Background()
	if shared.tables == nil {
		c, tables, documents := makeDatabases(t, s, func(f func()) { shared.cleanups = append(shared.cleanups, f) })
		if err := app.Migrate(t.Context(), app.Options{Config: c, Stdout: testLog(t), Stderr: io.Discard}); err != nil {
			t.Fatal(err)
		}
		shared.config, shared.tables, shared.documents = c, tables, documents
	}
	for _, table := range []string{"usuarios", "maquinas", "borrados", "idempotencia", "revocaciones"} {
		if _, err := shared.tables.ExecContext(ctx, "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
	for _, collection := range []string{"mantenimientos", "idempotencia"} {
		if _, err := shared.documents.Collection(collection).DeleteMany(ctx, bson.D{}); err != nil {
			t.Fatal(err)
		}
	}
	c := baseConfig(t)
	from := shared.config
	c.MySQLHost, c.MySQLPort, c.MySQLUser, c.MySQLPassword, c.MySQLDatabase = from.MySQLHost, from.MySQLPort, from.MySQLUser, from.MySQLPassword, from.MySQLDatabase
	c.MongoURI, c.MongoDatabase = from.MongoURI, from.MongoDatabase
	c.RedisURL = app.Secret(redisDatabase(t, s.redis, t.Cleanup))
	return c
}

// emptyServers makes databases of a test's own, for one that fills them before the migration.
func emptyServers(t *testing.T) (app.Config, *sql.DB, *mongo.Database) {
	t.Helper()
	return makeDatabases(t, testServers(t), t.Cleanup)
}

// makeDatabases makes a database in MySQL and in MongoDB; cleanup is told how to remove them.
func makeDatabases(t *testing.T, s servers, cleanup func(func())) (app.Config, *sql.DB, *mongo.Database) {
	t.Helper()
	ctx := context.Background() // the databases are removed when the test's own context has ended
	name := "contrato_" + strings.ToLower(rand.Text()[:10])

	connector, err := mysqldriver.NewConnector(s.mysql)
	if err != nil {
		t.Fatal(err)
	}
	root := sql.OpenDB(connector)
	cleanup(func() { _ = root.Close() })
	if _, err := root.ExecContext(ctx, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	cleanup(func() { _, _ = root.ExecContext(ctx, "DROP DATABASE "+name) })
	own := s.mysql.Clone()
	own.DBName = name
	if connector, err = mysqldriver.NewConnector(own); err != nil {
		t.Fatal(err)
	}
	tables := sql.OpenDB(connector)
	cleanup(func() { _ = tables.Close() })

	client, err := mongo.Connect(options.Client().ApplyURI(s.mongo))
	if err != nil {
		t.Fatal(err)
	}
	documents := client.Database(name)
	cleanup(func() {
		_ = documents.Drop(ctx)
		_ = client.Disconnect(ctx)
	})

	c := baseConfig(t)
	host, port, err := net.SplitHostPort(s.mysql.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c.MySQLHost, c.MySQLUser, c.MySQLPassword, c.MySQLDatabase = host, s.mysql.User, app.Secret(s.mysql.Passwd), name
	if c.MySQLPort, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	c.MongoURI, c.MongoDatabase = app.Secret(s.mongo), name
	c.RedisURL = app.Secret(redisDatabase(t, s.redis, cleanup))
	return c, tables, documents
}

// redisDatabase takes one of Redis's numbered databases for a test and empties it. Two processes of tests that run at once do not
// meet: a key in database 0 says which numbers are taken.
func redisDatabase(t *testing.T, address string, cleanup func(func())) string {
	t.Helper()
	ctx := context.Background()
	o, err := goredis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	o.DB = 0
	all := goredis.NewClient(o)
	cleanup(func() { _ = all.Close() })
	number := 0
	eventually(t, "a free Redis database", func() bool {
		for n := 1; n < 16; n++ {
			taken, err := all.SetNX(ctx, fmt.Sprintf("contrato:%d", n), "1", 10*time.Minute).Result()
			if err != nil {
				t.Fatal(err)
			}
			if taken {
				number = n
				return true
			}
		}
		return false
	})
	o.DB = number
	own := goredis.NewClient(o)
	if err := own.FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	cleanup(func() {
		own.FlushDB(ctx)
		_ = own.Close()
		all.Del(ctx, fmt.Sprintf("contrato:%d", number))
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + strconv.Itoa(number)
	return u.String()
}

// service is a running instance.
type service struct {
	config   app.Config
	url      string // of the public listener
	internal string // of the internal listener
	stop     func() // ends it and waits
	admin    *client
	anon     *client
}

// start runs an instance inside this process until the test ends, and logs its admin in.
func start(t *testing.T, c app.Config) *service {
	t.Helper()
	s := startOnly(t, c)
	s.admin = s.login(t, c.AdminUsername, string(c.AdminPassword))
	return s
}

// startOnly is start without the login.
func startOnly(t *testing.T, c app.Config) *service {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan [2]net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		done <- app.Run(ctx, app.Options{
			Config: c, Build: app.Build{Version: "prueba"}, Stdout: testLog(t), Stderr: io.Discard,
			Ready: func(public, internal net.Addr) { ready <- [2]net.Addr{public, internal} },
		})
	}()
	s := &service{config: c}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	})
	select {
	case at := <-ready:
		s.url, s.internal = "http://"+at[0].String(), "http://"+at[1].String()
	case err := <-done:
		cancel()
		t.Fatalf("the service did not start: %v", err)
	case <-time.After(soon):
		cancel()
		t.Fatal("the service did not start in time")
	}
	t.Cleanup(s.stop)
	s.anon = s.client(t)
	return s
}

// testLog shows the service's log where a test fails or -v is given.
func testLog(t *testing.T) io.Writer { return t.Output() }

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s after %s", what, soon)
		}
		time.Sleep(10 * time.Millisecond) // between two looks at the condition
	}
}

// client is one caller. Without token and cookie it is anonymous.
type client struct {
	t      testing.TB
	base   string
	http   *http.Client
	header http.Header // sent with each request
}

// client makes an anonymous caller with connections of its own.
func (s *service) client(t testing.TB) *client {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, base: s.url, header: http.Header{}, http: &http.Client{
		Transport: transport, Timeout: soon,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// with returns the same caller with one more header.
func (c *client) with(name, value string) *client {
	d := *c
	d.header = c.header.Clone()
	d.header.Set(name, value)
	return &d
}

// in returns the same caller, which tells another test of its failures.
func (c *client) in(t testing.TB) *client {
	d := *c
	d.t = t
	return &d
}

// login opens a session and returns a caller that sends its token.
func (s *service) login(t testing.TB, username, password string) *client {
	t.Helper()
	c := s.client(t)
	a := c.post("/api/auth/login", object{"username": username, "password": password}).want(200)
	return c.with("Authorization", "Bearer "+a.object()["token"].(string))
}

// newUser registers an account with a random password and returns a caller with its session.
func (s *service) newUser(t testing.TB, username string) *client {
	t.Helper()
	password := rand.Text()
	s.anon.in(t).post("/api/auth/register", object{"nombre_completo": "Persona " + username, "username": username, "password": password}).want(201)
	return s.login(t, username, password)
}

// object is a JSON object.
type object = map[string]any

// answer is what came back.
type answer struct {
	t       testing.TB
	request string // for messages
	status  int
	header  http.Header
	body    []byte
}

// do sends one request. A body that is a string, []byte or io.Reader goes as it is; anything else is encoded.
func (c *client) do(method, path string, body any) *answer {
	c.t.Helper()
	a, err := c.try(c.t.Context(), method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try is do for a caller who expects that the request may fail.
func (c *client) try(ctx context.Context, method, path string, body any) (*answer, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, err
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.header {
		req.Header[name] = values
		if values[0] == "" {
			delete(req.Header, name)
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &answer{c.t, method + " " + path, res.StatusCode, res.Header, b}, nil
}

func (c *client) get(path string) *answer { c.t.Helper(); return c.do("GET", path, nil) }

func (c *client) post(path string, body any) *answer { c.t.Helper(); return c.do("POST", path, body) }

func (c *client) put(path string, body any) *answer { c.t.Helper(); return c.do("PUT", path, body) }

func (c *client) delete(path string) *answer { c.t.Helper(); return c.do("DELETE", path, nil) }

// want fails the test at once unless the status is this one; from 400 up the answer must be a whole problem document too.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d %s, want %d", a.request, a.status, a.text(), status)
	}
	if status >= 400 && !strings.HasPrefix(a.request, "HEAD ") {
		if fault := a.problemFault(); fault != "" {
			a.t.Errorf("%s: %s: %s", a.request, fault, a.text())
		}
	}
	return a
}

// text is the body, cut short for messages.
func (a *answer) text() string {
	if len(a.body) > 400 {
		return string(a.body[:400]) + "…"
	}
	return string(a.body)
}

func (a *answer) decode(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.request, err, a.text())
	}
}

func (a *answer) object() object {
	a.t.Helper()
	var o object
	a.decode(&o)
	return o
}

// list returns the body as an array of objects; it must be an array, which null is not.
func (a *answer) list() []object {
	a.t.Helper()
	if !bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("[")) {
		a.t.Fatalf("%s: got %s, want an array", a.request, a.text())
	}
	var l []object
	a.decode(&l)
	return l
}

// column returns one field of each element of a list.
func (a *answer) column(field string) []string {
	a.t.Helper()
	list := a.list()
	values := make([]string, len(list))
	for i, o := range list {
		values[i] = fmt.Sprint(o[field])
	}
	return values
}

// next returns the path of the page after this one, or "".
func (a *answer) next() string {
	a.t.Helper()
	for _, link := range strings.Split(a.header.Get("Link"), ",") {
		target, rel, ok := strings.Cut(strings.TrimSpace(link), ">; ")
		if ok && rel == `rel="next"` {
			u, err := url.Parse(strings.TrimPrefix(target, "<"))
			if err != nil {
				a.t.Fatalf("%s: Link: %v", a.request, err)
			}
			return u.RequestURI()
		}
	}
	return ""
}

// leaks are words of databases, drivers and programs that no client may read.
var leaks = []string{"sql", "mongo", "bson", "redis", "sqlite", "mysql", "mariadb", "syntax", "driver", "goroutine", "panic", ".go:",
	"duplicate", "constraint", "unmarshal", "127.0.0.1", "localhost", "unexpected", "invalid", "expected", "required"}

// problemFault says what is wrong with the answer as a problem document (RFC 9457), or "". Source: contract, "Errors".
func (a *answer) problemFault() string {
	if got, want := a.header.Get("Content-Type"), "application/problem+json"; got != want {
		return fmt.Sprintf("Content-Type: got %q, want %q", got, want)
	}
	var p struct {
		Type, Title, Detail string
		Status              int
		RequestID           string `json:"request_id"`
		Errors              []struct {
			Location, Message string
			Value             any
		}
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		return err.Error()
	}
	switch {
	case p.Status != a.status:
		return fmt.Sprintf("status in the document: got %d, want %d", p.Status, a.status)
	case p.Type == "" || p.Title == "":
		return "type or title is missing"
	case p.RequestID == "" || p.RequestID != a.header.Get("X-Request-ID"):
		return fmt.Sprintf("request_id: got %q, want X-Request-ID, %q", p.RequestID, a.header.Get("X-Request-ID"))
	case !strings.HasSuffix(p.Detail, "."):
		return fmt.Sprintf("detail is no sentence: %q", p.Detail)
	case (a.status == 429 || a.status == 503) && a.header.Get("Retry-After") == "":
		return "Retry-After is missing"
	case a.status == 405 && a.header.Get("Allow") == "":
		return "Allow is missing"
	case a.status == 401 && a.header.Get("WWW-Authenticate") == "":
		return "WWW-Authenticate is missing"
	}
	said := p.Detail
	for _, e := range p.Errors {
		if e.Location == "" || e.Message == "" {
			return "an element of errors lacks location or message"
		}
		said += " " + e.Message
	}
	for _, word := range leaks {
		if strings.Contains(strings.ToLower(said), word) {
			return fmt.Sprintf("%q tells of the inside: %q", word, said)
		}
	}
	return ""
}

// machine is a machine as it is sent, with some fields replaced; a nil value leaves the field out.
func machine(codigo string, changes ...object) object {
	return changed(object{
		"codigo_equipo": codigo, "tipo_equipo": "PC", "estado_actual": "operativa", "area": "Biblioteca Central",
		"fecha": "2025-03-10", "usuario": "Rocío Muñoz",
	}, changes...)
}

// record is a mantenimiento as it is sent.
func record(codigo string, changes ...object) object {
	return changed(object{
		"codigo_maquina": codigo, "empresa": "Soporte Técnico Universitario", "tecnico": "Saúl Yáñez", "tipo": "preventivo",
		"fecha": "2025-06-02", "observaciones": "Limpieza interna; queda operativa.", "usuario": "Inés Dávila",
	}, changes...)
}

func changed(o object, changes ...object) object {
	for _, c := range changes {
		maps.Copy(o, c)
	}
	maps.DeleteFunc(o, func(_ string, v any) bool { return v == nil })
	return o
}

// null is JSON's null, where nil would leave a field out.
var null = json.RawMessage("null")

func (s *service) addMachine(t testing.TB, codigo string, changes ...object) {
	t.Helper()
	s.admin.in(t).post("/api/maquinas/agregar", machine(codigo, changes...)).want(201)
}

func (s *service) addRecord(t testing.TB, codigo string, changes ...object) string {
	t.Helper()
	return s.admin.in(t).post("/api/mantenimientos/agregar", record(codigo, changes...)).want(201).object()["_id"].(string)
}

// snapshot is everything that callers can read of the data, as bytes.
func (s *service) snapshot(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{
		"/api/maquinas/listar", "/api/mantenimientos/todos?limite=10000", "/api/mantenimientos/informe",
	} {
		b.Write(s.admin.in(t).get(path).want(200).body)
	}
	return b.String()
}

// repositoryRoot is the folder that holds go.mod.
func repositoryRoot(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// reporter is what a comparison needs of a test; *testing.T and *rapid.T are both one.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// same fails the test unless two values are equal.
func same[T cmp.Ordered](t reporter, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// sameList is same for lists.
func sameList(t reporter, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// sameJSON compares values after a trip through JSON.
func sameJSON(t reporter, what string, got, want any) {
	t.Helper()
	if g, w := canonical(got), canonical(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// canonical writes a value as JSON with the members of objects sorted.
func canonical(v any) string {
	b, err := json.Marshal(v)
	if err == nil {
		var plain any
		if err = json.Unmarshal(b, &plain); err == nil {
			b, err = json.Marshal(plain)
		}
	}
	if err != nil {
		panic(err) // a value of the test's own that is no JSON
	}
	return string(b)
}
