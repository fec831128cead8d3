package redis_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	respserver "github.com/alicebob/miniredis/v2/server"
	goredis "github.com/redis/go-redis/v9"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"siglab/app/cache"
	"siglab/app/errs"
	"siglab/app/guard"
	"siglab/app/redis"
	"siglab/app/storetest"
	"siglab/app/usuarios"
)

func serverURL(t testing.TB) string {
	t.Helper()
	u := os.Getenv("TEST_REDIS_URL")
	if u == "" {
		if os.Getenv("TEST_SERVERS") == "required" {
			t.Fatal("TEST_REDIS_URL names no server")
		}
		t.Skip("TEST_REDIS_URL names no server")
	}
	return u
}

// prefix is the test's own.
func prefix() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return "{test-" + hex.EncodeToString(b[:]) + "}"
}

// lenient is long enough for a machine that does something else.
const lenient = 20 * time.Second

func open(t testing.TB, cfg redis.Config, h redis.Hooks) *redis.DB {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = lenient
	}
	db, err := redis.Open(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// server is a Redis that a test may use: the real one under a prefix of its own, or one in this process whose clock can be moved.
type server struct {
	cfg    redis.Config
	client *goredis.Client // goes its own way to the same data
	elapse func(time.Duration)
}

func (s server) flush(t testing.TB) {
	ctx := context.WithoutCancel(t.Context())
	keys := s.client.Scan(ctx, 0, s.cfg.Prefix+":*", 1000).Iterator()
	var all []string
	for keys.Next(ctx) {
		// The mark of the server stays: without it the next connection would drop the generations once more, at a time that
		// the suite does not expect.
		if keys.Val() != s.cfg.Prefix+":servidor" {
			all = append(all, keys.Val())
		}
	}
	if err := keys.Err(); err != nil {
		t.Error(err)
	}
	// The generations and what belongs to them must go in one step, as they do when a server is flushed.
	if len(all) > 0 {
		if err := s.client.Del(ctx, all...).Err(); err != nil {
			t.Error(err)
		}
	}
}

func real(t testing.TB) server {
	t.Helper()
	o, err := goredis.ParseURL(serverURL(t))
	if err != nil {
		t.Fatal(err)
	}
	s := server{cfg: redis.Config{URL: serverURL(t), Prefix: prefix()}, client: goredis.NewClient(o)}
	t.Cleanup(func() {
		s.flush(t)
		_ = s.client.Del(context.WithoutCancel(t.Context()), s.cfg.Prefix+":servidor")
		_ = s.client.Close()
	})
	return s
}

func mini(t testing.TB) server {
	t.Helper()
	m := miniredis.RunT(t)
	now := time.Now()
	m.SetTime(now)
	s := server{cfg: redis.Config{URL: "redis://" + m.Addr(), Prefix: prefix()}, client: goredis.NewClient(&goredis.Options{Addr: m.Addr()})}
	s.elapse = func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
		m.FastForward(d)
	}
	t.Cleanup(func() { _ = s.client.Close() })
	return s
}

// each runs a test on the real server, if there is one, and on the one in this process.
func each(t *testing.T, test func(t *testing.T, start func(testing.TB) server)) {
	t.Run("server", func(t *testing.T) {
		serverURL(t)
		test(t, real)
	})
	t.Run("miniredis", func(t *testing.T) { test(t, mini) })
}

func TestCache(t *testing.T) {
	each(t, func(t *testing.T, start func(testing.TB) server) {
		storetest.Cache(t, func(t *testing.T) storetest.CacheServer {
			s := start(t)
			return storetest.CacheServer{
				Replicas: []cache.Store{redis.NewCache(open(t, s.cfg, redis.Hooks{}), nil), redis.NewCache(open(t, s.cfg, redis.Hooks{}), nil)},
				TTL:      time.Minute, Flush: func() { s.flush(t) }, Elapse: s.elapse,
			}
		})
	})
}

