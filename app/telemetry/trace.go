package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

const (
	// scope names the spans that this package itself starts.
	scope = "siglab/app/telemetry"
	// complaintInterval is how often a collector that does not take spans is worth a line.
	complaintInterval = time.Minute
)

// startTracing sets Tracer, Propagator and Tracing by the standard variables. The SDK itself reads the sampler
// (OTEL_TRACES_SAMPLER, _ARG), the batches (OTEL_BSP_*), the limits (OTEL_SPAN_*) and the exporter's address, headers and
// certificates (OTEL_EXPORTER_OTLP_*).
func (t *Telemetry) startTracing(ctx context.Context, o Options) (func(context.Context) error, error) {
	var err error
	if t.Propagator, err = propagator(os.Getenv("OTEL_PROPAGATORS")); err != nil {
		return nil, err
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, err
	}
	if exporter == nil {
		t.Tracer = noop.NewTracerProvider()
		t.tracer = t.Tracer.Tracer(scope)
		return func(context.Context) error { return nil }, nil
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "siglab"),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.ServerID),
		),
		resource.WithTelemetrySDK(),
		// Last, so that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("telemetry: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(res),
		sdktrace.WithBatcher(&patientExporter{SpanExporter: exporter, log: t.Log}),
	)
	t.Tracer, t.Tracing = provider, true
	t.tracer = provider.Tracer(scope)
	return func(ctx context.Context) error {
		if err := provider.Shutdown(ctx); err != nil {
			// Spans that no collector took are no reason to call the end of a service a failure.
			t.Log.Warn("spans were lost at the end", zap.Error(err))
		}
		return nil
	}, nil
}

// newExporter follows the specification's variables, with one difference: without an endpoint and without OTEL_TRACES_EXPORTER
// there is no exporter, instead of one that tries localhost for ever. It returns nil when there is none.
func newExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	kind := os.Getenv("OTEL_TRACES_EXPORTER")
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if endpoint == "" {
		endpoint = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || kind == "none" || kind == "" && endpoint == "" {
		return nil, nil
	}
	if endpoint != "" {
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" {
			return nil, fmt.Errorf("telemetry: OTEL_EXPORTER_OTLP_ENDPOINT %q is no URL such as http://collector:4318", endpoint)
		}
	}
	switch kind {
	case "console":
		return stdouttrace.New()
	case "", "otlp":
	default:
		return nil, fmt.Errorf("telemetry: OTEL_TRACES_EXPORTER %q is none of otlp, console, none", kind)
	}
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("telemetry: OTEL_EXPORTER_OTLP_PROTOCOL %q is none of http/protobuf, grpc", protocol)
	}
}

// propagator reads OTEL_PROPAGATORS; W3C trace context and baggage when it is empty.
func propagator(names string) (propagation.TextMapPropagator, error) {
	if names == "" {
		names = "tracecontext,baggage"
	}
	var all []propagation.TextMapPropagator
	for name := range strings.SplitSeq(names, ",") {
		switch strings.TrimSpace(name) {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
		case "baggage":
			all = append(all, propagation.Baggage{})
		case "none":
		default:
			return nil, fmt.Errorf("telemetry: OTEL_PROPAGATORS %q is none of tracecontext, baggage, none", name)
		}
	}
	return propagation.NewCompositeTextMapPropagator(all...), nil
}

// patientExporter keeps a collector's failures to itself but for one warning a minute. The SDK would hand each to a global
// handler that prints it.
type patientExporter struct {
	sdktrace.SpanExporter
	log  *zap.Logger
	last atomic.Int64 // Unix nanoseconds of the last warning
	lost atomic.Int64 // spans since then
}

func (e *patientExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	lost := e.lost.Add(int64(len(spans)))
	now, last := time.Now().UnixNano(), e.last.Load()
	if now-last >= int64(complaintInterval) && e.last.CompareAndSwap(last, now) {
		e.lost.Add(-lost)
		e.log.Warn("the trace collector takes no spans", zap.Int64("lost", lost), zap.Error(err))
	}
	return nil
}

// StartRequest continues the caller's trace, if it sends one, and opens the server span of one request. The returned request
// carries it in its context; it is the given one when there is nothing to carry. EndRequest must follow.
func (t *Telemetry) StartRequest(r *http.Request) (*http.Request, trace.Span) {
	ctx := r.Context()
	_, continued := r.Header["Traceparent"]
	if continued {
		ctx = t.Propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if !t.Tracing {
		if continued {
			r = r.WithContext(ctx)
		}
		return r, noop.Span{}
	}
	ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		// The query stays out: it may hold what a person typed.
		span.SetAttributes(
			attribute.String("url.path", r.URL.Path),
			attribute.String("url.scheme", scheme(r)),
			attribute.String("server.address", r.Host),
			attribute.String("user_agent.original", r.UserAgent()),
			attribute.String("network.protocol.version", strings.TrimPrefix(r.Proto, "HTTP/")),
		)
	}
	return r.WithContext(ctx), span
}

// EndRequest names the span by method and route template, as the semantic conventions want it, and ends it. A status of 500 or
// more is the service's error; 4xx is the caller's and leaves the span unset.
func EndRequest(span trace.Span, method, route string, status int) {
	if span.IsRecording() {
		method = Method(method)
		name := method
		if method == otherMethod {
			name = "HTTP"
		}
		if route != "" && route != Unmatched {
			name += " " + route
			span.SetAttributes(attribute.String("http.route", route))
		}
		span.SetName(name)
		span.SetAttributes(
			attribute.String("http.request.method", method),
			attribute.Int("http.response.status_code", status),
		)
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", fmt.Sprint(status)))
		}
	}
	span.End()
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// SampledTraceID returns the trace id of the context's span when it is sampled, else "": only such an id leads anywhere when
// it stands in an exemplar.
func SampledTraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		return sc.TraceID().String()
	}
	return ""
}

// Synthetic says whether a request calls itself a test's: by the header X-Synthetic: 1, or by W3C baggage synthetic=true.
func Synthetic(r *http.Request) bool {
	if v := r.Header["X-Synthetic"]; len(v) > 0 {
		return v[0] == "1"
	}
	for _, list := range r.Header["Baggage"] {
		for member := range strings.SplitSeq(list, ",") {
			pair, _, _ := strings.Cut(member, ";")
			key, value, _ := strings.Cut(pair, "=")
			if strings.TrimSpace(key) == "synthetic" && strings.TrimSpace(value) == "true" {
				return true
			}
		}
	}
	return false
}
