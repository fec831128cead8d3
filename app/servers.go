package app

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"siglab/app/guard"
	"siglab/app/mongo"
	"siglab/app/mysql"
	"siglab/app/redis"
	"siglab/app/sistema"
	"siglab/app/sqlstore"
	"siglab/app/telemetry"
)

// servers opens MySQL, MongoDB and Redis. None is asked for anything yet.
func (st *stores) servers(c Config, tel *telemetry.Telemetry) error {
	m := tel.Metrics
	protect := func(name string, timeout time.Duration, connections int, outage func(error) bool) *guard.Guard {
		m.CircuitOpen(name, false)
		return guard.New(timeout, outage, func(open bool) {
			m.CircuitOpen(name, open)
			tel.Log.Warn("circuit", zap.String("dependency", name), zap.Bool("open", open))
		}).Limit(connections)
	}

	db, err := mysql.Open(c.mysql(tel))
	if err != nil {
		return err
	}
	st.closers.add("MySQL pool", func(context.Context) error { return db.Close() })
	m.RegisterSQL(db, "mysql")
	sql := &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect(), Guard: protect("mysql", c.MySQLTimeout, c.MySQLPoolSize, mysql.Outage), Now: time.Now}
	maquinas := &sqlstore.Maquinas{DB: sql}
	st.maquinas, st.outbox, st.usuarios = maquinas, maquinas, &sqlstore.Usuarios{DB: sql}

	docs, err := mongo.Open(c.mongo(), mongo.Hooks{Tracer: tel.Tracer.Tracer("siglab/app/mongo"), Observe: m.Operations("mongodb")})
	if err != nil {
		return err
	}
	st.closers.add("MongoDB pool", docs.Close)
	m.RegisterPool("mongodb", pool(docs.Pool))
	st.mantenimientos = mongo.NewMantenimientos(docs, protect("mongodb", c.MongoTimeout, c.MongoPoolSize, mongo.Outage), time.Now)

	redis.RouteLogs(func(text string) { tel.Log.Debug("redis", zap.String("text", text)) })
	keys, err := redis.Open(redis.Config{
		URL: string(c.RedisURL), Host: c.RedisHost, Port: c.RedisPort, Password: string(c.RedisPassword),
		PoolSize: c.RedisPoolSize, Timeout: c.RedisTimeout, TTL: time.Duration(c.RedisTTL),
	}, redis.Hooks{TracerProvider: tracer(tel), Observe: m.Operations("redis")})
	if err != nil {
		return err
	}
	st.closers.add("Redis pool", func(context.Context) error { return keys.Close() })
	m.RegisterPool("redis", pool(keys.Pool))
	g := protect("redis", c.RedisTimeout, c.RedisPoolSize, redis.Outage)
	st.cache, st.sessions, st.limiter = redis.NewCache(keys, g), redis.NewSessions(keys, g), redis.NewLimiter(keys, g)

	st.dependencies = []sistema.Dependency{
		{Name: "mysql", Ping: db.PingContext}, {Name: "mongodb", Ping: docs.Ping}, {Name: "redis", Ping: keys.Ping},
	}
	st.prepare = func(ctx context.Context, log *zap.Logger) error {
		// Serving waits for MySQL alone. The others may come later, but a password that they refuse ends the process at once, with
		// its name, instead of leaving every request to fail.
		go st.watch(ctx, log, "MongoDB (MONGO_USER, MONGO_PASSWORD or MONGO_URI)", docs.Ping, mongo.Refused)
		go st.watch(ctx, log, "Redis (REDIS_PASSWORD or REDIS_URL)", keys.Ping, redis.Refused)
		return wait(ctx, log, "MySQL's schema, which `siglab migrate` makes", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 2*c.MySQLTimeout)
			defer cancel()
			return unlessRefused("MySQL (MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE)", mysql.Ready(ctx, db), mysql.Refused)
		})
	}
	return nil
}

// watch asks a server until it answers once, and reports it when it refuses its credentials.
func (st *stores) watch(ctx context.Context, log *zap.Logger, what string, ping func(context.Context) error, refused func(error) bool) {
	err := wait(ctx, log, what, func(ctx context.Context) error { return unlessRefused(what, ping(ctx), refused) })
	if err != nil && ctx.Err() == nil {
		st.refused <- err
	}
}

// unlessRefused makes an error fatal when it says that the credentials are wrong.
func unlessRefused(what string, err error, refused func(error) bool) error {
	if err != nil && refused(err) {
		return &fatal{what + " refuses the credentials", err}
	}
	return err
}

func (c Config) mysql(tel *telemetry.Telemetry) mysql.Config {
	return mysql.Config{
		Host: c.MySQLHost, Port: c.MySQLPort, User: c.MySQLUser, Password: string(c.MySQLPassword), Database: c.MySQLDatabase,
		TLS: c.MySQLTLS, PoolSize: c.MySQLPoolSize, Timeout: c.MySQLTimeout,
		Log: tel.Log, Tracer: tracer(tel), Observe: tel.Metrics.Operations("mysql"),
	}
}

func (c Config) mongo() mongo.Config {
	return mongo.Config{
		URI: string(c.MongoURI), Host: c.MongoHost, Port: c.MongoPort, Database: c.MongoDatabase,
		User: c.MongoUser, Password: string(c.MongoPassword), PoolSize: c.MongoPoolSize, Timeout: c.MongoTimeout,
	}
}

// tracer is nil when no span can be recorded, so that drivers are not instrumented for nothing.
func tracer(tel *telemetry.Telemetry) trace.TracerProvider {
	if !tel.Tracing {
		return nil
	}
	return tel.Tracer
}

func pool(stats func() (idle, used, max int, wait time.Duration)) func() telemetry.PoolStats {
	return func() telemetry.PoolStats {
		idle, used, max, wait := stats()
		return telemetry.PoolStats{Idle: idle, Used: used, Max: max, Wait: wait}
	}
}