func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, start func(testing.TB) server) {
		storetest.Sessions(t, func(t *testing.T) [2]usuarios.Sessions {
			s := start(t)
			return [2]usuarios.Sessions{redis.NewSessions(open(t, s.cfg, redis.Hooks{}), nil), redis.NewSessions(open(t, s.cfg, redis.Hooks{}), nil)}
		})
	})
}

func TestLimiter(t *testing.T) {
	each(t, func(t *testing.T, start func(testing.TB) server) {
		storetest.Limiter(t, func(t *testing.T) storetest.LimiterServer {
			s := start(t)
			return storetest.LimiterServer{
				Replicas: [2]usuarios.Limiter{redis.NewLimiter(open(t, s.cfg, redis.Hooks{}), nil), redis.NewLimiter(open(t, s.cfg, redis.Hooks{}), nil)},
				Elapse:   s.elapse,
			}
		})
	})
}

func TestKeysAreOurs(t *testing.T) {
	each(t, func(t *testing.T, start func(testing.TB) server) {
		s := start(t)
		db := open(t, s.cfg, redis.Hooks{})
		c, ctx := redis.NewCache(db, nil), t.Context()
		gen, err := c.Generation(ctx, "maquinas")
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		for what, err := range map[string]error{
			"Put":  c.Put(ctx, "maquinas", gen, "listar", []byte("x")),
			"Open": redis.NewSessions(db, nil).Open(ctx, usuarios.Session{ID: "s", Expires: at.Add(time.Hour)}, at),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := redis.NewLimiter(db, nil).Allow(ctx, "ana@ejemplo", 5); err != nil {
			t.Fatal(err)
		}
		keys, err := s.client.Keys(ctx, "*"+strings.Trim(s.cfg.Prefix, "{}")+"*").Result()
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]bool{}
		for _, key := range keys {
			rest, ok := strings.CutPrefix(key, s.cfg.Prefix+":")
			if !ok {
				t.Errorf("key %q does not begin with the prefix", key)
			}
			if strings.Contains(key, "ana") {
				t.Errorf("key %q holds what a person typed", key)
			}
			kind, _, _ := strings.Cut(rest, ":")
			kinds[kind] = true
			ttl, err := s.client.PTTL(ctx, key).Result()
			if err != nil {
				t.Fatal(err)
			}
			if mortal := kind == "cache" || kind == "limite"; mortal != (ttl > 0) || ttl > time.Minute {
				t.Errorf("key %q lives for %v", key, ttl)
			}
		}
		for _, kind := range []string{"generaciones", "cache", "sesiones", "limite"} {
			if !kinds[kind] {
				t.Errorf("no key of kind %s among %q", kind, keys)
			}
		}
	})
}

// A server that is another than the one the generations were made in may hold an old one: its snapshot, or a replica that took
// over. Whoever connects to it first drops them.
func TestAnotherServerDropsGenerations(t *testing.T) {
	s := real(t)
	ctx := t.Context()
	c := redis.NewCache(open(t, s.cfg, redis.Hooks{}), nil)
	gen, err := c.Generation(ctx, "maquinas")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(ctx, "maquinas", gen, "x", []byte("viejo")); err != nil {
		t.Fatal(err)
	}
	same := redis.NewCache(open(t, s.cfg, redis.Hooks{}), nil)
	if now, v, err := same.Get(ctx, "maquinas", "x"); err != nil || now != gen || v == nil {
		t.Errorf("a new connection to the same server: got %q under %q, %v; want all as it was", v, now, err)
	}
	if err := s.client.Set(ctx, s.cfg.Prefix+":servidor", "otro", 0).Err(); err != nil {
		t.Fatal(err)
	}
	other := redis.NewCache(open(t, s.cfg, redis.Hooks{}), nil)
	if now, v, err := other.Get(ctx, "maquinas", "x"); err != nil || now == gen || v != nil {
		t.Errorf("a new connection to another server: got %q under %q, %v; want nothing under a new token", v, now, err)
	}
	after, err := c.Generation(ctx, "maquinas")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := redis.NewCache(open(t, s.cfg, redis.Hooks{}), nil).Generation(ctx, "maquinas"); err != nil || again != after {
		t.Errorf("the next connection: got token %q, %v; want %q", again, err, after)
	}
}

