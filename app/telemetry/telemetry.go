// Package telemetry makes the three things by which a running SIGLAB is seen: a zap logger, a Prometheus registry and an
// OpenTelemetry tracer. They are made once, by New, and handed to whoever needs them; nothing here is global.
//
// How the rest of the program uses it:
//
//	tel, err := telemetry.New(ctx, telemetry.Options{Level: "info", ServerID: id, Version: v, Commit: c, Out: os.Stdout})
//	defer tel.Shutdown(ctx)                       // last of all: it flushes logs and spans
//
//	r, span := tel.StartRequest(r)                // edge of HTTP, before the router: W3C context in, one span a request
//	telemetry.EndRequest(span, method, route, status)
//	tel.Metrics.ObserveRequest(route, method, status, telemetry.Synthetic(r), elapsed, telemetry.SampledTraceID(ctx))
//	tel.Metrics.ActiveRequests.Inc() / .Dec()
//	tel.Metrics.Refused(telemetry.RefusedOverload)
//	tel.Log.Info("request", append(fields, telemetry.LogFields(ctx)...)...)
//
//	observe := tel.Metrics.Operations("mysql")    // adapters: func(operation string, err error, elapsed time.Duration)
//	tel.Metrics.RegisterSQL(db, "mysql")          // pools
//	tel.Metrics.RegisterPool("redis", stats)
//	tel.Metrics.RegisterGauges(telemetry.Gauges{OutboxPending: f, ...})
//	tel.Metrics.DependencyUp("redis", false); tel.Metrics.CircuitOpen("mongodb", true)
//	tel.Metrics.CacheRequest("listar", "near"); tel.Metrics.CacheStaleAge(age)
//	tel.Metrics.Login("ok"); tel.Metrics.BcryptDuration.Observe(seconds)
//
//	tel.Tracer, tel.Propagator                    // for otelsql, redisotel and the MongoDB monitor, as options
//	tel.Handler()                                 // /metrics
//
// The domain packages do not import this one.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// flushLimit bounds what Shutdown waits for a collector that does not answer: traces may be lost, a pod's end may not be late.
const flushLimit = 3 * time.Second

// Options says what New makes. Tracing is configured by OpenTelemetry's own OTEL_* variables, which its libraries read from the
// environment themselves.
type Options struct {
	// Level is the lowest level that is logged: debug, info (also when empty), warn or error.
	Level string
	// ServerID names this instance in every log line and in the spans' resource (the pod's name in a cluster).
	ServerID string
	// Version and Commit are the build's, for siglab_build_info and the spans' resource.
	Version string
	Commit  string
	// NoMetrics leaves out what is recorded for each request and each operation of a store.
	NoMetrics bool
	// Out takes the log, one JSON object a line; standard output when nil. Lines below warn may reach it 200 ms late.
	Out io.Writer
}

// Telemetry is what New made. Its fields are never nil and never change.
type Telemetry struct {
	Log        *zap.Logger
	Registry   *prometheus.Registry
	Metrics    *Metrics
	Tracer     trace.TracerProvider
	Propagator propagation.TextMapPropagator
	// Tracing says whether spans can be recorded at all. When it is false the instrumentation of drivers need not be
	// installed: Tracer then only carries a caller's context through.
	Tracing bool

	tracer  trace.Tracer
	closers []func(context.Context) error
}

// New builds the logger, the registry and the tracer. It fails on a level that does not exist and on OTEL_* values that cannot be
// understood; a collector that cannot be reached is no failure.
func New(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Out == nil {
		o.Out = os.Stdout
	}
	t := &Telemetry{}
	log, flush, err := newLogger(o)
	if err != nil {
		return nil, err
	}
	t.Log = log
	t.closers = append(t.closers, func(context.Context) error { return flush() })

	stop, err := t.startTracing(ctx, o)
	if err != nil {
		_ = flush()
		return nil, err
	}
	t.closers = append(t.closers, stop)

	t.Registry = prometheus.NewRegistry()
	t.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	t.Metrics = newMetrics(t.Registry, o.Version, o.Commit)
	t.Metrics.off = o.NoMetrics
	return t, nil
}

// Handler serves the registry's metrics: OpenMetrics (with exemplars), Prometheus text or protobuf (with native histograms),
// as the scraper asks for.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{
		Registry:          t.Registry,
		EnableOpenMetrics: true,
		// One collector that fails must not take the others' metrics away.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      zap.NewStdLog(t.Log),
	})
}

// Shutdown sends the spans that wait, for at most three seconds, then writes out the log. Nothing logged after it is sure to
// be written.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	var errs []error
	for i := len(t.closers) - 1; i >= 0; i-- {
		if err := t.closers[i](ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("telemetry: shutdown: %w", err)
	}
	return nil
}
