package telemetry

import (
	"database/sql"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStats is the state of one connection pool. Max is 0 when the pool has no bound; Wait is the time that all callers together
// have waited for a connection since the start.
type PoolStats struct {
	Idle, Used, Max int
	Wait            time.Duration
}

// RegisterSQL shows the pool of db under the system's name (mysql, sqlite).
func (m *Metrics) RegisterSQL(db *sql.DB, system string) {
	m.RegisterPool(system, func() PoolStats {
		s := db.Stats()
		return PoolStats{Idle: s.Idle, Used: s.InUse, Max: s.MaxOpenConnections, Wait: s.WaitDuration}
	})
}

// RegisterPool shows a pool under the system's name (redis, mongodb). stats is called at each scrape and must be quick and safe
// for concurrent use. Several pools of one system are added up.
func (m *Metrics) RegisterPool(system string, stats func() PoolStats) {
	m.pools.mu.Lock()
	defer m.pools.mu.Unlock()
	system = within(dependencies[:], system)
	m.pools.stats[system] = append(m.pools.stats[system], stats)
}

type poolCollector struct {
	mu                  sync.Mutex
	stats               map[string][]func() PoolStats
	count, limit, waits *prometheus.Desc
}

func newPoolCollector() *poolCollector {
	return &poolCollector{
		stats: map[string][]func() PoolStats{},
		count: prometheus.NewDesc("db_client_connection_count", "Connections of a pool by state.", []string{"db_system_name", "state"}, nil),
		limit: prometheus.NewDesc("db_client_connection_max", "Most connections that a pool may open.", []string{"db_system_name"}, nil),
		waits: prometheus.NewDesc("db_client_connection_wait_seconds_total", "Time that callers have waited for a connection, added up.", []string{"db_system_name"}, nil),
	}
}

func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.count
	ch <- c.limit
	ch <- c.waits
}

func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for system, all := range c.stats {
		var sum PoolStats
		for _, stats := range all {
			s := stats()
			sum.Idle += s.Idle
			sum.Used += s.Used
			sum.Max += s.Max
			sum.Wait += s.Wait
		}
		ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(sum.Idle), system, "idle")
		ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(sum.Used), system, "used")
		ch <- prometheus.MustNewConstMetric(c.waits, prometheus.CounterValue, sum.Wait.Seconds(), system)
		// A pool without a bound is never full: no series, rather than a division by zero in a rule.
		if sum.Max > 0 {
			ch <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(sum.Max), system)
		}
	}
}

// Gauges are values that others hold and a scrape asks for. Each function must be quick, safe for concurrent use and reach no
// network; it returns NaN when it does not know, and then the metric is absent. A nil one is left as it was.
type Gauges struct {
	// ConcurrencyLimit is how many requests may be in flight now, as the adaptive limit has it.
	ConcurrencyLimit func() float64
	// BcryptWaiting is how many hashes and comparisons wait for their turn.
	BcryptWaiting func() float64
	// OutboxPending is how many deletions are not finished, in the whole service; OutboxOldestAge the seconds since the
	// oldest of them was due (0 when there is none). Every replica reports the same backlog: take max, not sum.
	OutboxPending   func() float64
	OutboxOldestAge func() float64
	// SessionsActive is how many sessions are open in the whole service; SessionsRevoked how many revocations this
	// instance keeps in memory.
	SessionsActive  func() float64
	SessionsRevoked func() float64
}

// RegisterGauges shows the functions that are given; it may be called once a part of the program.
func (m *Metrics) RegisterGauges(g Gauges) {
	c := m.functions
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range []func() float64{g.ConcurrencyLimit, g.BcryptWaiting, g.OutboxPending, g.OutboxOldestAge, g.SessionsActive, g.SessionsRevoked} {
		if f != nil {
			c.functions[i] = f
		}
	}
}

// gaugeCollector asks at each scrape. Its slots are in the order of RegisterGauges.
type gaugeCollector struct {
	mu        sync.Mutex
	descs     [6]*prometheus.Desc
	functions [6]func() float64
}

func newGaugeCollector() *gaugeCollector {
	c := &gaugeCollector{}
	for i, d := range [...][2]string{
		{"siglab_concurrency_limit", "Requests that may be in flight now."},
		{"siglab_bcrypt_waiting", "Hashes and comparisons of passwords that wait for their turn."},
		{"siglab_outbox_pending", "Deletions that are not finished in every store."},
		{"siglab_outbox_oldest_age_seconds", "Time since the oldest unfinished deletion was due."},
		{"siglab_sessions_active", "Sessions that are open in the whole service."},
		{"siglab_sessions_revoked", "Revocations that this instance keeps in memory."},
	} {
		c.descs[i] = prometheus.NewDesc(d[0], d[1], nil, nil)
	}
	return c
}

func (c *gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	functions := c.functions
	c.mu.Unlock()
	for i, f := range functions {
		if f == nil {
			continue
		}
		if v := f(); !math.IsNaN(v) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], prometheus.GaugeValue, v)
		}
	}
}
