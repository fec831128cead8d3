package mongo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// monitor makes a span and an observation of each command. Of a command it looks at its name and collection only.
// Source of the names: OpenTelemetry's conventions for database client calls.
type monitor struct {
	tracer  trace.Tracer
	observe func(string, error, time.Duration)
	spans   sync.Map // spanKey to trace.Span, of the commands on their way
}

type spanKey struct {
	connection string
	request    int64
}

// sent marks in a context whether a command went out to a server.
type sent struct{}

func (m *monitor) commands() *event.CommandMonitor {
	return &event.CommandMonitor{
		Started: m.started,
		Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
			m.finished(&e.CommandFinishedEvent, nil)
		},
		Failed: func(ctx context.Context, e *event.CommandFailedEvent) {
			m.finished(&e.CommandFinishedEvent, e.Failure)
		},
	}
}

func (m *monitor) started(ctx context.Context, e *event.CommandStartedEvent) {
	if flag, ok := ctx.Value(sent{}).(*atomic.Bool); ok {
		flag.Store(true)
	}
	if m.tracer == nil {
		return
	}
	name := e.CommandName
	attributes := []attribute.KeyValue{
		attribute.String("db.system.name", "mongodb"),
		attribute.String("db.namespace", e.DatabaseName),
		attribute.String("db.operation.name", e.CommandName),
	}
	field := e.CommandName
	if field == "getMore" {
		field = "collection"
	}
	if collection, ok := e.Command.Lookup(field).StringValueOK(); ok {
		attributes = append(attributes, attribute.String("db.collection.name", collection))
		name += " " + collection
	}
	_, span := m.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	if !span.IsRecording() {
		span.End()
		return
	}
	m.spans.Store(spanKey{e.ConnectionID, e.RequestID}, span)
}

func (m *monitor) finished(e *event.CommandFinishedEvent, err error) {
	if v, ok := m.spans.LoadAndDelete(spanKey{e.ConnectionID, e.RequestID}); ok {
		span := v.(trace.Span)
		if err != nil {
			// The server's text may quote values, as that of a duplicate key does.
			span.SetStatus(codes.Error, e.CommandName+" failed")
		}
		span.End()
	}
	if !errors.Is(err, context.Canceled) { // the caller went away, which says nothing about MongoDB
		m.observe(e.CommandName, err, e.Duration)
	}
}

// watch runs a call whose first command is operation. Should it fail before a command was sent, because no server or no connection
// could be had, it is observed here.
func (db *DB) watch(ctx context.Context, operation string, call func(context.Context) error) error {
	flag, start := new(atomic.Bool), time.Now()
	err := call(context.WithValue(ctx, sent{}, flag))
	if err != nil && !flag.Load() && !errors.Is(err, context.Canceled) {
		db.observe(operation, err, time.Since(start))
	}
	return err
}

// pool counts the connections of all servers.
type pool struct {
	open, used atomic.Int64
	waited     atomic.Int64 // nanoseconds
}

func (p *pool) monitor() *event.PoolMonitor {
	return &event.PoolMonitor{Event: func(e *event.PoolEvent) {
		switch e.Type {
		case event.ConnectionCreated:
			p.open.Add(1)
		case event.ConnectionClosed:
			p.open.Add(-1)
		case event.ConnectionCheckedOut:
			p.used.Add(1)
			p.waited.Add(int64(e.Duration))
		case event.ConnectionCheckOutFailed:
			p.waited.Add(int64(e.Duration))
		case event.ConnectionCheckedIn:
			p.used.Add(-1)
		}
	}}
}

// stats may be off by a connection that is being made or given back at this moment.
func (p *pool) stats() (idle, used int, waited time.Duration) {
	used = int(max(p.used.Load(), 0))
	return int(max(p.open.Load()-int64(used), 0)), used, time.Duration(p.waited.Load())
}
