// Package api is the HTTP layer: it turns requests into calls of the domain and what comes back into answers, as the contract of
// SIGLAB has them. It decides no business rule; it decides every status, and does so in errors.go alone.
package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"
	"github.com/rs/cors"
	"go.uber.org/zap/zapcore"

	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/sistema"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// Config is what the API needs. All of it is required but where it says otherwise.
type Config struct {
	Maquinas       *maquinas.Service
	Mantenimientos *mantenimientos.Service
	Usuarios       *usuarios.Service
	Tablero        *sistema.Tablero
	Monitor        *sistema.Monitor
	Telemetry      *telemetry.Telemetry

	AuthRequired  bool // false opens reads and writes to callers without a session
	MetricsPublic bool // true opens /api/sistema/metrics to anyone

	ServerID string // X-Server-ID
	Version  string // of the document

	Origins []string       // pages of these origins may call; none is fine, "*" is refused
	Proxies []netip.Prefix // peers whose X-Forwarded-For and -Proto are believed; none is fine

	Timeout     time.Duration // one request, but for the informe
	MaxInFlight int           // hard ceiling of requests in flight
	CacheTTL    time.Duration // the most that a list in this process's memory may be old
	Now         func() time.Time
}

// API answers every request on the public port.
type API struct {
	cfg        Config
	tel        *telemetry.Telemetry
	huma       huma.API
	router     *mux.Router
	chain      http.Handler
	metrics    http.Handler
	origin     http.CrossOriginProtection
	headers    headers
	lists      listHeaders
	listar     operation // GET /api/maquinas/listar
	near       *near
	verified   *verified
	limit      *limiter
	compressor *compressor
	fields     sync.Pool // of *[]zapcore.Field, for the log's lines: 900 bytes a request otherwise
}

// New makes the API. It fails on origins that no browser would send.
func New(cfg Config) (*API, error) {
	a := &API{cfg: cfg, tel: cfg.Telemetry, headers: newHeaders(cfg.ServerID), lists: newListHeaders()}
	a.metrics = a.tel.Handler()
	a.fields.New = func() any { return new([]zapcore.Field) }
	a.limit = newLimiter(cfg.MaxInFlight)
	var err error
	if a.compressor, err = newCompressor(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if a.near, err = newNear(cfg); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if a.verified, err = newVerified(cfg.Usuarios); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	a.routes()
	a.registerDocs()
	a.chain, err = allowOrigins(cfg.Origins, http.HandlerFunc(a.route))
	return a, err
}

// ConcurrencyLimit is how many requests may be at the stores at once now, as the adaptive limits have it.
func (a *API) ConcurrencyLimit() float64 {
	return float64(a.limit.adaptive[ofMachines].Limit() + a.limit.adaptive[ofRecords].Limit())
}

// OpenAPI returns the document of the API as JSON, OpenAPI 3.1.
func OpenAPI(version string) ([]byte, error) {
	a := &API{cfg: Config{Version: version}}
	a.routes()
	return a.openAPI()
}

// routes registers every operation. The router tries routes in this order, so the busiest come first.
func (a *API) routes() {
	a.router = mux.NewRouter().SkipClean(true) // a path that is not clean is an unknown one, not a redirect
	a.router.NotFoundHandler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { exchangeOf(r.Context()).fail(errNoRoute()) })
	a.router.MethodNotAllowedHandler = http.HandlerFunc(a.methodNotAllowed)
	a.huma = humamux.New(a.router, a.humaConfig())
	a.registerMaquinas()
	a.registerMantenimientos()
	a.registerAuth()
	a.registerSistema()
	a.registerLegacy()
}

// route hands a request to the router. HEAD is routed as the GET that it stands for. The whole list, which is most of the traffic and most
// often a copy from memory, goes straight to its handler: the router and the reading of parameters that are not there would be a quarter of
// its cost. TestNearAnswersTheSame holds it against the routed one.
func (a *API) route(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == listarPath && r.URL.RawQuery == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		x := exchangeOf(r.Context())
		err := a.perform(r.Context(), x, &a.listar, nil, func(ctx context.Context) error {
			return x.listMaquinas(ctx, listarPath, maquinas.Consulta{})
		})
		if err != nil {
			x.fail(err)
		}
		return
	}
	if r.Method == http.MethodHead {
		get := *r
		get.Method = http.MethodGet
		r = &get
	}
	a.router.ServeHTTP(w, r)
}

// methodNotAllowed answers 405 with the methods that the path has; to OPTIONS these are the answer itself.
func (a *API) methodNotAllowed(_ http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := *r
		other.Method = method
		var match mux.RouteMatch
		if a.router.Match(&other, &match) && match.MatchErr == nil && match.Route != nil {
			allow = append(allow, method)
			if method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
	}
	x, methods := exchangeOf(r.Context()), strings.Join(allow, ", ")
	if r.Method == http.MethodOptions {
		x.Header().Set("Allow", methods+", OPTIONS")
		x.WriteHeader(http.StatusNoContent)
		return
	}
	x.fail(errMethod(methods))
}

// allowOrigins lets pages of the listed origins call the API with credentials.
func allowOrigins(origins []string, next http.Handler) (http.Handler, error) {
	if len(origins) == 0 {
		return next, nil
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || strings.Contains(o, "*") {
			return nil, errors.New("api: an origin is written scheme://host or scheme://host:port, and no * is allowed: " + o)
		}
	}
	return cors.New(cors.Options{
		AllowedOrigins:   slices.Clone(origins),
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders:   []string{"Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-ID", "X-Synthetic", "traceparent", "tracestate", "baggage"},
		ExposedHeaders:   []string{"X-Total-Count", "Link", "ETag", "X-Request-ID", "X-Server-ID", "Retry-After", "Location", "Warning", "Age"},
		AllowCredentials: true,
		MaxAge:           600, // seconds
	}).Handler(next), nil
}
