package faults_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	clients    = 12
	thinking   = 200 * time.Millisecond // between two requests of a client: 60 a second in all
	calm       = time.Second            // without a fault, before each
	faultLasts = 5 * time.Second
	quiet      = time.Second     // without a refusal, after which the service counts as recovered
	recoversIn = 5 * time.Second // at most, from the end of a fault to the last request that it spoils
)

// fault is one row of the table.
type fault struct {
	name string
	// hits are the dependencies that fail: mysql, mongodb, redis.
	hits []string
	// partly means that some requests may get through, so nothing is demanded to fail.
	partly bool
	begin  func(t *testing.T)
	end    func(t *testing.T)
}

// degraded is how an endpoint may answer, beside as always, when a dependency fails. Source: design, "When something is down".
var degraded = map[string]map[string][]string{
	"redis": {"activos": {"503"}},
	"mongodb": {
		"mantenimiento": {"503"}, "historial": {"503"}, "informe": {"200 part"}, "dashboard": {"200 part"},
	},
	"mysql": {
		"listar": {"200 old"}, "filtrada": {"503"}, "buscar": {"503"}, "termino": {"503"}, "dashboard": {"503"},
		"agregar": {"503"}, "actualizar": {"503"}, "eliminar": {"503"},
		"mantenimiento": {"503"}, "historial": {"503"}, "informe": {"503"}, "login": {"503"}, "logout": {"503"},
	},
}

// certain are the endpoints that cannot do without a dependency, whatever caches hold: a fault that does not show there was none.
var certain = map[string][]string{
	"redis":   {"activos"},
	"mongodb": {"mantenimiento", "historial", "informe"},
	"mysql":   {"listar", "termino", "agregar", "actualizar", "eliminar", "mantenimiento", "historial", "informe", "login", "logout"},
}

// usual says whether an outcome is one of a service that lacks nothing. A 404 was judged by who asked.
func usual(s sample) bool {
	switch s.endpoint {
	case "revocada", "revocación":
		return s.outcome == "401"
	case "buscar", "historial", "eliminar":
		return s.outcome == "200" || s.outcome == "404"
	case "agregar", "mantenimiento":
		return s.outcome == "201"
	case "logout":
		return s.outcome == "200" || s.outcome == "401" // an earlier try, whose answer was lost, may have done it
	}
	return s.outcome == "200"
}

func (f fault) allows(s sample) bool {
	if usual(s) {
		return true
	}
	for _, dependency := range f.hits {
		if slices.Contains(degraded[dependency][s.endpoint], s.outcome) {
			return true
		}
	}
	return false
}

func (f fault) hit(dependency string) bool { return slices.Contains(f.hits, dependency) }

