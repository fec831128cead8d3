package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"siglab/app/clave"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// What a request passes, outermost first:
//
//	ServeHTTP   one exchange for the request: its ID, the answer's common headers, the trace, recovery, metrics, the log line
//	CORS        for the listed origins, preflights included
//	router      404 and 405 are answered there, so all of the above sees them
//	perform     of one operation: is the process started, is there room, who asks, may they, is the query well formed
//	body        is read and decoded before a permit is taken, so that a slow client holds none
//	limit       the adaptive limit on requests in flight, and the deadline
//	handler
//
// Bodies are compressed where they are written, by send.

// exchange is one request and its answer. It is the ResponseWriter that everything below ServeHTTP writes to.
type exchange struct {
	http.ResponseWriter
	api   *API
	r     *http.Request
	id    string
	began time.Time

	route   string // the template that matched
	quiet   bool   // logged at debug: probes and scrapes
	refused bool   // turned away before any work
	cause   error  // why it failed, for the log
	session *usuarios.Session

	status int
	bytes  int64
	wrote  bool
}

type exchangeKey struct{}

// exchangeOf returns the exchange that ServeHTTP put into a request's context.
func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

// WriteHeader notes the status; a second call is ignored, but a 1xx may come before.
func (x *exchange) WriteHeader(status int) {
	if x.wrote {
		return
	}
	if status >= 200 {
		x.wrote, x.status = true, status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body. The answer to HEAD has none.
func (x *exchange) Write(b []byte) (int, error) {
	if !x.wrote {
		x.WriteHeader(http.StatusOK)
	}
	if x.r.Method == http.MethodHead {
		return len(b), nil
	}
	n, err := x.ResponseWriter.Write(b)
	x.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *exchange) clientGone() bool { return x.r.Context().Err() == context.Canceled }

// Header values that are the same in each answer. They are shared, and nobody appends to them.
type headers struct {
	nosniff, deny, csp, referrer, xss, noStore, serverID, hsts []string
}

func newHeaders(serverID string) headers {
	return headers{
		nosniff:  []string{"nosniff"},
		deny:     []string{"DENY"},
		csp:      []string{"default-src 'none'; frame-ancestors 'none'"},
		referrer: []string{"no-referrer"},
		xss:      []string{"1; mode=block"},
		noStore:  []string{"no-store"},
		serverID: []string{serverID},
		hsts:     []string{"max-age=31536000; includeSubDomains"},
	}
}

// ServeHTTP answers every request on the public port.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, api: a, began: time.Now(), route: telemetry.Unmatched}
	x.id = requestID(r)
	h := w.Header()
	h["X-Request-Id"] = []string{x.id}
	h["X-Server-Id"] = a.headers.serverID
	h["X-Content-Type-Options"] = a.headers.nosniff
	h["X-Frame-Options"] = a.headers.deny
	h["Content-Security-Policy"] = a.headers.csp
	h["Referrer-Policy"] = a.headers.referrer
	h["X-Xss-Protection"] = a.headers.xss
	h["Cache-Control"] = a.headers.noStore
	if a.secure(r) {
		h["Strict-Transport-Security"] = a.headers.hsts
	}
	r, span := a.tel.StartRequest(r)
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	a.tel.Metrics.ActiveRequests.Inc()
	defer func() {
		p := recover()
		abort := p == http.ErrAbortHandler
		if p != nil && !abort {
			x.cause = fmt.Errorf("panic: %v", p)
			a.tel.Log.Error("panic", append(telemetry.LogFields(x.r.Context()), zap.String("request_id", x.id), zap.String("route", x.route),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))...)
			if abort = x.wrote || x.clientGone(); !abort {
				x.fail(x.cause)
			}
		}
		if abort && x.status < 400 {
			x.status = http.StatusInternalServerError // what was sent does not tell that it stops short
			if x.clientGone() || errors.Is(x.cause, errReader) {
				x.status = statusClientGone
			}
		}
		if x.status == 0 {
			x.status = http.StatusOK
		}
		a.tel.Metrics.ActiveRequests.Dec()
		a.finish(x)
		telemetry.EndRequest(span, r.Method, x.route, x.status)
		if abort {
			panic(http.ErrAbortHandler) // net/http cuts the connection and prints nothing
		}
	}()
	a.chain.ServeHTTP(x, x.r)
}

