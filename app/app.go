// Package app puts SIGLAB together: what is opened, what is handed to whom, and in which order everything starts and stops.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"siglab/app/api"
	"siglab/app/cache"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/memory"
	"siglab/app/sistema"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// Build says what was built, from what and when.
type Build struct{ Version, Commit, Date string }

// Options is what a command is run with.
type Options struct {
	Config Config
	Build  Build
	Stdout io.Writer // the log
	Stderr io.Writer // what a person at a terminal is told
	// Ready, if not nil, is called once with the addresses when the service has started.
	Ready func(public, internal net.Addr)
}

// services is the object graph between the stores and the doors.
type services struct {
	maquinas       *maquinas.Service
	mantenimientos *mantenimientos.Service
	usuarios       *usuarios.Service
	cache          *cache.Cache
	tablero        *sistema.Tablero
	monitor        *sistema.Monitor
}

// Run serves until ctx ends, then drains and returns nil. An error means that the service could not start, or could not go on.
func Run(ctx context.Context, o Options) (err error) {
	c := o.Config
	var closers closers
	defer func() { err = errors.Join(err, closers.close()) }()

	tel, err := o.telemetry(ctx)
	if err != nil {
		return err
	}
	closers.add("telemetry", tel.Shutdown)
	log := tel.Log
	log.Info("starting", zap.String("version", o.Build.Version), zap.String("commit", o.Build.Commit))
	if !c.AuthRequired {
		log.Warn("AUTH_REQUIRED is false: anyone may read and write; this is for development")
	}

	keys, err := sessionKeys(c)
	if err != nil {
		return err
	}
	st, err := openStores(c, tel)
	if err != nil {
		return err
	}
	closers.add("stores", st.close)
	s, err := build(c, o.Build, tel, st, keys)
	if err != nil {
		return err
	}

	// What runs beside the requests outlives the last of them, and ends before the stores close.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	closers.add("background work", func(context.Context) error { stopBackground(); working.Wait(); return nil })
	working.Go(func() { s.monitor.Run(background) })
	working.Go(func() { s.cache.Run(background) })
	if st.follow != nil {
		working.Go(func() { st.follow(background, s.cache) })
	}

	// Both doors open before the databases answer, so that probes and clients are told what is going on.
	s.monitor.Start(time.Now())
	handler, err := api.New(api.Config{
		Maquinas: s.maquinas, Mantenimientos: s.mantenimientos, Usuarios: s.usuarios, Tablero: s.tablero, Monitor: s.monitor,
		Telemetry: tel, ServerID: c.ServerID, Version: o.Build.Version,
		MetricsPublic: c.MetricsPublic, AuthRequired: c.AuthRequired, Origins: c.CORSOrigins, Proxies: c.proxies(),
		Timeout: time.Duration(c.Timeout), MaxInFlight: c.MaxConnections, CacheTTL: time.Duration(c.RedisTTL), Now: time.Now,
	})
	if err != nil {
		return err
	}
	tel.Metrics.RegisterGauges(telemetry.Gauges{ConcurrencyLimit: handler.ConcurrencyLimit})
	public, err := listen(c.Host, c.Port)
	if err != nil {
		return err
	}
	internal, err := listen(c.Host, c.MetricsPort)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	failed := make(chan error, 4)
	var draining atomic.Bool
	server := &http.Server{
		Handler:           hangUpWhile(&draining, handler),
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      time.Duration(c.Timeout) + 10*time.Second, // the API bounds the reading of each body, and moves an informe on
		IdleTimeout:       time.Duration(c.KeepAlive),
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(log.Named("http")),
	}
	inside := &http.Server{Handler: internalHandler(tel, s.monitor), ReadHeaderTimeout: 10 * time.Second, ErrorLog: zap.NewStdLog(log.Named("internal"))}
	go func() { failed <- serve(inside, internal) }()
	closers.add("internal listener", func(context.Context) error { return inside.Close() })
	go func() { failed <- serve(server, public) }()
	closers.add("public listener", server.Shutdown)

	started := make(chan error, 1)
	working.Go(func() { started <- s.start(ctx, background, &working, o, st, log) })
	select {
	case err = <-started:
		if err != nil && ctx.Err() != nil {
			return nil // told to stop before it had started
		} else if err != nil {
			return err
		}
	case err = <-failed:
		return err
	}
	s.monitor.SetReady()
	log.Info("ready", zap.Stringer("address", public.Addr()), zap.Stringer("internal", internal.Addr()))
	if o.Ready != nil {
		o.Ready(public.Addr(), internal.Addr())
	}

	select {
	case err = <-failed:
		return err
	case err = <-st.refused: // a store that came up later does not take its password
		return err
	case <-ctx.Done():
	}
	log.Info("draining", zap.Duration("delay", c.DrainDelay))
	s.monitor.SetDraining()
	draining.Store(true)
	time.Sleep(c.DrainDelay) // endpoints and proxies need this long to look elsewhere; requests are served meanwhile
	return nil               // the closers finish what is in flight
}