func TestOpen(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("siglab", "llave")
	host, port, _ := net.SplitHostPort(m.Addr())
	number := 0
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cfg     redis.Config
		refused bool
	}{
		"URL":                      {redis.Config{URL: "redis://siglab:llave@" + m.Addr() + "/0"}, false},
		"URL, password beside it":  {redis.Config{URL: "redis://siglab@" + m.Addr(), Password: "llave"}, false},
		"URL with a parameter":     {redis.Config{URL: "redis://siglab:llave@" + m.Addr() + "?protocol=2&cluster=false"}, false},
		"wrong password":           {redis.Config{URL: "redis://siglab@" + m.Addr(), Password: "otra"}, true},
		"no password":              {redis.Config{Host: host, Port: number}, true},
		"host and port, wrong one": {redis.Config{Host: host, Port: number, Password: "otra"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, test.cfg, redis.Hooks{})
			err := db.Ping(t.Context())
			if got := redis.Refused(err); got != test.refused || (err != nil) != test.refused {
				t.Errorf("Ping: got %v, refused %v; want refused %v", err, got, test.refused)
			}
			if redis.Outage(err) != test.refused {
				t.Errorf("Outage of %v: got %v, want %v", err, !test.refused, test.refused)
			}
		})
	}
	for name, cfg := range map[string]redis.Config{
		"nothing":                {},
		"no port":                {Host: "localhost"},
		"no host":                {Port: 6379},
		"not a URL":              {URL: "redis://:secreto@[::1"},
		"not Redis":              {URL: "http://:secreto@localhost"},
		"no number":              {URL: "redis://:secreto@localhost/x"},
		"unknown parameter":      {URL: "redis://:secreto@localhost?que=1"},
		"unknown in a cluster":   {URL: "redis://:secreto@localhost?cluster=true&que=1"},
		"unknown behind a guard": {URL: "redis://:secreto@localhost?master_name=m&que=1"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := redis.Open(cfg, redis.Hooks{})
			if err == nil {
				_ = db.Close()
				t.Fatal("got no error")
			}
			if strings.Contains(err.Error(), "secreto") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// A sentinel that knows one master. It is asked for nothing else but where that is.
func TestSentinel(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("llave")
	sentinel, err := respserver.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sentinel.Close()
	for name, answer := range map[string]func(c *respserver.Peer, args []string){
		"HELLO": func(c *respserver.Peer, _ []string) { c.WriteError("ERR unknown command 'hello'") },
		"PING":  func(c *respserver.Peer, _ []string) { c.WriteInline("PONG") },
		"INFO": func(c *respserver.Peer, _ []string) {
			c.WriteBulk("# Server\r\nredis_mode:sentinel\r\nrun_id:0123456789abcdef\r\n")
		},
		"SUBSCRIBE": func(c *respserver.Peer, args []string) {
			for i, channel := range args {
				c.WritePushLen(3)
				c.WriteBulk("subscribe")
				c.WriteBulk(channel)
				c.WriteInt(i + 1)
			}
		},
		"SENTINEL": func(c *respserver.Peer, args []string) {
			switch {
			case strings.EqualFold(args[0], "get-master-addr-by-name") && args[1] == "siglab":
				c.WriteStrings([]string{m.Host(), m.Port()})
			case strings.EqualFold(args[0], "sentinels"):
				c.WriteLen(0)
			default:
				c.WriteError("ERR no such master")
			}
		},
	} {
		if err := sentinel.Register(name, func(c *respserver.Peer, _ string, args []string) { answer(c, args) }); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, redis.Config{URL: "redis://" + sentinel.Addr().String() + "/0?master_name=siglab", Password: "llave"}, redis.Hooks{})
	c := redis.NewCache(db, nil)
	gen, err := c.Generation(t.Context(), "maquinas")
	if err != nil {
		t.Fatal(err)
	}
	if stored := m.HGet("{siglab}:generaciones", "maquinas"); stored != gen {
		t.Errorf("the master holds token %q, want %q", stored, gen)
	}
}

// miniredis answers as a cluster of one node.
func TestCluster(t *testing.T) {
	m := miniredis.RunT(t)
	for _, query := range []string{"?cluster=true", "?addr=" + m.Addr()} {
		s := server{cfg: redis.Config{URL: "redis://" + m.Addr() + query}}
		db := open(t, s.cfg, redis.Hooks{})
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := redis.NewCache(db, nil)
		gen, err := c.Advance(t.Context(), "maquinas", "", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Put(t.Context(), "maquinas", gen, "x", []byte("v")); err != nil {
			t.Fatal(err)
		}
		if _, v, err := c.Get(t.Context(), "maquinas", "x"); err != nil || string(v) != "v" {
			t.Errorf("with %s: got %q, %v", query, v, err)
		}
		storetest.AwaitAnnouncement(t, redis.NewSessions(db, nil), redis.NewSessions(db, nil))
		if _, _, most, _ := db.Pool(); most != 10 {
			t.Errorf("with %s: the pool holds at most %d connections, want 10", query, most)
		}
	}
}

func TestErrorsAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		outage  bool
		refused bool
	}{
		"nothing":              {nil, false, false},
		"no such key":          {fmt.Errorf("get: %w", goredis.Nil), false, false},
		"the caller went away": {context.Canceled, false, false},
		"no time left":         {context.DeadlineExceeded, true, false},
		"no connection":        {&net.OpError{Op: "dial", Err: errors.New("refused")}, true, false},
		"closed":               {goredis.ErrClosed, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redis.Outage(test.err); got != test.outage {
				t.Errorf("Outage: got %v, want %v", got, test.outage)
			}
			if got := redis.Refused(test.err); got != test.refused {
				t.Errorf("Refused: got %v, want %v", got, test.refused)
			}
		})
	}
	m := miniredis.RunT(t)
	db := open(t, redis.Config{URL: "redis://" + m.Addr()}, redis.Hooks{})
	for answer, refused := range map[string]bool{
		"LOADING Redis is loading the dataset in memory":          false,
		"READONLY You can't write against a read only replica.":   false,
		"MOVED 1234 127.0.0.1:1":                                  false,
		"CLUSTERDOWN The cluster is down":                         false,
		"OOM command not allowed when used memory > 'maxmemory'.": false,
		"MISCONF Errors writing to the AOF file":                  false,
		"ERR anything":                                            false,
		"NOAUTH Authentication required.":                         true,
		"NOPERM this user has no permissions":                     true,
		"WRONGPASS invalid username-password pair":                true,
	} {
		t.Run(answer, func(t *testing.T) {
			m.SetError(answer)
			defer m.SetError("")
			err := db.Ping(t.Context())
			if err == nil || !redis.Outage(err) || redis.Refused(err) != refused {
				t.Errorf("got %v, outage %v, refused %v; want an outage, refused %v", err, redis.Outage(err), redis.Refused(err), refused)
			}
		})
	}
}

