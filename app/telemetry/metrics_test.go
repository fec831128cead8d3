package telemetry_test

import (
	"database/sql"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	_ "modernc.org/sqlite"

	"siglab/app/telemetry"
)

// scrape returns the metrics in OpenMetrics, the format that has exemplars.
func scrape(t *testing.T, tel *telemetry.Telemetry) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("got status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+got, "\n"+line) {
			t.Errorf("missing: %s", line)
		}
	}
}

// What costs something for each request can be left out; what tells how the process is stays.
func TestWithoutMetrics(t *testing.T) {
	tel := start(t, telemetry.Options{ServerID: "pod-1", NoMetrics: true})
	m := tel.Metrics
	m.ObserveRequest("/api/maquinas/listar", "GET", 200, false, time.Millisecond, "")
	m.CacheRequest("listar", "near")
	m.Operations("mysql")("SELECT", nil, time.Millisecond)
	m.DependencyUp("redis", false)
	got := scrape(t, tel)
	wantLines(t, got, `siglab_dependency_up{dependency="redis"} 0`, `siglab_cache_requests_total{cache="listar",result="near"} 0`)
	for _, name := range []string{"http_server_request_duration_seconds_count", "db_client_operation_duration_seconds_count"} {
		if strings.Contains(got, name+"{") {
			t.Errorf("%s is recorded", name)
		}
	}
}

func TestMetrics(t *testing.T) {
	tel := start(t, telemetry.Options{ServerID: "pod-1", Version: "1.2.3", Commit: "abc"})
	m := tel.Metrics
	m.ObserveRequest("/api/maquinas/listar", "GET", 200, false, 30*time.Millisecond, "")
	m.ObserveRequest("/api/maquinas/listar", "GET", 503, true, 600*time.Millisecond, "0af7651916cd43dd8448eb211c80319c")
	m.ObserveRequest("", "BREW", 0, false, time.Millisecond, "")
	m.ActiveRequests.Inc()
	m.Refused(telemetry.RefusedOverload)
	m.Refused("whim")
	m.Login("ok")
	m.CacheRequest("listar", "near")
	m.CacheRequest("listar", "guessed")
	m.CacheStaleAge(90 * time.Second)
	m.DependencyUp("redis", false)
	m.CircuitOpen("mongodb", true)
	m.BcryptDuration.Observe(.2)
	observe := m.Operations("mysql")
	observe("SELECT", nil, 2*time.Millisecond)
	observe("SELECT", errBroken, time.Second)
	observe("DROP TABLE", nil, time.Millisecond)
	m.RegisterGauges(telemetry.Gauges{
		OutboxPending:  func() float64 { return 7 },
		SessionsActive: func() float64 { return math.NaN() },
	})
	m.RegisterGauges(telemetry.Gauges{ConcurrencyLimit: func() float64 { return 64 }})

	got := scrape(t, tel)
	wantLines(t, got,
		`http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/api/maquinas/listar",status_class="2xx",synthetic="false",le="0.5"} 1`,
		`http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/api/maquinas/listar",status_class="5xx",synthetic="true",le="0.5"} 0`,
		`http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/api/maquinas/listar",status_class="5xx",synthetic="true",le="1.0"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.6`,
		`http_server_request_duration_seconds_count{http_request_method="_OTHER",http_route="unmatched",status_class="5xx",synthetic="false"} 1`,
		`http_server_active_requests 1`,
		`siglab_requests_refused_total{reason="overload"} 1`,
		`siglab_requests_refused_total{reason="_OTHER"} 1`,
		`siglab_requests_refused_total{reason="draining"} 0`,
		`siglab_logins_total{result="ok"} 1`,
		`siglab_cache_requests_total{cache="listar",result="near"} 1`,
		`siglab_cache_requests_total{cache="listar",result="_OTHER"} 1`,
		`siglab_cache_stale_age_seconds 90`,
		`siglab_dependency_up{dependency="redis"} 0`,
		`siglab_circuit_open{dependency="mongodb"} 1`,
		`siglab_circuit_open{dependency="mysql"} 0`,
		`siglab_bcrypt_duration_seconds_count 1`,
		`db_client_operation_duration_seconds_count{db_operation_name="SELECT",db_system_name="mysql",outcome="ok"} 1`,
		`db_client_operation_duration_seconds_count{db_operation_name="SELECT",db_system_name="mysql",outcome="error"} 1`,
		`db_client_operation_duration_seconds_count{db_operation_name="_OTHER",db_system_name="mysql",outcome="ok"} 1`,
		`siglab_outbox_pending 7`,
		`siglab_concurrency_limit 64`,
		`siglab_build_info{commit="abc",goversion="go`,
		`go_goroutines `,
	)
	for _, absent := range []string{"siglab_sessions_active ", `siglab_dependency_up{dependency="mysql"}`, "siglab_bcrypt_waiting "} {
		if strings.Contains(got, "\n"+absent) {
			t.Errorf("%s is there, though nobody knows its value", absent)
		}
	}
}

