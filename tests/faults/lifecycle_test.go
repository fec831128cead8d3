package faults_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A service that is started before its databases says so, and serves once they are there, without a restart.
func TestStartsBeforeItsDatabases(t *testing.T) {
	f := servers(t)
	d := f.databases(t)
	wires := newWires(t, f)
	for _, wire := range wires.all() {
		wire.cut()
	}
	s := newService(t, d, wires)
	s.start()
	w := newWorld(t, s)
	starting := func(what string) {
		t.Helper()
		if got := s.get(s.internal + "/livez"); got != 200 {
			t.Errorf("%s: /livez: got %d, want 200", what, got)
		}
		if got := s.get(s.internal + "/startupz"); got != 503 {
			t.Errorf("%s: /startupz: got %d, want 503", what, got)
		}
		for _, path := range []string{"/sistema/health", "/maquinas/listar", "/auth/usuarios/activos"} {
			if a := w.call(s, path, "", "GET", path, nil); a.status != 503 {
				t.Errorf("%s: %s: got %d %s, want 503", what, path, a.status, a.body)
			}
		}
		if a := w.call(s, "login", "", "POST", "/auth/login", s.admin.body()); a.status != 503 {
			t.Errorf("%s: login: got %d %s, want 503", what, a.status, a.body)
		}
		if status, _ := w.health(s); status != "down" {
			t.Errorf("%s: health: got %q, want down", what, status)
		}
	}
	starting("without any")
	during(t, 2*mysqlTimeout) // it tries, and fails, several times
	starting("without any, after a while")

	// MySQL alone is enough to serve.
	wires.mysql.join(t)
	began := time.Now()
	within(t, 10*time.Second, "the service to be ready with MySQL", func() bool { return s.get(s.internal+"/startupz") == 200 })
	t.Logf("ready %s after MySQL", time.Since(began).Round(10*time.Millisecond))
	token := w.login(t, s)
	v := values{"PC", "operativa", "Sala", "2026-03-02", "Persona"}
	if a := w.call(s, "agregar", token, "POST", "/maquinas/agregar", v.body("PC-1")); a.status != 201 {
		t.Errorf("agregar: got %d %s, want 201", a.status, a.body)
	}
	if status, _ := w.health(s); status != "degraded" {
		t.Errorf("health: got %q, want degraded", status)
	}
	wires.mongo.join(t)
	wires.redis.join(t)
	began = time.Now()
	within(t, 10*time.Second, "health to be ok", func() bool { status, _ := w.health(s); return status == "ok" })
	within(t, 5*time.Second, "records", func() bool {
		return w.call(s, "historial", token, "GET", "/mantenimientos/historial/PC-1", nil).status == 200
	})
	t.Logf("all is well %s after the others", time.Since(began).Round(10*time.Millisecond))
	w.report(t)
	s.terminate()
}

// One that is told to stop while it still waits for its databases stops.
func TestStopsWhileItStarts(t *testing.T) {
	f := servers(t)
	d := f.databases(t)
	wires := newWires(t, f)
	f.mysql.freeze(t)
	defer f.mysql.thaw(t)
	wires.mongo.cut()
	wires.redis.cut()
	s := newService(t, d, wires, "DRAIN_DELAY=5s")
	s.start()
	eventually(t, "its listeners", func() bool { return s.get(s.internal+"/livez") == 200 })
	began := time.Now()
	s.terminate()
	if took := time.Since(began); took > requestTimeout {
		t.Errorf("it took %s to stop", took)
	}
}

// Credentials that a database rejects end the process at the start with a sentence that names the variable, and not the secret.
func TestWrongCredentials(t *testing.T) {
	f := servers(t)
	d := f.databases(t)
	for _, variable := range []string{"MYSQL_PASSWORD", "REDIS_PASSWORD"} {
		t.Run(variable, func(t *testing.T) {
			const wrong = "equivocada"
			s := newService(t, d, nil, variable+"="+wrong)
			s.start()
			within(t, 10*time.Second, "the process to end", func() bool { return !s.running() })
			if code := s.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code: got %d, want 1", code)
			}
			said := s.stderr.String()
			if !strings.Contains(said, variable) || !strings.Contains(said, "refuses the credentials") {
				t.Errorf("got %q, want a sentence that names %s", said, variable)
			}
			b, err := os.ReadFile(s.logs)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(said+string(b), wrong) {
				t.Errorf("the password is shown: %s%s", said, b)
			}
		})
	}
}

