package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"
)

// load sends requests at a steady rate, whatever the answers take (an open loop), and remembers what was acknowledged, so that it can be
// compared with what is there afterwards. A request counts as failed unless it gets the status that it must get, and nothing is sent twice.
type load struct {
	c      *client
	prefix string
	rate   atomic.Int64
	stop   chan struct{}
	ended  sync.Once
	done   sync.WaitGroup

	mu       sync.Mutex
	random   *rand.Rand
	phase    *phase
	phases   []*phase
	made     int
	live     []*loaded
	gone     []string // acknowledged as removed
	doubtful map[string]bool
}

// loaded is a machine of the load, as the answers say it is.
type loaded struct {
	codigo, area string
	records      int
	uses         int  // requests in flight that name it
	writing      bool // one of them writes it
}

// phase is what clients saw while one thing was done to the release.
type phase struct {
	name     string
	began    time.Time
	lasted   time.Duration
	requests int
	writes   int
	failed   int
	said     []string
	spans    []span
	servers  map[string]bool
}

// span is a request's time, from before it was sent until its answer was there or was given up.
type span struct {
	began, ended time.Time
	failed       bool
}

// inFlight returns how many of the phase's requests were under way between two moments, for some of that time at least, and how many of them failed.
func (p *phase) inFlight(from, to time.Time) (requests, failed int) {
	for _, s := range p.spans {
		if s.began.Before(to) && s.ended.After(from) {
			requests++
			if s.failed {
				failed++
			}
		}
	}
	return requests, failed
}

const machinesKept = 200

// startLoad logs nobody in: the client brings its session.
func startLoad(c *client, prefix string, rate int) *load {
	transport := &http.Transport{MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, IdleConnTimeout: 30 * time.Second}
	l := &load{
		c:      &client{base: c.base, host: c.host, token: c.token, http: &http.Client{Transport: transport, Timeout: 40 * time.Second}},
		prefix: prefix, stop: make(chan struct{}), random: rand.New(rand.NewPCG(4, 2026)), doubtful: map[string]bool{},
	}
	l.rate.Store(int64(rate))
	l.enter("warm up")
	l.done.Go(l.run)
	return l
}

// enter ends the phase and begins the next. A request counts for the phase in which it was sent.
func (l *load) enter(name string) *phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.phase != nil {
		l.phase.lasted = now.Sub(l.phase.began)
	}
	l.phase = &phase{name: name, began: now, servers: map[string]bool{}}
	l.phases = append(l.phases, l.phase)
	return l.phase
}

// end stops sending and waits for the last answer; once is enough.
func (l *load) end() { l.ended.Do(l.finish) }

func (l *load) finish() {
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.lasted = time.Since(l.phase.began)
}

func (l *load) run() {
	next := time.Now()
	for {
		next = next.Add(time.Second / time.Duration(l.rate.Load()))
		select {
		case <-l.stop:
			return
		case <-time.After(time.Until(next)):
		}
		l.done.Go(l.one)
	}
}

