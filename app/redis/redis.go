// Package redis keeps in Redis what all replicas share and nobody would miss for long: the cache, the active sessions and the
// counts of login attempts. It also spreads revocations. Whatever is here may vanish at any time.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/extra/redisotel/v9"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// DefaultPrefix begins every key. Its braces make it a hash tag: on Redis Cluster all keys share one slot, so that one script can
// touch several. They are few and small; what is shared out over a cluster's nodes are the systems that use it, not this one's keys.
const DefaultPrefix = "{siglab}"

// Config says where Redis is and how it is used.
type Config struct {
	// URL, when it is not empty, takes the place of Host and Port:
	//
	//	redis://user@host:6379/0                                     one server; rediss:// for TLS
	//	redis://sentinel:26379/0?master_name=siglab&addr=other:26379 Sentinel: the master of that name
	//	redis://node:6379?cluster=true&addr=other:6379               Cluster; cluster=true or a second addr make it one
	//
	// Host and addr name sentinels or nodes, any number of them. Behind Sentinel, user and password before the @ are the
	// sentinels' own, and the server's user is the parameter username. Other parameters are those of go-redis; pool sizes and
	// timeouts are this Config's.
	URL string

	Host string
	Port int

	// Password is the server's, used when the URL has none.
	Password string

	// PoolSize is the most connections to one server, 10 when it is 0.
	PoolSize int

	// Timeout bounds connecting, waiting for a connection, reading and writing, each; 250 ms when it is 0.
	Timeout time.Duration

	// TTL is the most time that an entry of the cache lives, 60 s when it is 0.
	TTL time.Duration

	// Prefix begins every key and channel, DefaultPrefix when it is empty. It must hold a hash tag for Redis Cluster.
	Prefix string
}

// Hooks let others see what is done. Either may be nil.
type Hooks struct {
	// TracerProvider gets a span for each command, without keys and values.
	TracerProvider trace.TracerProvider

	// Observe is told of each command: its name in small letters (pipeline for several at once), how it ended, and how long it
	// took. A key that is not there is no error.
	Observe func(operation string, err error, d time.Duration)
}

// DB is a connection pool to Redis, or to several servers of a cluster.
type DB struct {
	client  goredis.UniversalClient
	prefix  string
	timeout time.Duration
	ttl     time.Duration
}

// Open prepares the pool and connects to nothing yet. An error means that the configuration cannot be right.
func Open(cfg Config, h Hooks) (*DB, error) {
	if cfg.PoolSize == 0 {
		cfg.PoolSize = 10
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 250 * time.Millisecond
	}
	if cfg.TTL == 0 {
		cfg.TTL = time.Minute
	}
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	db := &DB{prefix: cfg.Prefix, timeout: cfg.Timeout, ttl: cfg.TTL}
	var err error
	if db.client, err = db.connect(cfg); err != nil {
		return nil, err
	}
	if h.TracerProvider != nil {
		err := redisotel.InstrumentTracing(db.client, redisotel.WithTracerProvider(h.TracerProvider),
			redisotel.WithDBStatement(false), redisotel.WithCallerEnabled(false), redisotel.WithDialFilter(true),
			redisotel.WithAttributes(attribute.String("db.system.name", "redis")))
		if err != nil {
			return nil, errors.Join(err, db.client.Close())
		}
	}
	if h.Observe != nil {
		db.client.AddHook(observer{h.Observe})
	}
	return db, nil
}

func (db *DB) connect(cfg Config) (goredis.UniversalClient, error) {
	if cfg.URL == "" {
		if cfg.Host == "" || cfg.Port < 1 || cfg.Port > 65535 {
			return nil, errors.New("redis: neither a URL nor a host and a port are given")
		}
		o := &goredis.Options{Addr: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))}
		return db.single(o, cfg), nil
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("redis: the URL cannot be read") // the parser's own error quotes it, password included
	}
	query := u.Query()
	switch {
	case query.Get("master_name") != "":
		o, err := goredis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, fmt.Errorf("redis: Sentinel URL: %w", err)
		}
		return db.failover(o, cfg), nil
	case query.Get("cluster") == "true" || query.Has("addr"):
		query.Del("cluster")
		u.RawQuery = query.Encode()
		o, err := goredis.ParseClusterURL(u.String())
		if err != nil {
			return nil, fmt.Errorf("redis: Cluster URL: %w", err)
		}
		return db.cluster(o, cfg), nil
	}
	query.Del("cluster")
	u.RawQuery = query.Encode()
	o, err := goredis.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("redis: URL: %w", err)
	}
	return db.single(o, cfg), nil
}

