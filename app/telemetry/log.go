package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The log is buffered, because one write a request is among the dearest things that a cheap request does. What is lost when the
// process is killed is at most logDelay of lines below warn; a warning or worse is written at once with all before it.
const (
	logBuffer = 64 << 10
	logDelay  = 200 * time.Millisecond
)

// newLogger returns the logger and what writes out its buffer for the last time.
func newLogger(o Options) (*zap.Logger, func() error, error) {
	level := zapcore.InfoLevel
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil || level > zapcore.ErrorLevel {
			return nil, nil, fmt.Errorf("telemetry: log level %q is none of debug, info, warn, error", o.Level)
		}
	}
	// The struct hides a file's Sync: an fsync a warning would be dear, and fails on pipes and terminals.
	out := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(struct{ io.Writer }{o.Out}), Size: logBuffer, FlushInterval: logDelay}
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey:        "timestamp",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "message",
		StacktraceKey:  "stack",
		EncodeTime:     encodeTime,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	})
	core := promptCore{Core: zapcore.NewCore(encoder, out, level)}
	log := zap.New(core).With(zap.String("server_id", o.ServerID))
	return log, out.Stop, nil
}

// encodeTime writes RFC 3339 with milliseconds, in UTC so that lines of several pods sort as text.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// promptCore writes the buffer out when a line says that something is wrong: it may be the last one.
type promptCore struct{ zapcore.Core }

func (c promptCore) With(fields []zapcore.Field) zapcore.Core {
	return promptCore{Core: c.Core.With(fields)}
}

func (c promptCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c promptCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	err := c.Core.Write(e, fields)
	if e.Level >= zapcore.WarnLevel {
		err = errors.Join(err, c.Sync())
	}
	return err
}

// LogFields returns trace_id and span_id of the context's span, or nothing when there is none.
func LogFields(ctx context.Context) []zap.Field {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return nil
	}
	return []zap.Field{zap.String("trace_id", sc.TraceID().String()), zap.String("span_id", sc.SpanID().String())}
}