// faults are the rows: what is done to the servers, or to the wires of both instances.
func faults(f *farm, d *databases, both [2]*wires) []fault {
	wire := map[string]func(*wires) *wire{
		"mysql":   func(w *wires) *wire { return w.mysql },
		"mongodb": func(w *wires) *wire { return w.mongo },
		"redis":   func(w *wires) *wire { return w.redis },
	}
	cut := func(name string) {
		for _, w := range both {
			wire[name](w).cut()
		}
	}
	join := func(t *testing.T, name string) {
		for _, w := range both {
			wire[name](w).join(t)
		}
	}
	toxic := func(name, what, json string) fault {
		return fault{
			name: name + " " + what, hits: []string{name},
			begin: func(t *testing.T) {
				for _, w := range both {
					wire[name](w).poison(t, json)
				}
			},
			end: func(*testing.T) {
				for _, w := range both {
					wire[name](w).heal()
				}
			},
		}
	}
	processes := map[string]*server{"mysql": f.mysql, "mongodb": f.mongo, "redis": f.redis}
	var all []fault
	for _, name := range []string{"mysql", "mongodb", "redis"} {
		process := processes[name]
		partial := toxic(name, "answers cut short", `{"type": "limit_data", "attributes": {"bytes": 400}}`)
		partial.partly = true
		all = append(all,
			fault{
				name: name + " down", hits: []string{name},
				begin: func(t *testing.T) { process.kill(t); cut(name) },
				end:   func(t *testing.T) { process.start(t); join(t, name) },
			},
			fault{
				name: name + " frozen", hits: []string{name},
				begin: func(t *testing.T) { process.freeze(t) },
				end:   func(t *testing.T) { process.thaw(t) },
			},
			toxic(name, "slow (2 s)", `{"type": "latency", "attributes": {"latency": 2000}}`),
			toxic(name, "resets connections", `{"type": "reset_peer", "attributes": {"timeout": 0}}`),
			toxic(name, "answers garbage", `{"type": "garbage", "attributes": {}}`),
			partial,
		)
	}
	return append(all,
		readOnly(d), noConnections(d),
		fault{
			name: "redis refuses writes", hits: []string{"redis"}, partly: true,
			begin: func(t *testing.T) { setRedis(t, f, "maxmemory", "1") },
			end:   func(t *testing.T) { setRedis(t, f, "maxmemory", "0") },
		},
		fault{
			name: "redis cut off from one replica", hits: []string{"redis"}, partly: true,
			begin: func(*testing.T) { both[0].redis.cut() },
			end:   func(t *testing.T) { both[0].redis.join(t) },
		},
		fault{
			name: "redis flushed",
			begin: func(t *testing.T) {
				if err := f.keys.FlushAll(context.Background()).Err(); err != nil {
					t.Fatal(err)
				}
			},
			end: func(*testing.T) {},
		},
		fault{
			name: "redis restarted", hits: []string{"redis"}, partly: true,
			begin: func(t *testing.T) { f.redis.kill(t); f.redis.start(t) },
			end:   func(*testing.T) {},
		},
		fault{
			name: "mysql restarted amid writes", hits: []string{"mysql"}, partly: true,
			begin: func(t *testing.T) { f.mysql.stop(t); f.mysql.start(t) },
			end:   func(*testing.T) {},
		},
		fault{
			name: "all three down", hits: []string{"mysql", "mongodb", "redis"},
			begin: func(t *testing.T) {
				for name, process := range processes {
					process.kill(t)
					cut(name)
				}
			},
			end: func(t *testing.T) {
				for name, process := range processes {
					process.start(t)
					join(t, name)
				}
			},
		},
		fault{
			name: "all three frozen", hits: []string{"mysql", "mongodb", "redis"},
			begin: func(t *testing.T) {
				for _, process := range processes {
					process.freeze(t)
				}
			},
			end: func(t *testing.T) {
				for _, process := range processes {
					process.thaw(t)
				}
			},
		},
	)
}