// One retry: a pooled connection that a restarted server has closed is noticed only when it is used.
const maxRetries = 1

func (db *DB) single(o *goredis.Options, cfg Config) goredis.UniversalClient {
	if o.Password == "" {
		o.Password = cfg.Password
	}
	o.PoolSize, o.MaxActiveConns, o.PipelinePoolSize = cfg.PoolSize, cfg.PoolSize, -1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout, cfg.Timeout
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.DisableIdentity = maxRetries, 1, true, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.OnConnect = db.greet
	return goredis.NewClient(o)
}

func (db *DB) failover(o *goredis.FailoverOptions, cfg Config) goredis.UniversalClient {
	if o.Password == "" {
		o.Password = cfg.Password
	}
	o.PoolSize, o.MaxActiveConns, o.PipelinePoolSize = cfg.PoolSize, cfg.PoolSize, -1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout, cfg.Timeout
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.DisableIdentity = maxRetries, 1, true, true
	o.ReplicaOnly, o.RouteByLatency, o.RouteRandomly = false, false, false // a replica may lag, and an old generation is an old list
	o.OnConnect = db.greet
	return goredis.NewFailoverClient(o)
}

func (db *DB) cluster(o *goredis.ClusterOptions, cfg Config) goredis.UniversalClient {
	if o.Password == "" {
		o.Password = cfg.Password
	}
	o.PoolSize, o.MaxActiveConns, o.PipelinePoolSize = cfg.PoolSize, cfg.PoolSize, -1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout, cfg.Timeout
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.DisableIdentity = maxRetries, 1, true, true
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false // as behind Sentinel
	o.MaxRedirects = 3
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.OnConnect = db.greet
	return goredis.NewClusterClient(o)
}

// key names what all replicas know by that name.
func (db *DB) key(name string) string { return db.prefix + ":" + name }

// Ping asks the server whether it works, past any guard and within Timeout.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	return db.client.Ping(ctx).Err()
}

// Close closes every connection.
func (db *DB) Close() error { return db.client.Close() }

// Pool returns the connections that are idle and in use, the most there may be to one server, and how long all callers together
// have waited for one since the start.
func (db *DB) Pool() (idle, used, max int, wait time.Duration) {
	s := db.client.PoolStats()
	switch c := db.client.(type) {
	case *goredis.Client:
		max = c.Options().PoolSize
	case *goredis.ClusterClient:
		max = c.Options().PoolSize
	}
	idle = int(s.IdleConns)
	return idle, int(s.TotalConns) - idle, max, time.Duration(s.WaitDurationNs)
}

// Outage says whether err means that Redis does not work. Nothing that a client of the service sends can make a command wrong, so
// every error that Redis answers is one: it loads, it is a read-only replica, it is full, the slot has moved, the password is old.
func Outage(err error) bool {
	return err != nil && !errors.Is(err, goredis.Nil) && !errors.Is(err, context.Canceled)
}

// Refused says whether err means that Redis does not accept the credentials, or that they do not allow what the service needs.
func Refused(err error) bool {
	if err == nil {
		return false
	}
	if goredis.IsAuthError(err) || goredis.IsPermissionError(err) {
		return true
	}
	if e, ok := errors.AsType[goredis.Error](err); ok {
		text := e.Error()
		return strings.HasPrefix(text, "NOAUTH") || strings.HasPrefix(text, "WRONGPASS") || strings.HasPrefix(text, "NOPERM")
	}
	return false
}

// RouteLogs sends what go-redis logs by itself, such as failures to connect, through log. It is for the program's start: the
// setting is go-redis's own and holds for the whole process.
func RouteLogs(log func(text string)) { goredis.SetLogger(logger(log)) }

type logger func(string)

func (l logger) Printf(_ context.Context, format string, v ...any) { l(fmt.Sprintf(format, v...)) }

// observer tells Hooks.Observe of each command.
type observer struct {
	observe func(string, error, time.Duration)
}

func (o observer) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (o observer) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmd)
		o.report(cmd.Name(), err, start)
		return err
	}
}

func (o observer) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		o.report("pipeline", err, start)
		return err
	}
}

func (o observer) report(operation string, err error, start time.Time) {
	switch {
	case errors.Is(err, context.Canceled):
		return // the caller went away, which says nothing about Redis
	case errors.Is(err, goredis.Nil), goredis.HasErrorPrefix(err, "NOSCRIPT"):
		err = nil // answers: there is no such key; send the script once in full
	}
	o.observe(operation, err, time.Since(start))
}