// Of two instances one is told to stop under load, again and again. Readiness says so first, for DRAIN_DELAY, and it serves on
// meanwhile; a client that goes by readiness loses no request, and neither does one that is in the middle of a slow one.
func TestDrains(t *testing.T) {
	const drain = time.Second
	f := servers(t)
	d := f.databases(t)
	both := [2]*wires{newWires(t, f), newWires(t, f)}
	w := newWorld(t)
	for _, wires := range both {
		s := newService(t, d, wires, "DRAIN_DELAY="+drain.String())
		s.start()
		s.ready()
		w.services = append(w.services, s)
		wires.mongo.poison(t, `{"type": "latency", "attributes": {"latency": 100}}`) // so that some are always in the middle
	}
	people := make([]*client, 8)
	for i := range people {
		people[i] = w.client(t, i)
		people[i].only = []string{
			"agregar", "agregar", "actualizar", "eliminar", "mantenimiento", "mantenimiento", "listar", "buscar", "historial", "informe", "informe",
		}
		for range 3 {
			people[i].add()
		}
	}
	// The balancer sends nobody to an instance whose readiness is not 200, which it asks for often.
	balancer := &balancer{all: w.services, ready: w.services}
	w.route = balancer.pick
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	rest := func() { stop(); working.Wait() }
	defer rest()
	working.Go(func() { balancer.run(ctx, w) })
	for _, c := range people {
		working.Go(func() { c.run(ctx, 10*time.Millisecond) })
	}
	began := time.Now()
	for i := range 6 {
		s := w.services[i%2]
		during(t, 500*time.Millisecond)
		told := time.Now()
		s.signal(syscall.SIGTERM)
		within(t, drain, "readiness to say that it drains", func() bool { status, _ := w.health(s); return status == "draining" })
		if a := w.call(s, "listar", people[0].token, "GET", "/maquinas/listar", nil); a.status != 200 {
			t.Errorf("while it drains: got %d %s, want 200", a.status, a.body)
		}
		s.wait()
		took := time.Since(told)
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code: got %d, want 0: %s", code, s.stderr.String())
		}
		if took < drain || took > drain+requestTimeout {
			t.Errorf("it stopped %s after it was told to, want %s and what is in flight", took, drain)
		}
		s.start()
		s.ready()
		eventually(t, "the balancer to send requests again", func() bool { return balancer.sends(s) })
	}
	rest()
	n := 0
	for _, s := range w.since(began) {
		n++
		if !usual(s) {
			t.Errorf("%s: %s, %s after the start", s.endpoint, s.outcome, s.began.Sub(began).Round(time.Millisecond))
		}
	}
	t.Logf("6 stops, %d requests, none lost", n)
	w.report(t)
	for _, c := range people {
		c.resolve(t)
	}
	verify(t, d, people)
	for _, s := range w.services {
		s.terminate()
	}
}

// balancer stands for what sends requests to those that are ready.
type balancer struct {
	all   []*service
	mu    sync.Mutex
	ready []*service
	next  int
}

func (b *balancer) run(ctx context.Context, w *world) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var ready []*service
		for _, s := range b.all {
			if a := w.call(s, "", "", "GET", "/sistema/health", nil); a.status == 200 {
				ready = append(ready, s)
			}
		}
		b.mu.Lock()
		b.ready = ready
		b.mu.Unlock()
	}
}

// pick returns the next that is ready.
func (b *balancer) pick() *service {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	if len(b.ready) == 0 {
		return b.all[b.next%len(b.all)]
	}
	return b.ready[b.next%len(b.ready)]
}

func (b *balancer) sends(s *service) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.ready {
		if r == s {
			return true
		}
	}
	return false
}
