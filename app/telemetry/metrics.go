package telemetry

import (
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// Unmatched is the route of a request that no route template fits.
	Unmatched = "unmatched"
	// otherMethod and otherValue stand for whatever is not in a label's fixed set, as OpenTelemetry's conventions have it.
	otherMethod = "_OTHER"
	otherValue  = "_OTHER"
	// maxRoutes bounds http_route should something else than templates ever come in; the service has about 30.
	maxRoutes = 64
)

// Reasons of Refused.
const (
	RefusedOverload = "overload"
	RefusedDraining = "draining"
	RefusedStarting = "starting"
)

// The values that labels may have; all else is counted under _OTHER.
var (
	reasons      = [...]string{RefusedOverload, RefusedDraining, RefusedStarting, otherValue}
	logins       = [...]string{"ok", "rejected", "limited", "busy", "unavailable", otherValue}
	caches       = [...]string{"listar", "maquina", "dashboard", otherValue}
	cacheResults = [...]string{"near", "hit", "miss", "stale", otherValue}
	dependencies = [...]string{"mysql", "mongodb", "redis", "sqlite", otherValue}
	// operations are db.operation.name as the conventions write it: SQL's verbs in capitals, MongoDB's and Redis's commands
	// in small letters.
	operations = [...]string{
		"SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "PING", "DDL",
		"find", "getMore", "insert", "update", "delete", "count", "aggregate", "findAndModify", "createIndexes", "listCollections",
		"get", "mget", "set", "setnx", "del", "unlink", "exists", "expire", "incr", "eval", "evalsha", "publish", "subscribe",
		"zadd", "zrem", "zrange", "zrangebyscore", "zremrangebyscore", "zcard", "hset", "hget", "hgetall", "hdel", "hello",
		"sadd", "srem", "smembers", "scan", "ttl", "ping", "pipeline", otherValue,
	}
)

// The classic buckets, in seconds. .5 is the SLO's and must stay: the latency SLI is the share of requests at or under it.
var (
	requestBuckets   = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	operationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	bcryptBuckets    = []float64{.025, .05, .1, .25, .5, 1, 2.5}
)

// Metrics holds the service's own metrics. Its methods are safe for concurrent use; those on the path of a request allocate
// nothing once a label's value has been seen, unless the request's trace is sampled.
type Metrics struct {
	// ActiveRequests is the number of requests being served.
	ActiveRequests prometheus.Gauge
	// BcryptDuration takes the seconds one hash or comparison took, waiting left out.
	BcryptDuration prometheus.Histogram

	off        bool // nothing is recorded for a request
	requests   *prometheus.HistogramVec
	operations *prometheus.HistogramVec

	// Children by label values, replaced whole when one is added: reading them needs no lock and no allocation.
	mu              sync.Mutex
	requestChildren atomic.Pointer[map[requestKey]prometheus.Observer]
	routes          map[string]bool

	refused   map[string]prometheus.Counter
	logins    map[string]prometheus.Counter
	cache     map[[2]string]prometheus.Counter
	staleAge  prometheus.Gauge
	up        map[string]prometheus.Gauge
	upVec     *prometheus.GaugeVec
	circuits  map[string]prometheus.Gauge
	pools     *poolCollector
	functions *gaugeCollector
}

type requestKey struct {
	route, method string
	class         uint8
	synthetic     bool
}

func newMetrics(reg prometheus.Registerer, version, commit string) *Metrics {
	m := &Metrics{
		ActiveRequests: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_server_active_requests", Help: "Requests being served."}),
		BcryptDuration: prometheus.NewHistogram(histogram("siglab_bcrypt_duration_seconds",
			"Time one bcrypt hash or comparison took, waiting left out.", bcryptBuckets)),
		requests: prometheus.NewHistogramVec(histogram("http_server_request_duration_seconds",
			"Time from a request's arrival to the end of its answer.", requestBuckets),
			[]string{"http_route", "http_request_method", "status_class", "synthetic"}),
		operations: prometheus.NewHistogramVec(histogram("db_client_operation_duration_seconds",
			"Time one operation on a data store took, as the service saw it.", operationBuckets),
			[]string{"db_system_name", "db_operation_name", "outcome"}),
		staleAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "siglab_cache_stale_age_seconds", Help: "Age of the list that was last served in place of a fresh one; 0 when lists are fresh."}),
		routes:    map[string]bool{},
		refused:   map[string]prometheus.Counter{},
		logins:    map[string]prometheus.Counter{},
		cache:     map[[2]string]prometheus.Counter{},
		up:        map[string]prometheus.Gauge{},
		circuits:  map[string]prometheus.Gauge{},
		pools:     newPoolCollector(),
		functions: newGaugeCollector(),
	}
	m.requestChildren.Store(&map[requestKey]prometheus.Observer{})

	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "siglab_requests_refused_total", Help: "Requests refused before any work was done for them."}, []string{"reason"})
	for _, v := range reasons {
		m.refused[v] = refused.WithLabelValues(v)
	}
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "siglab_logins_total", Help: "Login attempts by how they ended."}, []string{"result"})
	for _, v := range logins {
		m.logins[v] = attempts.WithLabelValues(v)
	}
	cache := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "siglab_cache_requests_total", Help: "Look-ups in the cache by where the answer came from."}, []string{"cache", "result"})
	for _, c := range caches {
		for _, r := range cacheResults {
			m.cache[[2]string{c, r}] = cache.WithLabelValues(c, r)
		}
	}
	m.upVec = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "siglab_dependency_up", Help: "Whether a dependency answered its last check."}, []string{"dependency"})
	circuits := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "siglab_circuit_open", Help: "Whether the circuit breaker of a dependency is open, so that calls fail at once."}, []string{"dependency"})
	for _, d := range dependencies {
		m.circuits[d] = circuits.WithLabelValues(d)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "siglab_build_info", Help: "Always 1; the build is in the labels."}, []string{"version", "commit", "goversion"})
	build.WithLabelValues(version, commit, runtime.Version()).Set(1)

	reg.MustRegister(m.ActiveRequests, m.BcryptDuration, m.requests, m.operations, m.staleAge,
		refused, attempts, cache, m.upVec, circuits, build, m.pools, m.functions)
	return m
}

