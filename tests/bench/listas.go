package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/redis/go-redis/v9"
)

const (
	inventory = 1000 // machines of the usual list
	readers   = 32   // connections that read at once
)

const listarPath = "/api/maquinas/listar"

// ourList is the list of 1,000 machines as the service answers it.
type ourList struct {
	plain, gzip []byte
	etag        string // of the plain one
}

func readList(ctx context.Context, p *process) (l ourList, err error) {
	plain, err := ask(ctx, p, http.StatusOK, "GET", listarPath, nil, true)
	if err != nil {
		return l, err
	}
	zipped, err := ask(ctx, p, http.StatusOK, "GET", listarPath, nil, true, "Accept-Encoding", "gzip")
	if err == nil && zipped.header.Get("Content-Encoding") != "gzip" {
		err = errors.New("the list is not compressed")
	}
	return ourList{plain.body, zipped.body, plain.header.Get("ETag")}, err
}

// pair is a service with 1,000 machines, and the bare handlers that answer the same.
func (w *world) pair(name string, env ...string) (service, limit *process, list ourList, err error) {
	d, err := w.fresh(name)
	if err != nil {
		return nil, nil, list, err
	}
	if err = d.fill(0, inventory); err != nil {
		return nil, nil, list, err
	}
	if service, err = d.service("SIGLAB", env...); err != nil {
		return nil, nil, list, err
	}
	defer func() {
		if err != nil {
			service.end()
		}
	}()
	if list, err = readList(w.ctx, service); err != nil {
		return nil, nil, list, err
	}
	o, err := redis.ParseURL(d.redisURL())
	if err != nil {
		return nil, nil, list, err
	}
	keys := redis.NewClient(o)
	defer keys.Close()
	if err = keys.Set(w.ctx, limitGeneration, "8a3f0c1d", 0).Err(); err != nil {
		return nil, nil, list, err
	}
	for n := range inventory {
		codigo := nthMachine(n).Codigo
		a, err := ask(w.ctx, service, http.StatusOK, "GET", "/api/maquinas/buscar?codigo="+codigo, nil, true)
		if err != nil {
			return nil, nil, list, err
		}
		if err := keys.Set(w.ctx, limitMachine+codigo, a.body, 0).Err(); err != nil {
			return nil, nil, list, err
		}
	}
	limit, err = d.limit(list.plain, list.gzip)
	return service, limit, list, err
}

// listar compares the list of 1,000 machines that is in the service's memory: plain, compressed, and unchanged since the client had it.
func listar(w *world) error {
	service, limit, list, err := w.pair("listar")
	if err != nil {
		return err
	}
	defer service.end()
	defer limit.end()
	fmt.Printf("The list is %d bytes long, %d compressed.\n\n", len(list.plain), len(list.gzip))

	for _, how := range []struct{ name, coding string }{{"plain", "identity"}, {"gzip", "gzip"}} {
		headers := []string{"Accept-Encoding", how.coding}
		ours := target{service, get(service, listarPath, headers...), http.StatusOK}
		if _, err := w.compare("listar, "+how.name+", beside the same bytes from memory", ours, target{limit, get(limit, "/memory", headers...), http.StatusOK}, readers); err != nil {
			return err
		}
		c, err := w.compare("listar, "+how.name+", beside one Redis GET and the same bytes", ours, target{limit, get(limit, "/listar", headers...), http.StatusOK}, readers)
		if err != nil {
			return err
		}
		w.promise("`listar`, 1,000 machines, "+how.name, "rate 0.75 or more; CPU 1.35 at most", c.rate.mid >= .75 && c.cost.mid <= 1.35, "rate %s; CPU %s", c.rate, c.cost)
	}
	c, err := w.compare("listar, unchanged, beside one Redis GET and 304",
		target{service, get(service, listarPath, "If-None-Match", list.etag), http.StatusNotModified},
		target{limit, get(limit, "/listar", "If-None-Match", limitETag), http.StatusNotModified}, readers)
	if err != nil {
		return err
	}
	w.promise("`listar` with `If-None-Match`, unchanged", "rate 0.85 or more", c.rate.mid >= .85, "rate %s; CPU %s", c.rate, c.cost)
	return nil
}

// buscar compares one machine from the cache with one GET of it.
func buscar(w *world) error {
	service, limit, _, err := w.pair("buscar")
	if err != nil {
		return err
	}
	defer service.end()
	defer limit.end()
	codigo := func(path string) func(int64) string {
		return func(n int64) string { return path + nthMachine(int(n*7919%inventory)).Codigo }
	}
	c, err := w.compare("buscar, beside one Redis GET",
		target{service, each(service, codigo("/api/maquinas/buscar?codigo=")), http.StatusOK},
		target{limit, each(limit, codigo("/buscar?codigo=")), http.StatusOK}, readers)
	if err != nil {
		return err
	}
	w.promise("`buscar?codigo=`", "CPU 1.3 at most", c.cost.mid <= 1.3, "CPU %s; rate %s", c.cost, c.rate)
	return nil
}

// session compares requests with a session and requests to a service that asks for none. The route is the cheapest there is, so the
// session weighs most.
func session(w *world) error {
	closed, limit, list, err := w.pair("closed")
	if err != nil {
		return err
	}
	limit.end()
	defer closed.end()
	open, limit, _, err := w.pair("open", "AUTH_REQUIRED=false")
	if err != nil {
		return err
	}
	limit.end()
	defer open.end()
	closed.name, open.name = "session", "open"
	open.token = ""
	c, err := w.compare("listar, unchanged, with a session and open", target{closed, get(closed, listarPath, "If-None-Match", list.etag), http.StatusNotModified},
		target{open, get(open, listarPath, "If-None-Match", list.etag), http.StatusNotModified}, readers)
	if err != nil {
		return err
	}
	w.promise("verified session on a request", "CPU 1.2 at most; under 40 allocations more", c.cost.mid <= 1.2 && c.allocs-c.allocsOf < 40,
		"CPU %s; %.0f allocations more", c.cost, c.allocs-c.allocsOf)
	return nil
}

// tax measures what being seen costs: traces at 1 %, metrics and the access log, each turned off, and all of them.
func tax(w *world) error {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	traces := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01"}
	const noLog, noMetrics = "LOG_LEVEL=warn", "METRICS_ENABLED=false"
	variants := []struct {
		name string
		env  []string
	}{
		{"without traces", nil}, {"without the log", append(traces, noLog)}, {"without metrics", append(traces, noMetrics)}, {"without any", []string{noLog, noMetrics}},
	}
	full, limit, _, err := w.pair("seen", traces...)
	if err != nil {
		return err
	}
	limit.end()
	defer full.end()
	full.name = "seen"
	for i, v := range variants {
		p, limit, _, err := w.pair(fmt.Sprintf("unseen%d", i), v.env...)
		if err != nil {
			return err
		}
		limit.end()
		p.name = v.name
		c, err := w.compare("listar, with traces at 1 %, metrics and the access log, and "+v.name,
			target{full, get(full, listarPath), http.StatusOK}, target{p, get(p, listarPath), http.StatusOK}, readers)
		p.end()
		if err != nil {
			return err
		}
		target := ""
		if i == len(variants)-1 {
			target = "CPU 1.15 at most"
		}
		w.promise("`listar`, seen by traces at 1 %, metrics and the access log, beside itself "+v.name, target, target == "" || c.cost.mid <= 1.15, "CPU %s", c.cost)
	}
	return nil
}
