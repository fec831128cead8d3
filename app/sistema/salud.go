// Package sistema answers for the service as a whole: its health and its dashboard.
package sistema

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"siglab/app/errs"
)

// Status is the health of the service or of one thing that it depends on.
type Status string

// The statuses. Source: contract, "sistema/health"; a check is ok or down.
const (
	OK       Status = "ok"
	Degraded Status = "degraded" // serving, but something it depends on is down
	Down     Status = "down"     // not serving yet
	Draining Status = "draining" // about to stop
)

// Dependency is something the service asks over a network.
type Dependency struct {
	Name string // as it stands in the answer: mysql, mongodb, redis
	Ping func(context.Context) error
}

// Check is what was found of a dependency when it was last asked.
type Check struct {
	Status    Status
	LatencyMS float64 // milliseconds the last answer took
}

// Salud is the health of this process.
type Salud struct {
	Status   Status
	ServerID string
	Version  string
	Uptime   time.Duration
	Checks   map[string]Check
}

// Monitor asks the dependencies in the background, so that a probe costs nothing and never waits.
type Monitor struct {
	ServerID, Version string
	Dependencies      []Dependency
	Interval, Timeout time.Duration                    // between two questions, and for one
	Observe           func(dependency string, up bool) // told of each answer
	// Patience is how long a request that comes while the process is starting waits for it. A process that was killed and starts
	// again is sent requests before anybody notices.
	Patience time.Duration

	began   time.Time
	phase   atomic.Int32
	once    sync.Once
	started chan struct{} // made by once, closed by SetReady
	mu      sync.Mutex
	found   map[string]Check
}

// The phases of a process.
const (
	starting int32 = iota
	ready
	draining
)

// Run asks every dependency at once and then at each interval, until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	var asking sync.WaitGroup
	for _, d := range m.Dependencies {
		asking.Go(func() {
			tick := time.NewTicker(m.Interval)
			defer tick.Stop()
			for {
				m.ask(ctx, d)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	asking.Wait()
}

func (m *Monitor) ask(ctx context.Context, d Dependency) {
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	began := time.Now()
	err := d.Ping(ctx)
	c := Check{Status: OK, LatencyMS: float64(time.Since(began).Microseconds()) / 1000}
	if err != nil {
		c.Status = Down
	}
	m.Observe(d.Name, err == nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil {
		m.found = map[string]Check{}
	}
	m.found[d.Name] = c
}

// Start notes when the process began.
func (m *Monitor) Start(now time.Time) { m.began = now }

// SetReady says that the process serves from now on.
func (m *Monitor) SetReady() {
	if m.phase.CompareAndSwap(starting, ready) {
		close(m.whenStarted())
	}
}

func (m *Monitor) whenStarted() chan struct{} {
	m.once.Do(func() { m.started = make(chan struct{}) })
	return m.started
}

// SetDraining says that the process is about to stop.
func (m *Monitor) SetDraining() { m.phase.Store(draining) }

// Ready says whether the process has started, draining included.
func (m *Monitor) Ready() bool { return m.phase.Load() != starting }

// Admit returns nil while requests are served, draining included. While the process is starting it waits for that, and returns
// Unavailable when it takes longer than Patience, or ctx's error.
func (m *Monitor) Admit(ctx context.Context) error {
	if m.Ready() {
		return nil
	}
	patience := time.NewTimer(m.Patience)
	defer patience.Stop()
	select {
	case <-m.whenStarted():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
	}
	return &errs.Error{Kind: errs.Unavailable, Message: "El servicio está iniciando; intente de nuevo en unos segundos.", RetryAfter: 2 * time.Second}
}

// Salud reports what was found last. A dependency that was not asked yet counts as down.
func (m *Monitor) Salud(now time.Time) Salud {
	s := Salud{Status: OK, ServerID: m.ServerID, Version: m.Version, Uptime: now.Sub(m.began), Checks: map[string]Check{}}
	m.mu.Lock()
	for _, d := range m.Dependencies {
		c, ok := m.found[d.Name]
		if !ok {
			c.Status = Down
		}
		if c.Status != OK {
			s.Status = Degraded
		}
		s.Checks[d.Name] = c
	}
	m.mu.Unlock()
	switch m.phase.Load() {
	case starting:
		s.Status = Down
	case draining:
		s.Status = Draining
	}
	return s
}
