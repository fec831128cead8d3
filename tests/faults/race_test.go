package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The race that a plain cache loses: a reader has read the old list and is about to keep it, while a writer commits. Two instances
// with answers from MySQL that dawdle, so that lists are old when they come, are read and written at once, thousands of times: from a
// writer's answer on, no instance may serve a list, or a machine, from before that write.
func TestNoReaderSeesTheTimeBeforeAnAnsweredWrite(t *testing.T) {
	const writers, readers, enough = 4, 8, 3000
	f := servers(t)
	d := f.databases(t)
	w := newWorld(t)
	for range 2 {
		wires := newWires(t, f)
		s := newService(t, d, wires, "REDIS_TTL=60")
		s.start()
		s.ready()
		wires.mysql.poison(t, `{"type": "latency", "attributes": {"latency": 4, "jitter": 4}}`)
		w.services = append(w.services, s)
	}
	token := w.login(t, w.any())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var answered [writers]atomic.Int64 // the last number that each machine was answered to have
	code := func(i int) string { return fmt.Sprintf("PC-%d", i) }
	numbered := func(n int64) values { return values{"PC", "operativa", "Sala", "2026-03-02", strconv.FormatInt(n, 10)} }
	for i := range writers {
		if a := w.call(w.any(), "agregar", token, "POST", "/maquinas/agregar", numbered(0).body(code(i))); a.status != 201 {
			t.Fatalf("agregar: %d %s", a.status, a.body)
		}
	}
	var working sync.WaitGroup
	for i := range writers {
		working.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				if a := w.call(w.any(), "actualizar", token, "PUT", "/maquinas/actualizar", numbered(n).body(code(i))); a.status != 200 {
					w.wrong("actualizar: %d %s %v", a.status, a.body, a.failure)
					return
				}
				answered[i].Store(n)
			}
		})
	}
	var reads, raced atomic.Int64
	for range readers {
		working.Go(func() {
			for reads.Load() < enough && ctx.Err() == nil {
				var least [writers]int64
				for i := range writers {
					least[i] = answered[i].Load()
				}
				path := []string{"/maquinas/listar", "/maquinas/listar?area=Sala", "/maquinas/buscar?codigo=" + code(int(reads.Load()%writers))}[reads.Add(1)%3]
				a := w.call(w.any(), "listar", token, "GET", path, nil)
				var list []read
				if strings.Contains(path, "codigo") {
					list = make([]read, 1)
					_ = json.Unmarshal(a.body, &list[0]) // what cannot be read has no number, which is found below
				} else {
					_ = json.Unmarshal(a.body, &list)
				}
				if a.status != 200 || len(list) == 0 {
					w.wrong("%s: %d %s %v", path, a.status, a.body, a.failure)
					return
				}
				for _, m := range list {
					i, err := strconv.Atoi(strings.TrimPrefix(m.Codigo, "PC-"))
					if err != nil || i < 0 || i >= writers {
						w.wrong("%s: %+v", path, m)
						return
					}
					n, err := strconv.ParseInt(m.Usuario, 10, 64)
					if err != nil || n < least[i] {
						w.wrong("%s of %s: %s is at %s after the write of %d was answered", path, a.from.name, m.Codigo, m.Usuario, least[i])
					}
					if answered[i].Load() > least[i] {
						raced.Add(1)
					}
				}
			}
		})
	}
	within(t, 2*soon, "enough reads", func() bool { return reads.Load() >= enough || ctx.Err() != nil })
	stop()
	working.Wait()
	w.report(t)
	var writes, hits int64
	for i := range writers {
		writes += answered[i].Load()
	}
	for _, s := range w.services {
		hits += int64(s.metrics()["siglab_cache_requests_total"])
		s.terminate()
	}
	t.Logf("%d reads beside %d writes; a write was answered meanwhile %d times; %d looks into a cache", reads.Load(), writes, raced.Load(), hits)
	if writes < enough/10 || raced.Load() < enough/10 {
		t.Errorf("too few of them met: %d writes, %d meetings", writes, raced.Load())
	}
}