// finish counts and logs an answered request.
func (a *API) finish(x *exchange) {
	elapsed := time.Since(x.began)
	ctx := x.r.Context()
	a.tel.Metrics.ObserveRequest(x.route, x.r.Method, x.status, telemetry.Synthetic(x.r), elapsed, telemetry.SampledTraceID(ctx))
	level := zapcore.InfoLevel
	switch {
	case x.quiet:
		level = zapcore.DebugLevel
	case x.status >= 500 && !x.refused: // refusals come in thousands, and their metric says it better
		level = zapcore.ErrorLevel
	}
	entry := a.tel.Log.Check(level, "request")
	if entry == nil {
		return
	}
	pooled := a.fields.Get().(*[]zapcore.Field) // the encoder is done with them when Write returns
	fields := append((*pooled)[:0],
		zap.String("request_id", x.id),
		zap.String("route", x.route),
		zap.String("method", telemetry.Method(x.r.Method)),
		zap.Int("status", x.status),
		zap.Float64("duration_ms", float64(elapsed.Microseconds())/1000),
		zap.Int64("bytes", x.bytes),
		zap.String("client", a.client(x.r).String()),
	)
	if x.session != nil {
		fields = append(fields, zap.String("user", x.session.Usuario.Username))
	}
	if x.cause != nil && x.status >= 500 {
		fields = append(fields, zap.Error(x.cause))
	}
	if x.refused {
		fields = append(fields, zap.Bool("refused", true))
	}
	fields = append(fields, telemetry.LogFields(ctx)...)
	entry.Write(fields...)
	clear(fields)
	*pooled = fields
	a.fields.Put(pooled)
}

// maxRequestID is the longest identifier that is taken over from a client, in bytes.
const maxRequestID = 64

// requestID returns the client's X-Request-ID if it is one that may stand in a log, else a random one.
func requestID(r *http.Request) string {
	if v := r.Header["X-Request-Id"]; len(v) == 1 && len(v[0]) > 0 && len(v[0]) <= maxRequestID {
		odd := func(c rune) bool {
			return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
		}
		if !strings.ContainsFunc(v[0], odd) {
			return v[0]
		}
	}
	var b [16]byte
	hi, lo := rand.Uint64(), rand.Uint64() // it names a request, it guards nothing
	for i := range 8 {
		b[i], b[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	return hex.EncodeToString(b[:])
}

// trusted says whether an address is a proxy whose forwarding headers are believed.
func (a *API) trusted(addr netip.Addr) bool {
	for _, p := range a.cfg.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// peer returns the address at the other end of the connection; the zero Addr when it has none.
func peer(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap()
}

// client returns the address of who asks: the peer's or, behind trusted proxies, the right-most forwarded one that is no such
// proxy, since everything to the left of it can be made up.
func (a *API) client(r *http.Request) netip.Addr {
	addr := peer(r)
	if len(a.cfg.Proxies) == 0 || !a.trusted(addr) {
		return addr
	}
	list := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		text := strings.TrimSpace(list[i])
		next, err := netip.ParseAddr(text)
		if err != nil {
			ap, portErr := netip.ParseAddrPort(text)
			if portErr != nil {
				return addr
			}
			next = ap.Addr()
		}
		if addr = next.Unmap(); !a.trusted(addr) {
			return addr
		}
	}
	return addr
}

// secure says whether the client's request came over TLS, to this process or to a trusted proxy.
func (a *API) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	v := r.Header["X-Forwarded-Proto"]
	return len(v) > 0 && len(a.cfg.Proxies) > 0 && strings.EqualFold(v[len(v)-1], "https") && a.trusted(peer(r))
}

// user is the key of who asks, empty for a caller without a session.
func (x *exchange) user() string {
	if x.session == nil {
		return ""
	}
	return clave.Of(x.session.Usuario.Username)
}
