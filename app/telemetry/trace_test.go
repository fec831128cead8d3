package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"siglab/app/telemetry"
)

// otlp is a collector that keeps what it is sent.
type otlp struct {
	mu       sync.Mutex
	spans    []*spans.Span
	resource map[string]string
}

func (c *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, a := range rs.Resource.Attributes {
			c.resource[a.Key] = a.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
}

func TestRequestSpan(t *testing.T) {
	clearEnv(t)
	sink := &otlp{resource: map[string]string{}}
	server := httptest.NewServer(sink)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tel, err := telemetry.New(t.Context(), telemetry.Options{ServerID: "pod-1", Version: "1.2.3", Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/api/mantenimientos/agregar?token=secret", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r, span := tel.StartRequest(r)
	_, child := tel.Tracer.Tracer("test").Start(r.Context(), "INSERT")
	child.End()
	telemetry.EndRequest(span, r.Method, "/api/mantenimientos/agregar", 503)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	if len(sink.spans) != 2 {
		t.Fatalf("got %d spans, want the request's and its child's", len(sink.spans))
	}
	inner, outer := sink.spans[0], sink.spans[1]
	if got, want := outer.Name, "POST /api/mantenimientos/agregar"; got != want {
		t.Errorf("name: got %q, want %q", got, want)
	}
	if got := hex(outer.TraceId) + "/" + hex(outer.ParentSpanId); got != "0af7651916cd43dd8448eb211c80319c/b7ad6b7169203331" {
		t.Errorf("parent: got %s, want the caller's span", got)
	}
	if hex(inner.ParentSpanId) != hex(outer.SpanId) {
		t.Error("the child's parent is not the request's span")
	}
	if outer.Kind != spans.Span_SPAN_KIND_SERVER || outer.Status.GetCode() != spans.Status_STATUS_CODE_ERROR {
		t.Errorf("got kind %v, status %v; want a server's error", outer.Kind, outer.Status)
	}
	attributes := map[string]string{}
	for _, a := range outer.Attributes {
		attributes[a.Key] = a.Value.GetStringValue()
		if strings.Contains(a.String(), "secret") {
			t.Errorf("%s holds the query", a.Key)
		}
	}
	for key, want := range map[string]string{
		"http.route": "/api/mantenimientos/agregar", "http.request.method": "POST", "url.path": "/api/mantenimientos/agregar", "error.type": "503",
	} {
		if attributes[key] != want {
			t.Errorf("%s: got %q, want %q", key, attributes[key], want)
		}
	}
	for key, want := range map[string]string{
		"service.name": "siglab", "service.version": "1.2.3", "service.instance.id": "pod-1", "deployment.environment.name": "test",
	} {
		if sink.resource[key] != want {
			t.Errorf("%s: got %q, want %q", key, sink.resource[key], want)
		}
	}
}

// TestSamplerIsConfigured: nothing is recorded when the sampler says so, yet the caller's ids reach the log.
func TestSamplerIsConfigured(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tel := startWithEnv(t, telemetry.Options{})
	r, span := tel.StartRequest(httptest.NewRequest("GET", "/", nil))
	defer span.End()
	if span.IsRecording() || telemetry.SampledTraceID(r.Context()) != "" {
		t.Error("a span is recorded though the sampler is off")
	}
	if len(telemetry.LogFields(r.Context())) != 2 {
		t.Error("the log has no trace id")
	}
}

// TestCollectorDown: requests go on, the log has one warning, and the end is not late.
func TestCollectorDown(t *testing.T) {
	clearEnv(t)
	down := httptest.NewServer(http.NotFoundHandler())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", down.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
	var out buffer
	tel, err := telemetry.New(t.Context(), telemetry.Options{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	defer down.Close()
	const warning = "the trace collector takes no spans"
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(out.String(), warning); {
		if time.Now().After(deadline) {
			t.Fatalf("no warning in %q", out.String())
		}
		_, span := tel.StartRequest(httptest.NewRequest("GET", "/", nil))
		telemetry.EndRequest(span, "GET", "/", 200)
		tel.Metrics.ObserveRequest("/", "GET", 200, false, time.Millisecond, "")
	}
	for range 3000 {
		_, span := tel.StartRequest(httptest.NewRequest("GET", "/", nil))
		telemetry.EndRequest(span, "GET", "/", 200)
	}
	begin := time.Now()
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Errorf("lost spans made the end fail: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if got := strings.Count(out.String(), warning); got != 1 {
		t.Errorf("got %d warnings, want one a minute", got)
	}
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}