// histogram describes one that is both classic and native.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Method returns a request's method when it is one that HTTP knows, else _OTHER: the client chooses it.
func Method(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}

// ObserveRequest records one answered request. route is the template that matched, Unmatched (or empty) when none did; a status
// outside 100 to 599 counts as 500. traceID, when it is not empty, becomes the exemplar and should be a sampled trace's.
func (m *Metrics) ObserveRequest(route, method string, status int, synthetic bool, d time.Duration, traceID string) {
	if m.off {
		return
	}
	if route == "" {
		route = Unmatched
	}
	if status < 100 || status > 599 {
		status = http.StatusInternalServerError
	}
	key := requestKey{route: route, method: Method(method), class: uint8(status / 100), synthetic: synthetic}
	child := (*m.requestChildren.Load())[key]
	if child == nil {
		child = m.newRequestChild(key)
	}
	if traceID == "" {
		child.Observe(d.Seconds())
		return
	}
	child.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": traceID})
}

// newRequestChild makes the series of a key that is seen for the first time. Beyond maxRoutes, routes fall together.
func (m *Metrics) newRequestChild(key requestKey) prometheus.Observer {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := *m.requestChildren.Load()
	if !m.routes[key.route] {
		if len(m.routes) >= maxRoutes {
			key.route = otherValue
		} else {
			m.routes[key.route] = true
		}
	}
	if child := known[key]; child != nil {
		return child
	}
	child := m.requests.WithLabelValues(key.route, key.method, strconv.Itoa(int(key.class))+"xx", strconv.FormatBool(key.synthetic))
	next := maps.Clone(known)
	next[key] = child
	m.requestChildren.Store(&next)
	return child
}

// Operations returns what records the operations of one store: mysql, mongodb, redis or sqlite, as db.system.name has them. The
// operation is SQL's verb or the command's name; one that is not in the list of this package counts as _OTHER. An error that
// only says "not there" (sql.ErrNoRows, redis.Nil, mongo.ErrNoDocuments) is an answer: pass nil for it.
func (m *Metrics) Operations(system string) func(operation string, err error, d time.Duration) {
	if m.off {
		return func(string, error, time.Duration) {}
	}
	system = within(dependencies[:], system)
	type pair struct{ ok, failed prometheus.Observer }
	known := make(map[string]*atomic.Pointer[pair], len(operations))
	for _, op := range operations {
		known[op] = new(atomic.Pointer[pair])
	}
	return func(operation string, err error, d time.Duration) {
		slot, found := known[operation]
		if !found {
			operation = otherValue
			slot = known[operation]
		}
		// Series appear at an operation's first use: all names at once would be hundreds of empty ones. Two that come
		// first together make the same children.
		p := slot.Load()
		if p == nil {
			p = &pair{
				ok:     m.operations.WithLabelValues(system, operation, "ok"),
				failed: m.operations.WithLabelValues(system, operation, "error"),
			}
			slot.Store(p)
		}
		if err != nil {
			p.failed.Observe(d.Seconds())
			return
		}
		p.ok.Observe(d.Seconds())
	}
}

// Refused counts a request that was turned away before any work; see the Refused constants.
func (m *Metrics) Refused(reason string) { m.refused[within(reasons[:], reason)].Inc() }

// Login counts a login attempt: ok, rejected, limited, busy or unavailable.
func (m *Metrics) Login(result string) { m.logins[within(logins[:], result)].Inc() }

// CacheRequest counts a look-up: cache is listar, maquina or dashboard; result is near (this pod's memory), hit (Redis), miss
// or stale.
func (m *Metrics) CacheRequest(cache, result string) {
	if m.off {
		return
	}
	if c, ok := m.cache[[2]string{cache, result}]; ok {
		c.Inc()
		return
	}
	m.cache[[2]string{within(caches[:], cache), within(cacheResults[:], result)}].Inc()
}

// CacheStaleAge records how old the list was that was served because a fresh one could not be had; 0 says that it is over.
func (m *Metrics) CacheStaleAge(age time.Duration) { m.staleAge.Set(age.Seconds()) }

// DependencyUp records the result of a check: mysql, mongodb, redis or sqlite. A dependency that is never checked has no series.
func (m *Metrics) DependencyUp(dependency string, up bool) {
	m.upVec.WithLabelValues(within(dependencies[:], dependency)).Set(number(up))
}

// CircuitOpen records the state of a dependency's breaker.
func (m *Metrics) CircuitOpen(dependency string, open bool) {
	m.circuits[within(dependencies[:], dependency)].Set(number(open))
}

func within(set []string, value string) string {
	for _, v := range set {
		if v == value {
			return v
		}
	}
	return otherValue
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
