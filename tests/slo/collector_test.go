package slo_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
)

// collector is OpenTelemetry's own, with its OTLP receiver; its exporter keeps the spans here.
type collector struct {
	port string

	mu    sync.Mutex
	spans []span
}

// span is what the tests ask of one.
type span struct {
	trace, id, parent string
	name              string
	kind              ptrace.SpanKind
	attributes        map[string]string
	resource          map[string]string
}

// startCollector listens for OTLP over gRPC at the address.
func startCollector(t testing.TB, address string) *collector {
	t.Helper()
	// The collector opens the port itself; one that was free a moment ago is as good as it gets.
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()

	c := &collector{port: port}
	config := fmt.Sprintf(`yaml:
receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}}}}
exporters: {memory: {}}
service:
  pipelines: {traces: {receivers: [otlp], exporters: [memory]}}
`, net.JoinHostPort(address, port))
	col, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo:               component.BuildInfo{Command: "collector", Version: "test"},
		DisableGracefulShutdown: true, // signals are the test's
		Factories: func() (otelcol.Factories, error) {
			otlp := otlpreceiver.NewFactory()
			memory := exporter.NewFactory(component.MustNewType("memory"), func() component.Config { return &struct{}{} },
				exporter.WithTraces(func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) { return c, nil },
					component.StabilityLevelDevelopment))
			return otelcol.Factories{
				Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
				Exporters: map[component.Type]exporter.Factory{memory.Type(): memory},
				Telemetry: telemetry.NewFactory(func() component.Config { return &struct{}{} }), // it says nothing of itself
			}, nil
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{config},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- col.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	eventually(t, 30*time.Second, "the collector's start", func() error {
		if s := col.GetState(); s != otelcol.StateRunning {
			return fmt.Errorf("state %v", s)
		}
		return nil
	})
	return c
}

// Start, Shutdown, Capabilities and ConsumeTraces make it an exporter.
func (c *collector) Start(context.Context, component.Host) error { return nil }
func (c *collector) Shutdown(context.Context) error              { return nil }
func (c *collector) Capabilities() consumer.Capabilities         { return consumer.Capabilities{} }

func (c *collector) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		resource := map[string]string{}
		for k, v := range rs.Resource().Attributes().All() {
			resource[k] = v.AsString()
		}
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				attributes := map[string]string{}
				for k, v := range s.Attributes().All() {
					attributes[k] = v.AsString()
				}
				c.spans = append(c.spans, span{
					trace: s.TraceID().String(), id: s.SpanID().String(), parent: s.ParentSpanID().String(),
					name: s.Name(), kind: s.Kind(), attributes: attributes, resource: resource,
				})
			}
		}
	}
	return nil
}

// of returns the spans of one trace that have come so far.
func (c *collector) of(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var some []span
	for _, s := range c.spans {
		if s.trace == trace {
			some = append(some, s)
		}
	}
	return some
}