func TestHooksSeeCommandsAndNoValues(t *testing.T) {
	each(t, func(t *testing.T, start func(testing.TB) server) {
		const secret = "no-debe-verse"
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		var mu sync.Mutex
		seen := map[string]int{}
		db := open(t, start(t).cfg, redis.Hooks{TracerProvider: provider, Observe: func(operation string, err error, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				operation += " failed: " + err.Error()
			}
			seen[operation]++
		}})
		c, ctx := redis.NewCache(db, nil), t.Context()
		for range 3 {
			gen, err := c.Generation(ctx, secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Put(ctx, secret, gen, secret, []byte(secret)); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		if seen["hget"] != 3 || seen["evalsha"] < 4 {
			t.Errorf("observed %v, want 3 hget and at least 4 evalsha", seen)
		}
		for operation := range seen {
			if strings.Contains(operation, "failed") && !strings.HasPrefix(operation, "info") { // miniredis has no such section
				t.Errorf("observed %q: a missing key and a script sent for the first time are no failures", operation)
			}
		}
		mu.Unlock()
		got := map[string]bool{}
		for _, span := range spans.Ended() {
			got[span.Name()] = true
			if text := fmt.Sprint(span.Name(), span.Attributes(), span.Events(), span.Status()); strings.Contains(text, secret) {
				t.Errorf("a span holds a value: %s", text)
			}
		}
		if !got["hget"] || !got["evalsha"] {
			t.Errorf("got spans %v", got)
		}
		if _, used, most, _ := db.Pool(); used != 0 || most != 10 {
			t.Errorf("got a pool with %d used of at most %d, want 0 of 10", used, most)
		}
	})
}

// behind puts a proxy before the real server.
func behind(t *testing.T) (*storetest.Proxy, redis.Config) {
	t.Helper()
	s := real(t)
	u, err := url.Parse(s.cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := storetest.NewProxy(t, u.Host)
	u.Host = proxy.Addr()
	s.cfg.URL = u.String()
	return proxy, s.cfg
}

func eventually(t *testing.T, what string, call func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(lenient); time.Now().Before(end); {
		if err = call(); err == nil {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func TestOutagesAreShortAndEnd(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*storetest.Proxy) }{
		"frozen": {(*storetest.Proxy).Freeze, (*storetest.Proxy).Thaw},
		"broken": {(*storetest.Proxy).Break, (*storetest.Proxy).Mend},
	} {
		t.Run(name, func(t *testing.T) {
			const timeout = 250 * time.Millisecond
			proxy, cfg := behind(t)
			cfg.Timeout = timeout
			var mu sync.Mutex
			failed := 0
			db := open(t, cfg, redis.Hooks{Observe: func(_ string, err error, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
				}
			}})
			g := guard.New(timeout, redis.Outage, nil)
			c, l, s := redis.NewCache(db, g), redis.NewLimiter(db, g), redis.NewSessions(db, g)
			calls := map[string]func() error{
				"Generation": func() error { _, err := c.Generation(t.Context(), "s"); return err },
				"Get":        func() error { _, _, err := c.Get(t.Context(), "s", "k"); return err },
				"Put":        func() error { return c.Put(t.Context(), "s", "g", "k", []byte("v")) },
				"Advance":    func() error { _, err := c.Advance(t.Context(), "s", "g", "k", []byte("v")); return err },
				"Allow":      func() error { _, err := l.Allow(t.Context(), "k", 1000); return err },
				"Active":     func() error { _, err := s.Active(t.Context(), time.Now()); return err },
				"Announce":   func() error { return s.Announce(t.Context(), usuarios.Revocation{Session: "s"}) },
			}
			for what, call := range calls {
				eventually(t, what+" before", call)
			}
			fault.begin(proxy)
			for range 2 {
				for what, call := range calls {
					start := time.Now()
					if err := call(); errs.KindOf(err) != errs.Unavailable {
						t.Errorf("%s: got %v, want Unavailable", what, err)
					}
					if took := time.Since(start); took > 6*timeout { // one would do; the rest is for a slow machine
						t.Errorf("%s took %v with a timeout of %v", what, took, timeout)
					}
				}
			}
			if err := db.Ping(t.Context()); !redis.Outage(err) {
				t.Errorf("Ping: got %v, want an outage", err)
			}
			mu.Lock()
			if failed == 0 {
				t.Error("no failure was observed")
			}
			mu.Unlock()
			fault.end(proxy)
			for what, call := range calls {
				eventually(t, what+" after", call)
			}
		})
	}
}

// A listener comes back by itself, from a connection that is cut and from one on which nothing arrives any more.
func TestListenComesBack(t *testing.T) {
	proxy, cfg := behind(t)
	cfg.Timeout = time.Second
	direct := cfg
	direct.URL = serverURL(t)
	speaker := redis.NewSessions(open(t, direct, redis.Hooks{}), nil)
	hearer := redis.NewSessions(open(t, cfg, redis.Hooks{}), nil)
	storetest.AwaitAnnouncement(t, speaker, hearer,
		func() { proxy.Break(); proxy.Mend() },
		func() { proxy.Freeze(); proxy.Break(); proxy.Thaw(); proxy.Mend() },
		proxy.Swallow,
	)
}