// one sends one request of the mix: five reads to one write, as on a working day. The inventory stays as large as a
// laboratory's, machines being taken out as others come in.
func (l *load) one() {
	l.mu.Lock()
	p, dice := l.phase, l.random.IntN(100)
	fresh := fmt.Sprintf("%s-%05d", l.prefix, l.made)
	area := fmt.Sprintf("Aula %d", l.random.IntN(40))
	var m *loaded
	if len(l.live) > 0 {
		m = l.live[l.random.IntN(len(l.live))]
	}
	write := true
	var method, path string
	var body any
	status, settle := 200, func(bool) {}
	switch {
	case m == nil || dice < 3 && len(l.live) < machinesKept || dice < 30 && len(l.live) < machinesKept/2:
		l.made++
		m = &loaded{codigo: fresh, area: area}
		method, path, body, status = "POST", "/api/maquinas/agregar", machine(fresh, area), 201
		settle = func(ok bool) {
			if ok {
				l.live = append(l.live, m)
			} else {
				l.doubtful[fresh] = true
			}
		}
	case dice < 3 && m.uses == 0:
		l.live = slices.DeleteFunc(l.live, func(x *loaded) bool { return x == m })
		method, path = "DELETE", "/api/maquinas/eliminar/"+m.codigo
		settle = func(ok bool) {
			if ok {
				l.gone = append(l.gone, m.codigo)
			} else {
				l.doubtful[m.codigo] = true
			}
		}
	case dice < 16 && !m.writing:
		m.writing = true
		method, path, body = "PUT", "/api/maquinas/actualizar", map[string]string{"codigo_equipo": m.codigo, "area": area}
		settle = func(ok bool) {
			m.writing = false
			if ok {
				m.area = area
			} else {
				l.doubtful[m.codigo] = true
			}
		}
	case dice < 17 && !m.writing:
		m.writing = true
		method, path, body, status = "POST", "/api/mantenimientos/agregar", record(m.codigo), 201
		settle = func(ok bool) {
			m.writing = false
			if ok {
				m.records++
			} else {
				l.doubtful[m.codigo] = true
			}
		}
	default:
		write, method = false, "GET"
		switch {
		case dice < 66:
			path = "/api/maquinas/buscar?codigo=" + url.QueryEscape(m.codigo)
		case dice < 83:
			path = "/api/maquinas/listar?limite=50"
		case dice < 91:
			path = "/api/maquinas/listar"
		case dice < 98:
			path = "/api/mantenimientos/historial/" + m.codigo
		default:
			path = "/api/maquinas/dashboard"
		}
	}
	m.uses++
	l.mu.Unlock()

	began := time.Now()
	a, err := l.c.call(method, path, body)
	ended := time.Now()

	l.mu.Lock()
	defer l.mu.Unlock()
	m.uses--
	ok := err == nil && a.status == status
	settle(ok)
	p.requests++
	if write {
		p.writes++
	}
	p.spans = append(p.spans, span{began, ended, !ok})
	if a.server != "" {
		p.servers[a.server] = true
	}
	if !ok {
		p.failed++
		if len(p.said) < 8 {
			p.said = append(p.said, fmt.Sprintf("at %.3f s: %s %s after %s: %d %v %s (server %q)", began.Sub(p.began).Seconds(), method, path,
				ended.Sub(began).Round(time.Millisecond), a.status, err, cut(a.body), a.server))
		}
	}
}

func cut(b []byte) string {
	if len(b) > 200 {
		b = b[:200]
	}
	return strings.TrimSpace(string(b))
}

// compare looks for everything that was acknowledged: machines with their last values, records, and removals. It returns the
// differences, and how many machines and records it compared.
func (l *load) compare(t *testing.T) (differences []string, machines, records int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[string]string{}
	var list []struct{ Codigo, Area string }
	a := l.c.want(t, 200, "GET", "/api/maquinas/listar", nil, nil)
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		there[m.Codigo] = m.Area
	}
	for _, m := range l.live {
		if l.doubtful[m.codigo] {
			continue
		}
		machines++
		area, ok := there[m.codigo]
		if !ok || area != m.area {
			differences = append(differences, fmt.Sprintf("%s: there %v in %q, acknowledged in %q", m.codigo, ok, area, m.area))
			continue
		}
		var history []struct{}
		l.c.want(t, 200, "GET", "/api/mantenimientos/historial/"+m.codigo+"?limite=1000", nil, &history)
		records += m.records
		if len(history) != m.records {
			differences = append(differences, fmt.Sprintf("%s: %d records there, %d acknowledged", m.codigo, len(history), m.records))
		}
	}
	for _, codigo := range l.gone {
		if _, ok := there[codigo]; ok {
			differences = append(differences, codigo+": there, and its removal was acknowledged")
		}
	}
	return differences, machines, records
}

// table prints one row a phase.
func (l *load) table() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "phase\tseconds\trequests\tper second\twrites\tfailed\tp50 ms\tp95 ms\tp99 ms\tmax ms\tservers\t")
	for _, p := range l.phases {
		var latency []time.Duration
		for _, s := range p.spans {
			latency = append(latency, s.ended.Sub(s.began))
		}
		slices.Sort(latency)
		at := func(q float64) float64 {
			if len(latency) == 0 {
				return 0
			}
			return float64(latency[min(len(latency)-1, int(q*float64(len(latency))))].Microseconds()) / 1000
		}
		fmt.Fprintf(w, "%s\t%.0f\t%d\t%.0f\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t\n", p.name, p.lasted.Seconds(), p.requests, float64(p.requests)/p.lasted.Seconds(),
			p.writes, p.failed, at(.5), at(.95), at(.99), at(1), len(p.servers))
	}
	w.Flush()
	return out.String()
}