// build makes the services over the stores.
func build(c Config, b Build, tel *telemetry.Telemetry, st *stores, keys []usuarios.Key) (*services, error) {
	report := func(ctx context.Context, what string, err error) {
		tel.Log.Warn(what, append(telemetry.LogFields(ctx), zap.Error(err))...)
	}
	m := tel.Metrics
	hasher, err := usuarios.NewHasher(c.BcryptCost, hashersFor(runtime.GOMAXPROCS(0)), 64, m.BcryptDuration.Observe)
	if err != nil {
		return nil, err
	}
	shared := cache.New(st.cache, m.CacheRequest)
	s := &services{cache: shared}
	s.mantenimientos = &mantenimientos.Service{Store: st.mantenimientos, Maquinas: st.maquinas, Cache: shared, Now: time.Now}
	s.maquinas = &maquinas.Service{
		Store: st.maquinas, Outbox: st.outbox, Records: s.mantenimientos, Cache: shared, Now: time.Now,
		Grace: 2 * time.Duration(c.Timeout), Report: report,
	}
	s.usuarios = &usuarios.Service{
		Store: st.usuarios, Sessions: st.sessions, Limiter: st.limiter, Fallback: memory.NewLimiter(100_000, time.Now),
		Hasher: hasher, Tokens: usuarios.NewTokens(keys, c.SessionTTL), Revoked: &usuarios.Revoked{}, Now: time.Now,
		PerUser: c.LoginRateUser, PerAddress: c.LoginRateAddress, Observe: m.Login, Report: report,
	}
	s.tablero = &sistema.Tablero{ServerID: c.ServerID, Maquinas: s.maquinas, Mantenimientos: s.mantenimientos, Now: time.Now}
	s.monitor = &sistema.Monitor{
		ServerID: c.ServerID, Version: b.Version, Dependencies: st.dependencies,
		Interval: 2 * time.Second, Timeout: time.Second, Observe: m.DependencyUp, Patience: 3 * time.Second,
	}
	m.RegisterGauges(telemetry.Gauges{
		BcryptWaiting:   func() float64 { return float64(hasher.Waiting()) },
		SessionsRevoked: func() float64 { return float64(s.usuarios.Revoked.Len()) },
	})
	return s, nil
}

// start waits for the schema, learns what must be known before the first request, and begins the work that goes on beside them.
func (s *services) start(ctx, background context.Context, working *sync.WaitGroup, o Options, st *stores, log *zap.Logger) error {
	if err := st.prepare(ctx, log); err != nil {
		return err
	}
	var since time.Time
	err := wait(ctx, log, "the accounts", func(ctx context.Context) (err error) {
		if err = s.ensureAdmin(ctx, o, log); err == nil {
			since, err = s.usuarios.LoadRevocations(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	working.Go(func() { s.usuarios.FollowRevocations(background, since) })
	working.Go(func() { s.maquinas.Reconcile(background, time.Second, st.setBacklog) })
	working.Go(func() { s.mantenimientos.ForgetKeys(background, 10*time.Minute) })
	working.Go(func() { st.followSessions(background, s.usuarios) })
	return nil
}

// serve is http.Server.Serve without the error that only says that the server was closed.
func serve(server *http.Server, l net.Listener) error {
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func listen(host string, port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// hangUpWhile tells clients to leave a connection after its answer, so that none is idle, and about to be used, when the listener
// closes.
func hangUpWhile(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// internalHandler serves the port that only the cluster reaches.
func internalHandler(tel *telemetry.Telemetry, monitor *sistema.Monitor) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", tel.Handler())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, _ *http.Request) {
		if !monitor.Ready() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// hashersFor leaves cores for the rest: a hash takes one for a quarter of a second.
func hashersFor(cores int) int { return max(1, cores/2) }

func (o Options) telemetry(ctx context.Context) (*telemetry.Telemetry, error) {
	return telemetry.New(ctx, telemetry.Options{
		Level: o.Config.LogLevel, ServerID: o.Config.ServerID, Version: o.Build.Version, Commit: o.Build.Commit, Out: o.Stdout,
		NoMetrics: !o.Config.MetricsEnabled,
	})
}

func (c Config) proxies() []netip.Prefix {
	list := make([]netip.Prefix, len(c.TrustedProxies))
	for i, p := range c.TrustedProxies {
		list[i] = p.Prefix
	}
	return list
}

// wait calls try until it succeeds, saying now and then what it waits for. It gives up when ctx ends, or on an error that waiting
// does not mend.
func wait(ctx context.Context, log *zap.Logger, what string, try func(context.Context) error) error {
	const first, most, say = 100 * time.Millisecond, 2 * time.Second, 5 * time.Second
	var said time.Time
	for pause := first; ; pause = min(2*pause, most) {
		err := try(ctx)
		if err == nil || errors.As(err, new(*fatal)) {
			return err
		}
		if time.Since(said) > say {
			log.Warn("waiting for "+what, zap.Error(err))
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(pause):
		}
	}
}

// fatal is an error that no waiting mends, such as a wrong password.
type fatal struct {
	what string
	err  error
}

func (f *fatal) Error() string { return f.what + ": " + f.err.Error() }
func (f *fatal) Unwrap() error { return f.err }

// closers are run last to first, each whatever became of the others.
type closers []closer

type closer struct {
	name  string
	close func(context.Context) error
}

func (c *closers) add(name string, f func(context.Context) error) { *c = append(*c, closer{name, f}) }

// closeTimeout bounds one closer; requests in flight have ended by their own deadlines before it does.
const closeTimeout = 60 * time.Second

func (c *closers) close() error {
	var failures []error
	for i := len(*c) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		if err := (*c)[i].close(ctx); err != nil {
			failures = append(failures, fmt.Errorf("closing the %s: %w", (*c)[i].name, err))
		}
		cancel()
	}
	return errors.Join(failures...)
}
