package faults_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// One of two instances is killed a hundred times amid writes, each time at another moment of whatever it does. Clients try a write
// whose answer they did not get again, with its key, on whichever instance they reach. In the end the databases hold what the
// clients were told: nothing that was answered is lost, nothing is there twice, and no record is without its machine.
func TestKilled(t *testing.T) {
	const kills, writers = 100, 8
	f := servers(t)
	d := f.databases(t)
	// Short deadlines: the grace period of a deletion, and the lease of a replica that died, are waited for in the end.
	a, b := newService(t, d, nil, "TIMEOUT=2"), newService(t, d, nil, "TIMEOUT=2")
	w := newWorld(t, a, b)
	for _, s := range w.services {
		s.start()
		s.ready()
	}
	people := make([]*client, writers)
	for i := range people {
		people[i] = w.client(t, i)
		people[i].only = []string{
			"agregar", "agregar", "agregar", "actualizar", "actualizar", "actualizar", "eliminar", "eliminar", "eliminar",
			"mantenimiento", "mantenimiento", "mantenimiento", "listar", "filtrada", "buscar", "historial", "informe",
		}
		for range 3 {
			people[i].add()
		}
	}
	before := map[*service]footprint{}
	w.http.CloseIdleConnections()
	for _, s := range w.services {
		before[s] = s.footprint()
	}
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	rest := func() { stop(); working.Wait() }
	defer rest()
	for _, c := range people {
		working.Go(func() { c.run(ctx, 5*time.Millisecond) })
	}
	began := time.Now()
	for i := range kills {
		s := w.services[i%2]
		during(t, time.Duration(rand.IntN(200))*time.Millisecond) // a moment that nobody chose
		s.kill()
		s.start()
		s.ready()
	}
	took := time.Since(began)
	rest()
	answered, lost, elsewhere := 0, 0, 0
	for _, s := range w.since(began) {
		switch {
		case s.outcome == "none" || s.outcome == "cut":
			lost++
		case s.outcome == "refused" || s.outcome == "503": // nobody listens, or who does has only just begun
			elsewhere++
		case usual(s):
			answered++
		default:
			t.Errorf("%s: %s", s.endpoint, s.outcome)
		}
	}
	for _, c := range people {
		c.resolve(t)
	}
	w.report(t)
	t.Logf("%d kills in %s: %d requests answered, %d whose answer was lost, %d that found nobody", kills, took.Round(time.Second), answered, lost, elsewhere)
	if lost < kills/2 {
		t.Errorf("only %d requests lost their answer: the kills did not meet them", lost)
	}
	verify(t, d, people)
	w.http.CloseIdleConnections()
	for _, s := range w.services {
		s.settles(before[s])
		s.terminate()
	}
}