func setRedis(t *testing.T, f *farm, name, value string) {
	t.Helper()
	if err := f.keys.ConfigSet(context.Background(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// readOnly is what a service meets that still talks to a primary which has become a replica.
func readOnly(d *databases) fault {
	set := func(t *testing.T, value string) {
		t.Helper()
		if _, err := d.root.ExecContext(context.Background(), "SET GLOBAL read_only = "+value); err != nil {
			t.Fatal(err)
		}
	}
	return fault{
		name: "mysql read only", hits: []string{"mysql"}, partly: true,
		begin: func(t *testing.T) { set(t, "ON") },
		end:   func(t *testing.T) { set(t, "OFF") },
	}
}

// noConnections lets others have every connection of MySQL.
func noConnections(d *databases) fault {
	var taker *taker
	var working sync.WaitGroup
	var stop context.CancelFunc
	return fault{
		name: "mysql out of connections", hits: []string{"mysql"},
		begin: func(t *testing.T) {
			taker = newTaker(t, d)
			eventually(t, "the end of the service's connections", func() bool {
				left, err := taker.take(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return left == 0
			})
			// A connection that somebody else ends must not become the service's.
			var ctx context.Context
			ctx, stop = context.WithCancel(context.Background())
			working.Go(func() {
				for ctx.Err() == nil {
					if _, err := taker.take(ctx); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
					time.Sleep(20 * time.Millisecond) // between two looks at the condition
				}
			})
		},
		end: func(t *testing.T) {
			stop()
			working.Wait()
			taker.release(t)
		},
	}
}

// taker takes connections away from the service.
type taker struct {
	d      *databases
	admin  *sql.Conn // of an account with more rights, which gets in when others do not
	before int       // the connections that there were for all
	pool   *sql.DB
	held   []*sql.Conn
	mine   []int64
}

func newTaker(t *testing.T, d *databases) *taker {
	t.Helper()
	ctx := context.Background() // it is released after a test that ended badly, too
	admin, err := d.root.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	k := &taker{d: d, admin: admin}
	if err := admin.QueryRowContext(ctx, "SELECT @@max_connections").Scan(&k.before); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(ctx, "SET GLOBAL max_connections = 10"); err != nil { // fewer cannot be had
		t.Fatal(err)
	}
	own := d.dsn.Clone()
	own.User, own.Passwd, own.DBName = d.name, d.password, d.name
	connector, err := mysqldriver.NewConnector(own)
	if err != nil {
		t.Fatal(err)
	}
	k.pool = sql.OpenDB(connector)
	return k
}

// take keeps every connection that is free, ends those of the service, and says how many these were.
func (k *taker) take(ctx context.Context) (int, error) {
	for {
		c, err := k.pool.Conn(ctx)
		if err != nil {
			break // there is none left
		}
		k.held = append(k.held, c)
		var id int64
		if err := c.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
			return 0, err
		}
		k.mine = append(k.mine, id)
	}
	rows, err := k.admin.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE user = ?", k.d.name)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var others []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return 0, err
		}
		if !slices.Contains(k.mine, id) {
			others = append(others, id)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for _, id := range others {
		_, _ = k.admin.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // it may have ended by itself
	}
	return len(others), nil
}

func (k *taker) release(t *testing.T) {
	t.Helper()
	if _, err := k.admin.ExecContext(context.Background(), fmt.Sprintf("SET GLOBAL max_connections = %d", k.before)); err != nil {
		t.Fatal(err)
	}
	for _, c := range k.held {
		_ = c.Close()
	}
	_ = k.pool.Close()
	_ = k.admin.Close()
}

// Two instances under a steady load meet one fault after the other. What they answer is what the design promises for each; what
// they say is never wrong; no answer is later than the deadline; and soon after the fault's end all is as before.
func TestFaults(t *testing.T) {
	f := servers(t)
	d := f.databases(t)
	both := [2]*wires{newWires(t, f), newWires(t, f)}
	a, b := newService(t, d, both[0]), newService(t, d, both[1])
	a.start()
	a.ready()
	b.start()
	b.ready()
	w := newWorld(t, a, b)
	people := make([]*client, clients)
	for i := range people {
		people[i] = w.client(t, i)
		for range 5 {
			people[i].add()
		}
	}
	w.report(t)
	w.http.CloseIdleConnections()
	before := map[*service]footprint{}
	for _, s := range w.services {
		before[s] = s.footprint()
	}

	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	rest := func() { stop(); working.Wait() }
	defer rest()
	for i, c := range people {
		working.Go(func() {
			select { // so that they do not ask all at once
			case <-ctx.Done():
			case <-time.After(thinking * time.Duration(i) / clients):
				c.run(ctx, thinking)
			}
		})
	}
	during(t, 2*calm) // the caches fill, and connections are made
	w.report(t)
	for _, row := range faults(f, d, both) {
		t.Run(strings.ReplaceAll(row.name, " ", "-"), func(t *testing.T) { w.suffer(t, d, row) })
	}
	rest()
	for _, c := range people {
		c.resolve(t)
	}
	w.report(t)
	verify(t, d, people)
	w.http.CloseIdleConnections()
	for _, s := range w.services {
		s.settles(before[s])
		s.terminate()
	}
}

// forgetKeys does what the service does with keys that are a day old, to those that are a minute old and that no client will use
// again: FerretDB reads a whole collection where MongoDB uses an index, and would be slow by itself in the end.
func forgetKeys(t *testing.T, d *databases) {
	t.Helper()
	old := bson.D{{Key: "creada", Value: bson.D{{Key: "$lt", Value: time.Now().Add(-time.Minute)}}}}
	eventually(t, "the keys to be forgotten", func() bool { // the first try may meet a connection that a fault has broken
		_, err := d.docs.Collection("idempotencia").DeleteMany(t.Context(), old)
		return err == nil
	})
}

// during lets the load go on for a time. It is the measure of an experiment, not a wait for something to happen.
func during(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// suffer puts a fault into effect, ends it, waits for the recovery, and judges what the clients got.
func (w *world) suffer(t *testing.T, d *databases, f fault) {
	forgetKeys(t, d)
	calmSince := time.Now()
	during(t, calm)
	calmUntil := time.Now()
	w.mu.Lock()
	if f.hit("redis") {
		w.staleUntil = calmUntil.Add(time.Hour)
	}
	if f.hit("redis") && f.hit("mysql") {
		w.dark = calmUntil
	}
	w.mu.Unlock()
	f.begin(t)
	began := time.Now()
	during(t, faultLasts)
	w.checkHealth(t, f)
	f.end(t)
	ended := time.Now()
	recovered := w.recovery(t, ended)
	w.mu.Lock()
	if f.hit("redis") {
		w.staleUntil = recovered.Add(cacheTTL)
	}
	w.dark = time.Time{}
	w.mu.Unlock()
	eventually(t, "health to be ok again", func() bool {
		for _, s := range w.services {
			if status, _ := w.health(s); status != "ok" {
				return false
			}
		}
		return true
	})

	row := w.since(calmSince)
	lines := map[string]*line{}
	for _, s := range row {
		finished := s.began.Add(s.took)
		switch {
		case finished.Before(calmUntil):
			if !usual(s) {
				t.Errorf("before the fault, %s: %s", s.endpoint, s.outcome)
			}
		case s.began.After(recovered):
			// The quiet time that told of the recovery.
		default:
			if !f.allows(s) {
				t.Errorf("%s: %s, %s after the fault began", s.endpoint, s.outcome, s.began.Sub(began).Round(time.Millisecond))
			}
			if lines[s.endpoint] == nil {
				lines[s.endpoint] = &line{outcomes: map[string]int{}}
			}
			lines[s.endpoint].add(s)
		}
	}
	for _, dependency := range f.hits {
		for _, endpoint := range certain[dependency] {
			if want := degraded[dependency][endpoint][0]; !f.partly && lines[endpoint].outcomes[want] == 0 && len(f.hits) == 1 {
				t.Errorf("%s never answered %s: the fault did not bite, or the answer hides it", endpoint, want)
			}
		}
	}
	spoiled := max(0, recovered.Sub(ended))
	if spoiled > recoversIn {
		t.Errorf("the last request was spoiled %s after the fault's end, more than %s", spoiled, recoversIn)
	}
	t.Logf("%s; back to normal %s after its end\n%s", f.name, spoiled.Round(10*time.Millisecond), table(lines))
	w.report(t)
}

// recovery waits until no request has been spoiled for a while, and returns when the last one began, or the fault's end.
func (w *world) recovery(t *testing.T, ended time.Time) time.Time {
	t.Helper()
	last := ended
	deadline := ended.Add(soon)
	for {
		for _, s := range w.since(ended) {
			if !usual(s) && s.began.After(last) {
				last = s.began
			}
		}
		if time.Since(last) > quiet {
			return last
		}
		if time.Now().After(deadline) {
			t.Fatalf("requests are still spoiled %s after the fault's end", soon)
		}
		time.Sleep(20 * time.Millisecond) // between two looks at the condition
	}
}

// health returns the status that an instance gives itself, and those of its checks.
func (w *world) health(s *service) (string, map[string]string) {
	a := w.call(s, "", "", "GET", "/sistema/health", nil)
	var v struct {
		Status string
		Checks map[string]struct{ Status string }
	}
	_ = json.Unmarshal(a.body, &v) // what cannot be read is not ok
	checks := map[string]string{}
	for name, c := range v.Checks {
		checks[name] = c.Status
	}
	return v.Status, checks
}

func (w *world) checkHealth(t *testing.T, f fault) {
	t.Helper()
	for _, s := range w.services {
		status, checks := w.health(s)
		want := "ok"
		if len(f.hits) > 0 {
			want = "degraded"
		}
		if !f.partly && status != want {
			t.Errorf("health of %s: got %q, want %q", s.name, status, want)
		}
		for name, check := range checks {
			if want := map[bool]string{true: "down", false: "ok"}[f.hit(name)]; !f.partly && check != want {
				t.Errorf("health of %s: %s is %q, want %q", s.name, name, check, want)
			}
		}
	}
}

// line is one endpoint's part of a row.
type line struct {
	requests int
	outcomes map[string]int
	longest  time.Duration
}

func (l *line) add(s sample) {
	l.requests++
	l.outcomes[s.outcome]++
	l.longest = max(l.longest, s.took)
}

func table(lines map[string]*line) string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "endpoint\trequests\tanswers\tlongest wait")
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		l := lines[name]
		var outcomes []string
		for outcome, n := range l.outcomes {
			outcomes = append(outcomes, fmt.Sprintf("%s ×%d", outcome, n))
		}
		sort.Strings(outcomes)
		fmt.Fprintf(out, "%s\t%d\t%s\t%s\n", name, l.requests, strings.Join(outcomes, ", "), l.longest.Round(time.Millisecond))
	}
	_ = out.Flush() // a string takes everything
	return b.String()
}