// TestRequestHistogramIsNativeToo: the classic buckets feed the SLI, the native ones the quantiles of the dashboards.
func TestRequestHistogramIsNativeToo(t *testing.T) {
	tel := start(t, telemetry.Options{})
	tel.Metrics.ObserveRequest("/a", "GET", 200, false, 30*time.Millisecond, "")
	for _, f := range gather(t, tel) {
		if f.GetName() != "http_server_request_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.Schema == nil || len(h.GetPositiveSpan()) == 0 {
			t.Error("no native buckets")
		}
		if !hasBound(h, .5) {
			t.Error("no classic bucket at 0.5 s")
		}
		return
	}
	t.Fatal("the histogram is missing")
}

func gather(t *testing.T, tel *telemetry.Telemetry) []*dto.MetricFamily {
	t.Helper()
	families, err := tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func hasBound(h *dto.Histogram, bound float64) bool {
	for _, b := range h.GetBucket() {
		if b.GetUpperBound() == bound {
			return true
		}
	}
	return false
}

func TestPools(t *testing.T) {
	tel := start(t, telemetry.Options{})
	db, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(10)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tel.Metrics.RegisterSQL(db, "sqlite")
	pool := telemetry.PoolStats{Idle: 2, Used: 3, Max: 5, Wait: 1500 * time.Millisecond}
	tel.Metrics.RegisterPool("redis", func() telemetry.PoolStats { return pool })
	tel.Metrics.RegisterPool("redis", func() telemetry.PoolStats { return pool })
	tel.Metrics.RegisterPool("mongodb", func() telemetry.PoolStats { return telemetry.PoolStats{Used: 1} })

	got := scrape(t, tel)
	wantLines(t, got,
		`db_client_connection_count{db_system_name="sqlite",state="used"} 1`,
		`db_client_connection_max{db_system_name="sqlite"} 10`,
		`db_client_connection_count{db_system_name="redis",state="idle"} 4`,
		`db_client_connection_count{db_system_name="redis",state="used"} 6`,
		`db_client_connection_max{db_system_name="redis"} 10`,
		`db_client_connection_wait_seconds_total{db_system_name="redis"} 3`,
	)
	if strings.Contains(got, `db_client_connection_max{db_system_name="mongodb"}`) {
		t.Error("a pool without a bound has one")
	}
}

// TestCardinality feeds every method with values that a client, or a mistake, could choose and counts the series.
func TestCardinality(t *testing.T) {
	tel := start(t, telemetry.Options{})
	m := tel.Metrics
	for i := range 5000 {
		v := fmt.Sprintf("v%d", i)
		m.ObserveRequest("/api/maquinas/"+v, v, 200+i, i%2 == 0, time.Duration(i)*time.Millisecond, "")
		m.Operations(v)(v, nil, time.Duration(i))
		m.Refused(v)
		m.Login(v)
		m.CacheRequest(v, v)
		m.DependencyUp(v, true)
		m.CircuitOpen(v, true)
		m.RegisterPool(v, func() telemetry.PoolStats { return telemetry.PoolStats{Max: 1} })
	}
	series := map[string]int{}
	for _, f := range gather(t, tel) {
		series[f.GetName()] = len(f.GetMetric())
	}
	for name, limit := range map[string]int{
		// 64 routes and _OTHER, one method, the classes, synthetic or not.
		"http_server_request_duration_seconds": 65 * 2 * 4,
		"db_client_operation_duration_seconds": 2,
		"siglab_requests_refused_total":        4,
		"siglab_logins_total":                  6,
		"siglab_cache_requests_total":          20,
		"siglab_dependency_up":                 1,
		"siglab_circuit_open":                  5,
		"db_client_connection_count":           2,
		"db_client_connection_max":             1,
	} {
		got := series[name]
		if got == 0 || got > limit {
			t.Errorf("%s: got %d series, want 1 to %d", name, got, limit)
		}
	}
}

// TestLint holds the names against Prometheus's conventions.
func TestLint(t *testing.T) {
	tel := start(t, telemetry.Options{})
	tel.Metrics.ObserveRequest("/a", "GET", 200, false, time.Millisecond, "")
	tel.Metrics.Operations("mysql")("SELECT", nil, time.Millisecond)
	problems, err := promlint.NewWithMetricFamilies(gather(t, tel)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		// Prometheus would have gauges that count not end in _count; OpenTelemetry's convention has this one so.
		if p.Metric != "db_client_connection_count" {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestObserveRequestAllocatesNothing(t *testing.T) {
	tel := start(t, telemetry.Options{})
	observe := tel.Metrics.Operations("redis")
	record := func() {
		tel.Metrics.ObserveRequest("/api/maquinas/listar", "GET", 200, false, 3*time.Millisecond, "")
		tel.Metrics.CacheRequest("listar", "near")
		observe("get", nil, time.Millisecond)
	}
	record()
	if n := testing.AllocsPerRun(1000, record); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func BenchmarkObserveRequest(b *testing.B) {
	tel, err := telemetry.New(b.Context(), telemetry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer tel.Shutdown(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		tel.Metrics.ObserveRequest("/api/maquinas/listar", "GET", 200, false, 3*time.Millisecond, "")
	}
}
