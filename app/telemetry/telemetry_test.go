package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"siglab/app/telemetry"
)

// clearEnv makes a test independent of the OTEL_ variables of whoever runs it.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_PROPAGATORS",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
		"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
	} {
		t.Setenv(name, "")
	}
}

func start(t *testing.T, o telemetry.Options) *telemetry.Telemetry {
	t.Helper()
	clearEnv(t)
	return startWithEnv(t, o)
}

func startWithEnv(t *testing.T, o telemetry.Options) *telemetry.Telemetry {
	t.Helper()
	if o.Out == nil {
		o.Out = io.Discard
	}
	tel, err := telemetry.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tel
}

// buffer is a bytes.Buffer that the log's own goroutine may write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestLogLine(t *testing.T) {
	var out buffer
	tel := start(t, telemetry.Options{Level: "info", ServerID: "pod-1", Out: &out})
	tel.Log.Debug("not seen")
	tel.Log.With(zap.String("request_id", "r1")).Warn("máquina lenta", zap.Duration("duration", 1500*time.Millisecond))

	var got map[string]any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("a warning is written at once, as one JSON object: %v in %q", err, out.String())
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", fmt.Sprint(got["timestamp"])); err != nil {
		t.Errorf("timestamp: %v", err)
	}
	delete(got, "timestamp")
	want := map[string]any{"level": "warn", "message": "máquina lenta", "server_id": "pod-1", "request_id": "r1", "duration": 1.5}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLogBufferIsWrittenAtShutdown(t *testing.T) {
	clearEnv(t)
	var out buffer
	tel, err := telemetry.New(t.Context(), telemetry.Options{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	tel.Log.Info("last words")
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "last words"); got != 1 {
		t.Errorf("got the line %d times, want once", got)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		level string
		env   map[string]string
		want  string
	}{
		"level":      {level: "loud", want: `log level "loud"`},
		"panic":      {level: "panic", want: "log level"},
		"exporter":   {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, want: "OTEL_TRACES_EXPORTER"},
		"endpoint":   {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, want: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"protocol":   {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "xml"}, want: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"propagator": {env: map[string]string{"OTEL_PROPAGATORS": "tracecontext,b3"}, want: "OTEL_PROPAGATORS"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnv(t)
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			_, err := telemetry.New(t.Context(), telemetry.Options{Level: tc.level, Out: io.Discard})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that names %s", err, tc.want)
			}
		})
	}
}

func TestLogFields(t *testing.T) {
	if got := telemetry.LogFields(t.Context()); len(got) != 0 {
		t.Errorf("without a span: got %v, want none", got)
	}
	tel := start(t, telemetry.Options{})
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r, span := tel.StartRequest(r)
	defer span.End()
	var got []string
	for _, f := range telemetry.LogFields(r.Context()) {
		got = append(got, f.Key+"="+f.String)
	}
	want := []string{"trace_id=0af7651916cd43dd8448eb211c80319c", "span_id=b7ad6b7169203331"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want the caller's ids %q", got, want)
	}
}

func TestSynthetic(t *testing.T) {
	for _, tc := range []struct {
		header, value string
		want          bool
	}{
		{"X-Synthetic", "1", true},
		{"X-Synthetic", "0", false},
		{"Baggage", "user=a, synthetic=true;p=1", true},
		{"Baggage", "synthetic=truest", false},
		{"Accept", "1", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(tc.header, tc.value)
		if got := telemetry.Synthetic(r); got != tc.want {
			t.Errorf("%s: %s: got %t, want %t", tc.header, tc.value, got, tc.want)
		}
	}
}

func TestWithoutExporterNothingIsRecorded(t *testing.T) {
	tel := start(t, telemetry.Options{})
	if tel.Tracing {
		t.Error("Tracing without an exporter")
	}
	r := httptest.NewRequest("GET", "/", nil)
	same, span := tel.StartRequest(r)
	if same != r || span.IsRecording() || trace.SpanContextFromContext(same.Context()).IsValid() {
		t.Error("a request that carries no context was changed")
	}
	telemetry.EndRequest(span, "GET", "/", http.StatusOK)
	if n := testing.AllocsPerRun(100, func() {
		r, span := tel.StartRequest(r)
		telemetry.EndRequest(span, r.Method, "/", http.StatusOK)
	}); n != 0 {
		t.Errorf("got %v allocations a request, want none", n)
	}
}

func TestSampledTraceID(t *testing.T) {
	for header, want := range map[string]string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "0af7651916cd43dd8448eb211c80319c",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00": "",
		"nonsense": "",
	} {
		tel := start(t, telemetry.Options{})
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("traceparent", header)
		r, span := tel.StartRequest(r)
		span.End()
		if got := telemetry.SampledTraceID(r.Context()); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
}

var errBroken = errors.New("broken")
